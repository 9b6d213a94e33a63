//! NPY, NumPy's own format: one array, C or Fortran order, either byte order.
//!
//! Read and written at positions, never mapped: a mapping would hide memory from the cap and turn
//! truncation into a signal. The format has no place for axes or voxel size; nothing is stored.
//! Source: NumPy Enhancement Proposal 1 and `numpy.lib.format`.

mod header;

use std::path::Path;

use header::{Header, MAX_AXES};
pub(crate) use header::{MAGIC, RawHeader, dtype_of_code, encode_descr};
use volchunk::{
    Coords, Dtype, Error, Region, Result, Scratch, Sink, Source, View, ViewMut, VolumeInfo,
};

use crate::{
    file::{Begin, CountedFile},
    flat::{self, FlatArray, FlatOutput},
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
        if !self.fortran || region.is_empty() {
            return self.array.read(&self.file, region, out, scratch);
        }
        let reversed = |c: &[u64]| c.iter().rev().copied().collect::<Coords>();
        // Transposed block by block, within the cache.
        let dtype = self.info.dtype;
        let block = block(region.shape(), dtype);
        let mut buffer = scratch.take(&block, dtype);
        let result = flat::for_each_piece(region.shape(), &block, |piece| {
            let shape = reversed(piece.shape());
            let start: Coords =
                (0..shape.len()).map(|a| region.start()[a] + piece.start()[a]).rev().collect();
            let bytes = &mut buffer.bytes_mut()[..piece.voxels() as usize * dtype.size()];
            let block = ViewMut::contiguous(&shape, dtype, bytes);
            self.array.read(&self.file, &Region::new(&start, &shape), block, scratch)?;
            let order: Vec<_> = (0..shape.len()).rev().collect();
            let block = View::contiguous(&shape, dtype, bytes).permuted(&order);
            out.part_mut(piece).copy_from(&block);
            Ok(())
        });
        scratch.give(buffer);
        result
    }

    fn stamp(&self, _: &Region) -> Result<u64> {
        self.file.stamp()
    }

    fn read_overhead(&self) -> u64 {
        flat::BUFFER + if self.fortran { BLOCK } else { 0 }
    }

    fn bytes_read(&self) -> u64 {
        self.file.bytes_read()
    }
}

/// Bytes of a block that is transposed at once: within a core's own cache.
const BLOCK: u64 = 512 << 10;

/// The largest block of at most [`BLOCK`] bytes that takes whole cache lines of the last axis, in
/// which the result is written, and as much as it can of the first, in which the file is read.
fn block(shape: &[u64], dtype: Dtype) -> Coords {
    let mut block = Coords::from_slice(shape);
    let mut left = BLOCK / dtype.size() as u64;
    if let Some((last, others)) = block.split_last_mut() {
        *last = (*last).min(64);
        left /= (*last).max(1);
        for n in others {
            *n = (*n).min(left);
            left /= (*n).max(1);
        }
    }
    block
}

/// An NPY file that is being written.
#[derive(Debug)]
struct NpySink {
    output: FlatOutput,
    info: VolumeInfo,
    header: Vec<u8>,
}

/// Creates the output at `path`, or goes on with it: version 1.0, C order, native byte order.
pub(crate) fn create(path: &Path, info: &VolumeInfo, begin: Begin) -> Result<Box<dyn Sink>> {
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
    let output = FlatOutput::open(path, array, len, begin)?;
    let info = VolumeInfo { storage: None, ..info.clone() };
    Ok(Box::new(NpySink { output, info, header }))
}

impl Sink for NpySink {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()> {
        self.output.write(region, &data, scratch)
    }

    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        Ok(self.output.stored_bytes(region))
    }

    fn read_back(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        self.output.read_back(region, out, scratch)
    }

    fn flush(&self) -> Result<()> {
        self.output.file().flush_all()
    }

    /// The header comes last: until then the file is not even an NPY file.
    fn finish(&self) -> Result<()> {
        self.output.file().write_all_at(&self.header, 0)?;
        self.output.file().finish()
    }

    fn write_overhead(&self) -> u64 {
        flat::BUFFER
    }
}
