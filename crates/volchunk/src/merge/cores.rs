//! Cores written side by side into one output by several threads, each voxel copied once.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    thread,
};

use super::rows::join;
use crate::{Error, Region, Result, View, ViewMut, geometry::Coords};

/// Most bytes of output that a thread takes at a time.
///
/// Large enough to hide the look-up of chunks, small enough that the voxels of fresh pages are still
/// in the cache from being zeroed.
const SLAB: u64 = 1 << 20;

/// Joins cores of any lengths, which form a box, into the memory behind `out`; every voxel of it is
/// written.
///
/// `lengths[a][i]` is the number of voxels that the cores at index `i` of axis `a` have on that
/// axis; there is one core for each combination of indices, in C order (last axis fastest), any
/// strides. Channels, and voxels of a size that no dtype has, are axes with a single length. This
/// is [`merge_chunks_into`](super::merge_chunks_into) for results that no regular grid describes,
/// such as rescaled chunks.
///
/// At most `threads` threads write, the caller's among them; none outlives the call.
///
/// ```
/// use volchunk::{Buffer, join_cores};
/// let (a, b) = (Buffer::from_slice(&[1, 2], &[1u8, 2]), Buffer::from_slice(&[1, 1], &[3u8]));
/// let mut out = Buffer::from_slice(&[1, 3], &[0u8; 3]);
/// join_cores(&[vec![1], vec![2, 1]], &[a.view(), b.view()], out.view_mut(), 1)?;
/// assert_eq!(out.as_slice::<u8>(), [1, 2, 3]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there are not as many cores as
/// combinations of indices, if one has another shape than `lengths` says (the error names its
/// index) or another dtype than `out`, or if `out` is not as long as the lengths together.
pub fn join_cores(
    lengths: &[Vec<u64>],
    cores: &[View<'_>],
    out: ViewMut<'_>,
    threads: usize,
) -> Result<()> {
    let counts: Coords = lengths.iter().map(|l| l.len() as u64).collect();
    if cores.len() as u64 != crate::geometry::voxels(&counts) {
        return Err(Error::argument(format!(
            "{} cores to join, a grid of {counts:?} has {}",
            cores.len(),
            crate::geometry::voxels(&counts)
        )));
    }
    let total: Option<Coords> =
        lengths.iter().map(|l| l.iter().try_fold(0u64, |sum, &n| sum.checked_add(n))).collect();
    if total.as_deref() != Some(out.shape()) {
        return Err(Error::argument(format!(
            "the output has shape {:?}, the cores' lengths are {lengths:?}",
            out.shape()
        )));
    }
    let mut index: Coords = smallvec::smallvec![0; counts.len()];
    for core in cores {
        let expected: Coords = lengths.iter().zip(&index).map(|(l, &i)| l[i as usize]).collect();
        if core.shape() != &expected[..] || core.dtype() != out.dtype() {
            return Err(Error::argument(format!(
                "core {index:?} is {} of shape {:?}, expected {} of shape {:?}",
                core.dtype(),
                core.shape(),
                out.dtype(),
                &expected[..]
            )));
        }
        for (slot, &n) in index.iter_mut().zip(&counts).rev() {
            *slot += 1;
            if *slot < n {
                break;
            }
            *slot = 0;
        }
    }
    let cuts: Vec<Cuts> = lengths.iter().map(|l| Cuts::of_lengths(l.iter().copied())).collect();
    write_cores(&cuts, &|number| cores[number as usize].clone(), out, threads);
    Ok(())
}

/// Where the cores of one axis begin, and where the last ends.
pub(super) struct Cuts(Vec<u64>);

impl Cuts {
    pub(super) fn of_lengths(lengths: impl Iterator<Item = u64>) -> Self {
        let mut end = 0;
        Self(
            std::iter::once(0)
                .chain(lengths.map(|n| {
                    end += n;
                    end
                }))
                .collect(),
        )
    }

    fn count(&self) -> u64 {
        self.0.len() as u64 - 1
    }

    fn range(&self, i: u64) -> Range<u64> {
        self.0[i as usize]..self.0[i as usize + 1]
    }

    /// Index of the core that holds position `at`, which lies before the last one's end.
    fn index_at(&self, at: u64) -> u64 {
        self.0.partition_point(|&start| start <= at) as u64 - 1
    }
}

/// A stretch of the output and where it lies.
type Slab<'a> = (Region, ViewMut<'a>);

/// Writes all of `out`, which has the shape that `cuts` divide; `core` gives each core by number.
pub(super) fn write_cores<'v>(
    cuts: &[Cuts],
    core: &(dyn Fn(u64) -> View<'v> + Sync),
    out: ViewMut<'_>,
    threads: usize,
) {
    let mut slabs = Vec::new();
    divide((Region::whole(out.shape()), out), &mut slabs);
    let threads = threads.min(slabs.len());
    let queue = Mutex::new(slabs.into_iter());
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(slab) = next else { return };
            fill(slab, cuts, core);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            // A thread that the system refuses is not missed: the caller's works off the queue.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
}

/// Halves the output into slabs of at most [`SLAB`] bytes where its memory allows, in its order.
fn divide<'a>((region, out): Slab<'a>, slabs: &mut Vec<Slab<'a>>) {
    let bytes = region.voxels().saturating_mul(out.dtype().size() as u64);
    let axis = if bytes > SLAB { out.split_axis() } else { None };
    let Some(axis) = axis else { return slabs.push((region, out)) };
    let half = region.shape()[axis] / 2;
    let cut = region.start()[axis] + half;
    let (low, high) = out.split_at(axis, half);
    divide((region.with_range(axis, region.start()[axis]..cut), low), slabs);
    divide((region.with_range(axis, cut..region.stop(axis)), high), slabs);
}

/// Writes one slab: the part of every core that lies in it.
fn fill<'v>((slab, mut out): Slab<'_>, cuts: &[Cuts], core: &(dyn Fn(u64) -> View<'v> + Sync)) {
    if slab.is_empty() {
        return;
    }
    // The box of chunks whose cores meet the slab.
    let first = |a: usize| cuts[a].index_at(slab.start()[a]);
    let last = |a: usize| cuts[a].index_at(slab.stop(a) - 1);
    // The last axis on which they differ; those side by side on it are written together.
    let side = (0..slab.ndim()).rev().find(|&a| first(a) < last(a));
    let mut index: Coords = (0..slab.ndim()).map(first).collect();
    loop {
        let mut pieces = Vec::new();
        let mut covered = slab.clone();
        for i in side.map_or(0..1, |side| first(side)..last(side) + 1) {
            if let Some(side) = side {
                index[side] = i;
            }
            let whole = Region::from_ranges(index.iter().zip(cuts).map(|(&i, cuts)| cuts.range(i)));
            let part = whole.intersect(&slab);
            // A core without voxels, between two that have some.
            if part.is_empty() {
                continue;
            }
            let number = index.iter().zip(cuts).fold(0, |n, (&i, cuts)| n * cuts.count() + i);
            pieces.push(core(number).part(&part.relative_to(whole.start())));
            covered = part;
        }
        if !pieces.is_empty() {
            if let Some(side) = side {
                covered = covered.with_range(side, slab.range(side));
            }
            join(&pieces, side.unwrap_or(0), out.part_mut(&covered.relative_to(slab.start())));
        }
        let outside = 0..side.unwrap_or(0);
        let Some(axis) = outside.rev().find(|&a| index[a] < last(a)) else { return };
        index[axis] += 1;
        for a in axis + 1..index.len() {
            index[a] = first(a);
        }
    }
}
