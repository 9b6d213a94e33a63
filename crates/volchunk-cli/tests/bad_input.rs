//! What cannot work is refused: by name, with what was found and what would be legal, and without
//! an output that looks complete.

#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::{fs, path::Path};

use util::Dir;

#[test]
fn wrong_usage_is_named() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    let cases: &[(&[&str], &[&str])] = &[
        (&["--op", "gausian:sigma=1"], &["--op", "gausian", "did you mean 'gaussian'"]),
        (&["--op", "gaussian:sigm=1"], &["--op", "sigm", "sigma"]),
        (&["--op", "gaussian"], &["--op", "sigma", "missing"]),
        (&["--op", "gaussian:sigma=-1"], &["--op", "-1", "at least 0"]),
        (&["--op", "gaussian:sigma=NaN"], &["--op", "NaN", "at least 0"]),
        (&["--op", "gaussian:sigma=1:order=21"], &["order", "axis z", "21", "0 to 20"]),
        (&["--op", "gaussian:sigma=1:radius=-1"], &["--op", "radius", "-1", "at least 0"]),
        (&["--op", "gaussian:sigma=1:truncate=-1"], &["truncate", "axis z", "-1", "at least 0"]),
        (&["--op", "gaussian:sigma=1:dtype=int"], &["--op", "dtype", "int64"]),
        (&["--op", "gaussian:sigma=1:boundary=round"], &["--op", "round", "reflect"]),
        (&["--op", "gaussian:sigma=1,2"], &["sigma", "2 values", "z, y, x"]),
        (&["--op", "gaussian:sigma=2um"], &["--voxel-size"]),
        (&["--op", "cast:dtype=float16"], &["float16", "uint8"]),
        (&["--chunk", "0"], &["--chunk 0", "at least 1"]),
        (&["--chunk", "4,0,4"], &["--chunk 4,0,4", "at least 1"]),
        (&["--chunk", "4,4"], &["--chunk", "2 values", "z, y, x"]),
        (&["--chunk", "x"], &["--chunk x", "64,256,256"]),
        (&["--chunk", "-4"], &["--chunk -4", "64,256,256"]),
        (&["--storage-chunk", "0"], &["--storage-chunk 0", "at least 1"]),
        (&["--shard", "3", "--storage-chunk", "2"], &["shard", "multiple"]),
        (&["--chunk", "4", "--storage-chunk", "3"], &["--storage-chunk", "nearest", "align"]),
        (&["--roi", "0:5,:,:"], &["--roi", "0:5", "axis z", "0:4"]),
        (&["--roi", "2:2,:,:"], &["--roi", "empty"]),
        (&["--roi", "0:1"], &["--roi", "1 ranges", "3 axes"]),
        (&["--roi", "a:b,:,:"], &["--roi", "a:b"]),
        (&["--memory", "2 apples"], &["--memory", "apples", "GiB"]),
        (&["--workers", "0"], &["--workers 0", "from 1"]),
        (&["--retries", "-1"], &["--retries -1", "legal: a number to"]),
        (&["--workers", "-2"], &["--workers -2", "from 1"]),
        (&["--axes", "zy"], &["--axes", "3"]),
        (&["--voxel-size", "0"], &["--voxel-size", "above 0"]),
        (&["--voxel-size", "1,x"], &["--voxel-size", "'x'"]),
        (&["--colour"], &["--colour"]),
    ];
    for (flags, words) in cases {
        let args = [&["run", "in.npy", "out.zarr"], *flags].concat();
        dir.call(&args).refused(2, words);
        assert_eq!(dir.names(), ["in.npy"], "{flags:?}");
    }
    dir.call(&["run", "in.npy", "out.npy", "--shard", "4"]).refused(2, &["--shard", ".zarr"]);
    dir.call(&["run", "in.npy", "out.jpg"]).refused(2, &["out.jpg", ".zarr", ".npy", ".tif"]);
    dir.call(&["run", "in.npy"]).refused(2, &["OUTPUT"]);
    dir.call(&["rum"]).refused(2, &["rum", "run"]);
    assert_eq!(dir.names(), ["in.npy"]);
}

#[test]
fn bad_files_are_named() {
    let dir = Dir::new();
    dir.volume("good.npy", &[4, 5, 6]);
    let good = fs::read(dir.path("good.npy")).unwrap();
    fs::write(dir.path("cut.npy"), &good[..good.len() - 7]).unwrap();
    let header = |from: &str, to: &str| {
        let text = String::from_utf8_lossy(&good[..good.len() - 240]).into_owned();
        assert!(text.contains(from), "{text}");
        // The padding before the line's end makes room, so that the length stays true.
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes.splice(at..at + from.len(), to.bytes());
        let end = bytes.iter().position(|&b| b == b'\n').unwrap();
        let surplus = to.len() - from.len();
        bytes.drain(end - surplus..end);
        bytes
    };
    fs::write(dir.path("vast.npy"), header("(4, 5, 6)", "(1073741824, 1073741824)")).unwrap();
    fs::write(dir.path("zero.npy"), header("(4, 5, 6)", "(4, 0, 60)")).unwrap();
    fs::write(dir.path("complex.npy"), header("<u2", "<c16")).unwrap();
    fs::write(dir.path("text.txt"), "no volume at all").unwrap();
    fs::write(dir.path("nothing.npy"), "").unwrap();
    fs::create_dir(dir.path("empty")).unwrap();
    let before = dir.names();
    for (input, words) in [
        ("missing.npy", &["missing.npy", "no such file"][..]),
        ("empty", &["empty", "legal"]),
        ("cut.npy", &["cut.npy", "368 bytes", "361"]),
        ("vast.npy", &["vast.npy"]),
        ("zero.npy", &["zero.npy", "no voxels"]),
        ("complex.npy", &["complex.npy", "c16", "uint16"]),
        ("text.txt", &["text.txt", "legal"]),
        ("nothing.npy", &["nothing.npy", "0 bytes"]),
    ] {
        for command in ["run", "plan", "convert"] {
            dir.call(&[command, input, "out.zarr"]).refused(1, words);
        }
        dir.call(&["info", input]).refused(1, words);
        assert_eq!(dir.names(), before, "{input}");
    }
}

#[test]
fn planes_that_differ_are_named() {
    let dir = Dir::new();
    fs::create_dir(dir.path("planes")).unwrap();
    dir.volume("planes/z0.tif", &[5, 6]);
    dir.volume("planes/z1.tif", &[5, 7]);
    let _ = fs::remove_dir_all(dir.path("planes/z0.tif.volchunk"));
    let code = dir.call(&["info", "planes"]).code.unwrap();
    assert_eq!(code, 1);
    dir.call(&["run", "planes", "out.zarr"]).refused(1, &["z1.tif"]);
    assert_eq!(dir.names(), ["planes"]);
    fs::remove_file(dir.path("planes/z1.tif")).unwrap();
    dir.volume("flat.npy", &[5, 6]);
    let to_u8 = ["--op", "cast:dtype=uint8", "--quiet"];
    dir.call(&[&["run", "flat.npy", "z1.tif"], &to_u8[..]].concat()).done();
    fs::rename(dir.path("z1.tif"), dir.path("planes/z1.tif")).unwrap();
    dir.call(&["run", "planes", "out.zarr"]).refused(1, &["z1.tif", "uint8", "uint16"]);
    assert!(!dir.path("out.zarr").exists());
}

#[test]
fn a_job_file_replaces_nothing_but_a_job_file() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    fs::write(dir.path("notes.txt"), "mine").unwrap();
    fs::write(dir.path("other.json"), "{}").unwrap();
    let before = fs::read(dir.path("in.npy")).unwrap();
    let plan = |place: &str| dir.call(&["plan", "in.npy", "out.zarr", "--write-job", place]);
    plan("in.npy").refused(2, &["--write-job", "input in.npy"]);
    plan("out.zarr").refused(2, &["--write-job", "output out.zarr"]);
    plan("out.zarr.volchunk").refused(2, &["--write-job", "output out.zarr"]);
    plan("notes.txt").refused(1, &["--write-job", "notes.txt", "no volchunk job"]);
    plan("other.json").refused(1, &["--write-job", "other.json", "no volchunk job"]);
    plan("none/job.json").refused(1, &["--write-job", "none/job.json"]);
    assert_eq!(fs::read(dir.path("in.npy")).unwrap(), before);
    assert_eq!(fs::read_to_string(dir.path("notes.txt")).unwrap(), "mine");
    assert_eq!(dir.names(), ["in.npy", "notes.txt", "other.json"]);
    plan("job.json").done();
    dir.call(&["plan", "in.npy", "next.zarr", "--write-job", "job.json"]).done();
    assert!(fs::read_to_string(dir.path("job.json")).unwrap().contains("next.zarr"));
}

#[test]
fn the_demo_replaces_only_its_own() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    for name in ["cells.zarr", "cells.csv", "demo.png"] {
        match name {
            "demo.png" | "cells.csv" => fs::write(dir.path(name), "my picture").unwrap(),
            _ => drop(dir.call(&["run", "in.npy", name]).done()),
        }
        let before = dir.names();
        dir.call(&["demo", "--dir", "."]).refused(1, &["--dir", name, "another folder"]);
        assert_eq!(dir.names(), before, "{name}: nothing was made or removed");
        match name {
            "demo.png" | "cells.csv" => {
                assert_eq!(fs::read_to_string(dir.path(name)).unwrap(), "my picture");
                fs::remove_file(dir.path(name)).unwrap();
            }
            _ => {
                dir.call(&["info", name]).done();
                fs::remove_dir_all(dir.path(name)).unwrap();
                fs::remove_dir_all(dir.path(&format!("{name}.volchunk"))).unwrap();
            }
        }
    }
    dir.call(&["demo", "--dir", "new"]).done();
    dir.call(&["demo", "--dir", "new"]).done();
}

/// JSON holds no such path, but a run does not depend on that.
#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_unicode_works() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    let name = OsStr::from_bytes(b"in\xff.npy");
    fs::rename(dir.path("in.npy"), dir.path("").join(name)).unwrap();
    let call = |command: &str, more: &[&str]| {
        let mut command = dir.command(&[command]);
        util::Outcome::of(command.arg(name).args(more).output().unwrap())
    };
    for output in ["out.zarr", "out.npy"] {
        call("run", &[output]).done();
        assert!(call("run", &[output]).done().stdout.contains("already complete"));
    }
    call("plan", &["o.zarr", "--write-job", "job.json"]).refused(2, &["not Unicode"]);
    assert!(!dir.path("job.json").exists());
}

#[test]
fn a_damaged_storage_chunk_fails_the_run() {
    let dir = Dir::new();
    dir.volume("in.npy", &[16, 16, 16]);
    dir.call(&["convert", "in.npy", "in.zarr", "--chunk", "8"]).done();
    let chunk = find_chunk(&dir.path("in.zarr/0"));
    let bytes = fs::read(&chunk).unwrap();
    fs::write(&chunk, &bytes[..bytes.len() / 2]).unwrap();
    dir.call(&["run", "in.zarr", "out.npy"]).refused(1, &["in.zarr", "chunk ("]);
    assert!(!dir.path("out.npy").exists());
    dir.call(&["run", "in.zarr", "out.zarr"]).refused(1, &["in.zarr", "out.zarr is unfinished"]);
}

/// Any file below `folder` that is no metadata.
fn find_chunk(folder: &Path) -> std::path::PathBuf {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return find_chunk(&path);
        } else if path.extension().is_none_or(|e| e != "json") {
            return path;
        }
    }
    panic!("no storage chunk in {}", folder.display());
}

#[test]
fn the_input_is_never_overwritten() {
    let dir = Dir::new();
    dir.volume("in.zarr", &[4, 5, 6]);
    fs::create_dir(dir.path("folder")).unwrap();
    dir.volume("folder/in.npy", &[4, 5, 6]);
    let before = fs::read(dir.path("in.zarr/zarr.json")).unwrap();
    for output in ["in.zarr", "./in.zarr", "folder/../in.zarr", "in.zarr/out.zarr", "in.zarr/0.npy"]
    {
        for command in ["run", "plan", "convert"] {
            dir.call(&[command, "in.zarr", output]).refused(2, &["in.zarr", "input"]);
        }
        dir.call(&["run", "in.zarr", output, "--force"]).refused(2, &["in.zarr", "input"]);
    }
    dir.call(&["run", "in.zarr/0", "in.zarr", "--force"]).refused(2, &["in.zarr", "input"]);
    assert_eq!(fs::read(dir.path("in.zarr/zarr.json")).unwrap(), before);
    dir.call(&["info", "in.zarr"]).done();
}

#[test]
fn an_output_without_a_place_is_refused() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    for output in ["none/out.zarr", "none/out.npy", "none/out.tif"] {
        dir.call(&["run", "in.npy", output]).refused(1, &[output, "the folder none"]);
    }
    dir.call(&["run", "in.npy", "in.npy/out.npy"]).refused(2, &["in.npy"]);
    assert_eq!(dir.names(), ["in.npy"]);
}

#[test]
fn over_the_cap_is_refused() {
    let dir = Dir::new();
    dir.volume("in.npy", &[64, 256, 256]);
    let args = ["plan", "in.npy", "out.npy", "--op", "gaussian:sigma=2"];
    dir.call(&[&args[..], &["--memory", "1MB"]].concat()).refused(1, &["--memory", "cap"]);
    let plan = dir.call(&[&args[..], &["--chunk", "256", "--workers", "1", "--json"]].concat());
    let plan: serde_json::Value = serde_json::from_str(&plan.done().stdout).unwrap();
    let below = (plan["memory"]["peak"].as_u64().unwrap() * 3 / 4).to_string();
    let tight = ["--chunk", "256", "--workers", "1", "--memory", &below];
    dir.call(&[&args[..], &tight].concat()).refused(1, &["--memory", "would fit"]);
    assert_eq!(dir.names(), ["in.npy"]);
}

/// A limit on file length stands in for a full disk: the write fails in the middle all the same.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_leaves_nothing_that_looks_complete() {
    let dir = Dir::new();
    dir.volume("in.npy", &[32, 64, 64]);
    for output in ["out.npy", "out.tif", "out.zarr"] {
        // SIGXFSZ ignored, the write reports EFBIG. 64 blocks of 512 or 1024 bytes.
        let script = format!(
            "trap '' XFSZ; ulimit -f 64; exec {} run in.npy {output} --chunk 32 --quiet",
            env!("CARGO_BIN_EXE_volchunk")
        );
        let result = std::process::Command::new("sh")
            .args(["-c", &script])
            .current_dir(dir.path(""))
            .output()
            .unwrap();
        util::Outcome::of(result).refused(1, &[output]);
        let place = dir.path(output);
        match output {
            "out.zarr" => {
                let root = fs::read_to_string(place.join("zarr.json")).unwrap();
                assert!(root.replace(' ', "").contains("\"complete\":false"), "{root}");
            }
            _ => assert!(!place.exists()),
        }
    }
}
