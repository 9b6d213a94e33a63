//! NPY, NumPy's own format: one array, C or Fortran order, either byte order.
//!
//! Read and written at positions, never mapped: a mapping would hide memory from the cap and turn
//! truncation into a signal. The format has no place for axes or voxel size; nothing is stored.
//! Source: NumPy Enhancement Proposal 1 and `numpy.lib.format`.

mod header;

use std::path::Path;

pub(crate) use header::MAGIC;
use header::{Header, MAX_AXES};
use volchunk::{Coords, Error, Region, Result, Scratch, Sink, Source, View, ViewMut, VolumeInfo};

use crate::{
    CreateOptions,
    file::{CountedFile, PartialFile},
    flat::{self, FlatArray},
};

/// An NPY file, read by region.
#[derive(Debug)]
struct NpySource {
    file: CountedFile,
    info: VolumeInfo,
    array: FlatArray,
    fortran: bool,
}

/// Opens the volume at `path`.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Source>> {
    let file = CountedFile::open(path)?;
    let header = Header::read(&file)?;
    let info = VolumeInfo::new(&header.shape, header.dtype);
    // Fortran order is C order of the axes reversed.
    let mut stored = header.shape;
    if header.fortran {
        stored.reverse();
    }
    let array = FlatArray::new(header.offset, &stored, header.dtype, header.swapped);
    Ok(Box::new(NpySource { file, info, array, fortran: header.fortran }))
}

impl Source for NpySource {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        if !self.fortran {
            return self.array.read(&self.file, region, out, scratch);
        }
        let reversed = |c: &[u64]| c.iter().rev().copied().collect::<Coords>();
        let region = Region::new(reversed(region.start()), reversed(region.shape()));
        let strides = reversed(out.strides());
        let dtype = out.dtype();
        let out = ViewMut::strided(region.shape(), &strides, dtype, out.data_mut());
        self.array.read(&self.file, &region, out, scratch)
    }

    fn read_overhead(&self) -> u64 {
        flat::BUFFER
    }

    fn bytes_read(&self) -> u64 {
        self.file.bytes_read()
    }
}

/// An NPY file that is being written.
#[derive(Debug)]
struct NpySink {
    file: PartialFile,
    info: VolumeInfo,
    array: FlatArray,
    header: Vec<u8>,
}

/// Creates the output at `path`: version 1.0, C order, native byte order.
pub(crate) fn create(path: &Path, info: &VolumeInfo, _: &CreateOptions) -> Result<Box<dyn Sink>> {
    let name = path.display();
    if info.ndim() > MAX_AXES {
        return Err(Error::unsupported(format!(
            "{name}: {} axes; legal in NPY: at most {MAX_AXES}",
            info.ndim()
        )));
    }
    let header = header::encode(&info.shape, info.dtype);
    let offset = header.len() as u64;
    let voxels = info.shape.iter().try_fold(1u64, |n, &s| n.checked_mul(s));
    let bytes = voxels.and_then(|n| n.checked_mul(info.dtype.size() as u64));
    let len = bytes.and_then(|n| n.checked_add(offset)).ok_or_else(|| {
        Error::argument(format!("{name}: shape {:?} exceeds 2^64 bytes", info.shape))
    })?;
    let array = FlatArray::new(offset, &info.shape, info.dtype, false);
    let file = PartialFile::create(path, len)?;
    let info = VolumeInfo { storage: None, ..info.clone() };
    Ok(Box::new(NpySink { file, info, array, header }))
}

impl Sink for NpySink {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()> {
        self.array.write(&self.file, region, &data, scratch)
    }

    /// The header comes last: until then the file is not even an NPY file.
    fn finish(&self) -> Result<()> {
        self.file.write_all_at(&self.header, 0)?;
        self.file.finish()
    }

    fn write_overhead(&self) -> u64 {
        flat::BUFFER
    }
}
