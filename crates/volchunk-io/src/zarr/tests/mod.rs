//! Against zarr-python's files, against an oracle, and against damage.

mod damage;
mod read;
mod write;

use std::path::{Path, PathBuf};

use serde_json::Value;
use volchunk::{Buffer, Dtype, Element, Region, Scratch, Source, dispatch};

/// tests/data/zarr of the repository.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/zarr")
}

/// The voxels that tests/data/make_zarr.py writes, as bytes in native order.
fn voxels(shape: &[u64], dtype: Dtype) -> Buffer {
    let mut buffer = Buffer::zeros(shape, dtype);
    dispatch!(dtype, T => {
        for (i, slot) in buffer.as_slice_mut::<T>().iter_mut().enumerate() {
            let v = ((7 * i + 3) % 251) as i64;
            let v = match dtype {
                Dtype::Bool => (v % 2) as f64,
                Dtype::I8 => (v - 100).div_euclid(2) as f64,
                Dtype::I16 | Dtype::I32 | Dtype::I64 => (v - 100) as f64,
                Dtype::F32 | Dtype::F64 => v as f64 / 4.0 - 10.0,
                _ => v as f64,
            };
            *slot = T::from_f64(v);
        }
    });
    buffer
}

/// `region` of a buffer, by a loop over its voxels.
fn crop(from: &Buffer, region: &Region) -> Vec<u8> {
    let item = from.dtype().size();
    let mut out = Vec::new();
    for n in 0..region.voxels() {
        let (mut rest, mut at, mut step) = (n, 0, 1);
        for a in (0..region.ndim()).rev() {
            at += (region.start()[a] + rest % region.shape()[a]) * step;
            rest /= region.shape()[a];
            step *= from.shape()[a];
        }
        out.extend_from_slice(&from.bytes()[at as usize * item..][..item]);
    }
    out
}

/// Reads a region into a contiguous buffer.
fn read(source: &dyn Source, region: &Region) -> volchunk::Result<Vec<u8>> {
    let mut out = Buffer::zeros(region.shape(), source.info().dtype);
    out.bytes_mut().fill(0xa5);
    source.read(region, out.view_mut(), &mut Scratch::new())?;
    Ok(out.bytes().to_vec())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
