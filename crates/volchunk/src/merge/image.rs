//! Chunk results trimmed to their cores and joined into one array, each voxel copied once.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use super::rows::join;
use crate::{
    Buffer, ChunkGrid, Dtype, Error, Region, Result, View, ViewMut,
    geometry::{Chunk, Coords},
};

/// Most bytes of output that a thread takes at a time.
///
/// Large enough to hide the look-up of chunks, small enough that the voxels of fresh pages are still
/// in the cache from being zeroed.
const SLAB: u64 = 1 << 20;

/// Trims the result of every chunk to its core and joins the cores into one new array, which has
/// the shape of the grid's [`domain`](ChunkGrid::domain).
///
/// `chunks` are the outers, in the order of [`ChunkGrid::iter`], any strides. Whatever the halo,
/// what a chunk computed outside of its core is dropped; with a halo that only extends forward,
/// `(0, overlap)`, that keeps the first [`chunk_shape`](ChunkGrid::chunk_shape) voxels of each.
/// Results that were trimmed before belong to the grid without halo.
///
/// Voxels of a size that no dtype has are arrays of [`U8`](Dtype::U8) with one more axis of that
/// length, undivided by the grid; so are channels.
///
/// At most `threads` threads write, the caller's among them, each one stretch of the output after
/// the other; none outlives the call.
///
/// ```
/// use volchunk::{Buffer, ChunkGrid, Halo, View, merge_chunks, split};
/// let volume = Buffer::from_slice(&[2, 5], &[0u8, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
/// let grid = ChunkGrid::new(&[2, 5], &[1, 2])?.with_halo(Halo::symmetric([1, 1]))?;
/// let chunks: Vec<View> = split(&volume.view(), &grid)?.map(|(_, view)| view).collect();
/// let merged = merge_chunks(&grid, &chunks, 2)?;
/// assert_eq!(merged.as_slice::<u8>(), volume.as_slice::<u8>());
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there are not as many chunks as the
/// grid has, none at all (their dtype is unknown), one whose shape is not that of its outer, or
/// dtypes that differ.
pub fn merge_chunks(grid: &ChunkGrid, chunks: &[View<'_>], threads: usize) -> Result<Buffer> {
    let Some(first) = chunks.first() else {
        return Err(Error::argument(format!(
            "no chunks to merge; the grid of {:?} has {}",
            grid.domain().shape(),
            grid.len()
        )));
    };
    check_chunks(grid, chunks, first.dtype())?;
    let mut merged = Buffer::zeros_in_huge_pages(grid.domain().shape(), first.dtype());
    copy_cores(grid, chunks, merged.view_mut(), threads);
    Ok(merged)
}

/// As [`merge_chunks`], into the memory behind `out`; every voxel of it is written.
///
/// # Errors
/// As [`merge_chunks`], but that no chunks are legal where the grid has none; an `out` of another
/// shape than the grid's domain, or another dtype than the chunks.
pub fn merge_chunks_into(
    grid: &ChunkGrid,
    chunks: &[View<'_>],
    out: ViewMut<'_>,
    threads: usize,
) -> Result<()> {
    if out.shape() != grid.domain().shape() {
        return Err(Error::argument(format!(
            "the output has shape {:?}, the merged chunks {:?}",
            out.shape(),
            grid.domain().shape()
        )));
    }
    check_chunks(grid, chunks, out.dtype())?;
    copy_cores(grid, chunks, out, threads);
    Ok(())
}

/// An error unless `chunks` are the outers of `grid`, all of `dtype`.
fn check_chunks(grid: &ChunkGrid, chunks: &[View<'_>], dtype: Dtype) -> Result<()> {
    if chunks.len() as u64 != grid.len() {
        return Err(Error::argument(format!(
            "{} chunks to merge, the grid {:?} has {}",
            chunks.len(),
            grid.counts(),
            grid.len()
        )));
    }
    for (chunk, view) in grid.iter().zip(chunks) {
        let Chunk { index, core, outer } = chunk;
        if view.shape() != outer.shape() {
            return Err(Error::argument(format!(
                "chunk {index:?} has shape {:?}, its outer {outer} {:?} (core {core})",
                view.shape(),
                outer.shape()
            )));
        }
        if view.dtype() != dtype {
            return Err(Error::argument(format!(
                "chunk {index:?} is {}, expected {dtype}: all chunks and the output need one dtype",
                view.dtype()
            )));
        }
    }
    Ok(())
}

/// A stretch of the output and where it lies in the domain.
type Slab<'a> = (Region, ViewMut<'a>);

fn copy_cores(grid: &ChunkGrid, chunks: &[View<'_>], out: ViewMut<'_>, threads: usize) {
    let mut slabs = Vec::new();
    divide((Region::whole(out.shape()), out), &mut slabs);
    let threads = threads.min(slabs.len());
    let queue = Mutex::new(slabs.into_iter());
    let work = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(slab) = next else { return };
            fill(slab, grid, chunks);
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
fn fill((slab, mut out): Slab<'_>, grid: &ChunkGrid, chunks: &[View<'_>]) {
    if slab.is_empty() {
        return;
    }
    let slab = slab.translate(grid.domain().start());
    // The box of chunks whose cores meet the slab.
    let of = |a: usize, at: u64| (at - grid.domain().start()[a]) / grid.chunk_shape()[a];
    let first = |a: usize| of(a, slab.start()[a]);
    let last = |a: usize| of(a, slab.stop(a) - 1);
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
            let number = grid.number_of(&index);
            let chunk = grid.chunk(number);
            let part = chunk.core.intersect(&slab);
            pieces.push(chunks[number as usize].part(&part.relative_to(chunk.outer.start())));
            covered = part;
        }
        if let Some(side) = side {
            covered = covered.with_range(side, slab.range(side));
        }
        join(&pieces, side.unwrap_or(0), out.part_mut(&covered.relative_to(slab.start())));
        let outside = 0..side.unwrap_or(0);
        let Some(axis) = outside.rev().find(|&a| index[a] < last(a)) else { return };
        index[axis] += 1;
        for a in axis + 1..index.len() {
            index[a] = first(a);
        }
    }
}
