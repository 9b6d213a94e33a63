//! The one set of checks that every format passes, reading and writing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{fs, path::PathBuf};

use common::{Rng, files_below, part, read, read_strided, write};
use volchunk::{Buffer, Dtype, ErrorKind, Region, Scratch, Sink, StorageGrid, VolumeInfo};
use volchunk_io::{CreateOptions, OutputState, create, open, output_state, remove_output};

/// A format under test, with a folder of its own.
struct Bench {
    dir: tempfile::TempDir,
    ending: &'static str,
    sharded: bool,
    /// Fewest and most axes that the format holds.
    axes: std::ops::RangeInclusive<usize>,
    /// Whether booleans come back as uint8, of 0 and 1.
    bool_is_u8: bool,
    /// Whether axes, scale and unit are kept.
    keeps_axes: bool,
}

impl Bench {
    fn path(&self) -> PathBuf {
        self.dir.path().join("volume").with_extension(self.ending)
    }

    fn info(&self, shape: &[u64], dtype: Dtype) -> VolumeInfo {
        let mut info = VolumeInfo::new(shape, dtype);
        if self.sharded {
            let chunk = shape.iter().map(|n| n.div_ceil(4)).collect();
            let shard = shape.iter().map(|n| n.div_ceil(4) * 2).collect();
            info.storage = Some(StorageGrid { chunk, shard: Some(shard) });
        }
        info
    }

    fn create(&self, info: &VolumeInfo) -> volchunk::Result<Box<dyn Sink>> {
        create(&self.path(), info, &CreateOptions::default())
    }

    /// Writes random voxels from four threads; the output is complete.
    fn written(&self, shape: &[u64], dtype: Dtype, rng: &mut Rng) -> Buffer {
        let voxels = rng.voxels(shape, dtype);
        let sink = self.create(&self.info(shape, dtype)).unwrap();
        write(&*sink, &voxels, 4, rng);
        sink.finish().unwrap();
        voxels
    }
}

/// A shape of about 2000 voxels with every kind of length: one, ragged, long.
fn random_shape(ndim: usize, rng: &mut Rng) -> Vec<u64> {
    let most = [2000, 60, 18, 9, 6][ndim - 1];
    (0..ndim).map(|_| 1 + rng.below(most)).collect()
}

fn every_dtype_and_ndim(b: &Bench) {
    let mut rng = Rng(1);
    for dtype in Dtype::ALL {
        for ndim in 1..=5 {
            let shape = random_shape(ndim, &mut rng);
            if !b.axes.contains(&ndim) {
                let error = b.create(&b.info(&shape, dtype)).map(|_| ()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert_eq!(output_state(&b.path()).unwrap(), OutputState::Absent);
                continue;
            }
            let voxels = b.written(&shape, dtype, &mut rng);
            let source = open(&b.path()).unwrap();
            let read_as = if dtype == Dtype::Bool && b.bool_is_u8 { Dtype::U8 } else { dtype };
            assert_eq!((&source.info().shape[..], source.info().dtype), (&shape[..], read_as));
            let whole = read(&*source, &Region::whole(&shape)).unwrap();
            assert!(whole.bytes() == voxels.bytes(), "{shape:?} {dtype}");
            for _ in 0..6 {
                let region = rng.region(&shape);
                let expected = part(&voxels, &region);
                let found = read(&*source, &region).unwrap();
                assert!(found.bytes() == expected.bytes(), "{shape:?} {dtype} {region}");
                let found = read_strided(&*source, &region);
                assert!(found.bytes() == expected.bytes(), "{shape:?} {dtype} {region} strided");
            }
            remove_output(&b.path()).unwrap();
        }
    }
}

fn concurrent_reads(b: &Bench) {
    let mut rng = Rng(2);
    let shape = [23, 40, 57];
    let voxels = b.written(&shape, Dtype::U16, &mut rng);
    let source = open(&b.path()).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (source, voxels) = (&source, &voxels);
            scope.spawn(move || {
                let (mut rng, mut scratch) = (Rng(seed), Scratch::new());
                for _ in 0..40 {
                    let region = rng.region(&shape);
                    let mut out = scratch.take(region.shape(), Dtype::U16);
                    source.read(&region, out.view_mut(), &mut scratch).unwrap();
                    assert!(out.bytes() == part(voxels, &region).bytes(), "{region}");
                    scratch.give(out);
                }
            });
        }
    });
}

fn a_small_crop_reads_little(b: &Bench) {
    let (shape, mut rng) = ([64, 96, 96], Rng(3));
    b.written(&shape, Dtype::U16, &mut rng);
    let source = open(&b.path()).unwrap();
    assert!(source.bytes_read() < 64 << 10, "opening reads {} bytes", source.bytes_read());
    for region in [Region::new([31, 0, 0], [1, 96, 96]), Region::new([9, 40, 7], [1, 2, 3])] {
        let before = source.bytes_read();
        read(&*source, &region).unwrap();
        let cost = source.bytes_read() - before;
        // All that has to be decoded, and a little of what surrounds it: indices, gaps of a page.
        let unit = source.info().storage.as_ref().map_or(vec![1, 1, 1], |g| g.chunk.to_vec());
        let decoded: u64 = (0..3)
            .map(|a| (region.stop(a).div_ceil(unit[a]) - region.start()[a] / unit[a]) * unit[a])
            .product();
        assert!(cost > 0 && cost <= 2 * decoded + 16384, "{region} reads {cost} bytes");
    }
}

fn unfinished_is_not_complete(b: &Bench) {
    let (shape, mut rng) = ([6, 7, 8], Rng(4));
    let voxels = rng.voxels(&shape, Dtype::U8);
    let sink = b.create(&b.info(&shape, Dtype::U8)).unwrap();
    assert_eq!(output_state(&b.path()).unwrap(), OutputState::Partial);
    write(&*sink, &voxels, 2, &mut rng);
    assert_eq!(output_state(&b.path()).unwrap(), OutputState::Partial);
    drop(sink);
    // As a killed run leaves it.
    assert_eq!(output_state(&b.path()).unwrap(), OutputState::Partial);
    let message = open(&b.path()).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("unfinished") || message.contains("complete"), "{message}");
    for left in fs::read_dir(b.dir.path()).unwrap() {
        assert!(open(&left.unwrap().path()).is_err());
    }
    remove_output(&b.path()).unwrap();
    assert_eq!(output_state(&b.path()).unwrap(), OutputState::Absent);
    assert_eq!(fs::read_dir(b.dir.path()).unwrap().count(), 0);
}

fn a_second_create_is_refused(b: &Bench) {
    let (shape, mut rng) = ([6, 7, 8], Rng(5));
    let info = b.info(&shape, Dtype::U16);
    let refused = || {
        let error = b.create(&info).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert!(error.to_string().contains("volume."), "{error}");
    };
    let voxels = rng.voxels(&shape, Dtype::U16);
    let sink = b.create(&info).unwrap();
    refused();
    write(&*sink, &voxels, 2, &mut rng);
    refused();
    sink.finish().unwrap();
    drop(sink);
    refused();
    assert!(matches!(output_state(&b.path()).unwrap(), OutputState::Complete { .. }));
    let source = open(&b.path()).unwrap();
    assert!(read(&*source, &Region::whole(shape)).unwrap().bytes() == voxels.bytes());
}

fn what_cannot_be_created_leaves_nothing(b: &Bench) {
    let create = |info: &VolumeInfo, path: &std::path::Path| {
        create(path, info, &CreateOptions::default()).map(|_| ()).unwrap_err()
    };
    let orphan = b.dir.path().join("nowhere").join(b.path().file_name().unwrap());
    let message = create(&b.info(&[2, 2], Dtype::U8), &orphan).to_string();
    assert!(message.contains("nowhere, which does not exist"), "{message}");
    let error = create(&VolumeInfo::new(&[2, 0, 2], Dtype::U8), &b.path());
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("axis 1"), "{error}");
    create(&VolumeInfo::new(&[1 << 40, 1 << 30, 1 << 20], Dtype::U64), &b.path());
    assert_eq!(fs::read_dir(b.dir.path()).unwrap().count(), 0);
}

/// Any file of a volume cut short is an error, at opening or at reading, and never a panic.
fn truncation_is_refused(b: &Bench) {
    let (shape, mut rng) = ([6, 20, 30], Rng(6));
    b.written(&shape, Dtype::U16, &mut rng);
    for file in files_below(&b.path()) {
        let bytes = fs::read(&file).unwrap();
        for keep in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&file, &bytes[..keep]).unwrap();
            let result = open(&b.path()).and_then(|s| read(&*s, &Region::whole(shape)));
            let error = result.map(|_| ()).expect_err("truncated");
            assert!(error.to_string().contains("volume."), "names the file: {error}");
        }
        fs::write(&file, &bytes).unwrap();
    }
    read(&*open(&b.path()).unwrap(), &Region::whole(shape)).unwrap();
}

fn axes_are_kept(b: &Bench) {
    let mut info = b.info(&[2, 3, 4, 5, 6], Dtype::U8);
    for (axis, scale) in info.axes.iter_mut().skip(2).zip([5.0, 2.0, 1.5]) {
        (axis.scale, axis.unit) = (Some(scale), Some("micrometer".into()));
    }
    let voxels = Rng(7).voxels(&info.shape, Dtype::U8);
    let sink = b.create(&info).unwrap();
    write(&*sink, &voxels, 1, &mut Rng(8));
    sink.finish().unwrap();
    let source = open(&b.path()).unwrap();
    assert_eq!(source.info().axis_names(), "tczyx");
    if b.keeps_axes {
        let sizes: Vec<_> = source.info().axes.iter().map(|a| a.micrometers()).collect();
        assert_eq!(sizes, [None, None, Some(5.0), Some(2.0), Some(1.5)]);
    }
}

macro_rules! conforms {
    ($($format:ident { $($field:ident: $value:expr),* $(,)? })*) => {$(
        mod $format {
            use super::*;

            conforms!(@checks [$($field: $value),*]
                every_dtype_and_ndim concurrent_reads a_small_crop_reads_little
                unfinished_is_not_complete a_second_create_is_refused
                what_cannot_be_created_leaves_nothing truncation_is_refused axes_are_kept);
        }
    )*};
    (@checks $bench:tt $($check:ident)*) => {$(conforms!(@check $bench $check);)*};
    (@check [$($field:ident: $value:expr),*] $check:ident) => {
        #[test]
        fn $check() {
            super::$check(&Bench { dir: tempfile::tempdir().unwrap(), $($field: $value),* });
        }
    };
}

conforms! {
    npy { ending: "npy", sharded: false, axes: 1..=5, bool_is_u8: false, keeps_axes: false }
    tiff { ending: "tif", sharded: false, axes: 2..=5, bool_is_u8: true, keeps_axes: true }
    zarr { ending: "zarr", sharded: false, axes: 1..=5, bool_is_u8: false, keeps_axes: true }
    zarr_sharded { ending: "zarr", sharded: true, axes: 1..=5, bool_is_u8: false, keeps_axes: true }
}
