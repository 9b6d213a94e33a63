//! The fuzz targets on their corpus, and on mutations of it, without a fuzzer: on stable Rust, in
//! seconds, the same inputs every time.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

#[path = "../../volchunk-io/tests/common/mod.rs"]
mod common;
#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

use common::{Rng, files_below};

/// Mutations per target, spread over its corpus.
const MUTATIONS: u64 = 1000;

/// Bytes beyond which a corpus file is replayed but not mutated: its voxels would be hit, not its
/// header.
const MUTATED: usize = 16 << 10;

/// What parsers trip over: ends of ranges, signs, brackets, quotes, digits.
const INTERESTING: &[u8] = b"\x00\x01\x7f\x80\xff-09{}[]()\"',:.eE<";

fn replay(name: &str) {
    let (_, target) = targets::TARGETS.into_iter().find(|(n, _)| *n == name).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut corpus = Vec::new();
    let fixtures = match name {
        "npy" => "npy",
        "tiff" => "tiff",
        "zarr_v2" | "zarr_v2_attributes" | "zarr_v3" => "zarr",
        "csv" => "blobs",
        "parquet" | "npz" => "table",
        _ => "none",
    };
    let wanted = |file: &Path| match name {
        "zarr_v2" => file.ends_with(".zarray"),
        "zarr_v2_attributes" => file.ends_with(".zattrs"),
        "zarr_v3" => file.ends_with("zarr.json"),
        "parquet" | "npz" => file.extension().is_some_and(|e| e == name),
        _ => file.extension().is_some(),
    };
    for folder in [root.join("fuzz/corpus").join(name), root.join("tests/data").join(fixtures)] {
        if folder.is_dir() {
            let files = files_below(&folder).into_iter();
            let files = files.filter(|f| folder.ends_with(name) || wanted(f));
            corpus.extend(files.map(|f| std::fs::read(f).unwrap()));
        }
    }
    assert!(!corpus.is_empty(), "{name} has no corpus");
    corpus.iter().for_each(|bytes| targets::call(target, bytes));
    let mutable: Vec<_> = corpus.iter().filter(|b| b.len() <= MUTATED).collect();
    let mut rng = Rng(name.len() as u64);
    for k in 0..MUTATIONS {
        let mut bytes = mutable[k as usize % mutable.len()].clone();
        for _ in 0..1 + rng.below(3) {
            mutate(&mut bytes, &mut rng);
        }
        targets::call(target, &bytes);
    }
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    if bytes.is_empty() {
        return bytes.push(rng.next() as u8);
    }
    let len = bytes.len() as u64;
    // Headers stand first: half of the places are among the first 256 bytes.
    let at = if rng.below(2) == 0 { rng.below(len.min(256)) } else { rng.below(len) } as usize;
    let interesting = INTERESTING[rng.below(INTERESTING.len() as u64) as usize];
    match rng.below(6) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = interesting,
        2 => bytes.insert(at, interesting),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..(at + 1 + rng.below(8) as usize).min(len as usize))),
        _ => {
            // A number of up to eight bytes at either end of its range.
            let fill = [0x00, 0xff, 0x7f][rng.below(3) as usize];
            let stop = (at + (1 << rng.below(4))).min(len as usize);
            bytes[at..stop].fill(fill);
        }
    }
}

#[test]
fn npy() {
    replay("npy");
}

#[test]
fn tiff() {
    replay("tiff");
}

#[test]
fn zarr_v2() {
    replay("zarr_v2");
}

#[test]
fn zarr_v2_attributes() {
    replay("zarr_v2_attributes");
}

#[test]
fn zarr_v3() {
    replay("zarr_v3");
}

#[test]
fn journal() {
    replay("journal");
}

#[test]
fn job() {
    replay("job");
}

#[test]
fn ops() {
    replay("ops");
}

#[test]
fn csv() {
    replay("csv");
}

#[test]
fn parquet() {
    replay("parquet");
}

#[test]
fn npz() {
    replay("npz");
}
