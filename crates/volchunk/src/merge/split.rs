//! A volume in memory as chunks, without a copy.

use crate::{Chunk, ChunkGrid, Error, Result, View};

/// Every chunk of `grid` in C order, each with a view of its outer in `volume`; nothing is copied.
///
/// # Errors
/// A `volume` whose shape is not the grid's.
///
/// A halo that only extends forward, `(0, overlap)`, gives chunks that start at multiples of the
/// chunk shape and reach `overlap` voxels into the next:
/// ```
/// use volchunk::{Buffer, ChunkGrid, Halo, split};
/// let volume = Buffer::from_slice(&[7], &[0u16, 1, 2, 3, 4, 5, 6]);
/// let grid = ChunkGrid::new(&[7], &[3])?.with_halo(Halo::new([(0, 2)]))?;
/// let outers: Vec<_> = split(&volume.view(), &grid)?.map(|(c, _)| c.outer.to_string()).collect();
/// assert_eq!(outers, ["[0:5]", "[3:7]", "[6:7]"]);
/// # Ok::<(), volchunk::Error>(())
/// ```
pub fn split<'v, 'g>(
    volume: &View<'v>,
    grid: &'g ChunkGrid,
) -> Result<impl Iterator<Item = (Chunk, View<'v>)> + use<'v, 'g>> {
    if volume.shape() != grid.volume() {
        return Err(Error::argument(format!(
            "the volume to split has shape {:?}, the grid divides one of {:?}",
            volume.shape(),
            grid.volume()
        )));
    }
    let volume = volume.clone();
    Ok(grid.iter().map(move |chunk| {
        let view = volume.part(&chunk.outer);
        (chunk, view)
    }))
}
