//! Chunk results trimmed to their cores and joined into one array, each voxel copied once.

use super::cores::{Cuts, write_cores};
use crate::{Buffer, ChunkGrid, Dtype, Error, Result, View, ViewMut, geometry::Chunk};

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

fn copy_cores(grid: &ChunkGrid, chunks: &[View<'_>], out: ViewMut<'_>, threads: usize) {
    let cuts: Vec<Cuts> = (0..grid.ndim())
        .map(|a| {
            Cuts::of_lengths(
                (0..grid.counts()[a]).map(|i| grid.core_range(a, i)).map(|r| r.end - r.start),
            )
        })
        .collect();
    let core = |number: u64| chunks[number as usize].part(&grid.chunk(number).trim());
    write_cores(&cuts, &core, out, threads);
}
