//! What stands at an output's path, what may be removed, what must never be touched; and what
//! `open` says of paths that hold no volume.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;
use volchunk::{Buffer, Dtype, ErrorKind, Region, Scratch, VolumeInfo};
use volchunk_io::{
    CreateOptions, Format, OutputState, companion_path, create, open, output_state, partial_path,
    remove_output, same_or_inside,
};

fn npy(path: &Path) {
    let info = VolumeInfo::new(&[2, 3], Dtype::U16);
    let sink = create(path, &info, &CreateOptions::default()).unwrap();
    let voxels = Buffer::zeros(&[2, 3], Dtype::U16);
    sink.write(&Region::whole([2, 3]), voxels.view(), &mut Scratch::new()).unwrap();
    sink.finish().unwrap();
}

fn zarr(path: &Path, attributes: &serde_json::Value) {
    fs::create_dir(path).unwrap();
    let root = json!({"zarr_format": 3, "node_type": "group", "attributes": attributes});
    fs::write(path.join("zarr.json"), root.to_string()).unwrap();
    fs::create_dir(path.join("c")).unwrap();
    fs::write(path.join("c/0"), "voxels").unwrap();
}

#[test]
fn state_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    assert_eq!(output_state(&path).unwrap(), OutputState::Absent);
    fs::write(partial_path(&path), "half").unwrap();
    assert_eq!(output_state(&path).unwrap(), OutputState::Partial);
    fs::remove_file(partial_path(&path)).unwrap();
    npy(&path);
    assert_eq!(output_state(&path).unwrap(), OutputState::Complete { attributes: None });
    fs::create_dir(companion_path(&path)).unwrap();
    fs::write(companion_path(&path).join("job.json"), r#"{"job": 3}"#).unwrap();
    let attributes = Some(json!({"job": 3}));
    assert_eq!(output_state(&path).unwrap(), OutputState::Complete { attributes });
    remove_output(&path).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::write(&path, "a letter").unwrap();
    assert_eq!(output_state(&path).unwrap(), OutputState::Foreign);
}

#[test]
fn state_of_a_zarr() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    zarr(&at("done.zarr"), &json!({"volchunk": {"complete": true, "job": [1]}, "ome": {}}));
    zarr(&at("half.zarr"), &json!({"volchunk": {"complete": false, "job": [1]}}));
    zarr(&at("other.zarr"), &json!({"ome": {}}));
    fs::create_dir(at("folder.zarr")).unwrap();
    fs::write(at("folder.zarr/letter.txt"), "dear").unwrap();
    let attributes = Some(json!({"job": [1]}));
    assert_eq!(output_state(&at("done.zarr")).unwrap(), OutputState::Complete { attributes });
    assert_eq!(output_state(&at("half.zarr/")).unwrap(), OutputState::Partial);
    assert_eq!(output_state(&at("other.zarr")).unwrap(), OutputState::Foreign);
    assert_eq!(output_state(&at("folder.zarr")).unwrap(), OutputState::Foreign);

    for name in ["done.zarr", "half.zarr/", "other.zarr"] {
        remove_output(&at(name)).unwrap();
        assert!(!at(name).exists());
    }
    let error = remove_output(&at("folder.zarr")).unwrap_err().to_string();
    assert!(error.contains("folder.zarr is a folder that is no Zarr store"), "{error}");
    assert!(at("folder.zarr/letter.txt").exists());
    for nameless in ["..", "/", ""] {
        assert!(remove_output(Path::new(nameless)).is_err());
    }
}

/// Nothing goes if one of the three must stay.
#[test]
fn removal_is_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.npy");
    npy(&path);
    fs::create_dir(partial_path(&path)).unwrap();
    fs::write(partial_path(&path).join("letter.txt"), "dear").unwrap();
    remove_output(&path).unwrap_err();
    assert!(path.exists());
    fs::remove_dir_all(partial_path(&path)).unwrap();
    fs::create_dir(companion_path(&path)).unwrap();
    fs::write(companion_path(&path).join("job.json"), "{}").unwrap();
    fs::write(companion_path(&path).join("notes.txt"), "dear").unwrap();
    let error = remove_output(&path).unwrap_err().to_string();
    assert!(error.contains("a.npy.volchunk is a folder that holds more"), "{error}");
    assert!(path.exists() && companion_path(&path).join("job.json").exists());
}

/// Before anything computes with coordinates.
#[test]
fn absurd_shapes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zarr");
    let at = |shape: &[u64], dtype: &str| {
        let chunk: Vec<u64> = shape.iter().map(|_| 4).collect();
        let text = json!({"zarr_format": 3, "node_type": "array", "shape": shape,
            "data_type": dtype, "fill_value": 0, "codecs": [{"name": "bytes",
            "configuration": {"endian": "little"}}], "chunk_key_encoding": {"name": "default"},
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}}});
        let _ = fs::create_dir(&path);
        fs::write(path.join("zarr.json"), text.to_string()).unwrap();
        volchunk_io::open(&path).map(|s| s.info().bytes()).map_err(|e| e.to_string())
    };
    assert_eq!(at(&[1 << 60], "uint8"), Ok(1 << 60));
    assert_eq!(at(&[1 << 60, 7], "uint8"), Ok(7 << 60));
    assert!(at(&[1 << 60, 8], "uint8").unwrap_err().contains("below 2^63 bytes"));
    assert!(at(&[1 << 60], "uint64").unwrap_err().contains("below 2^63 bytes"));
    assert!(at(&[1 << 32, 1 << 32, 1 << 32], "uint8").unwrap_err().contains("2^63 bytes"));
    assert!(at(&[3, 1 << 62], "uint8").unwrap_err().contains("axis 1"));
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    zarr(&at("real.zarr"), &json!({"volchunk": {"complete": true}}));
    symlink(at("real.zarr"), at("link.zarr")).unwrap();
    assert_eq!(output_state(&at("link.zarr")).unwrap(), OutputState::Foreign);
    for name in ["link.zarr", "link.zarr/", "link.zarr/."] {
        let error = remove_output(&at(name)).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{error}");
    }
    npy(&at("a.npy"));
    symlink(at("real.zarr"), companion_path(&at("a.npy"))).unwrap();
    remove_output(&at("a.npy")).unwrap_err();
    assert!(at("a.npy").exists() && at("real.zarr/c/0").exists());
    // A dangling link is something, too.
    symlink(at("nowhere"), at("b.npy")).unwrap();
    let info = VolumeInfo::new(&[2], Dtype::U8);
    let error = create(&at("b.npy"), &info, &CreateOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

#[test]
fn input_and_output_that_touch() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("planes/deep")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("planes/a.tif"), "a").unwrap();
    fs::write(at("a.npy"), "a").unwrap();
    let touch = |a: &str, b: &str| same_or_inside(&at(a), &at(b));
    assert!(touch("a.npy", "a.npy"));
    assert!(touch("a.npy", "other/../a.npy"));
    assert!(touch("a.npy", "none/../a.npy"));
    assert!(touch("planes", "planes/out.zarr"));
    assert!(touch("planes", "planes/deep/none/out.zarr"));
    assert!(touch("planes/a.tif", "planes"));
    assert!(touch("planes/", "planes"));
    assert!(!touch("planes", "planes.zarr"));
    assert!(!touch("planes/a.tif", "planes/out.zarr"));
    assert!(!touch("a.npy", "b.npy"));
    // With --force these would be removed with the output.
    assert!(touch("out.npy.partial", "out.npy"));
    assert!(touch("out.npy.volchunk/kept.npy", "out.npy"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("planes"), at("link")).unwrap();
        fs::hard_link(at("a.npy"), at("hard.npy")).unwrap();
        assert!(touch("planes", "link/out.zarr") && touch("link", "planes/out.zarr"));
        assert!(touch("link/a.tif", "planes"));
        assert!(touch("a.npy", "hard.npy"));
        assert!(!touch("link", "other/out.zarr"));
    }
}

#[test]
fn paths_without_a_volume() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let fails = |path: PathBuf, kind, parts: &[&str]| {
        let error = open(&path).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    };
    fails(at("none.npy"), ErrorKind::Io, &["none.npy: no such file or folder"]);
    fs::write(partial_path(&at("none.npy")), b"\x93NUMPY").unwrap();
    fails(at("none.npy"), ErrorKind::Io, &["none.npy.partial is an unfinished output"]);
    fails(at("none.npy.partial"), ErrorKind::InvalidData, &["was not finished"]);
    fs::create_dir(at("empty")).unwrap();
    fails(at("empty"), ErrorKind::InvalidData, &["empty is empty", "folder of TIFF planes"]);
    fs::create_dir(at("letters")).unwrap();
    fs::write(at("letters/dear.txt"), "dear").unwrap();
    fs::write(at("letters/._a.tif"), "a resource fork").unwrap();
    fails(at("letters"), ErrorKind::Unsupported, &["but '._a.tif'", "a Zarr folder"]);
    fs::write(at("zero"), "").unwrap();
    fails(at("zero"), ErrorKind::InvalidData, &["0 bytes"]);
    fs::write(at("a.tif"), b"\x89HDF\r\n\x1a\n").unwrap();
    fails(at("a.tif"), ErrorKind::Unsupported, &["89 48 44 46", "(.HDF....)", "an NPY file"]);
    fails(at("zero/0"), ErrorKind::Io, &["zero/0"]);
}

#[test]
fn formats_are_recognised_by_content() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (k, magic) in [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"].into_iter().enumerate() {
        let path = at(&format!("{k}.npy"));
        fs::write(&path, magic).unwrap();
        assert_eq!(Format::of_input(&path).unwrap(), Format::Tiff);
    }
    fs::write(at("a.tif"), b"\x93NUMPY\x01\0").unwrap();
    assert_eq!(Format::of_input(&at("a.tif")).unwrap(), Format::Npy);
    fs::create_dir_all(at("planes")).unwrap();
    fs::write(at("planes/A.TIFF"), "").unwrap();
    assert_eq!(Format::of_input(&at("planes")).unwrap(), Format::Tiff);
    for name in ["zarr.json", ".zarray", ".zgroup", ".zattrs"] {
        fs::create_dir_all(at(name).join("in")).unwrap();
        fs::write(at(name).join("in").join(name), "{}").unwrap();
        assert_eq!(Format::of_input(&at(name).join("in")).unwrap(), Format::Zarr);
    }
    for (ending, format) in [("ZARR", Format::Zarr), ("npy", Format::Npy), ("Tif", Format::Tiff)] {
        assert_eq!(Format::of_output(&at("a.b").with_extension(ending)).unwrap(), format);
    }
    let message = Format::of_output(&at("a.h5")).unwrap_err().to_string();
    assert!(message.contains("legal: .zarr, .npy, .tif, .tiff"), "{message}");
}
