//! `volchunk colocalize`: what its table and its summary say, and what it refuses before the work.

#![allow(clippy::unwrap_used)]

mod util;

use std::fs;

use util::Dir;
use volchunk::{Axis, Buffer, Dtype, Region, Scratch, VolumeInfo};
use volchunk_io::{CreateOptions, create, open_table};

const CELLS: &str = "\
index,axis-0,axis-1,axis-2,radius,channel
10,2.0,3.0,4.0,1.0,0
11,2.0,3.0,5.5,1.0,2
12,2.0,3.0,2.0,1.0,2
13,7.0,9.0,4.0,1.0,0
14,7.0,9.0,4.0,2.0,1
";

fn write(dir: &Dir, name: &str, text: &str) {
    fs::write(dir.path(name), text).unwrap();
}

/// A volume of `axes`, channel c of it 100·(c + 1) everywhere but for one bright voxel of the last.
fn image(dir: &Dir, name: &str, axes: &str, shape: &[u64]) {
    let channel = axes.find('c');
    let whole = Region::whole(shape);
    let mut values = Vec::new();
    for number in 0..whole.voxels() {
        let behind = |a: usize| shape[a + 1..].iter().product::<u64>();
        let c = channel.map_or(0, |a| number / behind(a) % shape[a]);
        values.push(100 * (c as u16 + 1));
    }
    *values.last_mut().unwrap() = 9000;
    let mut info = VolumeInfo::new(shape, Dtype::U16);
    info.axes = axes.chars().map(Axis::new).collect();
    let sink = create(&dir.path(name), &info, &CreateOptions::default()).unwrap();
    let voxels = Buffer::from_slice(shape, &values);
    sink.write(&whole, voxels.view(), &mut Scratch::new()).unwrap();
    sink.finish().unwrap();
}

fn columns(dir: &Dir, name: &str) -> Vec<(String, Vec<f64>)> {
    let mut reader = open_table(&dir.path(name)).unwrap();
    let names: Vec<_> = reader.info().columns.iter().map(|c| c.name.clone()).collect();
    let mut rows = Vec::new();
    reader.read(&mut rows, 1 << 20).unwrap();
    let column = |c: usize| rows.chunks(names.len()).map(|row| row[c]).collect();
    names.iter().cloned().enumerate().map(|(c, name)| (name, column(c))).collect()
}

#[test]
fn pairs_of_three_channels() {
    let dir = Dir::new();
    write(&dir, "a.csv", CELLS);
    let done = dir.call(&["colocalize", "a.csv", "b.csv", "--tolerance", "1,1,2"]).done();
    let expected = "b.csv: 5 points\n\
                    channels 0 and 1: 1 of 2 and of 1 points are paired\n\
                    channels 0 and 2: 1 of 2 and of 2 points are paired\n\
                    channels 1 and 2: 0 of 1 and of 2 points are paired\n";
    assert_eq!(done.stdout, expected);
    let text = fs::read_to_string(dir.path("b.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let of = |c| format!("coloc-{c},coloc-{c}-index,coloc-{c}-distance");
    let names = format!("index,axis-0,axis-1,axis-2,radius,channel,{},{},{}", of(0), of(1), of(2));
    assert_eq!(lines[0], names);
    assert_eq!(lines[1], "10,2.0,3.0,4.0,1.0,0,1,10,0.0,0,-1,NaN,1,11,0.75");
    assert_eq!(lines[2], "11,2.0,3.0,5.5,1.0,2,1,10,0.75,0,-1,NaN,1,11,0.0");
    // It has a nearest within tolerance, whose nearest is another.
    assert_eq!(lines[3], "12,2.0,3.0,2.0,1.0,2,0,-1,NaN,0,-1,NaN,1,12,0.0");
    assert_eq!(lines[5], "14,7.0,9.0,4.0,2.0,1,1,13,0.0,1,14,0.0,0,-1,NaN");
    // Again, with less: the columns are replaced. Through every format they stay.
    dir.call(&["colocalize", "b.csv", "c.parquet", "--tolerance", "0.5", "-q"]).done();
    dir.call(&["points", "c.parquet", "c.csv", "-q"]).done();
    let text = fs::read_to_string(dir.path("c.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], names);
    assert_eq!(lines[1], "10,2.0,3.0,4.0,1.0,0,1,10,0.0,0,-1,NaN,0,-1,NaN");
    let before = fs::read(dir.path("b.csv")).unwrap();
    let again = ["colocalize", "a.csv", "b.csv", "--tolerance", "1,1,2"];
    dir.call(&again).refused(1, &["b.csv already exists", "--force"]);
    dir.call(&[&again[..], &["--force", "--quiet", "--workers", "3"]].concat()).done();
    assert!(fs::read(dir.path("b.csv")).unwrap() == before);
    dir.call(&["colocalize", "a.csv", "d_blobs.npz", "--tolerance", "1,1,2"]).done();
    let flags: Vec<_> = columns(&dir, "d_blobs.npz").into_iter().rev().take(3).collect();
    let expected = [
        ("coloc-2".to_owned(), vec![1.0, 1.0, 1.0, 0.0, 0.0]),
        ("coloc-1".to_owned(), vec![0.0, 0.0, 0.0, 1.0, 1.0]),
        ("coloc-0".to_owned(), vec![1.0, 1.0, 0.0, 1.0, 1.0]),
    ];
    assert_eq!(flags, expected);
    assert!(dir.names().iter().all(|n| !n.contains("volchunk") && !n.contains("partial")));
}

/// Points of other frames are other points.
#[test]
fn frames_are_apart() {
    let dir = Dir::new();
    write(&dir, "a.csv", "axis-0,channel,frame\n1,0,0\n1.5,1,1\n2,1,0\n");
    let done = dir.call(&["colocalize", "a.csv", "b.csv", "--tolerance", "1"]).done();
    assert!(done.stdout.contains("1 of 1 and of 2 points are paired"), "{}", done.stdout);
    let text = fs::read_to_string(dir.path("b.csv")).unwrap();
    // Without a column 'index', it is the number of the row.
    assert!(text.contains("\n1.0,0,0,1,0,0.0,1,2,1.0\r"), "{text}");
    image(&dir, "tcx.npy", "tcx", &[2, 2, 4]);
    let args = ["colocalize", "a.csv", "c.csv", "--axes", "tcx", "--image", "tcx.npy"];
    let args = [&args[..], &["--radius", "0.6", "--threshold", "150"]].concat();
    dir.call(&args).done();
    let found = columns(&dir, "c.csv");
    assert_eq!(found[6], ("mean-1".to_owned(), vec![200.0, 200.0, 200.0]));
    write(&dir, "d.csv", "axis-0,channel,frame\n1,0,0\n3,1,1\n");
    dir.call(&[&args[..1], &["d.csv", "e.csv"], &args[3..]].concat()).done();
    assert_eq!(columns(&dir, "e.csv")[6].1, [200.0, 9000.0]);
}

#[test]
fn means_around_points() {
    let dir = Dir::new();
    write(&dir, "a.csv", CELLS);
    image(&dir, "im.npy", "czyx", &[3, 8, 10, 7]);
    let args = ["colocalize", "a.csv", "b.csv", "--image", "im.npy", "--axes", "czyx"];
    let done = dir.call(&args).done();
    let expected = "b.csv: 5 points\n\
                    channel 0: threshold 100\nchannel 1: threshold 200\nchannel 2: threshold 300\n\
                    channel 0: 2 of 2 points lie in channel 1 too\n";
    assert!(done.stdout.starts_with(expected), "{}", done.stdout);
    let found = columns(&dir, "b.csv");
    let names: Vec<&str> = found[6..].iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["coloc-0", "mean-0", "coloc-1", "mean-1", "coloc-2", "mean-2"]);
    assert_eq!(found[7].1, [100.0; 5]);
    assert_eq!(found[9].1, [200.0; 5]);
    // One voxel of the ball of radius 2 around the last point is bright; a part of it lies outside.
    assert_eq!(found[11].1[..4], [300.0; 4]);
    assert!(found[11].1[4] > 300.0);
    // Of a point's own channel it is, however dim.
    let given = ["--threshold", "101,inf,1", "--radius", "1", "--force"];
    let done = dir.call(&[&args[..], &given].concat()).done();
    assert!(done.stdout.contains("channel 0: 0 of 2 points lie in channel 1"), "{}", done.stdout);
    let found = columns(&dir, "b.csv");
    assert_eq!(found[6].1, [1.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(found[8].1, [0.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(found[10].1, [1.0; 5]);
}

#[test]
fn what_is_wrong_is_told_before_the_work() {
    let dir = Dir::new();
    write(&dir, "a.csv", CELLS);
    write(&dir, "bare.csv", "axis-0,axis-1,axis-2\n1,2,3\n");
    write(&dir, "one.csv", "axis-0,axis-1,axis-2,radius,channel\n1,2,3,1,4\n");
    write(&dir, "none.csv", "axis-0,axis-1,axis-2,radius,channel\n");
    write(&dir, "nan.csv", "axis-0,axis-1,axis-2,channel\n1,2,3,0\n1,,3,1\n");
    write(&dir, "minus.csv", "axis-0,axis-1,axis-2,channel\n1,2,3,0\n1,2,3,-1\n");
    write(&dir, "plane.csv", "axis-0,axis-1,radius,channel\n1,2,1,0\n1,2,1,1\n");
    write(&dir, "far.csv", "axis-0,axis-1,axis-2,radius,channel\n1,2,3,1,0\n1,2,60,1,1\n");
    write(&dir, "flat.csv", "axis-0,axis-1,axis-2,radius,channel\n1,2,3,1,0\n1,2,3,0,1\n");
    image(&dir, "im.npy", "czyx", &[3, 8, 10, 7]);
    image(&dir, "zyx.npy", "zyx", &[8, 10, 7]);
    let before = dir.names();
    let with_image = |table: &'static str, more: &[&'static str]| {
        [&[table, "b.csv", "--image", "im.npy", "--axes", "czyx"], more].concat()
    };
    let with = |table: &'static str, tolerance| vec![table, "b.csv", "--tolerance", tolerance];
    let cases: Vec<(i32, Vec<&str>, &[&str])> = vec![
        (2, vec!["a.csv", "b.csv"], &["--tolerance"]),
        (2, [&with("a.csv", "1")[..], &["--image", "im.npy"]].concat(), &["--image"]),
        (2, [&with("a.csv", "1")[..], &["--threshold", "3"]].concat(), &["--threshold"]),
        (2, [&with("a.csv", "1")[..], &["--radius", "3"]].concat(), &["--radius"]),
        (2, [&with("a.csv", "1")[..], &["--axes", "czyx"]].concat(), &["--axes", "--image"]),
        (2, with("a.csv", "-1"), &["--tolerance", "'-1'", "at least 0"]),
        (2, with("a.csv", "NaN"), &["--tolerance", "'NaN'"]),
        (2, with("a.csv", "inf"), &["--tolerance", "'inf'"]),
        (2, with("a.csv", "1,2"), &["--tolerance 1,2", "3 coordinates of a.csv"]),
        (2, [&with("a.csv", "5")[..], &["--voxel-size", "2"]].concat(), &["--voxel-size", "µm"]),
        (2, with("a.csv", "5um"), &["--tolerance 5um", "--voxel-size"]),
        (
            2,
            [&with("a.csv", "5um")[..], &["--voxel-size", "1,2"]].concat(),
            &["--voxel-size has 2"],
        ),
        (
            2,
            [&with("a.csv", "5um")[..], &["--voxel-size", "0"]].concat(),
            &["--voxel-size", "above 0"],
        ),
        (1, with("bare.csv", "1"), &["bare.csv", "no column 'channel'", "'axis-2'"]),
        (1, with("one.csv", "1"), &["one.csv", "channel 4 alone", "two channels"]),
        (1, with("none.csv", "1"), &["none.csv", "no points"]),
        (1, with("nan.csv", "1"), &["nan.csv", "row 1", "axis-1 is NaN"]),
        (1, with("minus.csv", "1"), &["minus.csv", "row 1", "channel is -1"]),
        (
            1,
            [&with("a.csv", "1")[..], &["--memory", "1MB"]].concat(),
            &["--memory", "a.csv", "cap"],
        ),
        (2, vec!["a.csv", "a.csv", "--tolerance", "1", "--force"], &["a.csv", "input"]),
        (1, vec!["a.csv", "no/b.csv", "--tolerance", "1"], &["no/b.csv", "does not exist"]),
        (2, vec!["a.csv", "b.txt", "--tolerance", "1"], &["b.txt", ".csv"]),
        (1, vec!["bare.csv", "b_blobs.npz", "--tolerance", "1"], &["'channel'"]),
        (1, vec!["nan.csv", "b_blobs.npz", "--tolerance", "1"], &["row 1"]),
        (1, vec!["a.csv", "zyx.npy.csv", "--image", "no.npy"], &["--image", "no.npy"]),
        (2, vec!["a.csv", "b.csv", "--image", "zyx.npy"], &["--image zyx.npy", "zyx", "--axes"]),
        (2, with_image("plane.csv", &[]), &["--image im.npy", "3 axes of space", "2 coordinates"]),
        (1, with_image("bare.csv", &[]), &["bare.csv", "'channel'"]),
        (1, with_image("minus.csv", &["--radius", "1"]), &["row 1", "channel is -1"]),
        (1, with_image("minus.csv", &[]), &["--radius", "'radius'"]),
        (1, with_image("one.csv", &[]), &["one.csv", "row 0", "channel is 4", "0 to 2"]),
        (1, with_image("far.csv", &[]), &["far.csv", "row 1", "x is 60", "0 to 6"]),
        (1, with_image("flat.csv", &[]), &["flat.csv", "row 1", "radius on axis z is 0"]),
        (2, with_image("a.csv", &["--radius", "0"]), &["--radius 0", "above 0"]),
        (2, with_image("a.csv", &["--radius", "1,2"]), &["--radius has 2 values"]),
        (2, with_image("a.csv", &["--radius", "2um"]), &["--radius 2um", "--voxel-size"]),
        (2, with_image("a.csv", &["--threshold", "x"]), &["--threshold x", "5%,300"]),
        (2, with_image("a.csv", &["--threshold", "101%"]), &["'101%'", "0% to 100%"]),
        (2, with_image("a.csv", &["--threshold", "1,2"]), &["2 values", "3 channels"]),
        (1, with_image("a.csv", &["--memory", "1MB"]), &["--memory"]),
    ];
    for (code, args, words) in &cases {
        let args: Vec<&str> = [&["colocalize"], &args[..]].concat();
        dir.call(&args).refused(*code, words);
        assert_eq!(dir.names(), before, "{args:?}");
    }
    // A channel without points has no percentile.
    write(&dir, "two.csv", "axis-0,axis-1,axis-2,radius,channel\n1,2,3,1,0\n1,2,3,1,1\n");
    let two = with_image("two.csv", &[]);
    dir.call(&[&["colocalize"], &two[..]].concat())
        .refused(2, &["--threshold", "channel 2", "inf"]);
    // Nobody's points: a table of nothing.
    let none = with_image("none.csv", &[]);
    let done = dir.call(&[&["colocalize"], &none[..]].concat()).done();
    assert!(done.stdout.starts_with("b.csv: 0 points\n"), "{}", done.stdout);
}

/// Of what fails after the table was looked at, the old one stays.
#[test]
fn the_old_table_stays_until_the_work_is_done() {
    let dir = Dir::new();
    write(&dir, "a.csv", CELLS);
    write(&dir, "b.csv", "old");
    image(&dir, "im.npy", "czyx", &[3, 200, 400, 400]);
    let args = ["colocalize", "a.csv", "b.csv", "--image", "im.npy", "--axes", "czyx", "--force"];
    let args = [&args[..], &["--radius", "1000", "--memory", "110MiB"]].concat();
    dir.call(&args).refused(1, &["--memory"]);
    assert_eq!(fs::read(dir.path("b.csv")).unwrap(), b"old");
    assert!(dir.names().iter().all(|name| !name.contains("partial")), "{:?}", dir.names());
}

#[test]
fn more_channels_than_columns_are_refused() {
    let dir = Dir::new();
    image(&dir, "im.npy", "cx", &[65, 1]);
    // Before the table, which is not there, is read.
    write(&dir, "a.csv", "axis-0\n");
    let args = ["colocalize", "a.csv", "b.csv", "--image", "im.npy", "--axes", "cx"];
    dir.call(&args).refused(2, &["--image im.npy", "65 channels", "at most 64"]);
}

#[test]
fn points_in_other_voxels_are_refused() {
    let dir = Dir::new();
    write(&dir, "a.csv", "axis-0,channel,um-0\n1,0,2\n2,1,4\n");
    image(&dir, "im.npy", "cx", &[2, 8]);
    let args = ["colocalize", "a.csv", "b.csv", "--image", "im.npy", "--axes", "cx"];
    let args = [&args[..], &["--radius", "1", "--voxel-size"]].concat();
    let words = ["row 0", "x is 1", "2 µm in a.csv", "4 µm in --image im.npy"];
    dir.call(&[&args[..], &["4"]].concat()).refused(1, &words);
    dir.call(&[&args[..], &["2"]].concat()).done();
    let table = "axis-0,axis-1,axis-2,radius,channel\n1,2,3,1,0\n1,2,3,1,1\n";
    write(&dir, "c.csv", table);
    let mut reader = open_table(&dir.path("c.csv")).unwrap();
    let mut info = reader.info().clone();
    info.axes.iter_mut().for_each(|a| (a.scale, a.unit) = (Some(3.0), Some("micrometer".into())));
    let mut rows = Vec::new();
    reader.read(&mut rows, 9).unwrap();
    let mut writer = volchunk_io::create_table(&dir.path("c.parquet"), &info).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    image(&dir, "czyx.npy", "czyx", &[2, 8, 10, 7]);
    let args = ["colocalize", "c.parquet", "d.csv", "--image", "czyx.npy", "--axes", "czyx"];
    let other = [&args[..], &["--voxel-size", "3,3,6"]].concat();
    dir.call(&other).refused(2, &["--image czyx.npy", "6 µm long on axis x", "c.parquet 3 µm"]);
    dir.call(&[&args[..], &["--voxel-size", "3"]].concat()).done();
}

/// Between -inf and inf there is no percentile.
#[test]
fn a_threshold_that_is_no_number_is_refused() {
    let dir = Dir::new();
    write(&dir, "a.csv", "axis-0,radius,channel\n0,0.5,0\n1,0.5,0\n");
    let info = VolumeInfo::new(&[1, 2], Dtype::F32);
    let sink = create(&dir.path("im.npy"), &info, &CreateOptions::default()).unwrap();
    let voxels = Buffer::from_slice(&[1, 2], &[f32::NEG_INFINITY, f32::INFINITY]);
    sink.write(&Region::whole([1, 2]), voxels.view(), &mut Scratch::new()).unwrap();
    sink.finish().unwrap();
    let args = ["colocalize", "a.csv", "b.csv", "--image", "im.npy", "--axes", "cx"];
    dir.call(&[&args[..], &["--threshold", "50%"]].concat()).refused(1, &["channel 0 is NaN"]);
}

/// A limit on file length stands in for a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_leaves_nothing_that_looks_complete() {
    let dir = Dir::new();
    let mut text = String::from("axis-0,channel\n");
    (0..20_000).for_each(|i| text += &format!("{},{}\n", i / 2, i % 2));
    write(&dir, "a.csv", &text);
    let script = format!(
        "trap '' XFSZ; ulimit -f 64; exec {} colocalize a.csv b.csv --tolerance 1",
        env!("CARGO_BIN_EXE_volchunk")
    );
    let mut shell = std::process::Command::new("sh");
    let result = shell.args(["-c", &script]).current_dir(dir.path("")).output().unwrap();
    util::Outcome::of(result).refused(1, &["b.csv.partial"]);
    assert!(!dir.path("b.csv").exists() && dir.path("b.csv.partial").exists());
    dir.call(&["colocalize", "a.csv", "b.csv", "--tolerance", "1"]).done();
    assert!(!dir.path("b.csv.partial").exists());
}
