//! What is fuzzed: every parser of what comes from outside, as a function of bytes.
//!
//! `python fuzz/search.py` searches (README.md); the test `fuzz_replay` of volchunk-cli runs the same
//! functions on the corpus and on mutations of it, on stable Rust.
//!
//! A target passes if nothing panics, takes memory for what a header only claims, or runs for long.
//! Whatever opens must also describe itself and read, or refuse to read, its first voxels.

mod memory;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use volchunk::{
    AxisKind, Buffer, Coords, Dtype, Journal, PlanRequest, Receipt, Region, Scratch,
    StorageRequest, VolumeInfo,
};
use volchunk_io::{open, open_table, output_state};
use volchunk_ops::{OpSpec, bind_chain};

/// A target's function.
pub type Target = fn(&[u8]);

/// Every target, by the name of its corpus.
pub const TARGETS: [(&str, Target); 11] = [
    ("npy", npy),
    ("tiff", tiff),
    ("zarr_v2", zarr_v2),
    ("zarr_v2_attributes", zarr_v2_attributes),
    ("zarr_v3", zarr_v3),
    ("journal", journal),
    ("job", job),
    ("ops", ops),
    ("csv", csv),
    ("parquet", parquet),
    ("npz", npz),
];

/// Bytes that a target may hold beyond its input.
const MEMORY: usize = 64 << 20;

/// No input of a fuzzer's size is worth longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Calls a target, and asserts that it held little and took little time.
pub fn call(target: Target, bytes: &[u8]) {
    let once = || {
        let started = Instant::now();
        let held = memory::most_held(|| target(bytes));
        assert!(
            held <= MEMORY + bytes.len(),
            "{held} bytes were held for {} of input",
            bytes.len()
        );
        started.elapsed()
    };
    // Twice in a row a busy machine is not to blame.
    let took = once();
    assert!(took <= LONGEST || once() <= LONGEST, "it took {took:?}, and as long again");
}

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

/// A journal: the bytes as they are; or, if the first is odd, one that is sound in form and says
/// what they say.
pub fn journal(bytes: &[u8]) {
    in_folder(|dir| {
        let (output, folder) = (dir.join("a.npy"), dir.join("a.npy.volchunk"));
        let path = folder.join("0.journal");
        fs::create_dir(&folder)?;
        match bytes.split_first() {
            Some((first, rest)) if first % 2 == 1 => drop(write_journal(&path, rest)),
            _ => fs::write(&path, bytes)?,
        }
        let _ = volchunk_cli::parsers::read_journals(&output);
        let read = Journal::read(&path);
        let opened = Journal::open(&path, false);
        assert_eq!(read.is_ok(), opened.is_ok());
        if let (Ok(read), Ok(opened)) = (read, opened) {
            assert_eq!((read.done(), read.failed()), (opened.done(), opened.failed()));
            assert_eq!(read.first_missing(), opened.first_missing());
            let _ = (opened.receipt(opened.chunks().start), opened.rate());
        }
        Ok(())
    });
}

/// A range, the length of a text, the text; then records, a number and a kind each; the remainder
/// is torn off.
fn write_journal(path: &Path, bytes: &[u8]) -> Option<()> {
    let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.first_chunk::<8>().copied()?));
    let (start, end) = (number(bytes)?, number(bytes.get(8..)?)?);
    let (length, rest) = bytes.get(16..)?.split_first()?;
    let (text, mut records) = rest.split_at_checked(4 * usize::from(*length))?;
    let journal = Journal::create(path, &String::from_utf8_lossy(text), start..end, false).ok()?;
    while let Some((record, rest)) = records.split_first_chunk::<9>() {
        let number = number(record)?;
        let _ = match record[8] % 4 {
            0 => journal.fail(number),
            1 => journal.begin(),
            _ => journal.commit(Receipt { number, digest: number, stored: 1, stamp: 2 }),
        };
        records = rest;
    }
    let whole = fs::metadata(path).ok()?.len();
    let file = fs::File::options().write(true).open(path).ok()?;
    file.set_len(whole.saturating_sub(records.len() as u64 * 7)).ok()
}

/// A job file, as `run --job` reads it, planned on a volume of another name.
pub fn job(bytes: &[u8]) {
    in_folder(|dir| {
        let (path, input) = (dir.join("job.json"), dir.join("in.npy"));
        fs::write(&path, bytes)?;
        let mut volume = b"\x93NUMPY\x01\0\x76\0".to_vec();
        volume.extend(b"{'descr': '|u1', 'fortran_order': False, 'shape': (4, 5, 6), }");
        volume.resize(127, b' ');
        volume.push(b'\n');
        volume.resize(128 + 4 * 5 * 6, 7);
        fs::write(&input, volume)?;
        let _ = volchunk_cli::parsers::plan_job(&path, &input, &dir.join("out"));
        Ok(())
    });
}

/// Ops as text, one a line, bound one behind the other to volumes of odd shapes, and planned.
pub fn ops(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut specs = Vec::new();
    for line in text.lines().take(8) {
        let Ok(spec) = OpSpec::parse(line) else { return };
        let canonical = spec.to_string();
        let again = OpSpec::parse(&canonical);
        assert!(again.as_ref().is_ok_and(|again| *again == spec), "{canonical}: {again:?}");
        specs.push(spec);
    }
    for info in odd_volumes() {
        let Ok(pipeline) = bind_chain(&specs, info) else { continue };
        let request = PlanRequest {
            pipeline: &pipeline,
            roi: None,
            chunk: Some(Coords::from_elem(64, pipeline.output().ndim())),
            storage: StorageRequest::Flat,
            workers: Some(2),
            memory: Some(1 << 30),
            held: 0,
            read_overhead: 0,
            write_overhead: &|_| Ok(0),
            mask: None,
            skip_empty: false,
        };
        let _ = volchunk::plan(&request);
    }
}

/// A table as text.
pub fn csv(bytes: &[u8]) {
    table("a.csv", bytes);
}

/// A Parquet file: footer, pages, compressed ones too.
pub fn parquet(bytes: &[u8]) {
    table("a.parquet", bytes);
}

/// MagellanMapper's archive: the zip, and the arrays in it.
pub fn npz(bytes: &[u8]) {
    table("a_blobs.npz", bytes);
}

/// Rows that are read of a table: what a few bytes claim of them is not to be trusted.
const ROWS: usize = 100_000;

fn table(name: &str, bytes: &[u8]) {
    in_folder(|dir| {
        fs::write(dir.join(name), bytes)?;
        let Ok(mut table) = open_table(&dir.join(name)) else { return Ok(()) };
        let columns = table.info().columns.len();
        let (mut rows, mut read) = (Vec::new(), 0);
        while let Ok(n @ 1..) = table.read(&mut rows, 1000) {
            assert!(n <= 1000 && rows.len() == n * columns);
            read += n;
            if read >= ROWS {
                break;
            }
        }
        Ok(())
    });
}

fn odd_volumes() -> Vec<VolumeInfo> {
    let mut volumes = vec![
        VolumeInfo::new(&[4, 5, 6], Dtype::U16),
        VolumeInfo::new(&[1], Dtype::Bool),
        VolumeInfo::new(&[u64::MAX], Dtype::U8),
        VolumeInfo::new(&[1 << 21, 1 << 21, 1 << 20], Dtype::F32),
        VolumeInfo::new(&[2, 3, 1, 400, 5], Dtype::F64),
        VolumeInfo::new(&[1; 12], Dtype::I64),
        VolumeInfo::new(&[0, 7], Dtype::U32),
    ];
    for (scale, unit) in [(0.5, "micrometer"), (-1.0, "nm"), (f64::NAN, "µm"), (1e-308, "m")] {
        let mut info = VolumeInfo::new(&[30, 40, 50], Dtype::I8);
        for axis in &mut info.axes {
            (axis.scale, axis.unit) = (Some(scale), Some(unit.into()));
        }
        info.axes[0].kind = AxisKind::Time;
        volumes.push(info);
    }
    volumes
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
