//! Blobs against a naive search in f64, against themselves in chunks and on each vector path.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use volchunk::{
    ArraySource, Axis, Boundary, Buffer, Dtype, Element, Pipeline, Region, Scratch, VolumeInfo,
    dispatch,
};
use volchunk_ops::{Blobs, Scales, Simd};

/// Random numbers from 0 to 1, from a linear congruential generator (Knuth's MMIX).
fn random(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn largest(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Bool | Dtype::F32 | Dtype::F64 => 1.0,
        Dtype::U8 => u8::MAX as f64,
        Dtype::I8 => i8::MAX as f64,
        Dtype::U16 => u16::MAX as f64,
        Dtype::I16 => i16::MAX as f64,
        Dtype::U32 => u32::MAX as f64,
        Dtype::I32 => i32::MAX as f64,
        Dtype::U64 => u64::MAX as f64,
        Dtype::I64 => i64::MAX as f64,
    }
}

/// Noise over the whole range of the dtype.
fn noise(shape: &[u64], dtype: Dtype, seed: u64) -> Buffer {
    let mut next = random(seed);
    let top = largest(dtype);
    let signed = matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64);
    let mut buffer = Buffer::zeros(shape, dtype);
    dispatch!(dtype, T => for v in buffer.as_slice_mut::<T>() {
        let value = next();
        *v = T::from_f64(match dtype {
            Dtype::Bool => value.round(),
            _ if signed => (2.0 * value - 1.0) * (top + 1.0),
            _ => value * top,
        });
    });
    buffer
}

fn info(shape: &[u64], axes: &str, dtype: Dtype) -> VolumeInfo {
    let mut info = VolumeInfo::new(shape, dtype);
    info.axes = axes.chars().map(Axis::new).collect();
    info
}

fn compute(op: Blobs, volume: &Buffer, region: &Region) -> Buffer {
    let source = ArraySource::new(volume.view());
    let input = volchunk::Op::inputs(&op)[0].info.clone();
    let pipeline = Pipeline::chain(input, [Box::new(op) as _]).unwrap();
    let mut scratch = Scratch::new();
    // Dirty memory: what is read before it is written is seen.
    let mut dirt = scratch.take(&[1 << 12], Dtype::U64);
    dirt.bytes_mut().fill(0xA5);
    scratch.give(dirt);
    pipeline.compute(&[&source], region, &mut scratch).unwrap()
}

/// Rows as text of their bits.
fn rows(table: &Buffer) -> Vec<Vec<u64>> {
    let columns = table.shape()[1] as usize;
    let bits = |row: &[f64]| row.iter().map(|v| v.to_bits()).collect();
    table.as_slice::<f64>().chunks_exact(columns).map(bits).collect()
}

/// What a test searches.
#[derive(Debug, Clone)]
struct Case {
    axes: &'static str,
    shape: Vec<u64>,
    dtype: Dtype,
    seed: u64,
    min: Vec<f64>,
    max: Vec<f64>,
    count: u64,
    ratio: Option<f64>,
    threshold: f64,
}

impl Case {
    fn info(&self) -> VolumeInfo {
        info(&self.shape, self.axes, self.dtype)
    }

    fn scales(&self) -> Scales {
        match self.ratio {
            Some(ratio) => Scales::geometric(&self.min, &self.max, ratio),
            None => Scales::linear(&self.min, &self.max, self.count),
        }
        .unwrap()
    }

    fn volume(&self) -> Buffer {
        noise(&self.shape, self.dtype, self.seed)
    }

    fn op(&self) -> Blobs {
        let border = vec![0; self.min.len()];
        Blobs::new(self.info(), &self.scales(), self.threshold, &border, None).unwrap()
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let axes = prop::sample::select(vec!["x", "yx", "zyx", "cyx", "zyxc", "tzyx", "zcyx"]);
    let sigma = (0.3f64..2.2, 0.0f64..1.5);
    (
        axes,
        prop::collection::vec(1u64..17, 4),
        prop::sample::select(Dtype::ALL.to_vec()),
        any::<u64>(),
        prop::collection::vec(sigma, 3),
        (1u64..4, prop::option::of(1.2f64..2.0), 0.0f64..0.1),
    )
        .prop_map(|(axes, mut shape, dtype, seed, sigma, (count, ratio, threshold))| {
            shape.truncate(axes.len());
            for (n, axis) in shape.iter_mut().zip(axes.chars()) {
                match axis {
                    't' | 'c' => *n = *n % 3 + 1,
                    _ if axes.len() == 1 => *n *= 60,
                    _ => {}
                }
            }
            let spatial = axes.chars().filter(|a| !"tc".contains(*a)).count();
            let min: Vec<f64> = sigma[..spatial].iter().map(|s| s.0).collect();
            let max = sigma[..spatial].iter().map(|s| s.0 + s.1).collect();
            Case { axes, shape, dtype, seed, min, max, count, ratio, threshold }
        })
}

/// One dimension of a filter, as the documentation of SciPy has it.
fn convolve(values: &[f64], shape: &[usize], axis: usize, sigma: f64, second: bool) -> Vec<f64> {
    let radius = (4.0 * sigma + 0.5) as i64;
    let gauss: Vec<f64> =
        (-radius..=radius).map(|x| (-0.5 * (x * x) as f64 / (sigma * sigma)).exp()).collect();
    let sum: f64 = gauss.iter().sum();
    let weights: Vec<f64> = (-radius..=radius)
        .zip(&gauss)
        .map(|(x, g)| {
            let s2 = sigma * sigma;
            g / sum * if second { (x * x) as f64 / (s2 * s2) - 1.0 / s2 } else { 1.0 }
        })
        .collect();
    let (n, step) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    (0..values.len())
        .map(|i| {
            let place = i / step % n;
            let at = |x: i64| {
                let voxel = Boundary::Reflect.index(place as i64 + x, n as u64).unwrap() as usize;
                values[i - place * step + voxel * step]
            };
            (-radius..=radius).zip(&weights).map(|(x, w)| at(x) * w).sum()
        })
        .collect()
}

/// The responses of all scales in f64.
fn responses(case: &Case, volume: &Buffer) -> Vec<Vec<f64>> {
    let shape: Vec<usize> = case.shape.iter().map(|&n| n as usize).collect();
    let spatial: Vec<usize> =
        (0..shape.len()).filter(|&a| !"tc".contains(&case.axes[a..=a])).collect();
    let top = largest(case.dtype);
    let image: Vec<f64> = dispatch!(case.dtype, T => {
        volume.as_slice::<T>().iter().map(|v| (v.to_f64() / top).max(if top > 1.0 { -1.0 } else { f64::MIN })).collect()
    });
    let filtered = |sigmas: &[f64], second: Option<usize>| {
        spatial.iter().zip(sigmas).fold(image.clone(), |values, (&a, &sigma)| {
            convolve(&values, &shape, a, sigma, second == Some(a))
        })
    };
    let scales = case.scales();
    (0..scales.len())
        .map(|k| match case.ratio {
            Some(ratio) => {
                let sigmas = scales.sigmas(k);
                let wider: Vec<f64> = sigmas.iter().map(|s| s * ratio).collect();
                let (a, b) = (filtered(sigmas, None), filtered(&wider, None));
                a.iter().zip(b).map(|(a, b)| (a - b) / (ratio - 1.0)).collect()
            }
            None => {
                let sigmas = scales.sigmas(k);
                let mean = sigmas.iter().sum::<f64>() / sigmas.len() as f64;
                let mut sum = vec![0.0; image.len()];
                for &a in &spatial {
                    for (s, v) in sum.iter_mut().zip(filtered(sigmas, Some(a))) {
                        *s -= v * mean * mean;
                    }
                }
                sum
            }
        })
        .collect()
}

/// The difference of a response to the largest of its neighbours.
fn margin(case: &Case, cube: &[Vec<f64>], at: usize, k: usize) -> f64 {
    let shape: Vec<i64> = case.shape.iter().map(|&n| n as i64).collect();
    let mut steps = vec![1i64; shape.len()];
    for a in (1..shape.len()).rev() {
        steps[a - 1] = steps[a] * shape[a];
    }
    let mut around = vec![0i64];
    for a in 0..shape.len() {
        if "tc".contains(&case.axes[a..=a]) {
            continue;
        }
        let place = at as i64 / steps[a] % shape[a];
        let legal = (place - 1).max(0)..(place + 2).min(shape[a]);
        let all = around.iter().flat_map(|o| legal.clone().map(move |p| (*o, p)));
        around = all.map(|(offset, p)| offset + (p - place) * steps[a]).collect();
    }
    let mut largest = f64::NEG_INFINITY;
    for (other, response) in cube.iter().enumerate().filter(|(other, _)| other.abs_diff(k) < 2) {
        for offset in &around {
            if (other, *offset) != (k, 0) {
                largest = largest.max(response[(at as i64 + offset) as usize]);
            }
        }
    }
    cube[k][at] - largest
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every clear peak is found, and all that is found is one within the rounding of f32.
    #[test]
    fn peaks_are_those_of_a_naive_search(case in cases()) {
        let volume = case.volume();
        let cube = responses(&case, &volume);
        let table = compute(case.op(), &volume, &Region::whole(&case.shape));
        let columns = case.shape.len() + 2;
        let widest = case.max.iter().copied().fold(0.0, f64::max);
        let narrowest = case.min.iter().copied().fold(f64::INFINITY, f64::min);
        // Voxels are at most 1; the largest weights grow as the ratio of a mean σ² to the least.
        let near = 2e-6 * (5.0 + (widest / narrowest).powi(2));
        let mut found = std::collections::BTreeSet::new();
        for row in table.as_slice::<f64>().chunks_exact(columns) {
            let at = row[..columns - 2]
                .iter()
                .zip(&case.shape)
                .fold(0, |at, (&c, &n)| at * n as usize + c as usize);
            let k = row[columns - 2] as usize;
            let value = row[columns - 1];
            prop_assert!((value - cube[k][at]).abs() < near, "{value} is {}", cube[k][at]);
            prop_assert!(value > case.threshold && margin(&case, &cube, at, k) > -2.0 * near);
            found.insert((at, k));
        }
        let mut sorted = rows(&table);
        sorted.sort_by(|a, b| a[..columns - 1].iter().map(|v| f64::from_bits(*v) as u64)
            .cmp(b[..columns - 1].iter().map(|v| f64::from_bits(*v) as u64)));
        prop_assert_eq!(rows(&table), sorted);
        for (k, response) in cube.iter().enumerate() {
            for (at, &value) in response.iter().enumerate() {
                let clear = value > case.threshold + near && margin(&case, &cube, at, k) > 2.0 * near;
                prop_assert!(!clear || found.contains(&(at, k)), "{value} at {at}, scale {k}");
            }
        }
        let largest = cube.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let maximum = compute(case.op().maximum(), &volume, &Region::whole(&case.shape));
        prop_assert!((maximum.as_slice::<f64>()[columns - 1] - largest).abs() < near);
    }

    /// The rows of all chunks are those of the whole, bit for bit, on each vector path.
    #[test]
    fn chunks_have_the_rows_of_the_whole(
        case in cases(),
        chunk in prop::collection::vec(1u64..15, 4),
    ) {
        let volume = case.volume();
        let whole = Region::whole(&case.shape);
        let expected = rows(&compute(case.op(), &volume, &whole));
        let largest = rows(&compute(case.op().maximum(), &volume, &whole));
        let chunk: Vec<u64> = chunk[..case.shape.len()].to_vec();
        for simd in [Some(Simd::portable()), Simd::avx2()].into_iter().flatten() {
            let all = compute(case.op().with_simd(simd), &volume, &whole);
            prop_assert_eq!(rows(&all), expected.clone());
            let (mut found, mut maxima) = (Vec::new(), Vec::new());
            let grid = volchunk::ChunkGrid::new(&case.shape, &chunk).unwrap();
            for c in grid.iter() {
                found.extend(rows(&compute(case.op().with_simd(simd), &volume, &c.core)));
                maxima.extend(rows(&compute(case.op().maximum(), &volume, &c.core)));
            }
            let key = |row: &Vec<u64>| {
                row[..row.len() - 1].iter().map(|v| f64::from_bits(*v) as u64).collect::<Vec<_>>()
            };
            found.sort_by_key(key);
            prop_assert_eq!(found, expected.clone());
            maxima.sort_by_key(key);
            let value = |row: &Vec<u64>| f64::from_bits(row[row.len() - 1]);
            maxima.sort_by(|a, b| value(b).partial_cmp(&value(a)).unwrap());
            maxima.truncate(1);
            prop_assert_eq!(maxima, largest.clone());
        }
    }

    /// No value makes it panic, and nothing is found where a filter sees a NaN.
    #[test]
    fn any_values_are_searched(case in cases(), nan in any::<bool>(), extreme in any::<u64>()) {
        let mut volume = case.volume();
        let mut next = random(extreme);
        dispatch!(case.dtype, T => for v in volume.as_slice_mut::<T>() {
            if next() < 0.02 {
                *v = T::from_f64(match (next() * 5.0) as u8 {
                    0 if nan => f64::NAN,
                    1 => f64::INFINITY,
                    2 => f64::NEG_INFINITY,
                    3 => 1e38,
                    _ => -1e300,
                });
            }
        });
        let table = compute(case.op(), &volume, &Region::whole(&case.shape));
        for row in table.as_slice::<f64>().chunks_exact(case.shape.len() + 2) {
            prop_assert!(row[case.shape.len() + 1] > case.threshold);
        }
    }
}

fn scales() -> Scales {
    Scales::linear(&[1.0; 3], &[2.0; 3], 3).unwrap()
}

#[test]
fn constants_and_plateaus_have_no_blobs() {
    for value in [0.0, 3.7, 1e30, f64::NAN, f64::INFINITY] {
        let volume = Buffer::from_slice(&[20, 21, 22], &vec![value; 20 * 21 * 22]);
        let info = VolumeInfo::new(volume.shape(), Dtype::F64);
        for scales in [scales(), Scales::geometric(&[1.0; 3], &[2.0; 3], 1.6).unwrap()] {
            let op = Blobs::new(info.clone(), &scales, -1.0, &[0; 3], None).unwrap();
            let table = compute(op, &volume, &Region::whole(volume.shape()));
            assert_eq!(table.shape(), [0, 5], "{value}");
        }
    }
    // A saturated half: of a plateau's response only what lies along its edge is above others.
    let mut volume = Buffer::zeros(&[40, 40, 40], Dtype::U16);
    for z in 0..20 {
        volume.as_slice_mut::<u16>()[z * 1600..][..1600].fill(65535);
    }
    let info = VolumeInfo::new(volume.shape(), Dtype::U16);
    let op = Blobs::new(info, &scales(), -1.0, &[0; 3], None).unwrap();
    let table = compute(op, &volume, &Region::whole(volume.shape()));
    for row in table.as_slice::<f64>().chunks_exact(5) {
        assert!((10.0..30.0).contains(&row[0]), "{row:?}");
    }
}

#[test]
fn a_nan_hides_what_its_filters_reach() {
    let mut volume = noise(&[30, 30, 30], Dtype::F32, 3);
    volume.as_slice_mut::<f32>()[(15 * 30 + 15) * 30 + 15] = f32::NAN;
    let info = VolumeInfo::new(volume.shape(), Dtype::F32);
    let op = Blobs::new(info, &scales(), 0.0, &[0; 3], None).unwrap();
    let table = compute(op, &volume, &Region::whole(volume.shape()));
    assert!(table.shape()[0] > 50);
    for row in table.as_slice::<f64>().chunks_exact(5) {
        // The narrowest filter ends after 4 voxels.
        assert!(row[..3].iter().any(|c| (c - 15.0).abs() > 4.0), "{row:?}");
    }
}

#[test]
fn the_border_and_other_channels_are_left_out() {
    let volume = noise(&[3, 20, 18, 22], Dtype::U8, 5);
    let info = info(&[3, 20, 18, 22], "czyx", Dtype::U8);
    let whole = Region::whole(volume.shape());
    let search = |border: &[u64], channels: Option<&[u64]>| {
        let op = Blobs::new(info.clone(), &scales(), 0.01, border, channels).unwrap();
        rows(&compute(op, &volume, &whole))
    };
    let all = search(&[0; 3], None);
    let kept: Vec<_> = all
        .iter()
        .filter(|row| {
            let at: Vec<f64> = row.iter().map(|v| f64::from_bits(*v)).collect();
            [0.0, 2.0].contains(&at[0])
                && (2.0..18.0).contains(&at[1])
                && (5.0..17.0).contains(&at[3])
        })
        .cloned()
        .collect();
    assert!(!kept.is_empty() && kept.len() < all.len());
    assert_eq!(search(&[2, 0, 5], Some(&[0, 2])), kept);
    assert!(search(&[0, 9, 0], None).is_empty());
    assert!(search(&[100, 0, 0], None).is_empty());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let volume = info(&[2, 9, 9], "cyx", Dtype::U8);
    let scales = Scales::linear(&[1.0; 2], &[2.0; 2], 3).unwrap();
    let error = |input: &VolumeInfo, scales: &Scales, threshold, border: &[u64], channels| {
        Blobs::new(input.clone(), scales, threshold, border, channels).unwrap_err().to_string()
    };
    let e = error(&volume, &scales, f64::NAN, &[0, 0], None);
    assert!(e.contains("threshold is NaN"), "{e}");
    let e = error(&volume, &scales, 0.1, &[0, 0], Some(&[2]));
    assert!(e.contains("channel is 2") && e.contains("0 to 1"), "{e}");
    let e = error(&volume, &scales, 0.1, &[0], None);
    assert!(e.contains("exclude-border has 1"), "{e}");
    let e = error(&volume, &self::scales(), 0.1, &[0, 0], None);
    assert!(e.contains("3 values of sigma"), "{e}");
    let flat = info(&[9, 9], "yx", Dtype::U8);
    let e = error(&flat, &scales, 0.1, &[0, 0], Some(&[0]));
    assert!(e.contains("no channel axis"), "{e}");
    let e = error(&info(&[9, 9], "tc", Dtype::U8), &scales, 0.1, &[], None);
    assert!(e.contains("0 spatial axes"), "{e}");
}
