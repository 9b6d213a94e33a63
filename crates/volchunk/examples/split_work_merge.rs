//! Split a volume into overlapping chunks, work on each, merge the results without a seam.

use volchunk::{Buffer, ChunkGrid, Halo, Result, View, merge_chunks, split};

fn main() -> Result<()> {
    let volume = Buffer::from_slice(&[200], &Vec::from_iter((0..200u32).map(|i| i * i % 97)));
    let grid = ChunkGrid::new(&[200], &[64])?.with_halo(Halo::symmetric([2]))?;
    let results: Vec<Buffer> = split(&volume.view(), &grid)?
        .map(|(chunk, view)| maximum_of_5(&view, chunk.outer.shape()))
        .collect();
    let chunks: Vec<View> = results.iter().map(Buffer::view).collect();
    let merged = merge_chunks(&grid, &chunks, 2)?;
    assert_eq!(merged.bytes(), maximum_of_5(&volume.view(), &[200]).bytes(), "a seam shows");
    Ok(())
}

/// The work: at each voxel the maximum of the five around it.
fn maximum_of_5(input: &View<'_>, shape: &[u64]) -> Buffer {
    let mut values = Buffer::zeros(shape, input.dtype());
    values.view_mut().copy_from(input);
    let values: &[u32] = values.as_slice();
    let around = |i: usize| &values[i.saturating_sub(2)..values.len().min(i + 3)];
    let maxima = Vec::from_iter((0..values.len()).map(|i| *around(i).iter().max().unwrap_or(&0)));
    Buffer::from_slice(shape, &maxima)
}
