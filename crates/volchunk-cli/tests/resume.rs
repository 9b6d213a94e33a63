//! Going on: with what is missing, with what failed, with what is not what it was; in parts.

#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use util::{Dir, voxels};

const OP: [&str; 5] = ["--op", "gaussian:sigma=1.5", "--chunk", "8,16,16", "--op"];
const LAST: &str = "multiply:value=3";

fn run<'a>(input: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", input, output], &OP[..], &[LAST], more].concat()
}

fn status(dir: &Dir, output: &str) -> Value {
    serde_json::from_str(&dir.call(&["status", output, "--json"]).done().stdout).unwrap()
}

/// A Zarr of 3 × 3 × 3 storage chunks.
fn input(dir: &Dir) {
    dir.volume("flat.npy", &[24, 48, 48]);
    dir.call(&["convert", "flat.npy", "in.zarr", "--chunk", "8,16,16"]).done();
}

fn stored(dir: &Dir, place: &str) -> PathBuf {
    dir.path("in.zarr/0/c").join(place)
}

/// Leaves an output of 27 chunks without those 8 that read the input's storage chunk 0/0/0.
fn interrupted(dir: &Dir, output: &str) -> String {
    let bad = stored(dir, "0/0/0");
    let good = fs::read(&bad).unwrap();
    fs::write(&bad, &good[..good.len() / 2]).unwrap();
    let error = dir.call(&run("in.zarr", output, &["--keep-going"])).refused(
        1,
        &["8 of 27 chunks failed", "chunk (0, 0, 0) at [0:8, 0:16, 0:16]", "chunk (1, 1, 1)"],
    );
    fs::write(&bad, &good).unwrap();
    error.stderr
}

#[test]
fn failed_chunks_are_listed_and_alone_run_again() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    for output in ["out.zarr", "out.npy", "out.tif"] {
        let error = interrupted(&dir, output);
        assert!(error.contains("the same command goes on"), "{error}");
        let found = status(&dir, output);
        assert_eq!((&found["complete"], &found["chunks"]), (&false.into(), &27.into()));
        assert_eq!((&found["done"], &found["missing"]), (&19.into(), &0.into()));
        assert_eq!(found["failed"][7]["chunk"], serde_json::json!([1, 1, 1]));
        assert_eq!(found["failed"][0]["region"], serde_json::json!([[0, 8], [0, 16], [0, 16]]));
        let text = dir.call(&["status", output]).done().stdout;
        for part in ["unfinished", "19 of 27 done (70.4 %), 8 failed, 0 missing", "[8:16, 16:32"] {
            assert!(text.contains(part), "'{part}' is not in: {text}");
        }
        let text = dir.call(&run("in.zarr", output, &[])).done().stdout;
        assert!(text.contains("in 8 chunks") && text.contains(" 19 chunks were done"), "{text}");
        assert!(voxels(&dir.path(output)).bytes() == voxels(&dir.path("whole.npy")).bytes());
        let found = status(&dir, output);
        assert_eq!((&found["complete"], &found["done"]), (&true.into(), &27.into()));
    }
    dir.call(&["status", "none.npy"]).refused(1, &["none.npy", "no such output"]);
}

#[test]
fn another_job_is_refused_with_what_differs() {
    let dir = Dir::new();
    input(&dir);
    for output in ["out.zarr", "out.npy"] {
        interrupted(&dir, output);
        let refused = |args: &[&str], words: &[&str]| {
            dir.call(args).refused(1, &[&[output, "unfinished", "--force"], words].concat());
        };
        let args = ["run", "in.zarr", output, "--op", "clip:max=9"];
        refused(&args, &["ops: gaussian:sigma=1.5:boundary=reflect multiply", "clip:max=9 here"]);
        refused(&run("flat.npy", output, &[]), &["input:", "in.zarr there", "flat.npy here"]);
        refused(&run("in.zarr", output, &["--roi", ":20,:,:"]), &["region: not given there"]);
        refused(&run("in.zarr", output, &["--voxel-size", "2"]), &["voxel size:", "[2.0] here"]);
        let other: Vec<&str> = run("in.zarr", output, &[])
            .into_iter()
            .map(|a| if a == OP[3] { "8,16,8" } else { a })
            .collect();
        refused(&other, &["chunk: [8, 16, 16] there, [8, 16, 8] here"]);
        // Without --chunk the one that was begun with stays, whatever would be chosen now.
        let any: Vec<&str> =
            run("in.zarr", output, &[]).into_iter().filter(|a| !OP[2..4].contains(a)).collect();
        let text = dir.call(&any).done().stdout;
        assert!(text.contains("in 8 chunks of 8 × 16 × 16"), "{text}");
        interrupted_again(&dir, output);
        refused(&run("in.zarr", output, &[]), &["in.zarr changed since it was begun"]);
    }
}

/// Leaves the output without its end, and an input whose metadata was written anew.
fn interrupted_again(dir: &Dir, output: &str) {
    fs::remove_dir_all(dir.path("in.zarr")).unwrap();
    dir.call(&["convert", "flat.npy", "in.zarr", "--chunk", "8,16,16", "--force"]).done();
    match output {
        "out.zarr" => {
            let root = dir.path("out.zarr/zarr.json");
            let text = fs::read_to_string(&root).unwrap();
            fs::write(&root, text.replace("\"complete\": true", "\"complete\": false")).unwrap();
        }
        _ => fs::rename(dir.path(output), dir.path(&format!("{output}.partial"))).unwrap(),
    }
}

/// A storage chunk of the input is written anew in place between two runs: what read it is computed
/// again, and the result is that of the input as it is now.
#[test]
fn an_input_that_changes_in_place_is_noticed() {
    let dir = Dir::new();
    input(&dir);
    for output in ["out.zarr", "out.npy"] {
        interrupted(&dir, output);
        let other = fs::read(stored(&dir, "0/1/1")).unwrap();
        let target = stored(&dir, "2/2/2");
        assert_ne!(fs::read(&target).unwrap(), other);
        fs::write(&target, &other).unwrap();
        let text = dir.call(&run("in.zarr", output, &[])).done().stdout;
        // Of the 8 chunks that read it, 7 were done.
        assert!(text.contains("12 chunks were done before, and stand"), "{text}");
        assert!(text.contains("7 that were done were computed anew: their input"), "{text}");
        dir.call(&run("in.zarr", "whole.npy", &["--force"])).done();
        assert!(voxels(&dir.path(output)).bytes() == voxels(&dir.path("whole.npy")).bytes());
        fs::remove_file(&target).unwrap();
        dir.call(&["convert", "flat.npy", "in.zarr", "--chunk", "8,16,16", "--force"]).done();
    }
}

/// What is altered or lost behind our back: size and existence are looked at when a run goes on,
/// voxels with --check.
#[test]
fn damage_is_found_and_mended() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    let whole = voxels(&dir.path("whole.npy"));
    for output in ["out.zarr", "out.npy", "out.tif"] {
        dir.call(&run("in.zarr", output, &[])).done();
        let place = dir.path(output);
        let victim = if output == "out.zarr" { place.join("0/c/1/1/1") } else { place.clone() };
        flip(&victim);
        assert!(dir.call(&run("in.zarr", output, &[])).done().stdout.contains("already complete"));
        let check = || dir.call(&run("in.zarr", output, &["--check"])).done().stdout;
        let text = check();
        assert!(text.contains("26 chunks were done before, and stand"), "{text}");
        assert!(text.contains("1 that were done were computed anew: what was written"), "{text}");
        assert!(voxels(&place).bytes() == whole.bytes(), "{output}");
        assert_eq!(status(&dir, output)["complete"], true);
        let text = check();
        assert!(text.contains("complete. 27 chunks were done before, and stand"), "{text}");
        if output == "out.zarr" {
            // Gone, and cut short: found without reading.
            interrupt(&dir, output);
            fs::remove_file(&victim).unwrap();
            fs::File::options()
                .write(true)
                .open(place.join("0/c/2/0/0"))
                .unwrap()
                .set_len(9)
                .unwrap();
        } else {
            interrupt(&dir, output);
            let partial = dir.path(&format!("{output}.partial"));
            let file = fs::File::options().write(true).open(partial).unwrap();
            // The last rows of the last two chunks.
            file.set_len(file.metadata().unwrap().len() - 20 * 4).unwrap();
        }
        let text = dir.call(&run("in.zarr", output, &[])).done().stdout;
        if output == "out.zarr" {
            assert!(text.contains("25 chunks were done before, and stand"), "{text}");
            assert!(text.contains("2 that were done were computed anew: what was"), "{text}");
        } else {
            // What lost its end is not made long again, to look whole to whoever comes next.
            assert!(text.contains("in 27 chunks") && !text.contains("stand"), "{text}");
        }
        assert!(voxels(&place).bytes() == whole.bytes(), "{output}");
    }
    // Without a journal there is nothing to check by.
    fs::remove_dir_all(dir.path("out.zarr.volchunk")).unwrap();
    dir.call(&run("in.zarr", "out.zarr", &["--check"])).refused(1, &["no journal"]);
}

/// Flips bits in the middle of a file, in place, its length unchanged.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    fs::write(path, bytes).unwrap();
}

/// The state of a run that is killed just before it marks its output complete.
fn interrupt(dir: &Dir, output: &str) {
    match output.ends_with(".zarr") {
        true => {
            let root = dir.path(output).join("zarr.json");
            let text = fs::read_to_string(&root).unwrap();
            assert!(text.contains("\"complete\": true"));
            fs::write(&root, text.replace("\"complete\": true", "\"complete\": false")).unwrap();
        }
        false => {
            let partial = dir.path(&format!("{output}.partial"));
            fs::rename(dir.path(output), partial).unwrap();
        }
    }
}

#[test]
fn a_run_killed_at_its_end_only_ends() {
    let dir = Dir::new();
    input(&dir);
    for output in ["out.zarr", "out.npy", "out.tif"] {
        dir.call(&run("in.zarr", output, &[])).done();
        let before = voxels(&dir.path(output));
        interrupt(&dir, output);
        assert_eq!(status(&dir, output)["complete"], false);
        let text = dir.call(&run("in.zarr", output, &[])).done().stdout;
        assert!(text.contains("complete. 27 chunks were done before, and stand"), "{text}");
        assert!(voxels(&dir.path(output)).bytes() == before.bytes());
        // As is one of another version's.
        interrupt(&dir, output);
        let journal = dir.path(&format!("{output}.volchunk/0.journal"));
        fs::write(&journal, "volchunk\u{2}\0\0\0 of the future, and long enough for a header")
            .unwrap();
        dir.call(&run("in.zarr", output, &[])).refused(1, &["0.journal", "version 2", "version 1"]);
        dir.call(&run("in.zarr", output, &["--force"])).done();
    }
}

#[test]
fn a_pyramid_goes_on_level_by_level() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 1040, 520]);
    let args = ["convert", "in.npy", "out.zarr", "--pyramid", "--voxel-size", "5,2,2"];
    dir.call(&[&args[..], &["--chunk", "4,130,130"]].concat()).done();
    let level = |k: usize| voxels(&dir.path(&format!("out.zarr/{k}")));
    let before: Vec<_> = (0..4).map(level).collect();
    assert_eq!(status(&dir, "out.zarr")["shares"].as_array().unwrap().len(), 4);
    let files = ["0/c/0/3/1", "1/c/0/0/0"];
    for lost in files {
        interrupt(&dir, "out.zarr");
        let path = dir.path("out.zarr").join(lost);
        fs::remove_file(&path).unwrap();
        let text = dir.call(&args).done().stdout;
        assert!(text.contains("gone or altered"), "{lost}: {text}");
        assert!((0..4).all(|k| level(k).bytes() == before[k].bytes()), "{lost}");
    }
    interrupt(&dir, "out.zarr");
    dir.call(&["convert", "in.npy", "out.zarr"]).refused(1, &["levels: a pyramid there, one here"]);
    let part = [&args[..], &["--part", "0/2"]].concat();
    dir.call(&part).refused(2, &["--part 0/2", "pyramid"]);
}

#[test]
fn parts_make_the_whole() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    for output in ["out.zarr", "out.npy", "out.tif"] {
        let part = |part: &str| dir.call(&run("in.zarr", output, &["--part", part]));
        let finish = || dir.call(&["finish", output]);
        finish().refused(1, &[output]);
        let text = part("2/3").done().stdout;
        assert!(text.contains("9 chunks") && text.contains("volchunk finish"), "{text}");
        part("0/3").done();
        assert_eq!(status(&dir, output)["missing"], 9);
        finish().refused(1, &[output, "part 1/3 was not begun"]);
        part("0/2").refused(1, &["is written in 3 parts", "overlap", "--part i/3"]);
        dir.call(&run("in.zarr", output, &[])).refused(1, &["is written in 3 parts", "--part i/3"]);
        let again = part("0/3").done().stdout;
        assert!(again.contains("9 chunks were done before, and stand"), "{again}");
        part("1/3").done();
        assert_eq!(status(&dir, output)["complete"], false);
        assert!(finish().done().stdout.contains("complete. 27 chunks were done before"));
        assert!(finish().done().stdout.contains("already complete"));
        assert!(voxels(&dir.path(output)).bytes() == voxels(&dir.path("whole.npy")).bytes());
        assert!(part("1/3").done().stdout.contains("already complete"));
        dir.call(&run("in.zarr", output, &["--force"])).done();
        let kept: Vec<String> = fs::read_dir(dir.path(&format!("{output}.volchunk")))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(kept.iter().all(|name| !name.starts_with("part")), "{kept:?}");
        part("1/3").done();
        // Begun as a whole, it is no output in parts.
        interrupt(&dir, output);
        part("1/3").refused(1, &["begun as a whole", "without --part"]);
        finish().refused(1, &[output, "not written in parts"]);
    }
    for bad in ["3/3", "1", "a/b", "-1/2", "0/0"] {
        dir.call(&run("in.zarr", "bad.npy", &["--part", bad]))
            .refused(2, &["--part", "0 <= i < n"]);
    }
}

/// A lost chunk of a part is found by finish, and computed again.
#[test]
fn finish_mends_what_is_lost() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    for part in ["0/2", "1/2"] {
        dir.call(&run("in.zarr", "out.zarr", &["--part", part, "--durable", "chunk"])).done();
    }
    fs::remove_file(dir.path("out.zarr/0/c/2/2/2")).unwrap();
    let text = dir.call(&["finish", "out.zarr"]).done().stdout;
    assert!(text.contains("1 that were done were computed anew"), "{text}");
    assert!(voxels(&dir.path("out.zarr")).bytes() == voxels(&dir.path("whole.npy")).bytes());
}

/// A limit on file length, and a file system that is full: the run fails, and goes on where there is
/// room.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_survived() {
    use std::process::Command;
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    let whole = voxels(&dir.path("whole.npy"));
    for output in ["out.npy", "out.tif"] {
        let command = run("in.zarr", output, &["--workers", "1"]).join(" ");
        // SIGXFSZ ignored, the write reports EFBIG. The file has its whole length from the start, so
        // that is what fails; then half of it is there.
        let script = |blocks: u32| {
            format!(
                "trap '' XFSZ; ulimit -f {blocks}; exec {} {command}",
                env!("CARGO_BIN_EXE_volchunk")
            )
        };
        let call = |blocks| {
            let mut sh = Command::new("sh");
            util::Outcome::of(
                sh.args(["-c", &script(blocks)]).current_dir(dir.path("")).output().unwrap(),
            )
        };
        call(8).refused(1, &[output]);
        call(8).refused(1, &[output]);
        dir.call(&run("in.zarr", output, &[])).done();
        assert!(voxels(&dir.path(output)).bytes() == whole.bytes());
    }
    let small = dir.path("small");
    fs::create_dir(&small).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=160k", "tmpfs"])
        .arg(&small)
        .output();
    if !mount.is_ok_and(|o| o.status.success()) {
        eprintln!("skipped: a small tmpfs needs the right to mount one");
        return;
    }
    let results = ["small/out.zarr", "small/out.npy"].map(|output| {
        let full = dir.call(&run("in.zarr", output, &["--workers", "1", "--retries", "1"]));
        let status = dir.call(&["status", output]);
        let remount = |size: &str| {
            Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&small).status()
        };
        remount("8m").unwrap();
        let then = dir.call(&run("in.zarr", output, &[]));
        let same = then.code == Some(0) && voxels(&dir.path(output)).bytes() == whole.bytes();
        fs::remove_dir_all(dir.path(output))
            .or_else(|_| fs::remove_file(dir.path(output)))
            .unwrap();
        remount("160k").unwrap();
        (full, status, then, same)
    });
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    for (full, status, then, same) in results {
        full.refused(1, &["No space left", "small/out"]);
        assert!(status.done().stdout.contains("unfinished"));
        assert!(then.done().stdout.contains("were done before"));
        assert!(same);
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    input(&dir);
    let folder = dir.path("fixed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(folder.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    for output in ["fixed/out.zarr", "fixed/out.npy"] {
        dir.call(&run("in.zarr", output, &[])).refused(1, &[output, "ermission denied"]);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

/// A complete output is believed no more than an unfinished one: what its files, and the input's, tell
/// without being read is looked at before nothing is done.
#[test]
fn a_complete_output_is_looked_at() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    for output in ["out.zarr", "out.npy"] {
        let again = || dir.call(&run("in.zarr", output, &[])).done().stdout;
        again();
        assert!(again().contains("already complete"));
        // A record of the journal: its chunk is computed again.
        let journal = dir.path(&format!("{output}.volchunk/0.journal"));
        let mut bytes = fs::read(&journal).unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        fs::write(&journal, bytes).unwrap();
        assert_eq!(status(&dir, output)["missing"], 1);
        assert!(again().contains("26 chunks were done before"));
        if output == "out.zarr" {
            fs::remove_file(dir.path(output).join("0/c/1/1/1")).unwrap();
            let cut = dir.path(output).join("0/c/2/0/0");
            fs::File::options().write(true).open(cut).unwrap().set_len(9).unwrap();
            let found = status(&dir, output);
            assert_eq!((&found["complete"], &found["missing"]), (&true.into(), &2.into()));
            assert_eq!(found["lost"], "chunk [1, 1, 1] at [8:16, 16:32, 16:32]");
            let text = again();
            assert!(text.contains("25 chunks were done before, and stand. 2 that"), "{text}");
            assert_eq!(status(&dir, output)["lost"], Value::Null);
        }
        // A storage chunk of the input, rewritten in place.
        let (target, good) = (stored(&dir, "2/2/2"), fs::read(stored(&dir, "2/2/2")).unwrap());
        fs::write(&target, fs::read(stored(&dir, "0/1/1")).unwrap()).unwrap();
        let found = dir.call(&["verify", output]).refused(1, &["the input of 8 chunks changed"]);
        let says =
            "CHANGED since the output was made: the input of 8 chunks changed, the first [1, 1, 1]";
        assert!(found.stdout.contains(says), "{}", found.stdout);
        let text = again();
        assert!(text.contains("8 that were done were computed anew: their input"), "{text}");
        dir.call(&["verify", output]).done();
        fs::write(&target, good).unwrap();
        again();
        assert!(voxels(&dir.path(output)).bytes() == voxels(&dir.path("whole.npy")).bytes());
    }
}

#[test]
fn a_complete_pyramid_or_table_is_looked_at() {
    let dir = Dir::new();
    dir.volume("flat.npy", &[8, 300, 300]);
    dir.call(&["convert", "flat.npy", "in.zarr", "--chunk", "8,100,100"]).done();
    let pyramid = ["convert", "in.zarr", "p.zarr", "--pyramid", "--chunk", "8,100,100"];
    dir.call(&pyramid).done();
    assert!(dir.call(&pyramid).done().stdout.contains("already complete"));
    let coarse = dir.path("p.zarr/1/c/0/0/0");
    let before = fs::read(&coarse).unwrap();
    fs::remove_file(&coarse).unwrap();
    let lost = status(&dir, "p.zarr");
    assert!(lost["lost"].as_str().unwrap().contains("of level 1"), "{lost}");
    dir.call(&pyramid).done();
    assert!(fs::read(&coarse).unwrap() == before);
    assert!(dir.call(&pyramid).done().stdout.contains("already complete"));
    let ops = "log:min-sigma=1:max-sigma=2:num-sigma=2:threshold=0.01";
    let table = ["run", "in.zarr", "cells.csv", "--op", ops, "--chunk", "8,100,100"];
    dir.call(&table).done();
    assert!(dir.call(&table).done().stdout.contains("already complete"));
    fs::copy(dir.path("in.zarr/0/c/0/0/0"), dir.path("in.zarr/0/c/0/2/2")).unwrap();
    let text = dir.call(&table).done().stdout;
    assert!(text.contains("were computed anew: their input has changed"), "{text}");
    let whole = ["run", "in.zarr", "whole.csv", "--op", ops];
    dir.call(&whole).done();
    let of = |name: &str| fs::read(dir.path(name)).unwrap();
    assert!(of("cells.csv") == of("whole.csv"));
    fs::OpenOptions::new().write(true).open(dir.path("cells.csv")).unwrap().set_len(70).unwrap();
    dir.call(&table).refused(1, &["cells.csv", "not as long as it was written", "--force"]);
    assert!(status(&dir, "cells.csv")["lost"].as_str().unwrap().contains("the table"));
    dir.call(&[&table[..], &["--check"]].concat()).done();
    assert!(of("cells.csv") == of("whole.csv"));
    assert!(dir.call(&table).done().stdout.contains("already complete"));
}

/// A repair that is stopped must not leave what only looks whole: neither by itself, nor in parts.
#[test]
fn a_file_that_lost_its_end_is_not_made_long_again() {
    let dir = Dir::new();
    input(&dir);
    let cut = |name: &str| {
        let file = fs::File::options().write(true).open(dir.path(name)).unwrap();
        file.set_len(20_000).unwrap();
    };
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    let part = |k| dir.call(&run("in.zarr", "p.npy", &["--part", k, "-q"]));
    ["0/2", "1/2"].into_iter().for_each(|k| drop(part(k).done()));
    cut("p.npy.partial");
    part("0/2").refused(1, &["p.npy.partial", "its end was cut off", "p.npy.volchunk"]);
    dir.call(&["finish", "p.npy"]).refused(1, &["p.npy.partial", "its end was cut off"]);
    fs::remove_file(dir.path("p.npy.partial")).unwrap();
    fs::remove_dir_all(dir.path("p.npy.volchunk")).unwrap();
    part("0/2").done();
    dir.call(&["finish", "p.npy"]).refused(1, &["part 1/2 was not begun"]);
    part("1/2").done();
    dir.call(&["finish", "p.npy"]).done();
    for (name, complete) in [("p.npy", true), ("q.npy", false)] {
        if !complete {
            interrupted(&dir, name);
            cut("q.npy.partial");
        } else {
            cut(name);
            dir.call(&["finish", name]).refused(1, &["no more as it was made"]);
            fs::remove_dir_all(dir.path("p.npy.volchunk")).unwrap();
            fs::remove_file(dir.path(name)).unwrap();
            dir.call(&run("in.zarr", name, &[])).done();
            cut(name);
        }
        dir.call(&run("in.zarr", name, &[])).done();
        assert!(voxels(&dir.path(name)).bytes() == voxels(&dir.path("whole.npy")).bytes());
    }
}

/// Killed between making the file and giving it its length: a part goes on, for nothing was written.
#[test]
fn a_part_goes_on_with_a_file_that_has_no_length_yet() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    let first = stored(&dir, "0/0/0");
    let good = fs::read(&first).unwrap();
    fs::write(&first, &good[1..]).unwrap();
    let part = |k| dir.call(&run("in.zarr", "p.npy", &["--part", k, "-q", "--workers", "1"]));
    part("0/2").refused(1, &["(0, 0, 0)"]);
    fs::write(&first, &good).unwrap();
    assert_eq!(status(&dir, "p.npy")["done"], 0);
    fs::File::create(dir.path("p.npy.partial")).unwrap();
    ["0/2", "1/2"].into_iter().for_each(|k| drop(part(k).done()));
    dir.call(&["finish", "p.npy"]).done();
    assert!(voxels(&dir.path("p.npy")).bytes() == voxels(&dir.path("whole.npy")).bytes());
}

/// Planes in a folder are files of their own: one that is written anew costs the chunks that read it.
#[test]
fn a_plane_that_changes_costs_its_chunks() {
    let dir = Dir::new();
    dir.volume("flat.npy", &[24, 48, 48]);
    fs::create_dir(dir.path("planes")).unwrap();
    for z in 0..24 {
        let (roi, plane) = (format!("{z}:{},:,:", z + 1), format!("planes/{z:02}.tif"));
        dir.call(&["run", "flat.npy", &plane, "--roi", &roi]).done();
        fs::remove_dir_all(dir.path(&format!("{plane}.volchunk"))).unwrap();
    }
    let again = || dir.call(&run("planes", "out.npy", &[])).done().stdout;
    let made = again();
    assert!(made.contains("in 27 chunks"), "{made}");
    assert!(again().contains("already complete"));
    fs::copy(dir.path("planes/03.tif"), dir.path("planes/23.tif")).unwrap();
    let text = again();
    assert!(text.contains("9 that were done were computed anew: their input"), "{text}");
    dir.call(&run("planes", "whole.npy", &[])).done();
    assert!(voxels(&dir.path("out.npy")).bytes() == voxels(&dir.path("whole.npy")).bytes());
}

/// Metadata that is lost is written anew, and what was written under it stands.
#[test]
fn a_zarr_that_lost_its_metadata_goes_on() {
    let dir = Dir::new();
    input(&dir);
    dir.call(&run("in.zarr", "whole.npy", &[])).done();
    for (place, half) in [("zarr.json", true), ("zarr.json", false), ("0/zarr.json", false)] {
        for damage in ["", "{\"zarr_format\": ", "gone"] {
            match half {
                true => drop(interrupted(&dir, "out.zarr")),
                false => drop(dir.call(&run("in.zarr", "out.zarr", &[])).done()),
            }
            let file = dir.path("out.zarr").join(place);
            match damage {
                "gone" => fs::remove_file(&file).unwrap(),
                text => fs::write(&file, text).unwrap(),
            }
            let stand = if half { "19 chunks were done" } else { "27 chunks were done" };
            let text = dir.call(&run("in.zarr", "out.zarr", &[])).done().stdout;
            assert!(text.contains(stand), "{place} '{damage}': {text}");
            assert!(
                voxels(&dir.path("out.zarr")).bytes() == voxels(&dir.path("whole.npy")).bytes()
            );
            fs::write(&file, "").unwrap();
            dir.call(&run("in.zarr", "out.zarr", &["--force"])).done();
            assert!(
                voxels(&dir.path("out.zarr")).bytes() == voxels(&dir.path("whole.npy")).bytes()
            );
            fs::remove_dir_all(dir.path("out.zarr")).unwrap();
        }
    }
    // A folder of anything else is not volchunk's, journal or not.
    dir.call(&run("in.zarr", "out.zarr", &[])).done();
    fs::remove_file(dir.path("out.zarr/zarr.json")).unwrap();
    fs::write(dir.path("out.zarr/notes.txt"), "mine").unwrap();
    for more in [&[][..], &["--force"]] {
        dir.call(&run("in.zarr", "out.zarr", more))
            .refused(if more.is_empty() { 1 } else { 2 }, &["out.zarr"]);
    }
    assert_eq!(fs::read_to_string(dir.path("out.zarr/notes.txt")).unwrap(), "mine");
}

/// A file that is a volume of another shape is its user's; one that is none any more is made anew.
#[test]
fn a_complete_file_that_was_altered_is_not_believed() {
    let dir = Dir::new();
    input(&dir);
    for output in ["out.npy", "out.tif"] {
        dir.call(&run("in.zarr", output, &[])).done();
        let good = voxels(&dir.path(output));
        let length = fs::metadata(dir.path(output)).unwrap().len();
        fs::write(dir.path(output), vec![0; length as usize]).unwrap();
        dir.call(&run("in.zarr", output, &[])).done();
        assert!(voxels(&dir.path(output)).bytes() == good.bytes(), "{output}");
        // Neither a volume nor what is left of one: somebody else's.
        fs::write(dir.path(output), "notes of mine").unwrap();
        dir.call(&run("in.zarr", output, &[])).refused(1, &[output, "was altered", "--force"]);
        assert_eq!(fs::read_to_string(dir.path(output)).unwrap(), "notes of mine");
        let small = format!("small-{output}");
        dir.call(&["run", "flat.npy", &small, "--roi", "0:9,:,:"]).done();
        fs::rename(dir.path(&small), dir.path(output)).unwrap();
        dir.call(&run("in.zarr", output, &[])).refused(1, &[output, "9 × 48 × 48", "--force"]);
        dir.call(&["finish", output]).refused(1, &[output, "was altered"]);
        dir.call(&run("in.zarr", output, &["--force"])).done();
    }
    // TIFF has no bool.
    dir.call(&["run", "in.zarr", "b.tif", "--op", "cast:dtype=bool"]).done();
    let again = dir.call(&["run", "in.zarr", "b.tif", "--op", "cast:dtype=bool"]).done().stdout;
    assert!(again.contains("already complete"), "{again}");
    // What the job was, its journal tells too.
    for name in ["out.npy", "cells.csv"] {
        let detect = ["detect", "in.zarr", name, "--min-sigma", "1", "--max-sigma", "2"];
        let again = if name == "cells.csv" { detect.to_vec() } else { run("in.zarr", name, &[]) };
        dir.call(&again).done();
        fs::write(dir.path(&format!("{name}.volchunk/job.json")), "").unwrap();
        assert!(dir.call(&again).done().stdout.contains("already complete"), "{name}");
    }
    fs::remove_file(dir.path("cells.csv.volchunk/table.xxh3")).unwrap();
    let again = ["detect", "in.zarr", "cells.csv", "--min-sigma", "1", "--max-sigma", "2"];
    dir.call(&again).refused(1, &["cells.csv", "not as long", "--force"]);
    dir.call(&["finish", "flat.npy"]).refused(1, &["flat.npy", "not made by volchunk"]);
    dir.call(&["finish", "whole.npy"]).refused(1, &["whole.npy"]);
}

/// How it is stored was asked once: the same command without asking goes on with that.
#[test]
fn the_storage_that_was_begun_is_gone_on_with() {
    let dir = Dir::new();
    input(&dir);
    for more in
        [&["--storage-chunk", "4,8,8"][..], &["--storage-chunk", "4,4,4", "--shard", "8,16,16"]]
    {
        let _ = fs::remove_dir_all(dir.path("out.zarr"));
        let _ = fs::remove_dir_all(dir.path("out.zarr.volchunk"));
        dir.call(&run("in.zarr", "out.zarr", more)).done();
        let lost = dir.path("out.zarr/0/c/1/1/1");
        let good = fs::read(&lost).unwrap();
        fs::remove_file(&lost).unwrap();
        let text = dir.call(&run("in.zarr", "out.zarr", &[])).done().stdout;
        assert!(text.contains("1 that were done were computed anew"), "{text}");
        assert!(fs::read(&lost).unwrap() == good);
    }
}

/// What is found damaged when a table is made is found again by the same command.
#[test]
fn a_damaged_spool_is_no_dead_end() {
    let dir = Dir::new();
    input(&dir);
    let detect = |name: &'static str, more: &[&'static str]| {
        let args = ["detect", "in.zarr", name, "--min-sigma", "1", "--max-sigma", "2"];
        let rest = ["--threshold", "0.001", "--chunk", "8,16,16", "-q"];
        dir.call(&[&args[..], &rest, more].concat())
    };
    detect("whole.csv", &[]).done();
    let flip = |spool: &str| {
        let path = dir.path(spool);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 4;
        fs::write(path, bytes).unwrap();
    };
    let whole = fs::read(dir.path("whole.csv")).unwrap();
    // All found, and the table not made yet.
    detect("out.csv", &[]).done();
    fs::rename(dir.path("out.csv"), dir.path("out.csv.partial")).unwrap();
    flip("out.csv.volchunk/0.spool");
    let error = detect("out.csv", &[]).refused(1, &["damaged", "the same command goes on"]);
    assert!(error.stderr.contains("1 chunks"), "{}", error.stderr);
    detect("out.csv", &[]).done();
    assert!(fs::read(dir.path("out.csv")).unwrap() == whole);

    ["0/2", "1/2"].into_iter().for_each(|part| drop(detect("parts.csv", &["--part", part]).done()));
    flip("parts.csv.volchunk/part-1-of-2.spool");
    dir.call(&["finish", "parts.csv"]).refused(1, &["damaged", "each part's own command"]);
    dir.call(&["finish", "parts.csv"]).refused(1, &["part 1/2 lacks 1 of"]);
    detect("parts.csv", &["--part", "1/2"]).done();
    dir.call(&["finish", "parts.csv"]).done();
    assert!(fs::read(dir.path("parts.csv")).unwrap() == whole);
}
