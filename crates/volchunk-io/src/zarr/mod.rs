//! TODO-zarr

use std::path::Path;

use volchunk::{Error, Result, Sink, Source, VolumeInfo};

use crate::CreateOptions;

/// Opens the volume at `path`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Source>> {
    Err(Error::unsupported(format!("{}", path.display())))
}

/// Creates the output at `path`.
pub(crate) fn create(path: &Path, _: &VolumeInfo, _: &CreateOptions) -> Result<Box<dyn Sink>> {
    Err(Error::unsupported(format!("{}", path.display())))
}
