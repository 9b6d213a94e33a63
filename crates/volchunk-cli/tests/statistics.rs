//! Percentiles of the whole volume: found once, kept with the job, the same for any region.

#![allow(clippy::unwrap_used)]

mod util;

use std::fs;

use util::{Dir, voxels};

const OP: &str = "percentile:low=2:high=98";

fn run<'a>(output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", "in.npy", output, "--op", "gaussian:sigma=1", "--op", OP], more].concat()
}

#[test]
fn plan_says_that_there_are_passes_and_the_run_what_they_found() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 30, 40]);
    let plan = |more: &[&str]| {
        dir.call(&[&["plan", "in.npy", "out.npy", "--op", OP], more].concat()).done().stdout
    };
    assert!(plan(&[]).contains("passes         over the whole volume"), "{}", plan(&[]));
    let json: serde_json::Value = serde_json::from_str(&plan(&["--json"])).unwrap();
    assert_eq!(json["passes_for"].as_array().unwrap().len(), 1);
    assert!(!dir.path("out.npy").exists());
    let said = dir.call(&run("out.npy", &[])).done().stdout;
    assert!(
        said.starts_with("Found in the whole volume: percentile:low=2:high=98:min=0:max=1:found=")
    );
    let quiet = dir.call(&run("quiet.npy", &["-q"])).done().stdout;
    assert_eq!(quiet, "");
}

#[test]
fn what_was_found_is_part_of_the_job() {
    let dir = Dir::new();
    dir.volume("in.npy", &[24, 48, 48]);
    for output in ["out.npy", "out.zarr"] {
        dir.call(&run(output, &["--chunk", "8,16,16"])).done();
        let again = dir.call(&run(output, &[])).done().stdout;
        assert!(again.contains("already complete") && !again.contains("Found"), "{again}");
        // Computed anew from what was recorded, on a shifted grid.
        let found = dir.call(&["verify", output, "--json"]).done().stdout;
        assert!(!found.contains("have not been found"), "{found}");
        let other = ["run", "in.npy", output, "--op", "percentile:low=3:high=98"];
        dir.call(&other).refused(1, &["another job made it", "found=", "percentile:low=3"]);
    }
}

#[test]
fn parts_and_jobs_find_the_same() {
    let dir = Dir::new();
    dir.volume("in.npy", &[24, 48, 48]);
    dir.call(&run("whole.npy", &["--chunk", "8,16,16"])).done();
    let part = |part: &'static str| run("parts.npy", &["--chunk", "8,16,16", "--part", part]);
    let first = dir.call(&part("0/2")).done().stdout;
    assert!(first.contains("Found in the whole volume"), "{first}");
    // The second goes by the journal of the first.
    let second = dir.call(&part("1/2")).done().stdout;
    assert!(!second.contains("Found in the whole volume"), "{second}");
    dir.call(&["finish", "parts.npy"]).done();
    let expected = voxels(&dir.path("whole.npy"));
    assert_eq!(voxels(&dir.path("parts.npy")).bytes(), expected.bytes());

    let ops = ["--op", "gaussian:sigma=1", "--op", OP, "--write-job", "job.json"];
    dir.call(&[&["plan", "in.npy", "job.npy"], &ops[..]].concat()).done();
    dir.call(&["run", "--job", "job.json"]).done();
    assert_eq!(voxels(&dir.path("job.npy")).bytes(), expected.bytes());
}

#[test]
fn a_changed_input_is_another_job() {
    let dir = Dir::new();
    dir.volume("in.npy", &[24, 48, 48]);
    dir.call(&run("out.npy", &[])).done();
    fs::remove_file(dir.path("in.npy")).unwrap();
    dir.volume("in.npy", &[24, 48, 49]);
    dir.call(&run("out.npy", &[])).refused(1, &["in.npy", "changed since it was made"]);
    let said = dir.call(&run("out.npy", &["--force"])).done().stdout;
    assert!(said.contains("Found in the whole volume"), "{said}");
}

#[test]
fn presets_are_ops() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 40, 40]);
    let base = ["run", "in.npy", "out.npy", "--preset", "magellan"];
    dir.call(&base).refused(2, &["--voxel-size", "local-percentile"]);
    let more = ["--voxel-size", "5,2,2", "--chunk", "9,17,20"];
    let said = dir.call(&[&base[..], &more].concat()).done().stdout;
    assert!(said.contains("floor=0.5:found="), "{said}");
    dir.call(&["run", "in.npy", "whole.npy", "--preset", "magellan", "--voxel-size", "5,2,2"])
        .done();
    assert_eq!(voxels(&dir.path("out.npy")).bytes(), voxels(&dir.path("whole.npy")).bytes());
    dir.call(&["plan", "in.npy", "x.npy", "--preset", "magelan"]).refused(2, &["magellan"]);
}

/// A storage chunk that is written anew in place changes what is found in the whole volume, and with it
/// every chunk of the result.
#[test]
fn what_was_found_is_not_taken_from_another_volume() {
    let dir = Dir::new();
    dir.volume("flat.npy", &[24, 48, 48]);
    dir.call(&["convert", "flat.npy", "in.zarr", "--chunk", "8,16,16"]).done();
    let run = ["run", "in.zarr", "out.npy", "--op", "percentile:low=1:high=99"];
    dir.call(&run).done();
    assert!(dir.call(&run).done().stdout.contains("already complete"));
    let (here, there) = (dir.path("in.zarr/0/c/0/1/1"), dir.path("in.zarr/0/c/2/2/2"));
    fs::copy(here, there).unwrap();
    dir.call(&run).refused(1, &["in.zarr", "changed since it was made", "--force"]);
    // Nor by the job that recorded it, nor by who puts parts together.
    let job = ["run", "--job", "out.npy.volchunk/job.json"];
    dir.call(&job).refused(1, &["in.zarr", "changed since it was made"]);
    dir.call(&["verify", "out.npy"]).refused(1, &["in.zarr", "changed since it was made"]);
    let run = [&run[..2], &["parts.npy"], &run[3..]].concat();
    for part in ["0/2", "1/2"] {
        dir.call(&[&run[..], &["--part", part]].concat()).done();
    }
    fs::copy(dir.path("in.zarr/0/c/1/1/1"), dir.path("in.zarr/0/c/2/2/2")).unwrap();
    dir.call(&["finish", "parts.npy"]).refused(1, &["in.zarr", "changed since it was begun"]);
}
