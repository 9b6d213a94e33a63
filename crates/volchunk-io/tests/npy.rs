//! NPY files that NumPy wrote, and what costs what.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{fs, path::PathBuf};

use common::{Rng, part, read, read_strided};
use volchunk::{Buffer, Coords, Dtype, Element, ErrorKind, Region, Result, Source, dispatch};
use volchunk_io::open;

fn data(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/npy");
    root.join(name).with_extension("npy")
}

/// The formula of tests/data/make_npy.py.
fn voxel(index: &[u64], dtype: Dtype) -> f64 {
    let place = index.iter().fold(0u64, |sum, i| sum * 37 + i) + 5;
    let v = place.wrapping_mul(2_654_435_761) % (1 << 32);
    let bits = 8 * dtype.size() as u32;
    match dtype {
        Dtype::Bool => (v % 2) as f64,
        Dtype::F32 => (v % (1 << 24)) as f64 / 8.0,
        Dtype::F64 => v as f64 / 8.0,
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => (v % (1 << bits.min(33))) as f64,
        _ => (v % (1 << bits.min(33))) as f64 - (1u64 << (bits.min(33) - 1)) as f64,
    }
}

fn expected(shape: &[u64], dtype: Dtype) -> Buffer {
    fn fill<T: Element>(buffer: &mut Buffer) {
        let (shape, dtype) = (Coords::from_slice(buffer.shape()), buffer.dtype());
        for (i, v) in buffer.as_slice_mut::<T>().iter_mut().enumerate() {
            let (mut rest, mut index) = (i as u64, Coords::new());
            for &n in shape.iter().rev() {
                index.insert(0, rest % n);
                rest /= n;
            }
            *v = T::from_f64(voxel(&index, dtype));
        }
    }
    let mut buffer = Buffer::zeros(shape, dtype);
    dispatch!(dtype, T => fill::<T>(&mut buffer));
    buffer
}

fn check(name: &str, shape: &[u64], dtype: Dtype) {
    let source = open(&data(name)).unwrap();
    assert_eq!((&source.info().shape[..], source.info().dtype), (shape, dtype), "{name}");
    let expected = expected(shape, dtype);
    let whole = read(&*source, &Region::whole(shape)).unwrap();
    assert!(whole.bytes() == expected.bytes(), "{name}");
    let mut rng = Rng(shape.len() as u64);
    for _ in 0..20 {
        let region = rng.region(shape);
        let wanted = part(&expected, &region);
        assert!(read(&*source, &region).unwrap().bytes() == wanted.bytes(), "{name} {region}");
        assert!(read_strided(&*source, &region).bytes() == wanted.bytes(), "{name} {region}");
    }
}

#[test]
fn files_that_numpy_wrote() {
    let codes = ["b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"];
    for (code, dtype) in codes.into_iter().zip(Dtype::ALL) {
        check(&format!("{code}-le"), &[3, 4, 5], dtype);
        check(&format!("{code}-be"), &[3, 4, 5], dtype);
    }
    let shapes = [&[23][..], &[5, 7], &[3, 4, 5], &[2, 3, 4, 5], &[2, 1, 3, 4, 5]];
    for shape in shapes {
        check(&format!("{}d", shape.len()), shape, Dtype::U16);
        check(&format!("{}d-fortran-be", shape.len()), shape, Dtype::U16);
    }
    check("0d", &[], Dtype::U16);
    for version in 1..=3 {
        check(&format!("version-{version}"), &[3, 4, 5], Dtype::I32);
    }
}

#[test]
fn files_that_are_not_read_say_why() {
    let message = |name: &str| {
        let error = open(&data(name)).map(|_| ()).unwrap_err();
        (error.kind(), error.to_string())
    };
    for (name, descr) in
        [("unknown-f2", "<f2"), ("unknown-complex", "<c8"), ("unknown-structured", "('é', '<u2')")]
    {
        let (kind, message) = message(name);
        assert_eq!(kind, ErrorKind::Unsupported, "{message}");
        assert!(message.contains(descr) && message.contains("uint16"), "{message}");
    }
    let (kind, message) = message("empty-axis");
    assert_eq!(kind, ErrorKind::InvalidData);
    assert!(message.contains("axis 1 of shape [3, 0, 5]"), "{message}");
}

/// A sparse NPY file: a header of NumPy's, and `len` bytes of which none takes space.
fn sparse(
    dir: &tempfile::TempDir,
    shape: &str,
    fortran: &str,
    len: u64,
) -> Result<Box<dyn Source>> {
    let path = dir.path().join("sparse.npy");
    let dict = format!("{{'descr': '>u2', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let header =
        [b"\x93NUMPY\x01\x00", &(dict.len() as u16).to_le_bytes()[..], dict.as_bytes()].concat();
    fs::write(&path, &header).unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(header.len() as u64 + len)
        .unwrap();
    open(&path)
}

/// One plane of 10 GB costs a plane, whatever axis it lies across and whatever the order.
#[test]
fn a_plane_of_ten_gigabytes() {
    let dir = tempfile::tempdir().unwrap();
    let (n, m) = (500, 3200);
    let bytes = 2 * n * m * m;
    for fortran in ["False", "True"] {
        let source = sparse(&dir, "(500, 3200, 3200)", fortran, bytes).unwrap();
        assert!(source.bytes_read() < 1024);
        let planes = [
            Region::new([77, 0, 0], [1, m, m]),
            Region::new([0, 77, 0], [n, 1, m]),
            Region::new([0, 0, 77], [n, m, 1]),
        ];
        // Across the axis in which voxels lie side by side every page is touched, and is read where
        // rows are shorter than a page.
        let across_rows = if fortran == "True" { 0 } else { 2 };
        for (axis, plane) in planes.iter().enumerate().filter(|(a, _)| *a != across_rows) {
            let before = source.bytes_read();
            read(&*source, plane).unwrap();
            let cost = source.bytes_read() - before;
            assert_eq!(cost, 2 * plane.voxels(), "plane across axis {axis}, fortran {fortran}");
        }
    }
}

#[test]
fn length_is_checked_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let message =
        |shape, len| sparse(&dir, shape, "False", len).map(|_| ()).unwrap_err().to_string();
    let truncated = message("(10, 20)", 399);
    assert!(truncated.contains("sparse.npy") && truncated.contains("truncated"), "{truncated}");
    assert!(message("(1152921504606846976,)", 400).contains("truncated"));
    assert!(message("(4294967296, 4294967296)", 400).contains("2^64"));
    // NumPy ignores what stands behind the voxels, and so does volchunk.
    assert_eq!(sparse(&dir, "(10, 20)", "False", 401).unwrap().info().voxels(), 200);
}
