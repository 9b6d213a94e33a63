//! The gaussian filter on one chunk of 64×256×256 u16 with its whole halo, σ = 2, one thread, to
//! f32, to u16, and its first derivative to f32: `cargo bench -p volchunk-ops --bench
//! gaussian_chunk`. Prints the least of several runs.

#![allow(clippy::unwrap_used)]

use std::time::Instant;

use volchunk::{ArraySource, Buffer, Dtype, Pipeline, Region, Scratch, Source};
use volchunk_ops::{Gaussian, GaussianAxis, Simd};

/// Nanoseconds that this thread has computed; wall time where the system does not tell.
fn cpu_ns(since: Instant) -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(since.elapsed().as_nanos() as u64)
}

fn main() {
    let shape = [80, 272, 272];
    let mut state = 1u64;
    let voxels: Vec<u16> = (0..shape.iter().product::<u64>())
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 52) as u16
        })
        .collect();
    let volume = Buffer::from_slice(&shape, &voxels);
    let source = ArraySource::new(volume.view());
    let region = Region::new([8, 8, 8], [64, 256, 256]);
    let paths = [("avx2", Simd::avx2()), ("portable", Some(Simd::portable()))];
    let cases = [(0, Dtype::F32), (0, Dtype::U16), (1, Dtype::F32)];
    let paths = paths.into_iter().filter_map(|(n, s)| Some((n, s?)));
    for ((name, simd), (order, dtype)) in paths.flat_map(|p| cases.map(|c| (p, c))) {
        let axes = [GaussianAxis { order, ..GaussianAxis::smooth(2.0) }; 3];
        let op = Gaussian::new(source.info().clone(), &axes, Some(dtype)).unwrap();
        let ops = [Box::new(op.with_simd(simd)) as _];
        let pipeline = Pipeline::chain(source.info().clone(), ops).unwrap();
        let mut scratch = Scratch::new();
        let start = Instant::now();
        let mut best = u64::MAX;
        for _ in 0..20 {
            let before = cpu_ns(start);
            let out = pipeline.compute(&[&source], &region, &mut scratch).unwrap();
            best = best.min(cpu_ns(start) - before);
            scratch.give(out);
        }
        println!(
            "{name}, order {order} to {dtype}: {:.2} ms per chunk, {:.3} ns per voxel, {:.3} s CPU for 512³",
            best as f64 * 1e-6,
            best as f64 / region.voxels() as f64,
            best as f64 * 1e-9 * 32.0
        );
    }
}
