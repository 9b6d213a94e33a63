//! Tables that others wrote, and tables that are damaged.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{Rng, files_below};
use volchunk::{Axis, Result, os};
use volchunk_io::{BlobTable, TableInfo, create_table, open_table};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/table")
}

/// Every row of a table.
fn read(path: &Path) -> Result<(TableInfo, Vec<f64>)> {
    let mut reader = open_table(path)?;
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    while reader.read(&mut rows, 77)? > 0 {
        all.extend_from_slice(&rows);
    }
    Ok((reader.info().clone(), all))
}

/// What tests/data/make_table.py says of point `i`.
fn expected(name: &str, i: usize, nulls: bool) -> f64 {
    let value = (i * 37 % 101) as f64 / 8.0;
    match name {
        "axis-0" => (i / 30) as f64,
        "axis-1" => (i % 7) as f64 + 0.5,
        "axis-2" => -(i as f64),
        "value" if nulls && i.is_multiple_of(5) => f64::NAN,
        "value" => value,
        "channel" => (i % 3) as f64,
        "radius" => value + 1.0,
        "sigma" => (value + 1.0) / 3f64.sqrt(),
        "confirmed" | "truth" => -1.0,
        "index" | "region" => i as f64,
        other => panic!("{other}"),
    }
}

#[test]
fn tables_of_others() {
    let mut seen = 0;
    for path in files_below(&fixtures()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let outcome = read(&path);
        if name.starts_with("unknown") {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains(&name), "names the file: {message}");
            continue;
        }
        let (info, rows) = outcome.unwrap();
        let nulls = name.contains("nulls");
        let columns = &info.columns;
        let count = if name == "no-rows" { 0 } else { 240 };
        assert_eq!(rows.len(), count * columns.len(), "{name}");
        for (k, &found) in rows.iter().enumerate() {
            let (i, column) = (k / columns.len(), &columns[k % columns.len()].name);
            let want = expected(column, i, nulls);
            let same = found == want || found.is_nan() && want.is_nan();
            assert!(same, "{name}, row {i}, {column}: {found}, not {want}");
        }
        assert_eq!(info.axes.len(), 3);
        if name == "whole_blobs" {
            let sizes: Vec<_> = info.axes.iter().map(|a| a.micrometers().unwrap()).collect();
            assert_eq!(sizes, [5.0, 2.0, 1.5]);
        }
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn what_is_not_read_is_named() {
    for (name, part) in [
        ("unknown-text.parquet", "column 'name' does not hold numbers"),
        ("unknown-list.parquet", "column 'list' is nested"),
        ("unknown-codec.parquet", "BROTLI; legal: UNCOMPRESSED, SNAPPY, GZIP, ZSTD"),
        ("unknown-encoding.parquet", "encoding 9"),
        ("unknown-compressed_blobs.npz", "entry segments.npy is compressed"),
        ("unknown-none_blobs.npz", "segments are |O; legal: f8"),
    ] {
        let message = read(&fixtures().join(name)).unwrap_err().to_string();
        assert!(message.contains(part), "{name}: {message}");
    }
}

/// Some of our own tables, small.
fn own(dir: &Path) -> Vec<PathBuf> {
    let axes = ["c", "z", "y", "x"].map(|n| Axis {
        scale: Some(2.5),
        unit: Some("micrometer".into()),
        ..Axis::new(n)
    });
    let mut paths = Vec::new();
    for name in ["own.csv", "own.parquet", "own_blobs.npz"] {
        let mut table = BlobTable::new(&axes, false).unwrap();
        let mut rows = Vec::new();
        for i in 0..40 {
            let at = f64::from(i);
            table.push(&[at % 2.0, at, at * 3.0, 7.0], &[1.0, 2.0, 3.5], at / 7.0, &mut rows);
        }
        let path = dir.join(name);
        let mut writer = create_table(&path, table.info()).unwrap();
        writer.write(&rows).unwrap();
        assert_eq!(writer.finish().unwrap(), 40);
        assert_eq!(read(&path).unwrap().1.len() % 40, 0);
        paths.push(path);
    }
    paths
}

/// Whatever stands in a file: it is read or refused, in little memory, without a panic.
#[test]
fn damaged_tables() {
    const EXTREMES: [u8; 6] = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff];
    let dir = tempfile::tempdir().unwrap();
    let mut corpus = own(dir.path());
    corpus.extend(files_below(&fixtures()));
    let before = os::peak_resident_memory();
    let mut rng = Rng(5);
    let (mut refused, mut total) = (0, 0);
    for (k, path) in corpus.iter().enumerate() {
        let bytes = std::fs::read(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let victim = dir.path().join(format!("victim-{k}-{name}"));
        for _ in 0..400 {
            let mut bytes = bytes.clone();
            for _ in 0..1 + rng.below(3) {
                // Metadata stand at the end, but for text; page headers everywhere.
                let len = bytes.len() as u64;
                let tail = len.min(1200);
                let at = match rng.below(3) {
                    0 => rng.below(len.max(1)),
                    _ => len - 1 - rng.below(tail.max(1)).min(len - 1),
                } as usize;
                match rng.below(5) {
                    0 => bytes[at] ^= 1 << rng.below(8),
                    1 => bytes[at] = EXTREMES[rng.below(6) as usize],
                    2 => bytes.insert(at, rng.next() as u8),
                    3 if bytes.len() > 100 => drop(bytes.drain(at..(at + 9).min(len as usize))),
                    _ => {
                        let stop = (at + (1 << rng.below(4))).min(bytes.len());
                        bytes[at..stop].fill(EXTREMES[rng.below(6) as usize]);
                    }
                }
            }
            std::fs::write(&victim, &bytes).unwrap();
            total += 1;
            refused += u32::from(!readable(&victim));
        }
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 60) {
            std::fs::write(&victim, &bytes[..length]).unwrap();
            let kept = readable(&victim);
            // A text may end at any row.
            assert!(!kept || name.ends_with("csv"), "{name}, cut to {length} bytes");
        }
    }
    assert!(refused > total / 4, "{refused} of {total}: what is changed is hardly looked at");
    if let (Some(before), Some(after)) = (before, os::peak_resident_memory()) {
        assert!(after - before < 64 << 20, "{} MiB", (after - before) >> 20);
    }
}

/// Whether all of a table can be read; rows of a false number are not read to their end.
fn readable(path: &Path) -> bool {
    let Ok(mut reader) = open_table(path) else { return false };
    let mut rows = Vec::new();
    for _ in 0..1000 {
        match reader.read(&mut rows, 1000) {
            Ok(0) => return true,
            Ok(count) => assert_eq!(rows.len(), count * reader.info().columns.len()),
            Err(e) => {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(e.to_string().contains(name), "names the file: {e}");
                return false;
            }
        }
    }
    true
}
