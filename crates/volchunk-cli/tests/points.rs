//! `volchunk points`: tables converted, filtered, counted.

#![allow(clippy::unwrap_used)]

mod util;

use std::fs;

use util::Dir;
use volchunk::Axis;
use volchunk_io::{BlobTable, create_table, open_table};

/// Points of two channels, in µm too, at known places.
fn cells(dir: &Dir, name: &str, count: u32) {
    let axes = ["c", "z", "y", "x"].map(|n| Axis {
        scale: Some(2.0),
        unit: Some("micrometer".into()),
        ..Axis::new(n)
    });
    let mut table = BlobTable::new(&axes, true).unwrap();
    let mut writer = create_table(&dir.path(name), table.info()).unwrap();
    let mut rows = Vec::new();
    for i in 0..count {
        let at = f64::from(i);
        rows.clear();
        table.push(&[at % 2.0, at, 100.0 - at, 7.0], &[2.0; 3], at / 10.0, &mut rows);
        writer.write(&rows).unwrap();
    }
    writer.finish().unwrap();
}

fn column(dir: &Dir, name: &str, column: &str) -> Vec<f64> {
    let mut reader = open_table(&dir.path(name)).unwrap();
    let (c, n) = (reader.info().index_of(column).unwrap(), reader.info().columns.len());
    let mut rows = Vec::new();
    reader.read(&mut rows, 1 << 20).unwrap();
    rows.chunks(n).map(|row| row[c]).collect()
}

#[test]
fn every_format_into_every_other() {
    let dir = Dir::new();
    cells(&dir, "a.parquet", 10_000);
    let path = |s: &str| dir.path(s);
    for (from, to) in [
        ("a.parquet", "a.csv"),
        ("a.csv", "b.csv"),
        ("a.csv", "b.parquet"),
        ("b.parquet", "c.csv"),
        ("a.parquet", "a_blobs.npz"),
        ("a_blobs.npz", "d.parquet"),
        ("d.parquet", "d_blobs.npz"),
        ("a_blobs.npz", "d.csv"),
    ] {
        let done = dir.call(&["points", from, to]).done();
        assert_eq!(done.stdout, format!("{to}: 10,000 points\n"));
    }
    let bytes = |name: &str| fs::read(path(name)).unwrap();
    assert!(bytes("a.csv") == bytes("b.csv") && bytes("a.csv") == bytes("c.csv"));
    let ends = ["a_blobs.npz", "d_blobs.npz", "d.csv", "a.csv"];
    for name in ends {
        for c in ["index", "axis-0", "axis-1", "axis-2", "channel", "radius"] {
            assert!(column(&dir, name, c) == column(&dir, "a.parquet", c), "{name}, {c}");
        }
    }
    assert_eq!(column(&dir, "b.parquet", "um-1")[3], 194.0);
    let size = open_table(&path("d.parquet")).unwrap().info().axes[0].micrometers();
    assert_eq!(size, Some(2.0));
    // Nothing but the tables is left.
    assert!(dir.names().iter().all(|n| !n.contains("volchunk") && !n.contains("partial")));
}

#[test]
fn what_is_asked_for() {
    let dir = Dir::new();
    cells(&dir, "a.csv", 40);
    let call = |args: &[&str]| dir.call(&[&["points", "a.csv"], args].concat()).done().stdout;
    assert_eq!(call(&["--count"]), "a.csv: 40 points\nchannel 0: 20\nchannel 1: 20\n");
    assert_eq!(call(&["--count", "--channel", "1"]), "a.csv: 20 points\nchannel 1: 20\n");
    assert_eq!(call(&["b.csv", "--roi", "10:20,:85,:"]), "b.csv: 4 of 40 points\n");
    assert_eq!(column(&dir, "b.csv", "index"), [16.0, 17.0, 18.0, 19.0]);
    assert_eq!(call(&["c.csv", "--min-value", "3.7", "-q"]), "");
    assert_eq!(column(&dir, "c.csv", "index"), [37.0, 38.0, 39.0]);
    // The same in a format that holds f32.
    let text = call(&["d.parquet", "--channel", "0,1", "--count"]);
    assert_eq!(text, "d.parquet: 40 points\nchannel 0: 20\nchannel 1: 20\n");
    cells(&dir, "e.parquet", 40);
    let done = dir.call(&["points", "e.parquet", "--count", "--min-value", "3.7"]).done();
    assert!(done.stdout.starts_with("e.parquet: 3 points"), "{}", done.stdout);
    assert_eq!(call(&["--count", "--channel", "7"]), "a.csv: 0 points\n");
}

#[test]
fn bad_input_is_named() {
    let dir = Dir::new();
    cells(&dir, "a.csv", 4);
    fs::write(dir.path("zyx.csv"), "z,y,x\n1,2,3\n").unwrap();
    fs::write(dir.path("bare.csv"), "axis-0,axis-1\n1,2\n").unwrap();
    fs::write(dir.path("bad.csv"), "axis-0,axis-1\n1,2\n3,four\n").unwrap();
    let before = dir.names();
    let cases: &[(i32, &[&str], &[&str])] = &[
        (2, &["a.csv"], &["OUTPUT"]),
        (2, &["a.csv", "b.txt"], &["b.txt", ".csv, .parquet, _blobs.npz"]),
        (2, &["a.txt", "b.csv"], &["a.txt", ".csv, .parquet, _blobs.npz"]),
        (2, &["a.csv", "a.csv"], &["a.csv", "input"]),
        (1, &["b.csv", "c.csv"], &["b.csv", "No such file"]),
        (1, &["a.csv", "no/b.csv"], &["no/b.csv", "does not exist"]),
        (1, &["a.csv", "zyx.csv"], &["zyx.csv", "already exists"]),
        (1, &["zyx.csv", "b.csv"], &["zyx.csv", "no column 'axis-0'", "'z', 'y', 'x'"]),
        (1, &["bare.csv", "b_blobs.npz"], &["b_blobs.npz", "no column 'radius'"]),
        (1, &["bare.csv", "--count", "--channel", "0"], &["--channel", "bare.csv", "'channel'"]),
        (1, &["bare.csv", "--count", "--min-value", "0"], &["--min-value", "'value'"]),
        (1, &["bad.csv", "--count"], &["bad.csv, line 3", "'axis-1'", "'four'"]),
        (2, &["a.csv", "--count", "--channel", "-1"], &["--channel -1", "from 0"]),
        (2, &["a.csv", "--count", "--min-value", "NaN"], &["--min-value NaN", "a number"]),
        (2, &["a.csv", "--count", "--roi", "0:1"], &["--roi", "1 ranges", "3 coordinates"]),
        (2, &["a.csv", "--count", "--roi", "3:3,:,:"], &["--roi", "3:3 is empty"]),
        (2, &["a.csv", "--count", "--roi", "x,:,:"], &["--roi", "start:stop"]),
    ];
    for (code, args, words) in cases {
        dir.call(&[&["points"], *args].concat()).refused(*code, words);
        assert_eq!(dir.names(), before, "{args:?}");
    }
    // What was begun says that it is unfinished.
    dir.call(&["points", "bad.csv", "b.csv"]).refused(1, &["line 3"]);
    assert!(dir.path("b.csv.partial").exists() && !dir.path("b.csv").exists());
    fs::write(dir.path("bad.csv"), "axis-0,axis-1\n1,2\n3,4\n").unwrap();
    dir.call(&["points", "bad.csv", "b.csv"]).done();
    assert_eq!(column(&dir, "b.csv", "axis-1"), [2.0, 4.0]);
    assert!(!dir.path("b.csv.partial").exists());
}
