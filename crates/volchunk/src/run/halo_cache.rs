//! Storage chunks decoded once, and what pending chunks still need of them.
//!
//! A chunk with a halo touches the storage chunks of its neighbours, up to 27 in 3-D; decoding all
//! of them for every chunk would decode the volume many times over. Chunks are started in the
//! order of their numbers, so it is known which of them are still to come. When a storage chunk is
//! read, the boxes of it that later chunks need are kept: all of it where one of them needs all of
//! it, else thin strips. When a chunk is done, what only it needed is freed. Above its byte budget
//! the cache keeps nothing new, and the storage chunk is read again.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64, atomic::Ordering},
};

use super::{
    footprint::Footprint,
    halo_need::is_shared,
    todo::Todo,
    touch::{AxisTouch, product},
};
use crate::{Buffer, ChunkGrid, Coords, Error, Region, Result, Scratch, Source, ViewMut};

/// One source behind the cache.
pub(super) struct HaloCache<'a> {
    source: &'a dyn Source,
    unit: Coords,
    storage_counts: Coords,
    grid: &'a ChunkGrid,
    /// Chunks that are not in it are not waited for.
    todo: &'a Todo,
    /// Per source axis.
    axes: Vec<AxisTouch>,
    budget: usize,
    state: Mutex<State>,
    arrived: Condvar,
    decoded: AtomicU64,
}

struct State {
    entries: HashMap<u64, Entry>,
    bytes: usize,
    memory: Scratch,
}

/// What is known of one storage chunk while chunks that touch it are pending.
struct Entry {
    /// Chunks that touch it and are not done.
    pending: u64,
    /// Some worker is reading it; others wait.
    reading: bool,
    held: Vec<Held>,
}

#[derive(Clone)]
struct Held {
    region: Region,
    voxels: Arc<Buffer>,
    /// Of the storage chunk, just before it was read.
    stamp: u64,
}

impl Held {
    fn bytes(&self) -> usize {
        self.voxels.held_bytes()
    }
}

impl<'a> HaloCache<'a> {
    /// A cache for `source`, or None where nothing would be shared: no storage chunks, no budget,
    /// or a need that is not one grid axis per source axis.
    pub(super) fn new(
        source: &'a dyn Source,
        grid: &'a ChunkGrid,
        todo: &'a Todo,
        footprint: &Footprint,
        budget: u64,
    ) -> Option<Self> {
        let storage = source.info().storage.as_ref()?;
        let driven: Vec<usize> = footprint.axes.iter().map_while(|a| a.driver).collect();
        let every = (0..grid.ndim()).all(|a| driven.contains(&a));
        if budget == 0
            || driven.len() != source.info().ndim()
            || !every
            || !is_shared(footprint, storage)
        {
            return None;
        }
        let unit = storage.chunk.clone();
        let storage_counts: Coords =
            source.info().shape.iter().zip(&unit).map(|(n, &u)| n.div_ceil(u)).collect();
        let axes = footprint
            .axes
            .iter()
            .enumerate()
            .map(|(a, axis)| AxisTouch::of(axis, axis.driver.unwrap_or(a), unit[a]))
            .collect();
        Some(Self {
            source,
            unit,
            storage_counts,
            grid,
            todo,
            axes,
            budget: usize::try_from(budget).unwrap_or(usize::MAX),
            state: Mutex::new(State {
                entries: HashMap::new(),
                bytes: 0,
                memory: Scratch::with_limit(budget),
            }),
            arrived: Condvar::new(),
            decoded: AtomicU64::new(0),
        })
    }

    /// Bytes read from the source so far, decoded.
    pub(super) fn decoded(&self) -> u64 {
        self.decoded.load(Ordering::Relaxed)
    }

    /// Whether nothing is held, as it must be when every chunk to do is done.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().entries.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `region` into `out` for chunk `number`, which reads nothing outside its footprint.
    pub(super) fn read(
        &self,
        number: u64,
        region: &Region,
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let spans: Vec<Range<u64>> =
            region.ranges().zip(&self.unit).map(|(r, &u)| r.start / u..r.end.div_ceil(u)).collect();
        // What another worker is reading just now comes last: there is other work meanwhile.
        let mut busy: Vec<Coords> = Vec::new();
        let mut failure = Ok(());
        let mut read = |index: &[u64], wait: bool| {
            let part = self.box_of(index).intersect(region);
            let place = part.relative_to(region.start());
            self.read_part(number, index, &part, out.part_mut(&place), scratch, wait)
        };
        product(&spans, &mut |index| {
            if failure.is_ok() {
                match read(index, false) {
                    Ok(true) => {}
                    Ok(false) => busy.push(Coords::from_slice(index)),
                    Err(e) => failure = Err(e),
                }
            }
        });
        failure?;
        busy.iter().try_for_each(|index| read(index, true).map(|_| ()))
    }

    /// Reads `part`, which lies in the storage chunk at `index`. Unless it may `wait`, nothing is
    /// done and false returned while another worker reads that storage chunk.
    fn read_part(
        &self,
        number: u64,
        index: &[u64],
        part: &Region,
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
        wait: bool,
    ) -> Result<bool> {
        let key = self.key(index);
        let mut state = self.lock();
        loop {
            let entry = state.entries.entry(key).or_insert_with(|| self.untouched(index));
            if let Some(held) = entry.held.iter().find(|h| h.region.contains(part)).cloned() {
                drop(state);
                self.check_stamp(index, held.stamp)?;
                out.copy_from(&held.voxels.view().part(&part.relative_to(held.region.start())));
                return Ok(true);
            }
            if !entry.reading {
                entry.reading = true;
                break;
            }
            if !wait {
                return Ok(false);
            }
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Chosen and reserved under the lock, or two workers would fill the same room.
        let room = self.budget.saturating_sub(state.bytes);
        let (read, keep) = self.choose(number, index, part, room);
        let reserved = self.bytes_of(&keep);
        state.bytes += reserved;
        drop(state);
        let claim = Claim { cache: self, key, reserved };

        let stamp = self.source.stamp(&self.box_of(index))?;
        let kept = self.read_and_keep((part, stamp), &read, &keep, out, scratch)?;
        self.lock().keep(key, kept);
        drop(claim);
        Ok(true)
    }

    /// Refuses what is held of a storage chunk that is no longer what was read: chunks made of it and
    /// of what is there now would not fit together.
    fn check_stamp(&self, index: &[u64], held: u64) -> Result<()> {
        let place = self.box_of(index);
        match self.source.stamp(&place)? == held {
            true => Ok(()),
            false => Err(Error::data(format!("the input changed while it was read, at {place}"))),
        }
    }

    /// Reads `read` from the source, copies `part` of it out, and returns the boxes `keep`.
    fn read_and_keep(
        &self,
        (part, stamp): (&Region, u64),
        read: &Region,
        keep: &[Region],
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Held>> {
        let dtype = self.source.info().dtype;
        // Decoded from the storage chunk's low end, as far as was needed.
        let start = read.start()[0] / self.unit[0] * self.unit[0];
        let others = (1..read.ndim()).map(|a| {
            let low = read.start()[a] / self.unit[a] * self.unit[a];
            (low + self.unit[a]).min(self.source.info().shape[a]) - low
        });
        let decoded = others.fold(read.stop(0) - start, |n, len| n * len) * dtype.size() as u64;
        self.decoded.fetch_add(decoded, Ordering::Relaxed);
        if keep.is_empty() && read == part {
            self.source.read(read, out, scratch)?;
            return Ok(Vec::new());
        }
        let whole = keep.len() == 1 && keep[0] == *read;
        let mut buffer = match whole {
            true => self.lock().memory.take(read.shape(), dtype),
            false => scratch.take(read.shape(), dtype),
        };
        self.source.read(read, buffer.view_mut(), scratch)?;
        out.copy_from(&buffer.view().part(&part.relative_to(read.start())));
        if whole {
            return Ok(vec![Held { region: read.clone(), voxels: Arc::new(buffer), stamp }]);
        }
        let kept = keep.iter().map(|k| self.cut((&buffer, stamp), read, k)).collect();
        scratch.give(buffer);
        Ok(kept)
    }

    /// A copy of the box `keep` out of `from`, which holds `region`.
    fn cut(&self, (from, stamp): (&Buffer, u64), region: &Region, keep: &Region) -> Held {
        let mut buffer = self.lock().memory.take(keep.shape(), from.dtype());
        buffer.view_mut().copy_from(&from.view().part(&keep.relative_to(region.start())));
        Held { region: keep.clone(), voxels: Arc::new(buffer), stamp }
    }

    /// What to read of a storage chunk of which chunk `number` needs `part`, and which boxes of it
    /// to keep with `room` bytes left.
    fn choose(
        &self,
        number: u64,
        index: &[u64],
        part: &Region,
        room: usize,
    ) -> (Region, Vec<Region>) {
        let plan = |boxes: Vec<Region>| {
            let all = boxes.iter().fold(part.clone(), |all, b| bound(&all, b));
            let keep = tidy(boxes, &all);
            let fits = self.bytes_of(&keep) <= room;
            (fits, if keep.is_empty() { part.clone() } else { all }, keep)
        };
        // What ends before `part` does costs no further decoding, as storage chunks decode from
        // their low end. If that is a small part of it, the rest waits for the chunk that owns it:
        // held from now on it would fill the cache to save little.
        let (part_end, unit_end) = (part.stop(0), self.box_of(index).stop(0));
        let early = (part_end - index[0] * self.unit[0]) * 4 <= unit_end - index[0] * self.unit[0];
        if !early {
            let (fits, all, keep) = plan(self.later_boxes(number, index, |_| true));
            // Half of the budget is for strips: they save most for what they hold.
            if fits && self.bytes_of(&keep) <= room.saturating_sub(self.budget / 2) {
                return (all, keep);
            }
            // No room to hold it for its owner, but for the strips that others need: then it is
            // decoded twice, not for each of them.
            let quarter = self.box_of(index).voxels() / 4;
            let strips = self.later_boxes(number, index, |b| b.voxels() <= quarter);
            let (fits, all, keep) = plan(strips);
            if fits {
                return (all, keep);
            }
        }
        let (fits, all, keep) = plan(self.later_boxes(number, index, |b| b.stop(0) <= part_end));
        if fits { (all, keep) } else { (part.clone(), Vec::new()) }
    }

    fn bytes_of(&self, boxes: &[Region]) -> usize {
        boxes.iter().map(|b| b.voxels() as usize * self.source.info().dtype.size()).sum()
    }

    /// The boxes of the storage chunk at `index` that chunks behind `number` need, of those that
    /// `accept` takes; one within another is left out.
    fn later_boxes(
        &self,
        number: u64,
        index: &[u64],
        accept: impl Fn(&Region) -> bool,
    ) -> Vec<Region> {
        // A storage chunk far larger than a chunk is kept whole: its boxes would cover it anyway.
        const MANY: u64 = 512;
        if self.touching(index) > MANY {
            let whole = self.box_of(index);
            return if accept(&whole) { vec![whole] } else { Vec::new() };
        }
        let mut boxes: Vec<Region> = Vec::new();
        self.each_to_do(index, |later, needed| {
            if later <= number {
                return;
            }
            let needed = needed();
            if accept(&needed) && !boxes.iter().any(|b| b.contains(&needed)) {
                boxes.retain(|b| !needed.contains(b));
                boxes.push(needed);
            }
        });
        boxes
    }

    /// Tells that chunk `number`, one of those to do, is done: what no later chunk needs is freed.
    pub(super) fn done(&self, number: u64) {
        let index = self.grid.index_of(number);
        let touched: Vec<&[u64]> =
            self.axes.iter().map(|axis| &axis.by_chunk[index[axis.driver] as usize][..]).collect();
        let spans: Vec<Range<u64>> = touched.iter().map(|t| 0..t.len() as u64).collect();
        product(&spans, &mut |choice| {
            let storage: Coords =
                choice.iter().zip(&touched).map(|(&k, t)| t[k as usize]).collect();
            self.release(number, &storage);
        });
    }

    fn release(&self, number: u64, index: &[u64]) {
        let key = self.key(index);
        let mut state = self.lock();
        // A chunk that was not computed may be the first that comes to a storage chunk.
        let entry = state.entries.entry(key).or_insert_with(|| self.untouched(index));
        entry.pending = entry.pending.saturating_sub(1);
        if entry.pending == 0 && !entry.reading {
            let held = std::mem::take(&mut entry.held);
            state.entries.remove(&key);
            state.free(held);
            return;
        }
        // A whole storage chunk whose owner is done shrinks to the strips that are still needed.
        if entry.reading || entry.held.len() != 1 || entry.held[0].region != self.box_of(index) {
            return;
        }
        let keep = self.later_boxes(number, index, |_| true);
        if self.bytes_of(&keep) * 2 > entry.held[0].bytes() {
            return;
        }
        let whole = entry.held[0].clone();
        entry.reading = true;
        drop(state);
        let claim = Claim { cache: self, key, reserved: 0 };
        let from = (&*whole.voxels, whole.stamp);
        let strips: Vec<Held> = keep.iter().map(|k| self.cut(from, &whole.region, k)).collect();
        drop(whole);
        self.lock().replace(key, strips);
        drop(claim);
    }

    fn box_of(&self, index: &[u64]) -> Region {
        Region::from_ranges(index.iter().enumerate().map(|(a, &s)| {
            let start = s * self.unit[a];
            start..(start + self.unit[a]).min(self.source.info().shape[a])
        }))
    }

    fn key(&self, index: &[u64]) -> u64 {
        index.iter().zip(&self.storage_counts).fold(0, |k, (&i, &n)| k * n + i)
    }

    /// What is known of a storage chunk before any chunk that touches it.
    fn untouched(&self, index: &[u64]) -> Entry {
        Entry { pending: self.pending(index), reading: false, held: Vec::new() }
    }

    /// Calls `f` with each chunk to do that reads the storage chunk at `index`, by its number, and
    /// with what it needs of it.
    fn each_to_do(&self, index: &[u64], mut f: impl FnMut(u64, &dyn Fn() -> Region)) {
        let touch: Vec<&[(u64, Range<u64>)]> =
            self.axes.iter().zip(index).map(|(axis, &s)| axis.touching(s)).collect();
        let spans: Vec<Range<u64>> = touch.iter().map(|t| 0..t.len() as u64).collect();
        let mut chunk: Coords = smallvec::smallvec![0; self.grid.ndim()];
        product(&spans, &mut |choice| {
            for (a, &k) in choice.iter().enumerate() {
                chunk[self.axes[a].driver] = touch[a][k as usize].0;
            }
            let number = self.grid.number_of(&chunk);
            if self.todo.contains(number) {
                let ranges = choice.iter().zip(&touch).map(|(&k, t)| t[k as usize].1.clone());
                f(number, &|| Region::from_ranges(ranges.clone()));
            }
        });
    }

    /// How many of the chunks to do read the storage chunk at `index`.
    fn pending(&self, index: &[u64]) -> u64 {
        if self.todo.is_all() {
            return self.touching(index);
        }
        let mut pending = 0;
        self.each_to_do(index, |_, _| pending += 1);
        pending
    }

    /// How many chunks read the storage chunk at `index`.
    fn touching(&self, index: &[u64]) -> u64 {
        self.axes.iter().zip(index).map(|(a, &s)| a.touching(s).len() as u64).product()
    }
}

/// A worker's exclusive hold on one storage chunk. Ends with it whatever happens, a panic in a
/// source included, so that nobody waits for ever.
struct Claim<'a> {
    cache: &'a HaloCache<'a>,
    key: u64,
    /// Bytes that were set aside for what it keeps, and are now counted as what was kept.
    reserved: usize,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut state = self.cache.lock();
        state.bytes = state.bytes.saturating_sub(self.reserved);
        if let Some(entry) = state.entries.get_mut(&self.key) {
            entry.reading = false;
            // The last chunk that needed it may have ended meanwhile.
            if entry.pending == 0
                && let Some(entry) = state.entries.remove(&self.key)
            {
                state.free(entry.held);
            }
        }
        drop(state);
        self.cache.arrived.notify_all();
    }
}

impl State {
    /// Puts `strips` in place of what is held of a storage chunk.
    fn replace(&mut self, key: u64, strips: Vec<Held>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.bytes += strips.iter().map(Held::bytes).sum::<usize>();
        let old = std::mem::replace(&mut entry.held, strips);
        self.free(old);
    }

    /// Adds what was kept of a storage chunk, in place of what lies within it.
    fn keep(&mut self, key: u64, kept: Vec<Held>) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        self.bytes += kept.iter().map(Held::bytes).sum::<usize>();
        let within = |h: &mut Held| kept.iter().any(|k| k.region.contains(&h.region));
        let replaced: Vec<Held> = entry.held.extract_if(.., within).collect();
        entry.held.extend(kept);
        self.free(replaced);
    }

    fn free(&mut self, held: Vec<Held>) {
        for h in held {
            self.bytes = self.bytes.saturating_sub(h.bytes());
            match Arc::try_unwrap(h.voxels) {
                Ok(buffer) => self.memory.give(buffer),
                // Another worker still copies from it, and drops it then.
                Err(shared) => self.memory.forget(&shared),
            }
        }
    }
}

/// The smallest box around both.
fn bound(a: &Region, b: &Region) -> Region {
    Region::from_ranges(
        a.ranges().zip(b.ranges()).map(|(a, b)| a.start.min(b.start)..a.end.max(b.end)),
    )
}

/// `boxes`, or the one box `all` around them if that holds no more.
fn tidy(boxes: Vec<Region>, all: &Region) -> Vec<Region> {
    let sum = boxes.iter().map(Region::voxels).fold(0, u64::saturating_add);
    if boxes.len() > 1 && sum >= all.voxels() { vec![all.clone()] } else { boxes }
}
