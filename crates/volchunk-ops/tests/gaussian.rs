//! The gaussian filter against a naive one, against itself in chunks and on each vector path.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use volchunk::{
    ArraySource, Boundary, Buffer, Dtype, ErrorKind, Pipeline, Region, Scratch, VolumeInfo,
    dispatch,
};
use volchunk_ops::{Gaussian, GaussianAxis, Reach, Simd};

/// The taps, which have a test of their own against SciPy's.
#[path = "../src/gaussian/weights.rs"]
#[allow(dead_code)]
mod weights;

const BOUNDARIES: [Boundary; 5] = [
    Boundary::Reflect,
    Boundary::Mirror,
    Boundary::Nearest,
    Boundary::Wrap,
    // Not a value of any integer dtype, nor of f32.
    Boundary::Constant(3.1),
];

/// Voxels from a linear congruential generator (Knuth's MMIX), over much of the dtype's range.
fn synthetic(shape: &[u64], dtype: Dtype, seed: u64) -> Buffer {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut buffer = Buffer::zeros(shape, dtype);
    let (low, span) = match dtype {
        Dtype::Bool => (0.0, 1.0),
        Dtype::U8 => (0.0, 255.0),
        Dtype::I8 => (-128.0, 255.0),
        Dtype::U16 => (0.0, 65535.0),
        Dtype::I16 => (-32768.0, 65535.0),
        Dtype::U32 => (0.0, 4e9),
        Dtype::I32 => (-2e9, 4e9),
        Dtype::U64 => (0.0, 1.8e19),
        Dtype::I64 => (-9e18, 1.8e19),
        Dtype::F32 | Dtype::F64 => (-1e3, 1e4),
    };
    dispatch!(dtype, T => for v in buffer.as_slice_mut::<T>() {
        *v = volchunk::Element::from_f64(match dtype {
            Dtype::Bool => next().round(),
            _ => low + next() * span,
        });
    });
    buffer
}

/// What the filter's documentation says, written as directly as can be: pad each line, then sum.
fn naive(volume: &Buffer, axes: &[GaussianAxis], dtype: Option<Dtype>) -> Buffer {
    let dtype = dtype.unwrap_or(match volume.dtype() {
        Dtype::F32 => Dtype::F32,
        input if input.size() < 4 => Dtype::F32,
        _ => Dtype::F64,
    });
    let mut values: Vec<f64> = dispatch!(volume.dtype(), T => {
        volume.as_slice::<T>().iter().map(|v| volchunk::Element::to_f64(*v)).collect()
    });
    let shape: Vec<usize> = volume.shape().iter().map(|&n| n as usize).collect();
    let mut stored = None;
    for (axis, filter) in axes.iter().enumerate().filter(|(_, f)| f.sigma > 0.0) {
        let radius = match filter.reach {
            Reach::Sigmas(n) => (n * filter.sigma + 0.5) as i64,
            Reach::Voxels(n) => n as i64,
        };
        let weights =
            weights::Weights::new(filter.sigma, filter.order as u32, radius as usize).unwrap();
        let sign = if weights.antisymmetric() { -1.0 } else { 1.0 };
        let weights: Vec<f64> = weights.taps().iter().rev().copied().collect();

        let (n, step) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
        let mut result = values.clone();
        for (i, out) in result.iter_mut().enumerate() {
            let place = (i / step % n) as i64;
            let at = |offset: i64| match filter.boundary.index(place + offset, n as u64) {
                Some(p) => values[i - place as usize * step + p as usize * step],
                None => match filter.boundary {
                    Boundary::Constant(value) => value,
                    _ => unreachable!(),
                },
            };
            let mut sum = at(0) * weights[0];
            for x in (1..=radius).rev() {
                sum += (at(-x) + sign * at(x)) * weights[x as usize];
            }
            *out = sum;
        }
        let buffer = store(volume.shape(), &result, dtype);
        values = match dtype {
            Dtype::Bool => buffer.bytes().iter().map(|&b| f64::from(b)).collect(),
            _ => dispatch!(dtype, T => {
                buffer.as_slice::<T>().iter().map(|v| volchunk::Element::to_f64(*v)).collect()
            }),
        };
        stored = Some(buffer);
    }
    match stored {
        Some(mut buffer) if dtype == Dtype::Bool => {
            buffer.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
            buffer
        }
        Some(buffer) => buffer,
        None => unfiltered(volume, dtype),
    }
}

/// Sums as voxels of `dtype`; bools as the bytes that SciPy makes of them.
fn store(shape: &[u64], sums: &[f64], dtype: Dtype) -> Buffer {
    let limit = match dtype {
        Dtype::U32 | Dtype::I64 | Dtype::U64 => 1i128 << 63,
        _ => 1 << 31,
    };
    let whole = |v: f64| {
        let w = v.trunc();
        match dtype {
            Dtype::U64 if w >= 2f64.powi(63) => {
                if w < 2f64.powi(64) {
                    w as i128
                } else {
                    0
                }
            }
            _ if w >= -(limit as f64) && w < limit as f64 => w as i128,
            _ => -limit,
        }
    };
    let mut buffer = Buffer::zeros(shape, dtype);
    let size = dtype.size();
    for (bytes, &v) in buffer.bytes_mut().chunks_exact_mut(size).zip(sums) {
        match dtype {
            Dtype::F32 => bytes.copy_from_slice(&(v as f32).to_le_bytes()),
            Dtype::F64 => bytes.copy_from_slice(&v.to_le_bytes()),
            _ => bytes.copy_from_slice(&whole(v).to_le_bytes()[..size]),
        }
    }
    buffer
}

/// Where no axis is filtered: NumPy's conversion.
fn unfiltered(volume: &Buffer, dtype: Dtype) -> Buffer {
    let input = volume.dtype();
    let whole: Vec<i128> = dispatch!(input, T => {
        volume.as_slice::<T>().iter().map(|v| volchunk::Element::to_i128(*v).unwrap_or(0)).collect()
    });
    let values: Vec<f64> = dispatch!(input, T => {
        volume.as_slice::<T>().iter().map(|v| volchunk::Element::to_f64(*v)).collect()
    });
    let mut buffer = store(volume.shape(), &values, dtype);
    let size = dtype.size();
    for (i, bytes) in buffer.bytes_mut().chunks_exact_mut(size).enumerate() {
        match dtype {
            Dtype::Bool => bytes[0] = u8::from(values[i] != 0.0),
            Dtype::F32 if !input.is_float() => {
                bytes.copy_from_slice(&(whole[i] as f32).to_le_bytes());
            }
            Dtype::F32 | Dtype::F64 => {}
            _ if input.is_float() => {}
            _ => bytes.copy_from_slice(&whole[i].to_le_bytes()[..size]),
        }
    }
    buffer
}

fn filter(
    volume: &Buffer,
    axes: &[GaussianAxis],
    dtype: Option<Dtype>,
    simd: Simd,
    region: &Region,
) -> Buffer {
    let source = ArraySource::new(volume.view());
    let info = VolumeInfo::new(volume.shape(), volume.dtype());
    let op = Gaussian::new(info.clone(), axes, dtype).unwrap().with_simd(simd);
    // Leftovers of other chunks must not show.
    let mut scratch = Scratch::new();
    let mut dirt = scratch.take(&[1 << 16], Dtype::F64);
    dirt.as_slice_mut::<f64>().fill(f64::NAN);
    scratch.give(dirt);
    let pipeline = Pipeline::chain(info, [Box::new(op) as _]).unwrap();
    pipeline.compute(&[&source], region, &mut scratch).unwrap()
}

fn smooth(sigma: &[f64], boundary: Boundary) -> Vec<GaussianAxis> {
    sigma.iter().map(|&s| GaussianAxis { boundary, ..GaussianAxis::smooth(s) }).collect()
}

fn best(volume: &Buffer, axes: &[GaussianAxis], dtype: Option<Dtype>) -> Buffer {
    filter(volume, axes, dtype, Simd::best(), &Region::whole(volume.shape()))
}

#[derive(Debug)]
struct Case {
    shape: Vec<u64>,
    axes: Vec<GaussianAxis>,
    region: Region,
    input: Dtype,
    output: Option<Dtype>,
    seed: u64,
}

fn axis() -> impl Strategy<Value = GaussianAxis> {
    let sigma = prop_oneof![2 => Just(0.0), 1 => Just(0.1), 5 => 0.125f64..3.0];
    let order = prop_oneof![2 => Just(0u64), 1 => 1u64..7];
    let reach = prop_oneof![
        4 => Just(Reach::default()),
        1 => (0.0f64..6.0).prop_map(Reach::Sigmas),
        1 => (0u64..12).prop_map(Reach::Voxels),
    ];
    let boundary = prop_oneof![
        4 => prop::sample::select(BOUNDARIES.to_vec()),
        1 => (-1e3f64..1e3).prop_map(Boundary::Constant),
    ];
    (sigma, order, reach, boundary).prop_map(|(sigma, order, reach, boundary)| GaussianAxis {
        sigma,
        order,
        reach,
        boundary,
    })
}

fn cases() -> impl Strategy<Value = Case> {
    let length = prop_oneof![3 => 1u64..9, 1 => 9u64..90];
    let dtypes = prop::sample::select(Dtype::ALL.to_vec());
    prop::collection::vec((length, axis(), any::<u64>(), any::<u64>()), 1..6)
        .prop_filter("too many voxels", |a| a.iter().map(|a| a.0).product::<u64>() < 40_000)
        .prop_flat_map(move |axes| {
            (Just(axes), dtypes.clone(), prop::option::weighted(0.8, dtypes.clone()), any::<u64>())
                .prop_map(|(axes, input, output, seed)| Case {
                    shape: axes.iter().map(|a| a.0).collect(),
                    axes: axes.iter().map(|a| a.1).collect(),
                    region: Region::from_ranges(axes.iter().map(|&(n, _, start, len)| {
                        let start = start % n;
                        start..start + 1 + len % (n - start)
                    })),
                    input,
                    output,
                    seed,
                })
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn any_region_has_the_bits_of_the_naive_whole(case in cases()) {
        let volume = synthetic(&case.shape, case.input, case.seed);
        let whole = naive(&volume, &case.axes, case.output);
        for simd in [Simd::portable(), Simd::best()] {
            let part = filter(&volume, &case.axes, case.output, simd, &case.region);
            let mut expected = Buffer::zeros(case.region.shape(), whole.dtype());
            expected.view_mut().copy_from(&whole.view().part(&case.region));
            prop_assert_eq!(part.dtype(), whole.dtype());
            prop_assert!(part.bytes() == expected.bytes(), "{:?}", simd);
        }
    }
}

/// Larger than the segments, tiles and groups that the kernel works in.
#[test]
fn large_planes_have_the_bits_of_the_naive_whole() {
    for (shape, sigma) in [
        (&[3, 40, 1100][..], &[1.0, 2.0, 2.0][..]),
        (&[40, 19, 70], &[0.8, 0.0, 1.5]),
        (&[5, 700], &[0.0, 40.0]),
        (&[2, 300, 90], &[3.0, 12.0, 0.3]),
        (&[6, 5, 7, 4, 33], &[1.0, 0.7, 1.2, 0.9, 2.0]),
    ] {
        for (boundary, dtype) in BOUNDARIES.into_iter().zip([Dtype::U16, Dtype::F64].repeat(3)) {
            let volume = synthetic(shape, dtype, 5);
            for (order, output) in [(0, None), (1, Some(Dtype::I16))] {
                let mut axes = smooth(sigma, boundary);
                axes.iter_mut().for_each(|a| a.order = order);
                let expected = naive(&volume, &axes, output);
                let found = best(&volume, &axes, output);
                let equal = found.bytes() == expected.bytes();
                assert!(equal, "{shape:?} {sigma:?} {order} {boundary} {dtype}");
            }
        }
    }
}

#[test]
fn strided_views_are_read_in_place() {
    let volume = synthetic(&[20, 30, 40], Dtype::I16, 9);
    let order = [2, 0, 1];
    let mut copy = Buffer::zeros(&[40, 20, 30], Dtype::I16);
    copy.view_mut().copy_from(&volume.view().permuted(&order));
    let info = VolumeInfo::new(&[40, 20, 30], Dtype::I16);
    let region = Region::new([3, 4, 5], [30, 16, 20]);
    let results = [volume.view().permuted(&order), copy.view()].map(|view| {
        let op = Gaussian::new(info.clone(), &smooth(&[1.0, 0.5, 2.0], Boundary::Reflect), None)
            .unwrap();
        let pipeline = Pipeline::chain(info.clone(), [Box::new(op) as _]).unwrap();
        let source = ArraySource::new(view);
        pipeline.compute(&[&source], &region, &mut Scratch::new()).unwrap()
    });
    assert_eq!(results[0].bytes(), results[1].bytes());
}

#[test]
fn a_nan_reaches_as_far_as_the_filter() {
    let mut volume = synthetic(&[1, 1, 60], Dtype::F32, 3);
    volume.as_slice_mut::<f32>()[30] = f32::NAN;
    let out = best(&volume, &smooth(&[0.0, 0.0, 1.0], Boundary::Reflect), None);
    for (x, v) in out.as_slice::<f32>().iter().enumerate() {
        assert_eq!(v.is_nan(), (26..=34).contains(&x), "voxel {x}");
    }
}

#[test]
fn bad_sigma_is_refused_with_what_is_legal() {
    let info = VolumeInfo::new(&[9, 9], Dtype::U8);
    for sigma in [-1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e6] {
        let error =
            Gaussian::new(info.clone(), &[1.0, sigma].map(GaussianAxis::smooth), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("axis x"), "{error}");
        assert!(error.to_string().contains("legal: 0"), "{error}");
    }
    let error = Gaussian::new(info, &[GaussianAxis::smooth(1.0)], None).unwrap_err();
    assert!(error.to_string().contains("each of the 2 axes (yx)"), "{error}");
}

/// Bits that must never change, on any CPU: those of SciPy for the same input, where the oracle
/// script finds equality.
#[test]
fn digests_are_those_committed() {
    let sigma = [0.0, 1.3, 2.0, 0.7];
    let mut found = String::new();
    for boundary in BOUNDARIES {
        for dtype in Dtype::ALL {
            let volume = synthetic(&[2, 9, 13, 37], dtype, 1);
            let [portable, best] = [Simd::portable(), Simd::best()].map(|simd| {
                let axes = smooth(&sigma, boundary);
                filter(&volume, &axes, None, simd, &Region::whole(volume.shape()))
            });
            assert!(portable.bytes() == best.bytes(), "{boundary} {dtype}: paths differ");
            found += &format!("{boundary} {dtype} {:016x}\n", fnv1a(best.bytes()));
        }
    }
    let volume = synthetic(&[2, 9, 13, 37], Dtype::I16, 1);
    for order in 0..3 {
        for dtype in Dtype::ALL {
            let mut axes = smooth(&sigma, Boundary::Reflect);
            axes.iter_mut().for_each(|a| a.order = order);
            let [portable, best] = [Simd::portable(), Simd::best()].map(|simd| {
                filter(&volume, &axes, Some(dtype), simd, &Region::whole(volume.shape()))
            });
            assert!(portable.bytes() == best.bytes(), "order {order} {dtype}: paths differ");
            found += &format!("order {order} to {dtype} {:016x}\n", fnv1a(best.bytes()));
        }
    }
    let committed = include_str!("gaussian_digests.txt");
    for (f, c) in found.lines().zip(committed.lines()) {
        assert_eq!(f, c, "found, committed");
    }
    assert_eq!(found.lines().count(), committed.lines().count());
}

/// FNV-1a, 64 bits, over the bytes in little-endian order.
fn fnv1a(bytes: &[u8]) -> u64 {
    const { assert!(cfg!(target_endian = "little")) };
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}
