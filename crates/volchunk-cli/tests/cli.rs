//! The commands, called as a user calls them.

#![allow(clippy::unwrap_used, clippy::panic)]

mod util;

use serde_json::Value;
use util::{Dir, Outcome, voxels};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn info_says_what_a_volume_is() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    let text = dir.call(&["info", "in.npy"]).done().stdout;
    for part in ["4 × 5 × 6 (zyx)", "uint16", "120 voxels", "z unknown", "--voxel-size"] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    let args = ["info", "in.npy", "--json", "--axes", "tyx", "--voxel-size", "2,3"];
    let value = json(&dir.call(&args).done().stdout);
    assert_eq!(value["shape"], serde_json::json!([4, 5, 6]));
    assert_eq!(value["axes"][0]["kind"], "time");
    assert_eq!(value["voxel_size_um"], serde_json::json!([2.0, 3.0]));
}

#[test]
fn chunked_is_whole_in_every_format() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 30, 40]);
    let op = ["--op", "gaussian:sigma=1,2,1.5:boundary=mirror", "--op", "multiply:value=3"];
    let call = |output: &str, chunk: &str| {
        let mut args = vec!["run", "in.npy", output, "--chunk", chunk, "--quiet"];
        args.extend(op);
        let outcome = dir.call(&args).done();
        assert_eq!(outcome.stdout + &outcome.stderr, "");
        voxels(&dir.path(output))
    };
    let whole = call("whole.npy", "64");
    for (k, chunk) in ["7,11,40", "20,30,40", "1,64,8"].iter().enumerate() {
        for ending in ["zarr", "npy", "tif"] {
            let chunked = call(&format!("{k}.{ending}"), chunk);
            assert_eq!(chunked.shape(), whole.shape());
            assert!(chunked.bytes() == whole.bytes(), "{ending} in chunks of {chunk}");
        }
    }
}

#[test]
fn a_region_is_the_crop_of_the_whole() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 30, 40]);
    let op = ["--op", "gaussian:sigma=2", "--voxel-size", "5,2,2", "-q"];
    dir.call(&[&["run", "in.npy", "whole.npy"], &op[..]].concat()).done();
    let roi = ["--roi", "3:17,:20,10:", "--chunk", "6"];
    dir.call(&[&["run", "in.npy", "roi.zarr"], &op[..], &roi].concat()).done();
    let whole = voxels(&dir.path("whole.npy"));
    let region = volchunk::Region::new([3, 0, 10], [14, 20, 30]);
    let mut crop = volchunk::Buffer::zeros(region.shape(), whole.dtype());
    crop.view_mut().copy_from(&whole.view().part(&region));
    assert!(voxels(&dir.path("roi.zarr")).bytes() == crop.bytes());
    let info = json(&dir.call(&["info", "roi.zarr", "--json"]).done().stdout);
    let origins: Vec<&Value> = (0..3).map(|a| &info["axes"][a]["origin"]).collect();
    assert_eq!(
        origins,
        [&serde_json::json!(15.0), &serde_json::json!(0.0), &serde_json::json!(20.0)]
    );
}

#[test]
fn a_job_file_runs_as_its_plan() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 30, 40]);
    let args = ["plan", "in.npy", "out.zarr", "--op", "gaussian:sigma=1", "--roi", ":,5:,:"];
    let text = dir.call(&[&args[..], &["--write-job", "job.json"]].concat()).done().stdout;
    for part in ["chunks", "workers", "peak memory", "halo overhead", "storage chunks", "job.json"]
    {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
    assert_eq!(dir.names(), ["in.npy", "job.json"], "a plan writes nothing else");
    let plan = json(&dir.call(&[&args[..], &["--json"]].concat()).done().stdout);
    let job = json(&std::fs::read_to_string(dir.path("job.json")).unwrap());
    assert_eq!(job["volchunk_job"], 1);
    assert_eq!(job["ops"], serde_json::json!(["gaussian:sigma=1:boundary=reflect"]));
    assert_eq!(job["chunk"], plan["chunk"]);
    assert!(job["storage_chunk"].is_array());
    dir.call(&["run", "--job", "job.json"]).done();
    // The same job by flags is already done.
    let again = dir.call(&[&["run"], &args[1..]].concat()).done();
    assert!(again.stdout.contains("already complete"), "{}", again.stdout);
    // The job of an output is a job file too.
    dir.call(&["run", "in.npy", "flat.npy", "--op", "clip:max=9"]).done();
    let again = dir.call(&["run", "--job", "flat.npy.volchunk/job.json"]).done();
    assert!(again.stdout.contains("already complete"), "{}", again.stdout);
}

#[test]
fn a_job_of_another_form_is_refused() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    let good = r#"{"volchunk_job": 1, "input": "in.npy", "ops": [], "output": "out.npy"}"#;
    for (from, to, words) in [
        ("1,", "2,", ["version 2", "newer"]),
        ("1,", "\"x\",", ["version", "legal: 1"]),
        ("volchunk_job", "job", ["volchunk_job", "missing"]),
        ("\"ops\"", "\"opts\"", ["unknown field", "opts"]),
        ("\"input\": \"in.npy\",", "", ["missing field", "input"]),
        ("}", "", ["EOF", "job.json"]),
        ("[]", "[\"blur\"]", ["unknown op", "gaussian"]),
        ("[],", "[], \"chunk\": [0],", ["chunk 0", "at least 1"]),
    ] {
        std::fs::write(dir.path("job.json"), good.replacen(from, to, 1)).unwrap();
        let outcome = dir.call(&["run", "--job", "job.json"]);
        let code = outcome.code.unwrap();
        assert!(code == 1 || code == 2, "{to}: {code}");
        outcome.refused(code, &words).refused(code, &["--job job.json"]);
        assert_eq!(dir.names(), ["in.npy", "job.json"]);
    }
    std::fs::write(dir.path("job.json"), good).unwrap();
    dir.call(&["run", "--job", "job.json"]).done();
    dir.call(&["run", "--job", "job.json", "--op", "clip:max=1"]).refused(2, &["--job", "--op"]);
    dir.call(&["run", "--job", "none.json"]).refused(1, &["none.json"]);
}

#[test]
fn an_output_is_replaced_only_by_force() {
    let dir = Dir::new();
    dir.volume("in.npy", &[8, 9, 10]);
    for output in ["out.zarr", "out.npy", "out.tif"] {
        let run = |op: &str, more: &[&str]| {
            dir.call(&[&["run", "in.npy", output, "--op", op], more].concat())
        };
        run("clip:max=100", &[]).done();
        let first = voxels(&dir.path(output));
        assert!(run("clip:max=100", &[]).done().stdout.contains("already complete"));
        // Chunks are no part of what an output is.
        assert!(run("clip:max=100", &["--chunk", "3"]).done().stdout.contains("already complete"));
        run("clip:max=50", &[]).refused(1, &[output, "another job", "--force"]);
        assert!(voxels(&dir.path(output)).bytes() == first.bytes());
        run("clip:max=50", &["--force"]).done();
        assert_eq!(voxels(&dir.path(output)).as_slice::<u16>().iter().max(), Some(&50));
    }
    dir.volume("other.npy", &[3]);
    let args = ["run", "in.npy", "other.npy"];
    dir.call(&args).refused(1, &["other.npy", "says nothing of the job"]);
}

#[test]
fn an_unfinished_output_says_so() {
    let dir = Dir::new();
    dir.volume("in.npy", &[8, 9, 10]);
    dir.call(&["run", "in.npy", "out.zarr"]).done();
    let root = dir.path("out.zarr").join("zarr.json");
    let text = std::fs::read_to_string(&root).unwrap();
    assert_eq!(json(&text)["attributes"]["volchunk"]["complete"], true);
    let mut unfinished = json(&text);
    unfinished["attributes"]["volchunk"]["complete"] = false.into();
    std::fs::write(&root, unfinished.to_string()).unwrap();
    // With its journal it is gone on with; without, nothing tells what of it is done.
    let again = dir.call(&["run", "in.npy", "out.zarr"]).done().stdout;
    assert!(again.contains("complete") && again.contains("1 chunks were done before"), "{again}");
    std::fs::write(&root, unfinished.to_string()).unwrap();
    std::fs::remove_dir_all(dir.path("out.zarr.volchunk")).unwrap();
    dir.call(&["run", "in.npy", "out.zarr"]).refused(1, &["out.zarr", "unfinished", "--force"]);
    dir.call(&["run", "in.npy", "out.zarr", "--force"]).done();
    std::fs::write(dir.path("out.npy.partial"), "x").unwrap();
    dir.call(&["run", "in.npy", "out.npy"]).refused(1, &["out.npy", "unfinished", "--force"]);
    dir.call(&["run", "in.npy", "out.npy", "--force"]).done();
    assert!(!dir.path("out.npy.partial").exists());
}

#[test]
fn a_pyramid_halves_to_its_coarsest() {
    let dir = Dir::new();
    dir.volume("in.npy", &[3, 600, 300]);
    let args = ["convert", "in.npy", "out.zarr", "--pyramid", "--voxel-size", "5,2,2"];
    let text = dir.call(&args).done().stdout;
    assert!(text.contains("3 levels, the coarsest 1 × 150 × 75"), "{text}");
    assert!(dir.call(&args).done().stdout.contains("already complete"));
    dir.call(&["run", "in.npy", "half.npy", "--op", "downsample:factor=2"]).done();
    dir.call(&["run", "half.npy", "quarter.npy", "--op", "downsample:factor=2"]).done();
    for (level, same) in [("0", "in.npy"), ("1", "half.npy"), ("2", "quarter.npy")] {
        let level = voxels(&dir.path("out.zarr").join(level));
        assert!(level.bytes() == voxels(&dir.path(same)).bytes(), "{same}");
    }
    dir.call(&["convert", "in.npy", "out.tif", "--pyramid"]).refused(2, &["--pyramid", ".zarr"]);
}

#[test]
fn a_job_file_may_ask_for_levels() {
    let dir = Dir::new();
    dir.volume("in.npy", &[3, 600, 300]);
    let job = r#"{"volchunk_job": 1, "input": "in.npy", "ops": ["clip:max=9000"],
        "pyramid": true, "output": "out.zarr"}"#;
    std::fs::write(dir.path("job.json"), job).unwrap();
    let text = dir.call(&["run", "--job", "job.json"]).done().stdout;
    // 3·600·300 + 2·300·150 + 1·150·75, the levels together.
    assert!(text.contains("3 levels") && text.contains("641,250 voxels"), "{text}");
    assert_eq!(voxels(&dir.path("out.zarr/2")).shape(), [1, 150, 75]);
    let again = dir.call(&["run", "--job", "job.json"]).done().stdout;
    assert!(again.contains("already complete"), "{again}");
    std::fs::write(dir.path("job.json"), job.replace(".zarr", ".tif")).unwrap();
    dir.call(&["run", "--job", "job.json"]).refused(2, &["job.json", "levels", ".zarr"]);
}

#[test]
fn a_changed_input_is_not_already_complete() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    dir.volume("in.zarr", &[4, 5, 6]);
    std::fs::create_dir(dir.path("planes")).unwrap();
    dir.volume("planes/0.tif", &[5, 6]);
    dir.volume("planes/1.tif", &[5, 6]);
    for (k, input) in ["in.npy", "in.zarr", "planes"].iter().enumerate() {
        for ending in ["zarr", "tif"] {
            let output = format!("{k}.{ending}");
            dir.call(&["run", input, &output]).done();
            let again = dir.call(&["run", input, &output]).done().stdout;
            assert!(again.contains("already complete"), "{again}");
        }
    }
    for (k, input, changed) in
        [("0", "in.npy", "in.npy"), ("1", "in.zarr", "in.zarr"), ("2", "planes", "planes/1.tif")]
    {
        // The same shape and size, written anew.
        let place = dir.path(changed);
        match place.is_dir() {
            true => std::fs::remove_dir_all(&place).unwrap(),
            false => std::fs::remove_file(&place).unwrap(),
        }
        let shape: &[u64] = if input == "planes" { &[5, 6] } else { &[4, 5, 6] };
        dir.volume(changed, shape);
        for ending in ["zarr", "tif"] {
            let output = format!("{k}.{ending}");
            let again = dir.call(&["run", input, &output]);
            if input == "planes" {
                // A plane is a file of its own: what reads it is computed again.
                assert!(again.done().stdout.contains("their input has changed"));
            } else {
                again.refused(1, &["complete", "the input", input, "changed", "--force"]);
                dir.call(&["run", input, &output, "--force"]).done();
            }
            let again = dir.call(&["run", input, &output]).done().stdout;
            assert!(again.contains("already complete"), "{again}");
        }
    }
}

#[test]
fn a_plain_zarr_is_told() {
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    let text = dir.call(&["run", "in.npy", "o.zarr", "--op", "transpose:axes=xyz"]).done().stdout;
    // Spatial axes may come in any order.
    assert!(text.contains("OME-Zarr 0.5") && !text.contains("plain Zarr"), "{text}");
    let args = ["convert", "in.npy", "plain.zarr", "--axes", "ytx"];
    let text = dir.call(&args).done().stdout;
    assert!(text.contains("plain Zarr") && text.contains("(ytx)"), "{text}");
}

#[test]
fn the_summary_says_what_was_done() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 30, 40]);
    let text = dir.call(&["run", "in.npy", "o.zarr", "--op", "gaussian:sigma=1"]).done().stdout;
    for part in ["24,000 voxels", "voxels/s", "projected", "o.zarr", "float32", "OME-Zarr 0.5"] {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

#[test]
fn help_is_complete() {
    let dir = Dir::new();
    let text = dir.call(&["--help"]).done().stdout;
    for command in
        ["info", "plan", "run", "convert", "status", "finish", "demo", "Examples", "Exit codes"]
    {
        assert!(text.contains(command), "{command}");
    }
    let text = dir.call(&["run", "--help"]).done().stdout;
    for flag in ["--op", "--chunk", "--storage-chunk", "--shard", "--memory", "--workers", "--roi"]
        .iter()
        .chain(&["--axes", "--voxel-size", "--job", "--force", "--quiet", "gaussian:sigma="])
        .chain(&["--check", "--retries", "--keep-going", "--part", "--durable"])
    {
        assert!(text.contains(flag), "{flag}");
    }
    dir.call(&["--version"]).done();
}

#[cfg(unix)]
#[test]
fn a_reader_that_leaves_is_no_failure() {
    use std::process::Stdio;
    let dir = Dir::new();
    dir.volume("in.npy", &[4, 5, 6]);
    let mut child = dir
        .command(&["info", "in.npy"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let outcome = Outcome::of(child.wait_with_output().unwrap()).done();
    assert_eq!(outcome.stderr, "");
}

/// Large enough that the signal finds it at work: seconds of filtering.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_and_leaves_nothing_that_looks_complete() {
    use std::{
        process::{Command, Stdio},
        time::{Duration, Instant},
    };
    let dir = Dir::new();
    dir.volume("in.npy", &[120, 256, 256]);
    for (output, begun) in [("out.zarr", "out.zarr/zarr.json"), ("out.npy", "out.npy.partial")] {
        let args = ["run", "in.npy", output, "--op", "gaussian:sigma=12", "--chunk", "12"];
        let mut child = dir.command(&args);
        let child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while !dir.path(begun).exists() && started.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Meanwhile nobody else may write there, with --force either.
        dir.call(&["run", "in.npy", output, "--op", "clip:min=1", "--force"])
            .refused(1, &["another process is writing", output]);
        let id = child.id().to_string();
        let status = dir.call(&["status", output]).done().stdout;
        for part in ["unfinished", &format!("process {id}"), "of 4840 done", "missing"] {
            assert!(status.replace(',', "").contains(part), "'{part}' is not in: {status}");
        }
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        let sent = Instant::now();
        let outcome = Outcome::of(child.wait_with_output().unwrap());
        assert!(sent.elapsed() < Duration::from_secs(20), "{:?}", sent.elapsed());
        outcome.refused(130, &["stopped", output, "unfinished", "--force"]);
        assert_eq!(dir.call(&["info", "out.npy"]).code, Some(1), "no file of that name");
        dir.call(&["run", "in.npy", output])
            .refused(1, &["unfinished", "ops: gaussian", "none here"]);
    }
    let root = std::fs::read_to_string(dir.path("out.zarr/zarr.json")).unwrap();
    assert_eq!(json(&root)["attributes"]["volchunk"]["complete"], false);
}
