//! Blobs of three scales in a synthetic volume of 128×512×512 u16 with 2,000 cells, in two chunks on
//! two threads: `cargo bench -p volchunk-ops --bench blobs [-- Z,Y,X [volume.raw]]`, where Z,Y,X is
//! another shape of a chunk. Prints the least wall and CPU time of several runs, the arithmetic that the
//! filters need for a volume without halos, and the rate that this makes.

#![allow(clippy::unwrap_used)]

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use volchunk::{ArraySource, Buffer, ChunkGrid, Dtype, Pipeline, Scratch, Source};
use volchunk_ops::{Blobs, Scales};

const SHAPE: [u64; 3] = [128, 512, 512];
const THREADS: usize = 2;

/// Nanoseconds that this thread has computed; 0 where the system does not tell.
fn cpu_ns() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Cells of σ 3 to 4.5 and half the range of u16, on noise.
fn synthetic() -> Buffer {
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let shape = SHAPE.map(|n| n as usize);
    let mut image: Vec<f32> =
        (0..shape.iter().product()).map(|_| 0.05 + 0.03 * (next() - 0.5)).collect();
    for _ in 0..2000 {
        let centre = shape.map(|n| next() * n as f32);
        let sigma = 3.0 + 1.5 * next();
        let profile = |axis: usize| {
            let reach = centre[axis] as usize;
            (reach.saturating_sub(14)..(reach + 15).min(shape[axis]))
                .map(move |i| (i, (-0.5 * ((i as f32 - centre[axis]) / sigma).powi(2)).exp()))
        };
        for (z, a) in profile(0) {
            for (y, b) in profile(1) {
                let row = (z * shape[1] + y) * shape[2];
                profile(2).for_each(|(x, c)| image[row + x] += 0.5 * a * b * c);
            }
        }
    }
    let voxels: Vec<u16> = image.iter().map(|v| (v.min(1.0) * 65535.0) as u16).collect();
    Buffer::from_slice(&SHAPE, &voxels)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let chunk: Vec<u64> = match arguments.first() {
        Some(text) => text.split(',').map(|n| n.parse().unwrap()).collect(),
        None => vec![128, 256, 512],
    };
    let volume = match arguments.get(1) {
        Some(path) => {
            let mut volume = Buffer::zeros(&SHAPE, Dtype::U16);
            volume.bytes_mut().copy_from_slice(&std::fs::read(path).unwrap());
            volume
        }
        None => synthetic(),
    };
    let source = ArraySource::new(volume.view());
    let chunks: Vec<_> = ChunkGrid::new(&SHAPE, &chunk).unwrap().iter().collect();
    let (min, max) = ([3.0; 3], [4.5; 3]);
    let radius = |sigma: f64| f64::from((4.0 * sigma + 0.5) as u32);
    // Of a Gaussian 3 passes of 3 operations per pair of taps; of a Laplacian 5, 8 and 6.
    let log: f64 = [3.0, 3.75, 4.5].map(|s| 19.0 * radius(s)).iter().sum();
    let dog: f64 = [3.0, 4.8].map(|s| 9.0 * radius(s)).iter().sum();
    for (name, scales, operations) in [
        ("log", Scales::linear(&min, &max, 3).unwrap(), log),
        ("dog", Scales::geometric(&min, &max, 1.6).unwrap(), dog),
    ] {
        let op = Blobs::new(source.info().clone(), &scales, 0.05, &[0; 3], None).unwrap();
        let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _]).unwrap();
        let mut scratch = [(); THREADS].map(|()| Scratch::new());
        let (mut best, mut cpu, mut blobs) = (f64::INFINITY, f64::INFINITY, 0);
        for _ in 0..5 {
            let [next, found, ns] = [(); 3].map(|()| AtomicUsize::new(0));
            let start = Instant::now();
            std::thread::scope(|scope| {
                for scratch in &mut scratch {
                    scope.spawn(|| {
                        let before = cpu_ns();
                        while let Some(c) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                            let table = pipeline.compute(&[&source], &c.core, scratch).unwrap();
                            found.fetch_add(table.shape()[0] as usize, Ordering::Relaxed);
                            scratch.give(table);
                        }
                        ns.fetch_add((cpu_ns() - before) as usize, Ordering::Relaxed);
                    });
                }
            });
            best = best.min(start.elapsed().as_secs_f64());
            cpu = cpu.min(ns.into_inner() as f64 * 1e-9);
            blobs = found.into_inner();
        }
        let arithmetic = operations * volume.shape().iter().product::<u64>() as f64 * 1e-9;
        println!(
            "{name}, chunks {chunk:?}: {best:.3} s, {cpu:.3} s CPU, {blobs} peaks, {arithmetic:.1} GFLOP, {:.0} GFLOP/s",
            arithmetic / best
        );
    }
}
