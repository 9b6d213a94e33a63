//! What machines do to runs: few open files, a file system that turns read-only, an input that is
//! replaced. Full disks, damage and kills are in `resume.rs` and `kill.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use util::{Dir, Outcome, voxels};

const OP: [&str; 6] = ["--op", "gaussian:sigma=1.5", "--chunk", "4,8,8", "--workers", "2"];

fn run<'a>(input: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", input, output], &OP[..], more].concat()
}

/// Calls the program where a process may open few files.
fn call_with_few_files(dir: &Dir, args: &[&str]) -> Outcome {
    let script =
        format!("ulimit -n 48; exec {} {}", env!("CARGO_BIN_EXE_volchunk"), args.join(" "));
    let mut command = Command::new("sh");
    Outcome::of(command.args(["-c", &script]).current_dir(dir.path("")).output().unwrap())
}

/// A cluster's array of jobs: more parts than a process may open files, and than there are chunks.
#[test]
fn parts_may_be_many() {
    let dir = Dir::new();
    dir.volume("in.npy", &[12, 16, 16]);
    dir.call(&run("in.npy", "whole.npy", &[])).done();
    for (output, parts) in [("out.npy", 70), ("out.zarr", 70)] {
        let names: Vec<String> = (0..parts).map(|k| format!("{k}/{parts}")).collect();
        for part in &names[1..] {
            call_with_few_files(&dir, &run("in.npy", output, &["--part", part, "-q"])).done();
        }
        call_with_few_files(&dir, &["finish", output]).refused(1, &["part 0/70 was not begun"]);
        call_with_few_files(&dir, &run("in.npy", output, &["--part", "0/70"])).done();
        assert!(
            call_with_few_files(&dir, &["status", output]).done().stdout.contains("unfinished")
        );
        call_with_few_files(&dir, &["finish", output]).done();
        call_with_few_files(&dir, &["verify", output]).done();
        assert!(voxels(&dir.path(output)).bytes() == voxels(&dir.path("whole.npy")).bytes());
    }
    // Tables are a file for each part, all of which are read together.
    let detect = |output: &str, part: &str| {
        let ops = ["--min-sigma", "1", "--max-sigma", "2", "--num-sigma", "2", "--threshold", "0"];
        let part = if part.is_empty() { vec![] } else { vec!["--part", part] };
        let args =
            [&["detect", "in.npy", output, "--chunk", "2,8,8", "-q"], &ops[..], &part].concat();
        call_with_few_files(&dir, &args).done();
    };
    detect("whole.csv", "");
    (0..60).for_each(|k| detect("cells.csv", &format!("{k}/60")));
    call_with_few_files(&dir, &["finish", "cells.csv"]).done();
    call_with_few_files(&dir, &["verify", "cells.csv"]).done();
    let of = |name: &str| fs::read(dir.path(name)).unwrap();
    assert!(of("cells.csv") == of("whole.csv") && of("cells.csv").len() > 200);
    // What lacks is told in short.
    dir.call(&run("in.npy", "few.npy", &["--part", "0/1000"])).done();
    let error = dir.call(&["finish", "few.npy"]).refused(1, &["1/1000 was not begun", "979 more"]);
    assert!(error.stderr.len() < 2000);
    dir.call(&run("in.npy", "bad.npy", &["--part", "0/1000000000000"]))
        .refused(2, &["--part 0/1000000000000", "n <= 100000"]);
}

/// A file, or a plane, that another takes the place of while a run reads it.
#[test]
fn an_input_that_is_replaced_under_a_run_is_told() {
    let dir = Dir::new();
    dir.volume("in.npy", &[24, 96, 96]);
    dir.call(&["run", "in.npy", "other.npy", "--op", "clip:min=9000", "-q"]).done();
    fs::create_dir(dir.path("planes")).unwrap();
    for z in 0..24 {
        let (roi, plane) = (format!("{z}:{},:,:", z + 1), format!("planes/{z:02}.tif"));
        dir.call(&["run", "in.npy", &plane, "--roi", &roi, "-q"]).done();
        fs::remove_dir_all(dir.path(&format!("{plane}.volchunk"))).unwrap();
    }
    // Its voxels lie elsewhere in it: its description is longer.
    let size = "100000000000.25,0.30000000000000004,12345.678901234567";
    let args = ["run", "planes/03.tif", "other.tif", "--voxel-size", size, "-q"];
    dir.call(&args).done();
    fs::remove_dir_all(dir.path("other.tif.volchunk")).unwrap();
    let cases = [
        ("in.npy", "in.npy", "other.npy", "a.zarr"),
        ("planes", "planes/02.tif", "other.tif", "b.zarr"),
    ];
    for (input, replaced, by, output) in cases {
        let args = ["run", input, output, "--op", "median:radius=4", "--chunk", "4,16,16"];
        let args = [&args[..], &["--workers", "1", "-q"]].concat();
        let mut command = dir.command(&args);
        let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Once the first chunks are done.
        let until = Instant::now() + Duration::from_secs(60);
        let done = || {
            let found = dir.call(&["status", output, "--json"]).stdout;
            let found: Option<serde_json::Value> = serde_json::from_str(&found).ok();
            found.and_then(|found| found["done"].as_u64()).unwrap_or(0)
        };
        while done() < 3 {
            assert!(Instant::now() < until);
        }
        fs::rename(dir.path(by), dir.path(replaced)).unwrap();
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        outcome.refused(1, &["changed while it was read", "is unfinished"]);
        let status = dir.call(&["status", output]).done().stdout;
        assert!(status.contains("unfinished"), "{status}");
        // Nothing of what was there before is in what the same command makes of it.
        if input == "in.npy" {
            dir.call(&args).refused(1, &["in.npy", "changed since it was begun", "--force"]);
            continue;
        }
        dir.call(&args).done();
        let whole = format!("whole-{output}");
        let args = ["run", input, &whole, "--op", "median:radius=4", "--chunk", "4,16,16", "-q"];
        dir.call(&args).done();
        assert!(voxels(&dir.path(output)).bytes() == voxels(&dir.path(&whole)).bytes(), "{input}");
    }
}

/// A file system that was mounted anew without the right to write, as after an error of its disk.
#[test]
fn a_read_only_file_system_is_told() {
    let dir = Dir::new();
    dir.volume("in.npy", &[12, 16, 16]);
    dir.call(&run("in.npy", "whole.npy", &[])).done();
    let disk = dir.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&disk).output();
    if !mount.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: a read-only file system needs the right to mount one");
        return;
    }
    let remount = |how: &str| {
        let mut command = Command::new("mount");
        let status = command.args(["-o", &format!("remount,{how}")]).arg(&disk).status();
        status.unwrap().success()
    };
    let results = ["disk/out.zarr", "disk/out.npy"].map(|output| {
        let name = Path::new(output).file_name().unwrap().to_str().unwrap().to_owned();
        let half = dir.call(&run("in.npy", output, &["--part", "0/2"]));
        let other = dir.call(&run("in.npy", &format!("disk/whole-{name}"), &[]));
        assert!(remount("ro"));
        let refused = [
            dir.call(&run("in.npy", output, &["--part", "1/2"])),
            dir.call(&["finish", output]),
            dir.call(&run("in.npy", &format!("disk/new-{name}"), &[])),
        ];
        let reads = [
            dir.call(&["status", output]),
            dir.call(&["verify", &format!("disk/whole-{name}")]),
            dir.call(&run("in.npy", &format!("disk/whole-{name}"), &[])),
        ];
        assert!(remount("rw"));
        let rest = dir.call(&run("in.npy", output, &["--part", "1/2"]));
        let finished = dir.call(&["finish", output]);
        let found = finished.code == Some(0)
            && voxels(&dir.path(output)).bytes() == voxels(&dir.path("whole.npy")).bytes();
        (half, other, refused, reads, rest, finished, found)
    });
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    for (half, other, refused, reads, rest, finished, found) in results {
        half.done();
        other.done();
        for outcome in refused {
            outcome.refused(1, &["disk/", "Read-only file system"]);
        }
        for outcome in reads {
            outcome.done();
        }
        rest.done();
        finished.done();
        assert!(found);
    }
}

/// What stands where things are kept beside an output, and is no folder: told at once.
#[cfg(unix)]
#[test]
fn what_is_kept_needs_a_folder() {
    let dir = Dir::new();
    dir.volume("in.npy", &[8, 8, 8]);
    let kept = dir.path("out.npy.volchunk");
    std::os::unix::fs::symlink(dir.path("nowhere"), &kept).unwrap();
    for file in [false, true] {
        if file {
            fs::remove_file(&kept).unwrap();
            fs::write(&kept, "mine").unwrap();
        }
        let begun = Instant::now();
        dir.call(&["convert", "in.npy", "out.npy"]).refused(1, &["out.npy.volchunk", "legal"]);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

/// Killed while it deleted what `--force` replaces: the next one deletes the rest.
#[test]
fn what_was_being_deleted_is_in_nobodys_way() {
    let dir = Dir::new();
    dir.volume("in.npy", &[8, 8, 8]);
    dir.call(&["convert", "in.npy", "out.zarr"]).done();
    let old = dir.path("out.zarr.volchunk/.deleted");
    fs::rename(dir.path("out.zarr"), &old).unwrap();
    fs::remove_file(old.join("zarr.json")).unwrap();
    dir.call(&["convert", "in.npy", "out.zarr"]).done();
    assert!(!old.exists());
    fs::create_dir_all(old.join("0/c")).unwrap();
    dir.call(&["convert", "in.npy", "out.zarr", "--force"]).done();
    assert!(!old.exists() && dir.names() == ["in.npy", "out.zarr", "out.zarr.volchunk"]);
}

/// An input of one file that is replaced, cut short, or gone between two runs: nothing is mixed.
#[test]
fn an_input_that_is_replaced_is_told() {
    let dir = Dir::new();
    for (input, output) in [("in.npy", "out.zarr"), ("in.tif", "out.npy"), ("in.npy", "out.tif")] {
        dir.volume(input, &[12, 16, 16]);
        let bytes = fs::read(dir.path(input)).unwrap();
        dir.call(&run(input, output, &["--part", "0/2"])).done();
        let next = || dir.call(&run(input, output, &["--part", "1/2"]));
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        fs::write(dir.path(input), other).unwrap();
        next().refused(1, &[output, &format!("{input} changed since it was begun")]);
        dir.call(&["finish", output]).refused(1, &[output]);
        fs::write(dir.path(input), &bytes[..bytes.len() / 2]).unwrap();
        next().refused(1, &[input]);
        fs::remove_file(dir.path(input)).unwrap();
        next().refused(1, &[input]);
        volchunk_io::remove_output(&dir.path(output)).unwrap();
        fs::write(dir.path(input), bytes).unwrap();
        fs::remove_file(dir.path(input)).unwrap();
    }
}
