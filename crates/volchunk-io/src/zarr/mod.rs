//! Zarr v2 and v3, OME-Zarr 0.4 and 0.5: read; OME-Zarr 0.5 on Zarr v3: written.
//!
//! zarrs parses the metadata and knows the codecs. Storage chunks of the common kind, Zstandard
//! alone, are read, decoded, encoded and written here, with contexts and buffers that a thread
//! keeps; so are the indices of shards, whose claims are checked before they are believed.
//! No path starts rayon's global pool: of zarrs, only single codecs are called.

mod decode;
mod encode;
mod layout;
mod node;
mod ome;
mod pyramid;
mod reader;
mod root;
mod shard;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use volchunk::{Result, Sink, Source, VolumeInfo};

pub(crate) use self::root::{DOOMED, UNDER_WAY, attributes, remove};
pub use self::{ome::ome_describable, pyramid::Pyramid};
use crate::CreateOptions;

/// Opens the array at `path`, or level 0 of the OME-Zarr group there.
///
/// # Errors
/// No Zarr; a plain group (lists its arrays); metadata that contradicts itself; a dtype, codec or
/// grid that is not supported.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Source>> {
    Ok(Box::new(reader::ZarrSource::open(path)?))
}

/// Creates the output at `path`, or goes on with it: an OME-Zarr group with one level, or a plain array where OME-NGFF
/// cannot describe the axes ([`ome_describable`]).
///
/// # Errors
/// [`Exists`](volchunk::ErrorKind::Exists) if something stands there; what cannot be written; I/O.
pub(crate) fn create(
    path: &Path,
    info: &VolumeInfo,
    options: &CreateOptions,
    resume: bool,
) -> Result<Box<dyn Sink>> {
    Ok(Box::new(pyramid::create(path, info, options, resume)?))
}

/// Bytes that one write to an output of `info` holds at most, beyond what it is given.
pub(crate) fn write_overhead(info: &VolumeInfo, options: &CreateOptions) -> Result<u64> {
    writer::overhead(info, options.zstd_level.unwrap_or(encode::DEFAULT_LEVEL))
}
