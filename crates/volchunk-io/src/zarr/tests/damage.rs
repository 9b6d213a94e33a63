//! Damaged and hostile Zarrs: an error that names the place, never a panic or a wrong voxel.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use serde_json::{Value, json};
use volchunk::{Buffer, Dtype, ErrorKind, Region, Result, Scratch, StorageGrid, VolumeInfo};

use super::{data, json as read_json, read};
use crate::{
    CreateOptions,
    zarr::{create, open},
};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn is_metadata(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n == "zarr.json" || n.to_string_lossy().starts_with('.'))
}

fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let source = open(path)?;
    read(&*source, &Region::whole(&source.info().shape))
}

/// A fixture in a folder of its own, its metadata changed.
fn changed(name: &str, change: impl FnOnce(&mut Value)) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    copy(&data().join(name), &path);
    let file = ["zarr.json", ".zarray"].map(|n| path.join(n)).into_iter().find(|f| f.exists());
    let file = file.unwrap();
    let mut document = read_json(&file);
    change(&mut document);
    fs::write(file, document.to_string()).unwrap();
    (folder, path)
}

const CODED: [&str; 14] = [
    "v2-zlib.zarr",
    "v2-gzip.zarr",
    "v2-blosc-lz4.zarr",
    "v2-none.zarr",
    "v2-big.zarr",
    "v2-fortran.zarr",
    "v3-zstd.zarr",
    "v3-gzip.zarr",
    "v3-blosc.zarr",
    "v3-crc32c.zarr",
    "v3-transpose.zarr",
    "v3-shard-end.zarr",
    "v3-shard-start.zarr",
    "v3-shard-gzip.zarr",
];

#[test]
fn truncated_chunks() {
    for name in CODED {
        let (_folder, path) = changed(name, |_| ());
        let chunk = files(&path).into_iter().find(|f| !is_metadata(f)).unwrap();
        let bytes = fs::read(&chunk).unwrap();
        // A gzip or shard reader does not need every last byte; half of them it does.
        for keep in [0, 1, 3, bytes.len() / 2] {
            fs::write(&chunk, &bytes[..keep]).unwrap();
            let e = read_whole(&path).expect_err(name);
            let text = e.to_string();
            assert_eq!(e.kind(), ErrorKind::InvalidData, "{text}");
            assert!(text.contains(name) && text.contains("chunk "), "{name} {keep}: {text}");
        }
    }
}

#[test]
fn garbage_and_longer_chunks() {
    for name in CODED {
        let (_folder, path) = changed(name, |_| ());
        let chunk = files(&path).into_iter().find(|f| !is_metadata(f)).unwrap();
        fs::write(&chunk, (0..100u32).map(|i| (i * 37 % 256) as u8).collect::<Vec<_>>()).unwrap();
        assert!(read_whole(&path).is_err(), "{name}");
        fs::write(&chunk, vec![0; 1 << 20]).unwrap();
        assert!(read_whole(&path).is_err(), "{name}");
    }
}

#[test]
fn frames_that_claim_too_much() {
    let (_folder, path) = changed("v3-zstd.zarr", |_| ());
    let chunk = files(&path).into_iter().find(|f| !is_metadata(f)).unwrap();
    for claim in [vec![7u8; 1 << 16], vec![7; 10]] {
        fs::write(&chunk, ::zstd::bulk::compress(&claim, 3).unwrap()).unwrap();
        let e = read_whole(&path).unwrap_err();
        assert!(e.to_string().contains(&format!("decodes to {} bytes", claim.len())), "{e}");
    }
}

#[test]
fn bombs() {
    // Decoding stops where the chunk is full.
    use std::io::Write;
    for name in ["v2-gzip.zarr", "v3-gzip.zarr"] {
        let (_folder, path) = changed(name, |_| ());
        let chunk = files(&path).into_iter().find(|f| !is_metadata(f)).unwrap();
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        bomb.write_all(&vec![0; 1 << 20]).unwrap();
        fs::write(&chunk, bomb.finish().unwrap()).unwrap();
        let e = read_whole(&path).unwrap_err();
        assert!(e.to_string().contains("more than"), "{e}");
    }
}

#[test]
fn arrays_of_no_axes_and_no_voxels() {
    let (_folder, path) = changed("v3-none.zarr", |d| {
        d["shape"] = json!([]);
        d["chunk_grid"]["configuration"]["chunk_shape"] = json!([]);
    });
    fs::remove_dir_all(path.join("c")).unwrap();
    assert_eq!(read_whole(&path).unwrap(), 0f64.to_ne_bytes());
    fs::write(path.join("c"), 1.5f64.to_le_bytes()).unwrap();
    assert_eq!(read_whole(&path).unwrap(), 1.5f64.to_ne_bytes());
    let (_folder, path) = changed("v3-zstd.zarr", |d| d["shape"] = json!([0, 6, 7]));
    assert_eq!(open(&path).unwrap().info().shape[..], [0, 6, 7]);
    assert!(read_whole(&path).unwrap().is_empty());
}

#[test]
fn blosc_header_that_claims_two_gigabytes() {
    let (_folder, path) = changed("v3-blosc.zarr", |_| ());
    let chunk = files(&path).into_iter().find(|f| !is_metadata(f)).unwrap();
    let mut bytes = fs::read(&chunk).unwrap();
    bytes[4..8].copy_from_slice(&0x7fff_0000u32.to_le_bytes());
    fs::write(&chunk, bytes).unwrap();
    let e = read_whole(&path).unwrap_err();
    assert!(e.to_string().contains("decodes to 2147418112 bytes"), "{e}");
}

#[test]
fn another_shape_than_the_chunks_have() {
    for shape in [json!([3, 6, 5]), json!([2, 6, 4])] {
        let (_folder, path) =
            changed("v3-zstd.zarr", |d| d["chunk_grid"]["configuration"]["chunk_shape"] = shape);
        let e = read_whole(&path).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidData, "{e}");
    }
}

#[test]
fn shapes_beyond_any_memory() {
    for name in ["v3-zstd.zarr", "v2-zlib.zarr", "v3-shard-end.zarr"] {
        let (_folder, path) =
            changed(name, |d| d["shape"] = json!([1u64 << 60, 1u64 << 60, 1u64 << 60]));
        let source = open(&path).unwrap();
        assert_eq!(source.info().bytes(), u64::MAX);
        // What stands in the file is read; what was never written is the fill value.
        read(&*source, &Region::new([0, 0, 0], [2, 2, 2])).unwrap();
        let far = read(&*source, &Region::new([1 << 59, 1 << 58, 5], [2, 2, 2])).unwrap();
        assert!(far.iter().all(|&b| b == 0));
        read(&*source, &Region::new([(1 << 60) - 1, 0, 0], [1, 1, 1])).unwrap();
    }
}

#[test]
fn chunks_beyond_any_memory() {
    let huge = |n: u64| json!([n, n, n]);
    for n in [1u64 << 60, 1 << 20, 1 << 13, u64::MAX] {
        let (_folder, path) =
            changed("v3-zstd.zarr", |d| d["chunk_grid"]["configuration"]["chunk_shape"] = huge(n));
        assert!(read_whole(&path).is_err(), "{n}");
        let (_folder, path) = changed("v2-zlib.zarr", |d| d["chunks"] = huge(n));
        assert!(read_whole(&path).is_err(), "{n}");
    }
    let (_folder, path) = changed("v3-shard-end.zarr", |d| {
        d["chunk_grid"]["configuration"]["chunk_shape"] = json!([3u64 << 40, 3, 4]);
    });
    let e = read_whole(&path).unwrap_err();
    assert!(e.to_string().contains("index"), "{e}");
}

#[test]
fn metadata_that_contradicts_itself() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 14] = [
        ("chunk", |d| d["chunk_grid"]["configuration"]["chunk_shape"] = json!([0, 6, 4])),
        ("chunk", |d| d["chunk_grid"]["configuration"]["chunk_shape"] = json!([6, 4])),
        ("rectangles", |d| d["chunk_grid"]["name"] = json!("rectangles")),
        ("", |d| d["shape"] = json!([5, -6, 7])),
        ("", |d| d["shape"] = json!("five")),
        ("complex64", |d| d["data_type"] = json!("complex64")),
        ("nonsense", |d| d["codecs"][1]["name"] = json!("nonsense")),
        ("delta", |d| d["codecs"][0] = json!({"name": "numcodecs.delta"})),
        ("", |d| d["codecs"] = json!([])),
        ("", |d| d["fill_value"] = json!("seven")),
        ("fancy", |d| d["chunk_key_encoding"]["name"] = json!("fancy")),
        ("dimension", |d| d["dimension_names"] = json!(["a"])),
        ("node_type", |d| d["node_type"] = json!("tree")),
        ("", |d| d["codecs"] = json!([{"name": "bytes"}])),
    ];
    for (word, change) in changes {
        let (_folder, path) = changed("v3-zstd.zarr", change);
        let text = open(&path).err().unwrap().to_string();
        assert!(text.contains("zarr.json") && text.contains(word), "{word}: {text}");
    }
    let (_folder, path) = changed("v3-shard-end.zarr", |d| {
        d["codecs"][0]["configuration"]["chunk_shape"] = json!([4, 3, 4]);
    });
    assert!(open(&path).err().unwrap().to_string().contains("divide"));
    for text in ["", "{", "[]", "null", "\u{0}"] {
        let (_folder, path) = changed("v3-zstd.zarr", |_| ());
        fs::write(path.join("zarr.json"), text).unwrap();
        assert!(open(&path).err().unwrap().to_string().contains("zarr.json"), "{text}");
    }
}

#[test]
fn hostile_multiscales() {
    let at = "/attributes/ome/multiscales/0";
    let changes = [
        ("leaves", "/datasets/0/path", json!("../../etc")),
        ("leaves", "/datasets/0/path", json!("/etc")),
        ("there is none", "/datasets/0/path", json!("s9")),
        ("datasets", "/datasets", json!([])),
        ("scale", "/datasets/0/coordinateTransformations/0/scale", json!([1, 2])),
        ("scale", "/datasets/0/coordinateTransformations/0/scale", json!([1, 0, 1, 1])),
        ("axes", "/axes", json!([{"name": "x"}])),
        ("affine", "/datasets/0/coordinateTransformations/0/type", json!("affine")),
    ];
    for (word, pointer, value) in changes {
        let (_folder, path) = changed("ome-0.5.zarr", |d| {
            *d.pointer_mut(&format!("{at}{pointer}")).unwrap() = value;
        });
        let text = open(&path).err().unwrap().to_string();
        assert!(text.contains("ome-0.5.zarr") && text.contains(word), "{word}: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    /// Any one byte of any file: an error or voxels, never a panic.
    #[test]
    fn flipped_bytes(which in any::<prop::sample::Index>(), file in any::<prop::sample::Index>(),
                     place in any::<prop::sample::Index>(), bits in 1u8..) {
        let name = which.get(&CODED);
        let (_folder, path) = changed(name, |_| ());
        let files = files(&path);
        let file = file.get(&files);
        let mut bytes = fs::read(file).unwrap();
        let at = place.index(bytes.len());
        bytes[at] ^= bits;
        fs::write(file, bytes).unwrap();
        let _ = open(&path).and_then(|s| read(&*s, &Region::new([0, 0, 0], [1, 1, 1])));
    }
}

#[test]
fn checksums_of_shard_indices_are_verified() {
    let (_folder, path) = changed("v3-shard-end.zarr", |_| ());
    let shard = files(&path).into_iter().find(|f| !is_metadata(f)).unwrap();
    let mut bytes = fs::read(&shard).unwrap();
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let e = read_whole(&path).unwrap_err();
    assert!(e.to_string().contains("index of the shard"), "{e}");
}

#[test]
fn a_full_disk_leaves_no_chunk() {
    // A folder stands where the chunk's folder should be created: a file, so that it cannot.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zarr");
    let mut info = VolumeInfo::new(&[4, 4], Dtype::U8);
    info.storage = Some(StorageGrid { chunk: [2u64, 2][..].into(), shard: None });
    let sink = create(&path, &info, &CreateOptions::default(), false).unwrap();
    fs::write(path.join("0/c"), "in the way").unwrap();
    let data = Buffer::from_slice(&[2, 2], &[1u8, 2, 3, 4]);
    let e = sink.write(&Region::new([0, 0], [2, 2]), data.view(), &mut Scratch::new()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Io);
    assert!(e.to_string().contains("a.zarr"), "{e}");
}
