//! What is written is read back the same, by this crate and (tests/interop) by zarr-python.

use proptest::prelude::*;
use serde_json::json;
use volchunk::{
    Axis, Buffer, ChunkGrid, Coords, Dtype, ErrorKind, Region, Scratch, Sink, StorageGrid, View,
    VolumeInfo,
};

use super::{crop, json as read_json, read, voxels};
use crate::{
    CreateOptions,
    zarr::{Pyramid, attributes, create, ome_describable, open, remove},
};

fn storage(chunk: &[u64], shard: Option<&[u64]>) -> Option<StorageGrid> {
    Some(StorageGrid { chunk: Coords::from_slice(chunk), shard: shard.map(Coords::from_slice) })
}

/// Writes all of `voxels` in chunks of `unit`.
fn write_all(sink: &dyn Sink, voxels: &Buffer, unit: &[u64]) {
    let mut scratch = Scratch::new();
    for chunk in ChunkGrid::new(voxels.shape(), unit).unwrap().iter() {
        sink.write(&chunk.core, voxels.view().part(&chunk.core), &mut scratch).unwrap();
    }
}

/// A shape of 1–5 axes, storage chunk, chunks per shard, storage units per write, a region.
#[derive(Debug, Clone)]
struct Case {
    axes: Vec<(u64, u64, u64, u64, f64, f64)>,
    sharded: bool,
    dtype: Dtype,
    gathered: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let axis = (1u64..12, 1u64..6, 1u64..4, 1u64..3, 0.0..1.0f64, 0.0..1.0f64);
    (
        prop::collection::vec(axis, 1..=4),
        any::<bool>(),
        prop::sample::select(Dtype::ALL.to_vec()),
        any::<bool>(),
    )
        .prop_map(|(axes, sharded, dtype, gathered)| Case { axes, sharded, dtype, gathered })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn written_is_read(case in case()) {
        let shape: Vec<u64> = case.axes.iter().map(|a| a.0).collect();
        let chunk: Vec<u64> = case.axes.iter().map(|a| a.1).collect();
        let shard: Vec<u64> = case.axes.iter().map(|a| a.1 * a.2).collect();
        let unit = if case.sharded { &shard } else { &chunk };
        let step: Vec<u64> = unit.iter().zip(&case.axes).map(|(u, a)| u * a.3).collect();
        let mut voxels = voxels(&shape, case.dtype);
        // Storage chunks of zeros are not stored.
        let half = voxels.bytes().len() / 2;
        voxels.bytes_mut()[..half].fill(0);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.zarr");
        let mut info = VolumeInfo::new(&shape, case.dtype);
        info.storage = storage(&chunk, case.sharded.then_some(&shard));
        let sink = create(&path, &info, &CreateOptions::default(), false).unwrap();
        if case.gathered {
            // The same voxels, stored with the axes reversed.
            let order: Vec<usize> = (0..shape.len()).rev().collect();
            let reversed: Vec<u64> = shape.iter().rev().copied().collect();
            let mut stored = Buffer::zeros(&reversed, case.dtype);
            stored.view_mut().copy_from(&voxels.view().permuted(&order));
            let view = View::contiguous(&reversed, case.dtype, stored.bytes()).permuted(&order);
            for chunk in ChunkGrid::new(&shape, &step).unwrap().iter() {
                sink.write(&chunk.core, view.part(&chunk.core), &mut Scratch::new()).unwrap();
            }
        } else {
            write_all(&*sink, &voxels, &step);
        }
        sink.finish().unwrap();

        let source = open(&path).unwrap();
        prop_assert_eq!(source.info(), &info);
        let region = Region::from_ranges(case.axes.iter().map(|a| {
            let start = (a.4 * a.0 as f64) as u64;
            start..start + 1 + (a.5 * (a.0 - start) as f64) as u64
        }));
        prop_assert_eq!(read(&*source, &region).unwrap(), crop(&voxels, &region));
        let whole = Region::whole(&shape);
        prop_assert_eq!(read(&*source, &whole).unwrap(), voxels.bytes());
    }
}

#[test]
fn complete_only_after_finish() {
    let folder = tempfile::tempdir().unwrap();
    for shape in [&[4u64, 4][..], &[4]] {
        let path = folder.path().join(format!("{}.zarr", shape.len()));
        let options =
            CreateOptions { attributes: Some(json!({"job": {"op": "x"}})), ..Default::default() };
        let info = VolumeInfo::new(shape, Dtype::U16);
        assert_eq!(ome_describable(&info), shape.len() == 2);
        let sink = create(&path, &info, &options, false).unwrap();
        let before = attributes(&path).unwrap().unwrap();
        assert_eq!((&before["complete"], &before["job"]["op"]), (&json!(false), &json!("x")));
        let e = create(&path, &info, &options, false).err().unwrap();
        assert_eq!(e.kind(), ErrorKind::Exists);
        sink.finish().unwrap();
        let after = attributes(&path).unwrap().unwrap();
        assert_eq!((&after["complete"], &after["job"]["op"]), (&json!(true), &json!("x")));
        // Nothing temporary stays.
        let hidden = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with('.');
        assert!(!std::fs::read_dir(&path).unwrap().flatten().any(|e| hidden(&e)));
        remove(&path).unwrap();
        assert!(!path.exists());
    }
    std::fs::write(folder.path().join("precious"), "x").unwrap();
    let e = crate::remove_output(folder.path()).unwrap_err();
    assert!(e.to_string().contains("no Zarr store") && folder.path().join("precious").exists());
    assert_eq!(attributes(folder.path()).unwrap(), None);
}

#[test]
fn axes_survive() {
    let folder = tempfile::tempdir().unwrap();
    let axis = |name: &str, scale, origin| Axis {
        scale: Some(scale),
        unit: Some("micrometer".into()),
        origin,
        ..Axis::new(name)
    };
    for (i, names) in ["yx", "zyx", "xzy", "x", "abcd"].into_iter().enumerate() {
        let mut info = VolumeInfo::new(&vec![3; names.len()], Dtype::F32);
        info.axes =
            names.chars().enumerate().map(|(k, n)| axis(&n.to_string(), 1.5, k as f64)).collect();
        info.storage = storage(&vec![2; names.len()], None);
        let path = folder.path().join(format!("{i}.zarr"));
        create(&path, &info, &CreateOptions::default(), false).unwrap();
        assert_eq!(open(&path).unwrap().info(), &info);
    }
}

#[test]
fn order_that_ome_forbids() {
    let mut info = VolumeInfo::new(&[2, 2, 2], Dtype::U8);
    for (names, legal) in [("cyx", true), ("ycx", false), ("tcx", false), ("yyx", false)] {
        info.axes = names.chars().map(|n| Axis::new(n.to_string())).collect();
        assert_eq!(ome_describable(&info), legal, "{names}");
    }
}

#[test]
fn misaligned_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut info = VolumeInfo::new(&[10, 10], Dtype::U8);
    info.storage = storage(&[2, 2], Some(&[4, 4]));
    let sink =
        create(&folder.path().join("a.zarr"), &info, &CreateOptions::default(), false).unwrap();
    let try_write = |region: Region| {
        let data = Buffer::zeros(region.shape(), Dtype::U8);
        sink.write(&region, data.view(), &mut Scratch::new())
    };
    try_write(Region::new([4, 8], [4, 2])).unwrap();
    for (start, shape) in [([2, 0], [4, 4]), ([4, 4], [4, 2]), ([0, 4], [6, 6])] {
        let e = try_write(Region::new(start, shape)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Misaligned, "{e}");
    }
    let e = try_write(Region::new([8, 8], [4, 4])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn impossible_outputs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zarr");
    let info =
        |shape: &[u64], grid| VolumeInfo { storage: grid, ..VolumeInfo::new(shape, Dtype::U16) };
    let huge = 1 << 40;
    for bad in [
        info(&[], None),
        info(&[4, 0], None),
        info(&[1 << 62, 1 << 62], None),
        info(&[4, 4], storage(&[4], None)),
        info(&[4, 4], storage(&[0, 4], None)),
        info(&[4, 4], storage(&[3, 4], Some(&[4, 4]))),
        info(&[huge, huge >> 20], storage(&[huge, huge], None)),
    ] {
        let e = create(&path, &bad, &CreateOptions::default(), false).err().unwrap();
        assert!(e.to_string().contains("a.zarr"), "{e}");
        assert!(!path.exists(), "{bad:?}");
    }
    let options = CreateOptions { zstd_level: Some(1000), ..Default::default() };
    assert!(create(&path, &info(&[4, 4], None), &options, false).is_err());
    let missing = folder.path().join("no/such/folder.zarr");
    let e = create(&missing, &info(&[4, 4], None), &CreateOptions::default(), false).err().unwrap();
    assert_eq!(e.kind(), ErrorKind::Io);
}

#[test]
fn pyramid_levels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zarr");
    let mut levels = Vec::new();
    for k in 0..3u32 {
        let mut info = VolumeInfo::new(&[16 >> k, 16 >> k], Dtype::U8);
        let scale = f64::from(1 << k);
        for axis in &mut info.axes {
            axis.unit = Some("micrometer".into());
            axis.scale = Some(2.0 * scale);
            axis.origin = scale - 1.0;
        }
        info.storage = storage(&[8, 8], None);
        levels.push(info);
    }
    let pyramid = Pyramid::create(&path, &levels, &CreateOptions::default()).unwrap();
    for (k, info) in levels.iter().enumerate() {
        let sink = pyramid.sink(k).unwrap();
        write_all(&*sink, &voxels(&info.shape, Dtype::U8), &[8, 8]);
        sink.finish().unwrap();
        assert_eq!(attributes(&path).unwrap().unwrap()["complete"], json!(false));
        let source = pyramid.source(k).unwrap();
        assert_eq!(source.info(), info);
        assert_eq!(
            read(&*source, &Region::whole(&info.shape)).unwrap(),
            voxels(&info.shape, Dtype::U8).bytes()
        );
    }
    assert!(pyramid.sink(3).is_err());
    pyramid.finish().unwrap();
    assert_eq!(open(&path).unwrap().info(), &levels[0]);
    let datasets =
        &read_json(&path.join("zarr.json"))["attributes"]["ome"]["multiscales"][0]["datasets"];
    assert_eq!(datasets[2]["coordinateTransformations"][0]["scale"], json!([8.0, 8.0]));
    assert_eq!(datasets[2]["coordinateTransformations"][1]["translation"], json!([3.0, 3.0]));
}

/// Outputs for tests/interop/check_zarr.py, in the folder that VOLCHUNK_INTEROP names.
#[test]
fn outputs_for_zarr_python() {
    let Some(folder) = std::env::var_os("VOLCHUNK_INTEROP") else { return };
    let folder = std::path::PathBuf::from(folder);
    for dtype in Dtype::ALL {
        for shape in [&[9u64][..], &[9, 10], &[9, 10, 11], &[2, 9, 10, 11], &[2, 2, 9, 10, 11]] {
            for sharded in [false, true] {
                let chunk = &[1, 1, 4, 4, 4][5 - shape.len()..];
                let shard = &[1, 2, 4, 8, 12][5 - shape.len()..];
                let mut info = VolumeInfo::new(shape, dtype);
                info.storage = storage(chunk, sharded.then_some(shard));
                let path = folder.join(format!("{dtype}-{}-{sharded}.zarr", shape.len()));
                let sink = create(&path, &info, &CreateOptions::default(), false).unwrap();
                write_all(&*sink, &voxels(shape, dtype), if sharded { shard } else { chunk });
                sink.finish().unwrap();
            }
        }
    }
}
