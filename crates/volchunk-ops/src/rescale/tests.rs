//! Rescaling against a definition written voxel by voxel.

use proptest::prelude::*;
use volchunk::{Buffer, Dtype, Element, VolumeInfo, dispatch};

use super::{Order, Rescale};
use crate::testing::{bits, boxes, chain, check_chunk, scaled, volumes, whole};

/// The value at voxel `at` of the output: along the slowest axis first, so that the fastest is the
/// outermost call.
fn value(volume: &Buffer, out: &[u64], at: &[u64], order: Order) -> f64 {
    fn line(
        get: &dyn Fn(&[u64]) -> f64,
        shape: &[u64],
        out: &[u64],
        at: &[u64],
        seen: &[u64],
    ) -> f64 {
        let Some(a) = (shape.len() - seen.len()).checked_sub(1) else {
            return get(seen);
        };
        let (n, m, x) = (shape[a] as i128, out[a] as i128, at[a] as i128);
        let numerator = (2 * x + 1) * n - m;
        let lo = numerator.div_euclid(2 * m);
        let clamp = |i: i128| i.clamp(0, n - 1) as u64;
        let next = |i| line(get, shape, out, at, &[&[clamp(i)], seen].concat());
        let weight = numerator.rem_euclid(2 * m) as f64 / (2 * m) as f64;
        let (a, b) = (next(lo), next(lo + 1));
        if weight == 0.0 || a == b { a } else { a + (b - a) * weight }
    }
    let shape = volume.shape();
    let get = |at: &[u64]| {
        let i = at.iter().zip(shape).fold(0, |i, (&x, &n)| i * n + x) as usize;
        dispatch!(volume.dtype(), T => volume.as_slice::<T>()[i].to_f64())
    };
    match order {
        Order::Linear => line(&get, shape, out, at, &[]),
        Order::Nearest => {
            // The voxel whose extent [i, i + 1) holds the centre (x + 1/2)·n/m.
            let near: Vec<u64> = (0..shape.len())
                .map(|a| {
                    (0..shape[a]).rfind(|i| 2 * i * out[a] <= (2 * at[a] + 1) * shape[a]).unwrap()
                })
                .collect();
            get(&near)
        }
    }
}

fn naive(volume: &Buffer, shape: &[u64], order: Order) -> Buffer {
    let mut out = Buffer::zeros(shape, volume.dtype());
    dispatch!(volume.dtype(), T => {
        for (i, voxel) in out.as_slice_mut::<T>().iter_mut().enumerate() {
            let mut rest = i as u64;
            let mut at: Vec<u64> = shape.iter().rev().map(|n| { let x = rest % n; rest /= n; x }).collect();
            at.reverse();
            *voxel = T::from_f64(value(volume, shape, &at, order));
        }
    });
    out
}

fn factors() -> impl Strategy<Value = Vec<f64>> {
    let some = prop::sample::select(vec![1.0, 2.0, 3.0, 0.5, 1.0 / 3.0, 1.5, 0.7, 0.01]);
    prop::collection::vec(prop_oneof![some, 0.05..4.0], 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn values(volume in volumes(1..=4), factor in factors(), order in 0..2, corners in boxes()) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        let some: Vec<_> = info.spatial_axes().iter().zip(&factor).map(|(_, k)| k.to_string()).collect();
        let op = format!("rescale:factor={}:order={order}", some.join(","));
        let pipeline = chain(&[&op], info);
        // 64-bit integers and bool go through float64 in the definition above, too.
        let order = if order == 0 { Order::Nearest } else { Order::Linear };
        if order == Order::Linear || volume.dtype().size() < 8 && volume.dtype() != Dtype::Bool {
            let expected = naive(&volume, &pipeline.output().shape, order);
            prop_assert_eq!(bits(&whole(&pipeline, &volume)), bits(&expected), "{}", op);
        }
        check_chunk(&pipeline, &volume, &corners)?;
    }

    #[test]
    fn chains(volume in volumes(2..=4), a in factors(), b in factors(), corners in boxes(), middle in prop::sample::select(vec!["transpose", "downsample:factor=2", "cast:dtype=int16"])) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        let backwards: String = info.axis_names().chars().rev().collect();
        let middle = if middle == "transpose" { format!("transpose:axes={backwards}") } else { middle.into() };
        let pipeline = chain(&[&format!("rescale:factor={}", a[0]), &middle, &format!("rescale:factor={}:order=0", b[0]), "subtract:value=1"], info);
        check_chunk(&pipeline, &volume, &corners)?;
    }
}

/// A constant stays itself, and labels keep all 64 bits.
#[test]
fn kept() {
    let volume = Buffer::from_slice(&[3, 3], &[0.1f64; 9]);
    let pipeline = chain(&["rescale:factor=2.7"], VolumeInfo::new(&[3, 3], Dtype::F64));
    assert!(whole(&pipeline, &volume).as_slice::<f64>().iter().all(|&v| v == 0.1));
    let volume = Buffer::from_slice(&[2], &[u64::MAX, u64::MAX - 1]);
    let pipeline = chain(&["rescale:factor=2:order=0"], VolumeInfo::new(&[2], Dtype::U64));
    let expected = [u64::MAX, u64::MAX, u64::MAX - 1, u64::MAX - 1];
    assert_eq!(whole(&pipeline, &volume).as_slice::<u64>(), expected);
}

#[test]
fn extent_stays() {
    let volume = Buffer::zeros(&[30, 100, 100], Dtype::U16);
    let info = scaled(&volume, &[5.0, 2.0, 2.0]);
    let pipeline = chain(&["rescale:size=3um"], info.clone());
    let out = pipeline.output();
    assert_eq!(&out.shape[..], [50, 67, 67]);
    for (a, (old, new)) in info.axes.iter().zip(&out.axes).enumerate() {
        let (old_scale, new_scale) = (old.scale.unwrap(), new.scale.unwrap());
        let edges = |origin: f64, scale: f64, n: u64| {
            (origin - scale / 2.0, origin + scale * (n as f64 - 0.5))
        };
        let (lo, hi) = edges(old.origin, old_scale, info.shape[a]);
        let (new_lo, new_hi) = edges(new.origin, new_scale, out.shape[a]);
        assert!((lo - new_lo).abs() < 1e-12 && (hi - new_hi).abs() < 1e-9);
    }
}

#[test]
fn refused() {
    let volume = |n| VolumeInfo::new(&[n, 2], Dtype::U8);
    for (n, f) in [
        (3, f64::NAN),
        (3, 0.0),
        (3, -1.0),
        (3, f64::INFINITY),
        (1 << 50, 1e10),
        (1 << 62, 1.5),
        (1 << 52, 2000.0),
    ] {
        assert!(Rescale::new(volume(n), &[f, 1.0], Order::Linear).is_err(), "{n} {f}");
    }
    // Never to nothing.
    let small = Rescale::new(volume(3), &[1e-9, 1.0], Order::Linear).unwrap();
    assert_eq!(&small.outputs[0].info.shape[..], [1, 2]);
    assert!(Rescale::new(volume(3), &[1.0], Order::Linear).is_err());
}
