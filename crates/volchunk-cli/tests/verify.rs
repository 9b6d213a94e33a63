//! `volchunk verify`: what was altered is named, results that depend on their grid are seen, seams in
//! any program's output are found.

#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::fs;

use serde_json::{Value, json};
use util::{Dir, voxels};
use volchunk::{Buffer, Dtype, Element, Region, Scratch, VolumeInfo};
use volchunk_io::{CreateOptions, create};

/// Shape of the volumes here; chunks are 16 × 24 × 24.
const SHAPE: [u64; 3] = [48, 72, 72];

fn write<T: Element>(dir: &Dir, name: &str, value: impl Fn([u64; 3]) -> T) {
    let mut values = Vec::new();
    for z in 0..SHAPE[0] {
        for y in 0..SHAPE[1] {
            values.extend((0..SHAPE[2]).map(|x| value([z, y, x])));
        }
    }
    let sink =
        create(&dir.path(name), &VolumeInfo::new(&SHAPE, T::DTYPE), &CreateOptions::default())
            .unwrap();
    let voxels = Buffer::from_slice(&SHAPE, &values);
    sink.write(&Region::whole(SHAPE), voxels.view(), &mut Scratch::new()).unwrap();
    sink.finish().unwrap();
}

/// From 0 to 999, by position alone.
fn noise([z, y, x]: [u64; 3]) -> u16 {
    let mut h = ((z << 40) ^ (y << 20) ^ x).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h = (h ^ (h >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((h ^ (h >> 32)) % 1000) as u16
}

/// A volume, and a result of it.
fn filtered(dir: &Dir, output: &str, more: &[&str]) {
    write(dir, "in.npy", noise);
    let args = ["run", "in.npy", output, "--op", "gaussian:sigma=1.5", "--chunk", "16,24,24"];
    dir.call(&[&args[..], more].concat()).done();
}

fn found(dir: &Dir, args: &[&str], code: i32) -> Value {
    let outcome = dir.call(&[&["verify"], args, &["--json"]].concat());
    assert_eq!(outcome.code, Some(code), "{}{}", outcome.stdout, outcome.stderr);
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn our_own_outputs_are_fine() {
    for (output, more) in [
        ("out.zarr", &[][..]),
        ("out.npy", &[]),
        ("out.tif", &["--op", "cast:dtype=uint16"]),
        ("roi.npy", &["--roi", "5:47,3:70,1:72"]),
    ] {
        let dir = Dir::new();
        filtered(&dir, output, more);
        let verdict = found(&dir, &[output], 0);
        assert_eq!(verdict["digests"]["chunks"], 27);
        assert_eq!(verdict["shifted_grid"]["regions"], 8);
        assert_eq!(verdict["shifted_grid"]["differing"], json!([]));
        for axis in verdict["planes"].as_array().unwrap() {
            assert_eq!((&axis["found"], &axis["measured"]), (&json!(false), &json!(2)));
        }
        let text = dir.call(&["verify", output, "--figure", "seam.png"]).done().stdout;
        for part in ["all as written", "bit for bit the same", "no seam", "seam.png"] {
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
        assert!(fs::read(dir.path("seam.png")).unwrap().starts_with(b"\x89PNG"));
        // Its own picture it may replace.
        dir.call(&["verify", output, "--figure", "seam.png"]).done();
    }
}

#[test]
fn parts_and_pyramids_are_verified() {
    let dir = Dir::new();
    filtered(&dir, "parts.npy", &["--part", "0/2"]);
    let args = ["run", "in.npy", "parts.npy", "--op", "gaussian:sigma=1.5", "--part", "1/2"];
    dir.call(&args).done();
    dir.call(&["verify", "parts.npy"]).refused(1, &["parts.npy", "unfinished"]);
    dir.call(&["finish", "parts.npy"]).done();
    assert_eq!(found(&dir, &["parts.npy"], 0)["digests"]["chunks"], 27);
    // Journals of another division would bring chunks twice.
    let folder = dir.path("parts.npy.volchunk");
    let args = ["run", "in.npy", "thirds.npy", "--op", "gaussian:sigma=1.5", "--part", "0/3"];
    dir.call(&[&args[..], &["--chunk", "16,24,24"]].concat()).done();
    let name = "part-0-of-3.journal";
    fs::copy(dir.path("thirds.npy.volchunk").join(name), folder.join(name)).unwrap();
    dir.call(&["verify", "parts.npy"]).refused(1, &["parts.npy", "several divisions"]);

    dir.volume("wide.npy", &[4, 1040, 520]);
    let args = ["convert", "wide.npy", "out.zarr", "--pyramid", "--voxel-size", "5,2,2"];
    dir.call(&[&args[..], &["--chunk", "4,130,130"]].concat()).done();
    let verdict = found(&dir, &["out.zarr"], 0);
    let chunks = verdict["digests"]["chunks"].as_u64().unwrap();
    assert!(chunks > 32 && verdict["shifted_grid"]["regions"].as_u64().unwrap() > 21);
    fs::remove_file(dir.path("out.zarr/1/c/0/0/0")).unwrap();
    let verdict = found(&dir, &["out.zarr"], 1);
    assert_eq!(verdict["digests"]["altered"][0]["level"], 1);
}

/// A volume of a few voxels, half of it flat, shows an edge of its own: no seam is claimed.
#[test]
fn what_is_too_small_is_not_judged() {
    let dir = Dir::new();
    dir.volume("small.npy", &[22, 22, 22]);
    dir.call(&["convert", "small.npy", "out.zarr", "--chunk", "11"]).done();
    let text = dir.call(&["verify", "out.zarr"]).done().stdout;
    assert_eq!(text.matches("not measured: too small to judge").count(), 3, "{text}");
}

/// Neither the mask's edge, on planes of the grid, nor its fill is taken for a seam or for damage; a
/// fill that is not there is.
#[test]
fn what_is_masked_is_verified() {
    let dir = Dir::new();
    write(&dir, "in.npy", noise);
    write(&dir, "mask.npy", |[z, y, x]: [u64; 3]| u8::from(z >= 16 && y < 48 && x < 61));
    let smooth = ["--op", "gaussian:sigma=1.5", "--fill", "3"];
    for (verb, output, more) in [
        ("run", "out.zarr", &smooth[..]),
        ("run", "roi.npy", &[&smooth[..], &["--roi", "0:47,3:70,1:72"]].concat()),
        ("detect", "cells.csv", &["--min-sigma", "1", "--max-sigma", "2", "--threshold", "0.001"]),
    ] {
        let args = [verb, "in.npy", output, "--mask", "mask.npy", "--chunk", "16,24,24"];
        dir.call(&[&args[..], more].concat()).done();
        let verdict = found(&dir, &[output], 0);
        assert_eq!(verdict["input"]["changed"], false, "{verdict:#}");
        assert!(verdict["shifted_grid"]["regions"].as_u64().unwrap() > 7, "{verdict:#}");
        assert_eq!(verdict["shifted_grid"]["differing"], json!([]));
    }
    assert!(fs::read_to_string(dir.path("cells.csv")).unwrap().lines().count() > 9);
    // Without the mask nobody knows what is an edge of it.
    fs::rename(dir.path("mask.npy"), dir.path("m.npy")).unwrap();
    let verdict = found(&dir, &["out.zarr"], 0);
    assert!(verdict["planes_not_measured"].as_str().unwrap().contains("mask.npy"), "{verdict:#}");
    assert!(dir.call(&["verify", "out.zarr"]).done().stdout.contains("where the mask was laid"));
}

/// Bits that flip on the disk are named by chunk and region, and seen by the shifted grid too.
#[test]
fn what_was_altered_is_named() {
    let dir = Dir::new();
    for output in ["out.zarr", "out.npy"] {
        let _ = fs::remove_file(dir.path("in.npy"));
        filtered(&dir, output, &[]);
        // In the chunk (1, 1, 1), the middle of the volume.
        let place = dir.path(if output == "out.npy" { output } else { "out.zarr/0/c/1/1/1" });
        let mut bytes = fs::read(&place).unwrap();
        let middle = match output {
            "out.npy" => bytes.len() - 4 * ((24 * 72 + 36) * 72 - 36) as usize,
            _ => bytes.len() / 2,
        };
        bytes[middle] ^= 0x11;
        fs::write(&place, bytes).unwrap();
        let outcome = dir.call(&["verify", output]);
        let words = ["[1, 1, 1]", "[16:32, 24:48, 24:48]", "1 NOT as written", "DIFFER"];
        for word in words {
            assert!(outcome.stdout.contains(word), "'{word}' is not in: {}", outcome.stdout);
        }
        outcome.refused(1, &[output, "1 chunk is not what was written", "shifted grid"]);
    }
}

/// What one reader passes over another stumbles over; what cannot be decoded hides nothing else.
#[test]
fn what_cannot_be_read_is_one_finding_of_all() {
    let dir = Dir::new();
    // The last chunks end before their storage chunks do, and are not decoded to the end.
    filtered(&dir, "out.zarr", &["--roi", "0:40,:,:"]);
    let file = dir.path("out.zarr/0/c/2/1/2");
    let good = fs::read(&file).unwrap();
    fs::write(&file, [&good[..], b"garbage"].concat()).unwrap();
    let verdict = found(&dir, &["out.zarr"], 1);
    assert_eq!(verdict["digests"]["altered"].as_array().unwrap().len(), 1, "{verdict:#}");
    assert!(verdict["digests"]["altered"][0]["what"].as_str().unwrap().contains("were written"));
    fs::write(&file, [&[7; 64], &good[64..]].concat()).unwrap();
    let verdict = found(&dir, &["out.zarr"], 1);
    assert_eq!(verdict["digests"]["altered"][0]["chunk"], json!([2, 1, 2]));
    assert_eq!(verdict["digests"]["chunks"], 27);
    let why = verdict["planes_not_measured"].as_str().unwrap_or_default();
    assert!(why.contains("c/2/1/2"), "{verdict:#}");

    dir.volume("wide.npy", &[4, 1040, 520]);
    let args = ["convert", "wide.npy", "p.zarr", "--pyramid", "--voxel-size", "5,2,2"];
    dir.call(&[&args[..], &["--chunk", "4,130,130"]].concat()).done();
    fs::remove_file(dir.path("p.zarr/1/zarr.json")).unwrap();
    let verdict = found(&dir, &["p.zarr"], 1);
    let altered = verdict["digests"]["altered"].as_array().unwrap();
    assert!(altered.iter().all(|a| a["level"] == 1) && !altered.is_empty(), "{verdict:#}");
    assert!(altered[0]["what"].as_str().unwrap().contains("cannot be opened"));
}

/// A result that is not that of its job, although every digest is right.
#[test]
fn another_input_behind_the_same_job_is_told() {
    let dir = Dir::new();
    filtered(&dir, "out.npy", &[]);
    let input = dir.path("in.npy");
    let time = fs::metadata(&input).unwrap().modified().unwrap();
    fs::remove_file(&input).unwrap();
    let verdict = found(&dir, &["out.npy"], 0);
    assert!(verdict["shifted_grid"]["not_computed"].as_str().unwrap().contains("in.npy"));
    assert_eq!(verdict["input"]["changed"], Value::Null);
    write(&dir, "in.npy", |at| noise(at) / 2);
    let verdict = found(&dir, &["out.npy"], 1);
    assert!(verdict["shifted_grid"]["not_computed"].as_str().unwrap().contains("changed"));
    assert_eq!(verdict["input"]["changed"], true);
    // With the size and the time of the old one, only the shifted grid knows.
    fs::File::options().write(true).open(&input).unwrap().set_modified(time).unwrap();
    let verdict = found(&dir, &["out.npy"], 1);
    assert_eq!(verdict["input"]["changed"], false);
    assert!(!verdict["shifted_grid"]["differing"].as_array().unwrap().is_empty());
}

/// Chunks that were filtered without a halo, as another program may do it.
#[test]
fn seams_of_any_program_are_found() {
    let dir = Dir::new();
    write(&dir, "in.npy", noise);
    let chunk = [16u64, 24, 24];
    let mut all = Buffer::zeros(&SHAPE, Dtype::F32);
    for k in 0..27u64 {
        let start: Vec<u64> = (0..3).map(|a| [k / 9, k / 3 % 3, k % 3][a] * chunk[a]).collect();
        let stop: Vec<String> =
            (0..3).map(|a| format!("{}:{}", start[a], start[a] + chunk[a])).collect();
        dir.call(&["run", "in.npy", "part.npy", "--roi", &stop.join(","), "--force", "-q"]).done();
        dir.call(&["run", "part.npy", "s.npy", "--op", "gaussian:sigma=1.5", "--force", "-q"])
            .done();
        let part = voxels(&dir.path("s.npy"));
        let values: Vec<f32> = match part.dtype() {
            Dtype::F32 => part.as_slice::<f32>().to_vec(),
            _ => part.as_slice::<u16>().iter().map(|&v| f32::from(v)).collect(),
        };
        let part = Buffer::from_slice(&chunk, &values);
        all.view_mut().part_mut(&Region::new(&start, chunk)).copy_from(&part.view());
    }
    let values = all.as_slice::<f32>().to_vec();
    let at = |[z, y, x]: [u64; 3]| values[((z * SHAPE[1] + y) * SHAPE[2] + x) as usize];
    write(&dir, "glued.npy", at);
    let verdict = found(&dir, &["glued.npy", "--grid", "16,24,24", "--figure", "f.png"], 1);
    for axis in verdict["planes"].as_array().unwrap() {
        assert_eq!(axis["found"], true, "{axis:#}");
        assert_eq!(axis["each"][0]["plane"], axis["grid"]);
    }
    assert!(dir.path("f.png").is_file());
    let outcome = dir.call(&["verify", "glued.npy", "--grid", "16,24,24"]);
    assert!(outcome.stdout.contains("SEAMS") && outcome.stdout.contains("at z = 16"));
    outcome.refused(1, &["glued.npy", "seams on planes of z, y, x"]);
    // On other planes there are none.
    let shifted = ["glued.npy", "--grid", "16,24,24", "--offset", "8,12,12"];
    assert_eq!(found(&dir, &shifted, 0)["fine"], true);
    dir.call(&["verify", "in.npy", "--grid", "16"]).done();
}

#[test]
fn what_cannot_work_is_refused() {
    let dir = Dir::new();
    write(&dir, "in.npy", noise);
    fs::write(dir.path("own.png"), "mine").unwrap();
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 2, &["in.npy", "no journal", "--grid 64,256,256"]),
        (&["--grid", "0"], 2, &["--grid 0", "at least 1"]),
        (&["--grid", "x"], 2, &["--grid x", "64,256,256"]),
        (&["--grid", "8,8"], 2, &["--grid", "2 values", "z, y, x"]),
        (&["--grid", "4"], 2, &["--grid", "chunks of 4", "from 8"]),
        (&["--grid", "400"], 2, &["--grid", "no plane", "48 × 72 × 72"]),
        (&["--grid", "16", "--offset", "-1"], 2, &["--offset -1", "from 0"]),
        (&["--grid", "16", "--offset", "1,2"], 2, &["--offset", "2 values"]),
        (&["--offset", "1"], 2, &["--grid"]),
        (&["--grid", "16", "--memory", "1kB"], 1, &["--memory", "bytes"]),
        (&["--grid", "16", "--workers", "0"], 2, &["--workers 0"]),
        (&["--grid", "16", "--figure", "own.png"], 1, &["--figure", "own.png", "did not make"]),
        (&["--grid", "16", "--figure", "in.npy"], 2, &["--figure", "in.npy", "apart"]),
        (&["--grid", "16", "--figure", "no/f.png"], 1, &["--figure", "no/f.png", "folder"]),
    ];
    for (flags, code, words) in cases {
        dir.call(&[&["verify", "in.npy"], *flags].concat()).refused(*code, words);
    }
    dir.call(&["verify", "none.zarr"]).refused(1, &["none.zarr", "no such output"]);
    dir.call(&["verify", "none.zarr", "--grid", "16"]).refused(1, &["none.zarr"]);
    dir.call(&["verify", "own.png", "--grid", "16"]).refused(1, &["own.png", "legal"]);
    assert_eq!(dir.names(), ["in.npy", "own.png"]);
    filtered_damaged(&dir);
}

fn filtered_damaged(dir: &Dir) {
    fs::remove_file(dir.path("in.npy")).unwrap();
    filtered(dir, "out.npy", &[]);
    fs::write(dir.path("out.npy.volchunk/0.journal"), "rubbish").unwrap();
    dir.call(&["verify", "out.npy"]).refused(1, &["0.journal", "no journal"]);
}
