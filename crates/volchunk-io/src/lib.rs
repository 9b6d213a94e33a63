//! Reads and writes the volume formats that volchunk works on.
//!
//! Every format has the same shape: `open` gives a [`Source`], `create` gives a [`Sink`].

mod file;
mod format;
mod npy;
mod tiff;
mod zarr;

pub use file::CountedFile;
pub use format::{CreateOptions, Format, create, open};
pub use zarr::{Pyramid, attributes as zarr_attributes, ome_describable, remove as remove_zarr};

#[allow(unused_imports)]
use volchunk::{Sink, Source};
