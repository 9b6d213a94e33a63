//! Volumes: what a voxel is, how voxels lie in memory, where they come from and go to.

mod array;
mod boundary;
mod buffer;
mod dtype;
mod info;
mod shared;
mod source;
mod view;

pub use array::{ArraySink, ArraySource};
pub use boundary::{AxisMap, Boundary};
pub use buffer::{Buffer, Scratch};
pub use dtype::{Bool, Dtype, Element};
pub use info::{Axis, AxisKind, StorageGrid, VolumeInfo};
pub use shared::{SharedArray, SharedMemory};
pub use source::{Sink, Source};
pub use view::{View, ViewMut};
