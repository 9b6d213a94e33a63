//! The main job on a real light-sheet volume, where that is at hand.

#![allow(clippy::unwrap_used)]

mod util;

use std::path::Path;

use util::{Dir, voxels};

#[test]
fn a_light_sheet_volume_is_filtered_without_a_seam() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let input = root.join("shared/data/lightsheet-crop/signal");
    if !input.is_dir() {
        println!("SKIPPED: {} is not there", input.display());
        return;
    }
    let dir = Dir::new();
    let input = input.to_str().unwrap();
    let info = dir.call(&["info", input, "--voxel-size", "5,2,2"]).done().stdout;
    assert!(info.contains("30 × ") && info.contains("uint16"), "{info}");
    let op = ["--op", "gaussian:sigma=5um", "--voxel-size", "5,2,2"];
    let run = |output: &str, more: &[&str]| {
        dir.call(&[&["run", input, output], &op[..], more].concat()).done();
        voxels(&dir.path(output))
    };
    let whole = run("whole.npy", &["--chunk", "4096", "--workers", "1"]);
    let chunked = run("out.zarr", &["--chunk", "16,128,128"]);
    assert!(whole.bytes() == chunked.bytes());
}
