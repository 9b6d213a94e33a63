//! What zarr-python wrote.

use proptest::prelude::*;
use serde_json::Value;
use volchunk::{AxisKind, Buffer, Dtype, ErrorKind, Region, Scratch, Source};

use super::{crop, data, json, read, voxels};
use crate::zarr::open;

struct Fixture {
    path: String,
    source: Box<dyn Source>,
    expected: Buffer,
}

fn list(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
}

fn fixtures() -> Vec<Fixture> {
    let manifest = json(&data().join("manifest.json"));
    let fixtures = manifest.as_array().unwrap().iter().map(|entry| {
        let path = entry["path"].as_str().unwrap();
        let source = open(&data().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        let info = source.info();
        assert_eq!(info.dtype.name(), entry["dtype"].as_str().unwrap(), "{path}");
        assert_eq!(info.shape[..], list(&entry["shape"]), "{path}");
        let storage = info.storage.as_ref().unwrap();
        assert_eq!(storage.chunk[..], list(&entry["chunk"]), "{path}");
        assert_eq!(
            storage.shard.as_ref().map(|s| s.to_vec()),
            entry["shard"].as_array().map(|_| list(&entry["shard"]))
        );
        let mut expected = voxels(&info.shape, info.dtype);
        if let Some(written) = entry.get("written").and_then(Value::as_u64) {
            let plane = info.shape[1..].iter().product::<u64>();
            let fill = entry["fill"].as_u64().unwrap() as u16;
            expected.as_slice_mut::<u16>()[(written * plane) as usize..].fill(fill);
        }
        Fixture { path: path.to_owned(), source, expected }
    });
    fixtures.collect()
}

#[test]
fn whole_arrays() {
    let fixtures = fixtures();
    assert!(fixtures.len() > 25);
    for f in fixtures {
        let region = Region::whole(f.expected.shape());
        let found = read(&*f.source, &region).unwrap_or_else(|e| panic!("{}: {e}", f.path));
        assert_eq!(found, f.expected.bytes(), "{}", f.path);
        assert!(f.source.bytes_read() > 0, "{}", f.path);
    }
}

#[test]
fn whole_storage_chunks() {
    for f in fixtures() {
        let chunk = f.source.info().storage.as_ref().unwrap().chunk.clone();
        let region = Region::new(vec![0; chunk.len()], &chunk);
        assert_eq!(read(&*f.source, &region).unwrap(), crop(&f.expected, &region), "{}", f.path);
    }
}

proptest! {
    /// Any region of any fixture, into a part of a larger view.
    #[test]
    fn regions(cuts in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64), 4), pad in 0u64..3) {
        for f in fixtures() {
            let region = Region::from_ranges(f.expected.shape().iter().zip(&cuts).map(|(&n, &(a, b))| {
                let start = (a * n as f64) as u64;
                start..start + 1 + (b * (n - start) as f64) as u64
            }));
            let larger: Vec<u64> = region.shape().iter().map(|n| n + 2 * pad).collect();
            let inner = Region::new(vec![pad; larger.len()], region.shape());
            let mut out = Buffer::zeros(&larger, f.expected.dtype());
            f.source.read(&region, out.view_mut().part_mut(&inner), &mut Scratch::new()).unwrap();
            prop_assert_eq!(crop(&out, &inner), crop(&f.expected, &region), "{} {}", f.path, region);
        }
    }
}

#[test]
fn ome_axes_and_scale() {
    for version in ["0.4", "0.5"] {
        let group = data().join(format!("ome-{version}.zarr"));
        for (path, factor, shift) in [(group.clone(), 1.0, 0.0), (group.join("s1"), 2.0, 0.5)] {
            let source = open(&path).unwrap();
            let info = source.info();
            assert_eq!(info.axis_names(), "czyx");
            assert_eq!(info.axes[0].kind, AxisKind::Channel);
            assert_eq!(info.axes[0].scale, None);
            let z = &info.axes[1];
            assert_eq!((z.kind, z.unit.as_deref()), (AxisKind::Space, Some("micrometer")));
            // The multiscales double z and move it by 100 after the dataset's own.
            assert_eq!(z.scale, Some(2.0 * 2.5 * factor), "{version}");
            assert_eq!(z.origin, 2.0 * 2.5 * shift + 100.0, "{version}");
            assert_eq!(info.axes[3].scale, Some(0.5 * factor));
            assert_eq!(info.axes[3].origin, 0.5 * shift);
            let region = Region::whole(&info.shape);
            let expected = voxels(&info.shape, Dtype::U16);
            assert_eq!(read(&*source, &region).unwrap(), expected.bytes());
        }
    }
}

#[test]
fn plain_names() {
    let source = open(&data().join("v3-zstd.zarr")).unwrap();
    assert_eq!(source.info().axis_names(), "zyx");
    assert_eq!(source.info().axes[0].scale, None);
}

fn refusal(name: &str) -> volchunk::Error {
    open(&data().join(name)).err().unwrap_or_else(|| panic!("{name} was opened"))
}

#[test]
fn refusals_say_why() {
    let e = refusal("group.zarr");
    assert!(e.to_string().contains("a, b/c"), "{e}");
    let e = refusal("complex.zarr");
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("complex64") && e.to_string().contains("zarr.json"), "{e}");
    let e = refusal("delta.zarr");
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("delta"), "{e}");
    let e = refusal("nothing.zarr");
    assert!(e.to_string().contains("nothing.zarr"), "{e}");
    let source = open(&data().join("v3-zstd.zarr")).unwrap();
    let e = read(&*source, &Region::new([0, 0, 5], [1, 1, 3])).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::InvalidArgument);
}
