//! The projected peak is a promise: what the process is measured to hold never exceeds it.

// Elsewhere the measure is another one, and freed memory may stay with the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod util;

use util::Dir;

const OPS: [&[&str]; 17] = [
    &[],
    &["gaussian:sigma=2"],
    &["cast:dtype=float64", "gaussian:sigma=1"],
    &["gaussian:sigma=1,0,2:order=1:radius=3:dtype=uint8"],
    &["gaussian:sigma=1.5:boundary=wrap", "clip:max=30000", "cast:dtype=uint16"],
    &["rescale:factor=1.5"],
    &["rescale:factor=0.4:order=0", "multiply:value=2"],
    &["downsample:factor=2", "gaussian:sigma=1"],
    &["transpose:axes=xyz"],
    &["erode:footprint=ball:radius=3"],
    &["close:footprint=cube:radius=2", "median:radius=1"],
    &["tophat:radius=2"],
    &["unsharp:radius=2"],
    &["cast:dtype=float32", "erode:radius=1:above=9:sigma=2"],
    &["tv:weight=9:iterations=3"],
    &["local-percentile:block=8:floor=0.5"],
    &["percentile"],
];
const OUTPUTS: [&str; 3] = ["zarr", "npy", "tif"];
const CHUNKS: [&str; 4] = ["16", "64", "8,512,512", "512"];
const WORKERS: [&str; 3] = ["1", "2", "4"];

/// Bytes of a number and unit such as `1.5 MiB`, as the summary rounds them.
fn bytes(text: &str) -> f64 {
    let (number, unit) = text.trim().split_once(' ').unwrap();
    let power = ["bytes", "KiB", "MiB", "GiB"].iter().position(|u| *u == unit).unwrap();
    number.parse::<f64>().unwrap() * 1024f64.powi(power as i32)
}

#[test]
fn the_measured_peak_is_at_most_the_projected() {
    let dir = Dir::new();
    // 3 MiB and 23 MiB of uint16: the process itself matters beside one, hardly beside the other.
    let mut inputs = Vec::new();
    for (size, shape) in [("small", [48, 192, 192]), ("large", [80, 384, 392])] {
        for ending in ["npy", "zarr", "tif"] {
            dir.volume(&format!("{size}.{ending}"), &shape);
            inputs.push(format!("{size}.{ending}"));
        }
        let (npy, zarr) = (format!("{size}.npy"), format!("{size}-shards.zarr"));
        let stored = ["--storage-chunk", "16", "--shard", "64", "--chunk", "64", "-q"];
        dir.call(&[&["convert", &npy, &zarr], &stored[..]].concat()).done();
        inputs.push(zarr);
    }
    let mut violations = Vec::new();
    let mut call = |args: &[&str]| {
        let text = dir.call(args).done().stdout;
        let (_, peak) = text.split_once("Peak memory: ").unwrap();
        let (measured, rest) = peak.split_once(" measured, ").unwrap();
        let (projected, _) = rest.split_once(" projected").unwrap();
        if bytes(measured) > bytes(projected) {
            violations.push(format!("{measured} > {projected}: {}", args.join(" ")));
        }
    };
    // Every op on every input; output, chunk and workers go around at different paces.
    for (k, (ops, input)) in
        OPS.iter().flat_map(|ops| inputs.iter().map(move |i| (ops, i))).enumerate()
    {
        // Few of the large: they take a second each.
        if input.starts_with("large") && !k.is_multiple_of(5) {
            continue;
        }
        // A TIFF holds no axes but tczyx.
        let ending =
            if ops.contains(&"transpose:axes=xyz") { "zarr" } else { OUTPUTS[(k / 3 + k) % 3] };
        let output = format!("out.{ending}");
        let (chunk, workers) = (CHUNKS[(k / 8 + k) % 4], WORKERS[(k / 9 + k / 2) % 3]);
        let mut args = vec!["run", input, &output, "--chunk", chunk, "--workers", workers];
        args.extend(["--force", "--memory", "8GiB"]);
        args.extend(ops.iter().flat_map(|op| ["--op", op]));
        call(&args);
    }
    // A mask of float64 is four times what it masks; the volume is nowhere empty, so all is held.
    for (k, (ops, size)) in OPS.iter().flat_map(|ops| [(ops, "small"), (ops, "large")]).enumerate()
    {
        let keeps = |op: &&str| {
            !["rescale", "downsample", "transpose"].contains(&op.split(':').next().unwrap())
        };
        if !ops.iter().all(keeps) {
            continue;
        }
        let ending = ["npy", "zarr", "tif"][k % 3];
        let (input, mask) = (format!("{size}.{ending}"), format!("{size}-mask.zarr"));
        let cast = ["--op", "cast:dtype=float64", "--chunk", "64", "--force", "-q"];
        dir.call(&[&["run", &input, &mask], &cast[..]].concat()).done();
        let mut args = vec!["run", &input, "out.zarr", "--chunk", CHUNKS[1 + k % 3], "--force"];
        args.extend(["--memory", "8GiB", "--mask", &mask, "--skip-empty", "40503"]);
        args.extend(ops.iter().flat_map(|op| ["--op", op]));
        call(&args);
    }
    // One chunk, whose storage chunks are half of it: what is kept of the first op is too large for
    // gathering them, and counts.
    let halves = ["--op", "cast:dtype=float64", "--op", "gaussian:sigma=1", "--force"];
    let stored = ["--chunk", "80,384,392", "--storage-chunk", "80,192,392", "--memory", "8GiB"];
    call(&[&["run", "large.npy", "out.zarr"], &halves[..], &stored[..]].concat());
    for input in inputs.iter().filter(|i| i.starts_with("small")) {
        call(&["convert", input, "levels.zarr", "--pyramid", "--force", "--chunk", "32"]);
    }
    assert!(violations.is_empty(), "measured > projected:\n{}", violations.join("\n"));
}
