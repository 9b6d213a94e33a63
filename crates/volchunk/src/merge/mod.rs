//! Split and merge: a volume as chunks, chunk results as one array again.

mod image;
mod rows;
mod shape;
mod split;

pub use image::{merge_chunks, merge_chunks_into};
pub use shape::merged_shape;
pub use split::split;
