//! Pure integer geometry: regions, halos, grids and their chunks. No voxels here.

mod chunk;
mod grid;
mod halo;
mod region;

pub use chunk::Chunk;
pub use grid::ChunkGrid;
pub use halo::Halo;
pub use region::Region;
pub(crate) use region::voxels;

/// Coordinates or lengths along each axis, slowest axis first, in voxels.
///
/// Up to five axes live without an allocation; more are legal.
pub type Coords = smallvec::SmallVec<[u64; 5]>;

/// `values` in one word, for messages.
pub(crate) fn comma(values: &[u64]) -> String {
    values.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}
