//! Regions of a volume, taken from its chunks as these are read anyway.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::{Buffer, Dtype, Region, Scratch};

/// What is looked at while a volume is read back, so that nothing is decoded twice for it.
pub trait Wants: Sync {
    /// The regions that are wanted, in coordinates of the volume that is read.
    fn regions(&self) -> Vec<Region>;

    /// Called once for a region, by its number, when all of it is there. Regions for which memory is
    /// short, or of which something cannot be read, are never taken.
    fn take(&self, number: usize, voxels: &Buffer, scratch: &mut Scratch);

    /// Bytes that [`take`](Self::take) or [`work`](Self::work) hold in each worker beyond what they
    /// are given.
    fn bytes(&self) -> u64;

    /// Bytes that are held from one call to the next, by all workers together.
    fn held(&self) -> u64 {
        0
    }

    /// Pieces of work that the workers do first.
    fn pieces(&self) -> u64 {
        0
    }

    /// Does one of them.
    fn work(&self, piece: u64, scratch: &mut Scratch) {
        let _ = (piece, scratch);
    }
}

/// Regions on their way, for [`reread`](super::reread()) of all journals of one volume.
pub struct Gather<'a> {
    wants: Vec<&'a dyn Wants>,
    dtype: Dtype,
    slots: Vec<Slot>,
    /// Bytes that regions which are not whole yet may still take.
    room: AtomicU64,
    /// Memory of regions that were taken, for others.
    memory: Mutex<Scratch>,
    begun: AtomicBool,
}

impl fmt::Debug for Gather<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather").field("regions", &self.slots.len()).finish_non_exhaustive()
    }
}

struct Slot {
    region: Region,
    /// Whose it is, and its number there.
    of: (usize, usize),
    part: Mutex<Part>,
}

/// What is there of a region.
struct Part {
    voxels: Option<Buffer>,
    /// Voxels that are still to come; 0 when it was taken.
    missing: u64,
    /// Whether some passed when there was no room.
    lost: bool,
}

impl<'a> Gather<'a> {
    /// What `wants` want of a volume of `dtype`.
    pub fn new(wants: &[&'a dyn Wants], dtype: Dtype) -> Self {
        let slots = wants.iter().enumerate().flat_map(|(who, want)| {
            want.regions().into_iter().enumerate().map(move |(number, region)| {
                let part = Part { voxels: None, missing: region.voxels(), lost: false };
                Slot { region, of: (who, number), part: Mutex::new(part) }
            })
        });
        let slots = slots.collect();
        let (room, begun) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { wants: wants.to_vec(), dtype, slots, room, memory: Mutex::default(), begun }
    }

    /// Bytes that a worker holds beyond the chunk that it reads.
    pub(super) fn bytes(&self) -> u64 {
        self.wants.iter().map(|want| want.bytes()).max().unwrap_or(0)
    }

    /// Bytes that are held beside the workers.
    pub(super) fn held(&self) -> u64 {
        self.wants.iter().map(|want| want.held()).sum()
    }

    /// Lets regions that are not whole take `room` bytes together.
    pub(super) fn grant(&self, room: u64) {
        self.room.store(room, Ordering::Relaxed);
        *self.memory() = Scratch::with_limit(room);
    }

    /// Pieces of work to be done first: all of them when this is called first, then none.
    pub(super) fn begin(&self) -> u64 {
        match self.begun.swap(true, Ordering::Relaxed) {
            true => 0,
            false => self.wants.iter().map(|want| want.pieces()).sum(),
        }
    }

    pub(super) fn work(&self, mut piece: u64, scratch: &mut Scratch) {
        for want in &self.wants {
            if piece < want.pieces() {
                return want.work(piece, scratch);
            }
            piece -= want.pieces();
        }
    }

    /// Takes what is wanted of the chunk at `place`, which is offered once.
    pub(super) fn offer(&self, place: &Region, chunk: &Buffer, scratch: &mut Scratch) {
        let apart = |region: &Region| {
            (0..place.ndim())
                .any(|a| region.start()[a] >= place.stop(a) || place.start()[a] >= region.stop(a))
        };
        for slot in self.slots.iter().filter(|slot| !apart(&slot.region)) {
            if let Some(whole) = self.add(slot, place, chunk) {
                let (who, number) = slot.of;
                self.wants[who].take(number, &whole, scratch);
                self.room.fetch_add(self.bytes_of(&slot.region), Ordering::Relaxed);
                self.memory().give(whole);
            }
        }
    }

    /// Copies the chunk's share of a region; the region, where that was the last of it.
    fn add(&self, slot: &Slot, place: &Region, chunk: &Buffer) -> Option<Buffer> {
        let mut part = slot.part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.lost || part.missing == 0 {
            return None;
        }
        if part.voxels.is_none() {
            let left = |room: u64| room.checked_sub(self.bytes_of(&slot.region));
            if self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
                part.lost = true;
                return None;
            }
        }
        let shared = slot.region.intersect(place);
        let voxels =
            part.voxels.get_or_insert_with(|| self.memory().take(slot.region.shape(), self.dtype));
        let from = chunk.view().part(&shared.relative_to(place.start()));
        voxels.view_mut().part_mut(&shared.relative_to(slot.region.start())).copy_from(&from);
        part.missing -= shared.voxels();
        if part.missing == 0 { part.voxels.take() } else { None }
    }

    fn bytes_of(&self, region: &Region) -> u64 {
        region.voxels().saturating_mul(self.dtype.size() as u64).next_multiple_of(8)
    }

    fn memory(&self) -> MutexGuard<'_, Scratch> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two(Mutex<Vec<(usize, Vec<u16>)>>);

    impl Wants for Two {
        fn regions(&self) -> Vec<Region> {
            vec![Region::from_ranges([1..3, 1..4]), Region::from_ranges([0..1, 0..2])]
        }

        fn take(&self, number: usize, voxels: &Buffer, _: &mut Scratch) {
            self.0.lock().unwrap().push((number, voxels.as_slice().to_vec()));
        }

        fn bytes(&self) -> u64 {
            0
        }
    }

    fn offered(room: u64, chunks: &[u64]) -> Vec<(usize, Vec<u16>)> {
        let two = Two(Mutex::default());
        let gather = Gather::new(&[&two], Dtype::U16);
        gather.grant(room);
        // Chunks of 2 x 2 of a volume of 4 x 4 that counts.
        for &k in chunks {
            let (z, x) = (k / 2 * 2, k % 2 * 2);
            let at = |z: u64, x: u64| (z * 4 + x) as u16;
            let chunk = [at(z, x), at(z, x + 1), at(z + 1, x), at(z + 1, x + 1)];
            let place = Region::from_ranges([z..z + 2, x..x + 2]);
            let chunk = Buffer::from_slice(&[2, 2], &chunk);
            gather.offer(&place, &chunk, &mut Scratch::new());
        }
        two.0.into_inner().unwrap()
    }

    #[test]
    fn regions_come_whole_and_once() {
        let (large, small) = ((0, vec![5, 6, 7, 9, 10, 11]), (1, vec![0, 1]));
        assert_eq!(offered(100, &[0, 1, 2, 3]), [small.clone(), large.clone()]);
        assert_eq!(offered(100, &[3, 2, 1, 0]), [large, small.clone()]);
        // What there is no room for is left, and what was lost of it does not count as zeros.
        assert_eq!(offered(8, &[3, 0, 1, 2]), std::slice::from_ref(&small));
        // A chunk that cannot be read is not offered.
        assert_eq!(offered(100, &[0, 2, 3]), [small]);
    }
}
