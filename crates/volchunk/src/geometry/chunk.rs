//! One unit of work.

use super::{Coords, Region};

/// One chunk of a [`ChunkGrid`](super::ChunkGrid).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Place in the grid, one index per axis, slowest axis first.
    pub index: Coords,
    /// The voxels that this chunk owns, in volume coordinates.
    pub core: Region,
    /// Core and halo, clipped to the volume, in volume coordinates.
    pub outer: Region,
}

impl Chunk {
    /// The core in the coordinates of the outer: what trimming keeps.
    pub fn trim(&self) -> Region {
        self.core.relative_to(self.outer.start())
    }
}
