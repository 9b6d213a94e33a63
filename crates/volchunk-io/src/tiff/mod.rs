//! TIFF: folders of planes, multi-page files, BigTIFF, ImageJ stacks, OME-TIFF.
//!
//! Read: strips and tiles, uncompressed or deflate, LZW, PackBits, Zstandard, with the horizontal
//! and the floating-point predictor, both byte orders, integers of 8 to 64 bits and floats of 32
//! and 64. Uncompressed voxels are read where they lie; of compressed ones, the strips or tiles
//! that a region touches. Pixels of several samples (RGB) have a last axis `c`; their values, like
//! those of palettes and of images whose zero is white, are the stored ones.
//!
//! Not read, with an error that says so: 1-bit images, samples in separate planes, JPEG, OME-TIFF
//! over several files or with several images.
//!
//! Written: see [`create`].

use std::path::Path;

use volchunk::{Result, Sink, Source, VolumeInfo};

use crate::file::Begin;

mod decode;
mod describe;
mod directory;
mod files;
mod imagej;
mod ome;
mod open;
mod page;
mod shaped;
mod sink;
mod source;
#[cfg(test)]
mod tests;

/// Opens the TIFF at `path`: a file, or a folder that holds one plane per file.
///
/// Of a folder, the files that end in `.tif` or `.tiff` are taken in natural order (`z9` before
/// `z10`); the header of every one is read, so that planes that differ are found now. Of a file
/// with many pages, the directories alone are read.
///
/// Axes: those of ImageJ (`t z c y x`), of OME-XML or of tifffile's JSON, without the ones of
/// length 1; else pages are `z`.
///
/// # Errors
/// Not a TIFF; truncated; directories that loop or contradict themselves; pages that differ in
/// shape or dtype, naming both; an empty folder; what the module does not read.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Source>> {
    Ok(Box::new(open::open(path)?))
}

/// Creates the file at `path`, or goes on with it: BigTIFF, little-endian, uncompressed, a page per plane.
///
/// The last axes of `info` are `y x`; up to three more of `t c z` stand before them in any order.
/// Voxel size, axes and origin are in OME-XML, which tifffile and Bio-Formats read; for 64-bit
/// integers, which OME has no name for, in tifffile's JSON. Bool is written as uint8 of 0 and 1.
/// All pages lie at places known from the start, so that threads write where they will. Until
/// [`Sink::finish`] the file is called `path.partial`.
///
/// # Errors
/// I/O; axes that TIFF or OME cannot hold; a zero-sized axis.
pub(crate) fn create(path: &Path, info: &VolumeInfo, begin: Begin) -> Result<Box<dyn Sink>> {
    Ok(Box::new(sink::TiffSink::create(path, info, begin)?))
}
