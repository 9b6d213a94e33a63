//! What is fuzzed: every header parser, as a function of the bytes of one file.
//!
//! `cargo +nightly fuzz run npy fuzz/corpus/npy tests/data/npy` searches; the test `fuzz_replay` of
//! volchunk-io runs the same functions on the corpus and on mutations of it, on stable Rust.
//!
//! A target passes if nothing panics, allocates what a header claims, or runs for long. Whatever
//! opens must also describe itself and read, or refuse to read, its first voxels.

use std::{fs, path::Path};

use volchunk::{Buffer, Region, Scratch};
use volchunk_io::{open, output_state};

/// A target's function.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("npy", npy),
    ("tiff", tiff),
    ("zarr_v2", zarr_v2),
    ("zarr_v2_attributes", zarr_v2_attributes),
    ("zarr_v3", zarr_v3),
];

/// An NPY file: magic, header, voxels.
pub fn npy(bytes: &[u8]) {
    in_folder(|dir| {
        fs::write(dir.join("a.npy"), bytes)?;
        exercise(&dir.join("a.npy"));
        Ok(())
    });
}

/// A TIFF file: directories, descriptions (ImageJ, OME-XML), strips and tiles.
pub fn tiff(bytes: &[u8]) {
    in_folder(|dir| {
        fs::write(dir.join("a.tif"), bytes)?;
        exercise(&dir.join("a.tif"));
        Ok(())
    });
}

/// The `.zarray` of a Zarr v2 array, with a storage chunk of a few bytes.
pub fn zarr_v2(bytes: &[u8]) {
    in_folder(|dir| {
        fs::write(dir.join(".zarray"), bytes)?;
        for name in ["0", "0.0", "0.0.0"] {
            fs::write(dir.join(name), b"few bytes")?;
        }
        exercise(dir);
        Ok(())
    });
}

/// The `.zattrs` of an OME-Zarr 0.4 group with a sound array in it.
pub fn zarr_v2_attributes(bytes: &[u8]) {
    in_folder(|dir| {
        fs::write(dir.join(".zgroup"), br#"{"zarr_format": 2}"#)?;
        fs::write(dir.join(".zattrs"), bytes)?;
        fs::create_dir(dir.join("0"))?;
        let array = br#"{"zarr_format": 2, "shape": [4, 5, 6], "chunks": [4, 5, 6],
            "dtype": "<u2", "compressor": null, "fill_value": 0, "order": "C", "filters": null}"#;
        fs::write(dir.join("0/.zarray"), array)?;
        exercise(dir);
        Ok(())
    });
}

/// The `zarr.json` of a Zarr v3 array or group, with an array in it and a storage chunk of a few
/// bytes.
pub fn zarr_v3(bytes: &[u8]) {
    in_folder(|dir| {
        fs::write(dir.join("zarr.json"), bytes)?;
        fs::create_dir_all(dir.join("c/0/0"))?;
        fs::write(dir.join("c/0/0/0"), b"few bytes")?;
        fs::create_dir(dir.join("0"))?;
        let array = br#"{"zarr_format": 3, "node_type": "array", "shape": [4, 5, 6],
            "data_type": "uint16", "fill_value": 0, "codecs": [{"name": "bytes",
            "configuration": {"endian": "little"}}], "chunk_grid": {"name": "regular",
            "configuration": {"chunk_shape": [4, 5, 6]}}, "chunk_key_encoding":
            {"name": "default"}}"#;
        fs::write(dir.join("0/zarr.json"), array)?;
        exercise(dir);
        Ok(())
    });
}

/// Calls `f` with a fresh folder.
fn in_folder(f: impl FnOnce(&Path) -> std::io::Result<()>) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    f(dir.path()).expect("files in a temporary folder");
}

/// Opens `path` and reads its first voxels. Errors are right answers.
fn exercise(path: &Path) {
    let _ = output_state(path);
    let Ok(source) = open(path) else { return };
    let info = source.info();
    assert_eq!(info.axes.len(), info.ndim());
    assert!(!info.axis_names().is_empty() || info.ndim() == 0);
    let axes = u32::try_from(info.ndim()).unwrap_or(u32::MAX).max(1);
    // At most 4096 voxels, however many axes.
    let most = (2u64..=4096).take_while(|n| n.saturating_pow(axes) <= 4096).last().unwrap_or(1);
    let corner: Vec<u64> = info.shape.iter().map(|&n| n.min(most)).collect();
    let mut out = Buffer::zeros(&corner, info.dtype);
    let _ = source.read(&Region::whole(&corner), out.view_mut(), &mut Scratch::new());
}
