//! Calibration: no alarm on volumes without seams, an alarm on volumes with them.

use super::*;
use crate::{ArraySource, Buffer};

/// A uniform number from 0 to 1 that its arguments determine.
fn hash(seed: u64, at: u64) -> f64 {
    let mut z = (seed << 40 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn normal(seed: u64, at: u64) -> f64 {
    (0..6).map(|k| hash(seed, 6 * at + k)).sum::<f64>() * 2f64.sqrt() - 6.0 / 2f64.sqrt()
}

type Shape = [usize; 3];
const SHAPE: Shape = [72, 80, 88];

fn volume(shape: Shape, f: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
    let mut v = Vec::new();
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                v.push(f(z, y, x));
            }
        }
    }
    v
}

fn noise(shape: Shape, seed: u64) -> Vec<f64> {
    (0..shape.iter().product::<usize>() as u64).map(|i| normal(seed, i)).collect()
}

/// Gaussian filter, reflecting at the ends of chunks of `chunk` that see `halo` voxels beyond them.
fn smooth(v: &[f64], shape: Shape, sigma: f64, chunk: [usize; 3], halo: usize) -> Vec<f64> {
    let reach = (4.0 * sigma).round() as i64;
    let taps: Vec<f64> =
        (-reach..=reach).map(|k| (-0.5 * (k as f64 / sigma).powi(2)).exp()).collect();
    let total: f64 = taps.iter().sum();
    let mut v = v.to_vec();
    for axis in 0..3 {
        let stride = [shape[1] * shape[2], shape[2], 1][axis];
        let n = shape[axis];
        let from = v.clone();
        for (i, out) in v.iter_mut().enumerate() {
            let p = i / stride % n;
            let begin = p / chunk[axis] * chunk[axis];
            let low = begin.saturating_sub(halo) as i64;
            let high = (begin + chunk[axis] + halo).min(n) as i64;
            let mut sum = 0.0;
            for (k, w) in (-reach..=reach).zip(&taps) {
                let mut q = p as i64 + k;
                while q < low || q >= high {
                    q = if q < low { 2 * low - 1 - q } else { 2 * high - 1 - q };
                }
                sum += w * from[i - p * stride + q as usize * stride];
            }
            *out = sum / total;
        }
    }
    v
}

fn whole(v: &[f64], shape: Shape, sigma: f64) -> Vec<f64> {
    smooth(v, shape, sigma, shape, 0)
}

fn look(v: &Buffer, chunk: [u64; 3]) -> Vec<AxisSeams> {
    let source = ArraySource::new(v.view());
    let cancel = AtomicBool::new(false);
    let request = SeamRequest {
        chunk: &chunk,
        offset: &[0; 3],
        workers: 2,
        memory: 1 << 30,
        cancel: &cancel,
    };
    measure_seams(&source, &request).unwrap()
}

fn floats(v: &[f64], shape: Shape) -> Buffer {
    let values: Vec<f32> = v.iter().map(|&v| v as f32).collect();
    Buffer::from_slice(&shape.map(|n| n as u64), &values)
}

fn bytes(v: &[f64], shape: Shape, scale: f64) -> Buffer {
    let values: Vec<u8> = v.iter().map(|&v| (100.0 + scale * v).clamp(0.0, 255.0) as u8).collect();
    Buffer::from_slice(&shape.map(|n| n as u64), &values)
}

/// Volumes without seams, of many kinds.
fn seam_free(kind: usize, seed: u64) -> Buffer {
    let s = SHAPE;
    let raw = noise(s, seed);
    match kind {
        0 => floats(&raw, s),
        1 => floats(&whole(&raw, s, 1.0), s),
        2 => floats(&whole(&raw, s, 2.0), s),
        3 => bytes(&whole(&raw, s, 2.0), s, 300.0),
        // A mask, sparse.
        4 => bytes(
            &whole(&raw, s, 2.0).iter().map(|&v| f64::from(v > 0.12)).collect::<Vec<_>>(),
            s,
            1.0,
        ),
        // Bright planes, as a lamp that flickers makes them.
        5 => {
            let smooth = whole(&raw, s, 1.5);
            floats(
                &volume(s, |z, y, x| {
                    (20.0 + 40.0 * smooth[(z * s[1] + y) * s[2] + x])
                        * (1.0 + 0.1 * normal(seed + 77, z as u64))
                }),
                s,
            )
        }
        // Sparse bright cells over noise.
        6 => {
            let cells = whole(&raw, s, 2.5);
            let fine = noise(s, seed + 1000);
            bytes(
                &cells
                    .iter()
                    .zip(fine)
                    .map(|(c, n)| (c * 40.0 - 3.0).max(0.0) * 20.0 + n)
                    .collect::<Vec<_>>(),
                s,
                1.0,
            )
        }
        // Enlarged four times without interpolation.
        7 => floats(&volume(s, |z, y, x| raw[(z / 4 * s[1] + y / 4) * s[2] + x / 4]), s),
        // Two scales.
        8 => {
            let (a, b) = (whole(&raw, s, 4.0), whole(&noise(s, seed + 500), s, 1.0));
            floats(&a.iter().zip(b).map(|(a, b)| 20.0 * a + b).collect::<Vec<_>>(), s)
        }
        // Labels.
        _ => {
            let cells = whole(&raw, s, 3.0);
            bytes(&cells.iter().map(|c| (c * 200.0).floor() * 7.0).collect::<Vec<_>>(), s, 1.0)
        }
    }
}

#[test]
#[ignore = "a table for whoever tunes the thresholds"]
fn calibration() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(4);
    for kind in 0..10 {
        let mut scores = (Vec::new(), Vec::new());
        let mut found = 0;
        for seed in 0..seeds {
            let v = seam_free(kind, seed);
            for chunk in [[16, 16, 16], [24, 32, 40], [36, 40, 44], [8, 10, 12]] {
                let axes = look(&v, chunk);
                found += u32::from(axes.iter().any(AxisSeams::found));
                for a in &axes {
                    scores.0.push(a.grid.as_ref().unwrap().score);
                    scores.1.push(a.each.iter().map(|f| f.1.score).fold(0.0, f64::max));
                }
            }
        }
        scores.0.sort_by(f64::total_cmp);
        scores.1.sort_by(f64::total_cmp);
        let top = |s: &[f64]| {
            s.iter().rev().take(4).map(|s| format!("{s:.1}")).collect::<Vec<_>>().join(" ")
        };
        println!(
            "kind {kind}: alarms {found} of {}; grid {} plane {}",
            seeds * 4,
            top(&scores.0),
            top(&scores.1)
        );
    }
    for (name, chunk) in [("16", [16, 16, 16]), ("24", [24, 32, 40]), ("36", [36, 40, 44])] {
        for seed in 0..3 {
            let raw = noise(SHAPE, seed);
            let c = chunk.map(|c| c as usize);
            let step = |z: usize, y: usize, x: usize| {
                normal(9, ((z / c[0]) * 100 + y / c[1] * 10 + x / c[2]) as u64 + seed * 1000)
            };
            let cases: Vec<(&str, Buffer)> = vec![
                ("no halo s2", floats(&smooth(&raw, SHAPE, 2.0, c, 0), SHAPE)),
                ("halo 4 s2", floats(&smooth(&raw, SHAPE, 2.0, c, 4), SHAPE)),
                ("halo 6 s2", floats(&smooth(&raw, SHAPE, 2.0, c, 6), SHAPE)),
                ("halo 7 s2", floats(&smooth(&raw, SHAPE, 2.0, c, 7), SHAPE)),
                ("u8 no halo s2", bytes(&smooth(&raw, SHAPE, 2.0, c, 0), SHAPE, 300.0)),
                ("u8 halo 4 s2", bytes(&smooth(&raw, SHAPE, 2.0, c, 4), SHAPE, 300.0)),
                (
                    "normalised .1",
                    floats(
                        &volume(SHAPE, |z, y, x| {
                            raw[(z * SHAPE[1] + y) * SHAPE[2] + x] + 0.1 * step(z, y, x)
                        }),
                        SHAPE,
                    ),
                ),
                (
                    "normalised .5",
                    floats(
                        &volume(SHAPE, |z, y, x| {
                            raw[(z * SHAPE[1] + y) * SHAPE[2] + x] + 0.5 * step(z, y, x)
                        }),
                        SHAPE,
                    ),
                ),
                (
                    "one plane",
                    floats(
                        &volume(SHAPE, |z, y, x| {
                            raw[(z * SHAPE[1] + y) * SHAPE[2] + x] + f64::from(z >= c[0])
                        }),
                        SHAPE,
                    ),
                ),
            ];
            for (what, v) in cases {
                let axes = look(&v, chunk);
                let text: Vec<String> = axes
                    .iter()
                    .map(|a| {
                        let g = a.grid.as_ref().unwrap();
                        let p = a.each.iter().map(|f| f.1.score).fold(0.0, f64::max);
                        let n = a.each.iter().filter(|f| f.1.found).count();
                        format!(
                            "{}{:.1} (x{:.1} o{} {}) planes {n}/{} {p:.1}",
                            if g.found { "*" } else { " " },
                            g.score,
                            g.ratio,
                            g.jump.order,
                            g.jump.step,
                            a.each.len()
                        )
                    })
                    .collect();
                println!("{name} {what}: {}", text.join(" | "));
            }
        }
    }
}
