//! What holds for every format, and for blobs' rows.

use std::path::Path;

use proptest::prelude::*;
use volchunk::{Axis, Result};

use super::*;

fn axes(names: &str) -> Vec<Axis> {
    names.chars().map(|c| Axis::new(c.to_string())).collect()
}

fn micrometers(names: &str, scale: &[f64]) -> Vec<Axis> {
    let unit = |name: char| (!"tc".contains(name)).then(|| "micrometer".to_owned());
    names
        .chars()
        .zip(scale)
        .map(|(c, &s)| Axis { scale: Some(s), unit: unit(c), ..Axis::new(c.to_string()) })
        .collect()
}

fn names(info: &TableInfo) -> Vec<&str> {
    info.columns.iter().map(|c| c.name.as_str()).collect()
}

/// A table of these columns, of kind F64 but for the known ones.
fn info_of(names: &[&str]) -> TableInfo {
    let columns: Vec<_> = names.iter().map(|n| Column::new(*n, schema::kind_of(n))).collect();
    let axes = schema::spatial_axes(&columns).unwrap();
    TableInfo { columns, axes, attributes: None }
}

fn write(path: &Path, info: &TableInfo, rows: &[f64], batch: usize) -> Result<u64> {
    let mut writer = create_table(path, info)?;
    for rows in rows.chunks(batch.max(1) * info.columns.len()) {
        writer.write(rows)?;
    }
    writer.finish()
}

fn read(path: &Path, batch: usize) -> Result<(TableInfo, Vec<f64>)> {
    let mut reader = open_table(path)?;
    let (mut all, mut rows) = (Vec::new(), Vec::new());
    loop {
        let count = reader.read(&mut rows, batch)?;
        assert_eq!(rows.len(), count * reader.info().columns.len());
        assert!(count <= batch);
        if count == 0 {
            return Ok((reader.info().clone(), all));
        }
        all.append(&mut rows);
    }
}

fn read_text(text: &[u8]) -> Result<(TableInfo, Vec<f64>)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    read(&path, 3)
}

/// Equal, NaN to NaN, −0 to 0.
fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
}

#[test]
fn blobs_have_the_columns_that_are_documented() {
    let mut table = BlobTable::new(&axes("zyx"), true).unwrap();
    assert_eq!(
        names(table.info()),
        ["index", "axis-0", "axis-1", "axis-2", "sigma", "radius", "value", "channel"]
    );
    let mut rows = Vec::new();
    table.push(&[1.0, 2.0, 3.0], &[0.1; 3], 0.5, &mut rows);
    table.push(&[4.0, 5.0, 6.0], &[2.0; 3], 0.25, &mut rows);
    let root = 3f64.sqrt();
    assert_eq!(rows[..8], [0.0, 1.0, 2.0, 3.0, 0.1, 0.1 * root, 0.5, 0.0]);
    assert_eq!(rows[8..], [1.0, 4.0, 5.0, 6.0, 2.0, 2.0 * root, 0.25, 0.0]);

    let mut axes = micrometers("tcyx", &[1.0, 1.0, 2.0, 4.0]);
    axes[3].origin = 100.0;
    let mut table = BlobTable::new(&axes, false).unwrap();
    let expected = "index,axis-0,axis-1,sigma,radius,value,channel,frame,sigma-0,sigma-1,um-0,um-1,\
                    sigma-um,radius-um";
    assert_eq!(names(table.info()).join(","), expected);
    let mut rows = Vec::new();
    table.push(&[7.0, 1.0, 10.0, 20.0], &[1.0, 3.0], 0.5, &mut rows);
    let root = 2f64.sqrt();
    let expected =
        [0.0, 10.0, 20.0, 2.0, 2.0 * root, 0.5, 1.0, 7.0, 1.0, 3.0, 20.0, 180.0, 7.0, 7.0 * root];
    assert_eq!(rows, expected);
    // napari takes every such column for a coordinate.
    assert_eq!(names(table.info()).iter().filter(|n| n.starts_with("axis-")).count(), 2);

    let error = BlobTable::new(&[Axis::new("c")], true).unwrap_err().to_string();
    assert!(error.contains("at least one of space"), "{error}");
}

#[test]
fn nanometers_and_unknown_units() {
    let mut axes = micrometers("yx", &[500.0, 0.5]);
    axes[0].unit = Some("nanometer".into());
    axes[0].origin = 3000.0;
    let mut rows = Vec::new();
    let mut table = BlobTable::new(&axes, true).unwrap();
    table.push(&[4.0, 6.0], &[2.0; 2], 0.0, &mut rows);
    let at = table.info().index_of("um-0").unwrap();
    assert!((rows[at] - 5.0).abs() < 1e-12 && rows[at + 1] == 3.0, "{rows:?}");
    axes[1].unit = None;
    let table = BlobTable::new(&axes, true).unwrap();
    assert!(table.info().index_of("um-0").is_err());
}

#[test]
fn csv_is_what_the_standard_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let mut info = info_of(&["index", "axis-0", "a,\"b\"", "value"]);
    info.columns[3].kind = ColumnKind::F32;
    let rows = [0.0, 1.5, f64::NAN, f64::from(0.1f32), 7.0, 1e300, f64::NEG_INFINITY, 2.0];
    assert_eq!(write(&path, &info, &rows, 1).unwrap(), 2);
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = "index,axis-0,\"a,\"\"b\"\"\",value\r\n0,1.5,NaN,0.1\r\n7,1e300,-inf,2.0\r\n";
    assert_eq!(text, expected);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn csv_of_others_is_read() {
    // Any order, extra columns, a byte order mark, quotes, both line ends, blanks, empty fields.
    let text = b"\xef\xbb\xbf\"axis-1\",extra, label ,axis-0\n 1.5,\"2\",,+3e1\r\n\r\n4,5,nan,6";
    let (info, rows) = read_text(text).unwrap();
    assert_eq!(names(&info), ["axis-1", "extra", " label ", "axis-0"]);
    assert_eq!(info.axes, axes("yx"));
    assert_eq!(info.coordinates().unwrap(), [3, 0]);
    assert!(same(&rows, &[1.5, 2.0, f64::NAN, 30.0, 4.0, 5.0, f64::NAN, 6.0]), "{rows:?}");
    let (_, rows) = read_text(b"axis-0,\"a\nb\"\n1,\"2\"\n").unwrap();
    assert_eq!(rows, [1.0, 2.0]);
    assert!(read_text(b"axis-0\n").unwrap().1.is_empty());
}

#[test]
fn csv_errors_name_the_place() {
    let fails = |text: &[u8], part: &str| {
        let error = read_text(text).unwrap_err().to_string();
        assert!(error.contains("a.csv") && error.contains(part), "{part}: {error}");
    };
    fails(b"", "holds no line");
    fails(b"\n\n", "holds no line");
    fails(b"z,y,x\n1,2,3\n", "no column 'axis-0', but 'z', 'y', 'x'");
    fails(b"axis-0,axis-2\n", "no column 'axis-1'");
    fails(b"axis-0,axis-0\n", "'axis-0' stands there twice");
    fails(b"axis-0,axis-1\n1,2\n1\n", "line 3: has 1 fields; legal: 2");
    fails(b"axis-0,axis-1\n1,2,3\n", "line 2: has 3 fields");
    fails(b"axis-0,\"a\nb\"\n1,2\n1,x\n", "line 4: column 'a\\nb': 'x' is not legal");
    fails(b"axis-0,channel\n1,0.5\n", "column 'channel': '0.5' is not legal; legal: a whole");
    fails(b"axis-0,channel\n1,\n", "a whole number");
    fails(b"axis-0\n\"1\n2", "line 2: has a quote that does not end");
    fails(b"axis-0\n\"1\"2\n", "goes on behind a closing quote");
    fails(b"axis-0\n1\"2\"\n", "a quote within a field");
    fails(b"axis-0\n\xff\n", "is not legal");
    fails(b"\xff\n", "not UTF-8");
    let mut long = b"axis-0\n".to_vec();
    long.resize(3 << 20, b'1');
    fails(&long, "line 2: is longer than 1 MiB");
    long[7] = b'"';
    fails(&long, "with a quote that does not end");
    let wide = ["axis-0".into(), vec!["a".to_owned(); 1024].join(",")].join(",");
    fails(wide.as_bytes(), "1025 columns; legal: at most 1024");
}

#[test]
fn endings_decide() {
    for (name, format) in [
        ("a.csv", TableFormat::Csv),
        ("A.CSV", TableFormat::Csv),
        ("a.parquet", TableFormat::Parquet),
        ("a_blobs.npz", TableFormat::Blobs),
    ] {
        assert_eq!(TableFormat::of_path(name.as_ref()).unwrap(), format);
    }
    for name in ["a.npz", "csv", "a.txt", "", "a.csv/"] {
        let error = TableFormat::of_path(format!("{name}x").as_ref()).unwrap_err().to_string();
        assert!(error.contains(".csv, .parquet, _blobs.npz"), "{error}");
    }
}

#[test]
fn what_is_unfinished_has_another_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let info = info_of(&["axis-0"]);
    let mut writer = create_table(&path, &info).unwrap();
    writer.write(&[1.0]).unwrap();
    drop(writer);
    assert!(!path.exists() && crate::partial_path(&path).exists());
    // Begun anew.
    assert_eq!(write(&path, &info, &[5.0, 6.0], 1).unwrap(), 2);
    assert_eq!(read(&path, 10).unwrap().1, [5.0, 6.0]);
    let error = write(&path, &info, &[5.0], 1).unwrap_err();
    assert_eq!(error.kind(), volchunk::ErrorKind::Exists);
    let error = write(&dir.path().join("no/a.csv"), &info, &[5.0], 1).unwrap_err();
    assert_eq!(error.kind(), volchunk::ErrorKind::Io);
}

#[test]
fn rows_that_are_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let info = info_of(&["axis-0", "channel"]);
    let mut writer = create_table(&dir.path().join("a.csv"), &info).unwrap();
    assert!(writer.write(&[1.0]).unwrap_err().to_string().contains("whole rows of 2 columns"));
    writer.write(&[1.0, 2.0]).unwrap();
    for bad in [0.5, f64::NAN, 9.3e18, f64::INFINITY] {
        let error = writer.write(&[1.0, bad]).unwrap_err().to_string();
        assert!(error.contains("row 1, column 'channel'"), "{error}");
    }
    let mut info = info_of(&["axis-0"]);
    info.axes.clear();
    assert!(create_table(&dir.path().join("b.csv"), &info).is_err());
}

/// A table of random columns, kinds and values, bits of any kind among them.
fn tables() -> impl Strategy<Value = (TableInfo, Vec<f64>)> {
    let kinds =
        prop_oneof![Just(ColumnKind::Integer), Just(ColumnKind::F32), Just(ColumnKind::F64)];
    (1usize..4, prop::collection::vec(kinds, 0..4), 0usize..60, any::<u64>()).prop_map(
        |(dims, kinds, count, seed)| {
            let mut columns: Vec<_> =
                (0..dims).map(|a| Column::new(format!("axis-{a}"), ColumnKind::F64)).collect();
            // CSV knows whole numbers by the name of their column.
            columns.extend(kinds.iter().enumerate().map(|(k, &kind)| match kind {
                ColumnKind::Integer => Column::new(format!("coloc-{k}"), kind),
                kind => Column::new(format!("extra \"{k}\""), kind),
            }));
            let axes = schema::spatial_axes(&columns).unwrap();
            let mut state = seed;
            let mut next = move || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                state ^ (state >> 29)
            };
            let rows = (0..count * columns.len())
                .map(|k| match columns[k % columns.len()].kind {
                    ColumnKind::Integer => (next() as i64 >> (next() % 64)) as f64 * 0.5,
                    ColumnKind::F32 => f64::from(f32::from_bits(next() as u32)),
                    ColumnKind::F64 => f64::from_bits(next()),
                })
                .map(|v| if v.is_nan() { f64::NAN } else { v })
                .collect::<Vec<_>>();
            let rows = rows
                .iter()
                .enumerate()
                .map(|(k, v)| match columns[k % columns.len()].kind {
                    ColumnKind::Integer => v.trunc(),
                    _ => *v,
                })
                .collect();
            (TableInfo { columns, axes, attributes: None }, rows)
        },
    )
}

#[test]
fn archives_hold_no_more_than_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_blobs.npz");
    let error = |names: &[&str], row: &[f64]| {
        let _ = std::fs::remove_file(&path);
        write(&path, &info_of(names), row, 1).unwrap_err().to_string()
    };
    assert!(error(&["axis-0"], &[1.0]).contains("no column 'radius'"));
    let four = ["axis-0", "axis-1", "axis-2", "axis-3", "radius"];
    assert!(error(&four, &[1.0; 5]).contains("4 spatial axes; legal: at most 3"));
    assert!(error(&["axis-0", "radius", "frame"], &[1.0; 3]).contains("row 0: frame 1"));
    // A plane is the first of a volume; without a radius, that of its sigma.
    let _ = std::fs::remove_file(&path);
    let mut info = info_of(&["sigma", "axis-0", "axis-1"]);
    info.attributes = Some(serde_json::json!({ "shape": [50, 60] }));
    write(&path, &info, &[3.0, 4.0, 5.0], 1).unwrap();
    let (_, row) = read(&path, 1).unwrap();
    assert_eq!(row[1..4], [0.0, 4.0, 5.0]);
    assert_eq!(row[5], 3.0 * 2f64.sqrt());
}

/// Which channels a blob lies in has an array of its own, with a column for every channel from 0.
#[test]
fn archives_tell_the_channels_of_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a_blobs.npz");
    let info =
        info_of(&["axis-0", "axis-1", "axis-2", "coloc-3", "coloc-3-index", "radius", "coloc-0"]);
    let rows: Vec<f64> = (0..7_000)
        .flat_map(|i| [f64::from(i), 0.0, 0.0, f64::from(i % 2), -1.0, 2.0, f64::from(i % 3 / 2)])
        .collect();
    write(&path, &info, &rows, 100).unwrap();
    for batch in [1, 999, 10_000] {
        let (found, again) = read(&path, batch).unwrap();
        let columns = names(&found);
        assert_eq!(columns[columns.len() - 4..], ["coloc-0", "coloc-1", "coloc-2", "coloc-3"]);
        let flags =
            again.chunks(columns.len()).enumerate().map(|(i, row)| (i, &row[row.len() - 4..]));
        for (i, flags) in flags {
            assert_eq!(flags, [(i % 3 / 2) as f64, 0.0, 0.0, (i % 2) as f64], "row {i}");
        }
    }
    let bytes = std::fs::read(&path).unwrap();
    // A flag, and a number of rows that is not that of the blobs.
    let place = |text: &[u8]| bytes.windows(text.len()).rposition(|w| w == text).unwrap();
    let at = place(b"colocs.npy");
    let at = (0..at).rev().find(|&at| bytes[at..].starts_with(b"(7000, 4)")).unwrap();
    for (at, new, part) in
        [(at + 200, 9, "checksum of colocs"), (at + 1, b'6', "colocs are of 6000")]
    {
        let mut damaged = bytes.clone();
        damaged[at] = new;
        std::fs::write(&path, damaged).unwrap();
        let message = read(&path, 100).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    }
    let far = info_of(&["axis-0", "radius", "coloc-5000"]);
    let message = write(&dir.path().join("b_blobs.npz"), &far, &[], 1).unwrap_err().to_string();
    assert!(message.contains("channels below 1024"), "{message}");
}

#[test]
fn metadata_of_others_are_borne() {
    let columns = || info_of(&["axis-0", "axis-1"]).columns;
    for text in
        ["", "{", "[]", "{\"axes\": 3}", "{\"axes\": [1]}", "{\"axes\": [1, {\"scale\": \"x\"}]}"]
    {
        let info = TableInfo::with_metadata(columns(), Some(text)).unwrap();
        assert_eq!(info.axes, axes("yx"), "{text}");
    }
    let mut info = info_of(&["axis-0", "axis-1"]);
    info.axes[0] =
        Axis { scale: Some(0.1), unit: Some("µ".into()), origin: -3.5, ..Axis::new("w") };
    info.attributes = Some(serde_json::json!({ "a": [1, null] }));
    let text = info.metadata().to_string();
    assert_eq!(TableInfo::with_metadata(columns(), Some(&text)).unwrap(), info);
}

proptest! {
    #[test]
    fn what_is_written_is_read((info, rows) in tables(), batch in 1usize..20) {
        let dir = tempfile::tempdir().unwrap();
        for ending in ["csv", "parquet"] {
            let path = dir.path().join(format!("a.{ending}"));
            let count = write(&path, &info, &rows, batch).unwrap();
            prop_assert_eq!(count as usize, rows.len() / info.columns.len());
            let (found, back) = read(&path, batch).unwrap();
            prop_assert_eq!(names(&found), names(&info));
            if ending != "csv" {
                prop_assert_eq!(&found, &info);
            }
            // As text, an f32 is the shortest that reads back as it.
            let back: Vec<f64> = back
                .iter()
                .enumerate()
                .map(|(k, &v)| match info.columns[k % info.columns.len()].kind {
                    ColumnKind::F32 => f64::from(v as f32),
                    _ => v,
                })
                .collect();
            prop_assert!(same(&rows, &back), "{:?} {:?}", rows, back);
        }
    }

    #[test]
    fn archives_hold_what_magellanmapper_knows(
        points in prop::collection::vec((prop::array::uniform3(-1e9..1e9), 0.0..50.0, 0i64..5), 0..50),
        batch in 1usize..20,
        scale in prop::option::of(prop::array::uniform3(0.1..9.0)),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a_blobs.npz");
        let axes = match scale {
            Some(scale) => micrometers("zyx", &scale),
            None => axes("zyx"),
        };
        let mut table = BlobTable::new(&[&[Axis::new("c")][..], &axes].concat(), true).unwrap();
        let mut rows = Vec::new();
        for ([z, y, x], sigma, channel) in &points {
            table.push(&[*channel as f64, *z, *y, *x], &[*sigma; 3], 0.5, &mut rows);
        }
        write(&path, table.info(), &rows, batch).unwrap();
        let (info, back) = read(&path, batch).unwrap();
        let names = names(&info);
        prop_assert_eq!(
            &names,
            &["index", "axis-0", "axis-1", "axis-2", "sigma", "radius", "confirmed", "truth", "channel", "region"]
        );
        prop_assert_eq!(&info.axes, &axes);
        prop_assert_eq!(back.len(), points.len() * names.len());
        for (i, (row, (at, sigma, channel))) in back.chunks(names.len()).zip(&points).enumerate() {
            let radius = sigma * 3f64.sqrt();
            prop_assert!((row[4] - sigma).abs() <= sigma * 1e-15);
            let expected =
                [i as f64, at[0], at[1], at[2], row[4], radius, -1.0, -1.0, *channel as f64, -1.0];
            prop_assert!(same(row, &expected));
        }
        // And on from there: the same archive again, but for what its own name says.
        let again = dir.path().join("b_blobs.npz");
        write(&again, &info, &back, batch).unwrap();
        let bytes = |path: &Path| std::fs::read(path).unwrap();
        prop_assert_eq!(bytes(&path).len(), bytes(&again).len());
        prop_assert_eq!(read(&again, batch).unwrap().1, back);
    }

    #[test]
    fn random_text_is_read_or_refused(text in "[-axisNn0-9.,\"\r\n e+]{0,200}", bytes: Vec<u8>) {
        let _ = read_text(text.as_bytes());
        let _ = read_text(&bytes);
        let _ = read_text(format!("axis-0,axis-1\n{text}").as_bytes());
    }
}
