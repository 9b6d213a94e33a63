//! The division of a region into chunks.

use super::{Chunk, Coords, Halo, Region};
use crate::{Error, Result};

/// A regular division of a region of a volume into chunks; the last chunk of an axis may be short.
///
/// The cores partition `domain`; they start at its start. Chunks are numbered in C order: the last
/// axis varies fastest.
///
/// ```
/// use volchunk::{ChunkGrid, Halo};
/// let grid = ChunkGrid::new(&[10, 10], &[4, 16])?.with_halo(Halo::symmetric([1, 1]))?;
/// assert_eq!(grid.counts(), [3, 1]);
/// let last = grid.chunk(2);
/// assert_eq!(last.core.to_string(), "[8:10, 0:10]");
/// assert_eq!(last.outer.to_string(), "[7:10, 0:10]");
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkGrid {
    volume: Coords,
    domain: Region,
    chunk: Coords,
    counts: Coords,
    halo: Halo,
}

impl ChunkGrid {
    /// Divides a whole volume of `shape` into chunks of `chunk` voxels, without halo.
    ///
    /// A chunk may be longer than its axis. An axis of no voxels has no chunks.
    ///
    /// # Errors
    /// A zero in `chunk`; a different number of axes.
    pub fn new(shape: &[u64], chunk: &[u64]) -> Result<Self> {
        Self::over(shape, Region::whole(shape), chunk)
    }

    /// Divides `domain`, a region of a volume of `shape`.
    ///
    /// # Errors
    /// As [`new`](Self::new); a `domain` that reaches outside the volume.
    pub fn over(shape: &[u64], domain: Region, chunk: &[u64]) -> Result<Self> {
        domain.check_within(shape, "the region to divide")?;
        if chunk.len() != shape.len() {
            return Err(Error::argument(format!(
                "chunk {chunk:?} has {} axes, the volume {shape:?} has {}",
                chunk.len(),
                shape.len()
            )));
        }
        if let Some(axis) = chunk.iter().position(|&c| c == 0) {
            return Err(Error::argument(format!(
                "chunk {chunk:?} is 0 on axis {axis}; every axis needs at least 1 voxel"
            )));
        }
        let counts = domain.shape().iter().zip(chunk).map(|(n, &c)| n.div_ceil(c)).collect();
        Ok(Self {
            volume: Coords::from_slice(shape),
            domain,
            chunk: Coords::from_slice(chunk),
            counts,
            halo: Halo::none(shape.len()),
        })
    }

    /// The same grid, its chunks with `halo` around their cores.
    ///
    /// # Errors
    /// A different number of axes.
    pub fn with_halo(mut self, halo: Halo) -> Result<Self> {
        if halo.ndim() != self.ndim() {
            return Err(Error::argument(format!(
                "the halo has {} axes, the volume {:?} has {}",
                halo.ndim(),
                self.volume,
                self.ndim()
            )));
        }
        self.halo = halo;
        Ok(self)
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.volume.len()
    }

    /// Shape of the volume that outers are clipped to.
    pub fn volume(&self) -> &[u64] {
        &self.volume
    }

    /// The region that the cores partition.
    pub fn domain(&self) -> &Region {
        &self.domain
    }

    /// Shape of a full core.
    pub fn chunk_shape(&self) -> &[u64] {
        &self.chunk
    }

    /// Chunks along each axis.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Context around each core.
    pub fn halo(&self) -> &Halo {
        &self.halo
    }

    /// Number of chunks; `u64::MAX` where the true number does not fit.
    pub fn len(&self) -> u64 {
        super::region::voxels(&self.counts)
    }

    /// Whether there is no chunk: an axis of the domain has no voxels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Place in the grid of the chunk with this number, `0 <= number < len()`.
    ///
    /// # Panics
    /// If the grid is empty.
    pub fn index_of(&self, mut number: u64) -> Coords {
        let mut index: Coords = smallvec::smallvec![0; self.ndim()];
        for (slot, &n) in index.iter_mut().zip(&self.counts).rev() {
            *slot = number % n;
            number /= n;
        }
        index
    }

    /// Number of the chunk at `index`.
    pub fn number_of(&self, index: &[u64]) -> u64 {
        index.iter().zip(&self.counts).fold(0, |n, (&i, &c)| n * c + i)
    }

    /// The half-open range that chunk `i` of `axis` owns.
    pub fn core_range(&self, axis: usize, i: u64) -> std::ops::Range<u64> {
        let start = self.domain.start()[axis] + i * self.chunk[axis];
        start..start.saturating_add(self.chunk[axis]).min(self.domain.stop(axis))
    }

    /// The core of the chunk at `index`.
    pub fn core(&self, index: &[u64]) -> Region {
        Region::from_ranges(index.iter().enumerate().map(|(a, &i)| self.core_range(a, i)))
    }

    /// The chunk with this number, `0 <= number < len()`.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn chunk(&self, number: u64) -> Chunk {
        assert!(number < self.len(), "chunk {number} of a grid of {}", self.len());
        let index = self.index_of(number);
        let core = self.core(&index);
        let outer = self.halo.outer(&core, &self.volume);
        Chunk { index, core, outer }
    }

    /// Every chunk, in C order.
    pub fn iter(&self) -> impl Iterator<Item = Chunk> + '_ {
        (0..self.len()).map(|i| self.chunk(i))
    }
}
