//! Elementwise ops against definitions written voxel by voxel.

use proptest::prelude::*;
use volchunk::{Buffer, Dtype, Element, VolumeInfo, dispatch};

use super::{Clip, Elementwise};
use crate::{
    Number, OpSpec,
    testing::{boxes, chain, check_chunk, dtypes, volumes, whole},
};

/// A voxel as an exact number; bool as 0 and 1.
#[derive(Clone, Copy, Debug)]
enum Exact {
    Integer(i128),
    Float(f64),
}

fn exact(volume: &Buffer) -> Vec<Exact> {
    dispatch!(volume.dtype(), T => volume
        .as_slice::<T>()
        .iter()
        .map(|v| v.to_i128().map_or(Exact::Float(v.to_f64()), Exact::Integer))
        .collect())
}

fn run(op: &str, volume: &Buffer) -> Buffer {
    whole(&chain(&[op], VolumeInfo::new(volume.shape(), volume.dtype())), volume)
}

/// Bounds and range of an integer dtype.
fn limits(dtype: Dtype) -> (i128, i128) {
    match dtype {
        Dtype::Bool => (0, 1),
        Dtype::U8 => (0, 255),
        Dtype::U16 => (0, 65535),
        Dtype::U32 => (0, 4_294_967_295),
        Dtype::U64 => (0, 18_446_744_073_709_551_615),
        Dtype::I8 => (-128, 127),
        Dtype::I16 => (-32768, 32767),
        Dtype::I32 => (-2_147_483_648, 2_147_483_647),
        _ => (-9_223_372_036_854_775_808, 9_223_372_036_854_775_807),
    }
}

/// Rounds half to even by looking at the fraction, not by the library's rounding.
fn round(v: f64) -> f64 {
    let floor = v.floor();
    let rest = v - floor;
    match rest.partial_cmp(&0.5) {
        Some(std::cmp::Ordering::Less) => floor,
        Some(std::cmp::Ordering::Equal) if floor % 2.0 == 0.0 => floor,
        _ => floor + 1.0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn cast_rounds_and_saturates(volume in volumes(0..=4), to in dtypes()) {
        let out = run(&format!("cast:dtype={to}"), &volume);
        prop_assert_eq!(out.dtype(), to);
        for (from, to_voxel) in exact(&volume).into_iter().zip(exact(&out)) {
            let (lo, hi) = limits(to);
            match (from, to_voxel) {
                (Exact::Integer(i), Exact::Integer(o)) if to == Dtype::Bool => prop_assert_eq!(o, i128::from(i != 0)),
                (Exact::Float(f), Exact::Integer(o)) if to == Dtype::Bool => prop_assert_eq!(o, i128::from(f != 0.0)),
                (Exact::Integer(i), Exact::Integer(o)) => prop_assert_eq!(o, i.max(lo).min(hi)),
                (Exact::Float(f), Exact::Integer(o)) if f.is_nan() => prop_assert_eq!(o, 0),
                (Exact::Float(f), Exact::Integer(o)) if f < lo as f64 => prop_assert_eq!(o, lo),
                (Exact::Float(f), Exact::Integer(o)) if f >= hi as f64 => prop_assert_eq!(o, hi),
                (Exact::Float(f), Exact::Integer(o)) => prop_assert_eq!(o, round(f) as i128),
                (Exact::Integer(i), Exact::Float(o)) if to == Dtype::F32 => prop_assert_eq!(o, f64::from(i as f32)),
                (Exact::Integer(i), Exact::Float(o)) => prop_assert_eq!(o, i as f64),
                (Exact::Float(f), Exact::Float(o)) => {
                    let f = if to == Dtype::F32 { f64::from(f as f32) } else { f };
                    prop_assert!(f == o || (f.is_nan() && o.is_nan()));
                }
            }
        }
    }

    #[test]
    fn threshold_is_exact(volume in volumes(0..=4), near in any::<prop::sample::Index>(), step in -2i128..3, half in any::<bool>()) {
        // A value beside one of the voxels: where it is decided.
        let voxels = exact(&volume);
        let value = match voxels[near.index(voxels.len())] {
            Exact::Integer(i) if !half => Number::Integer(i + step),
            Exact::Integer(i) => Number::from_f64(i as f64 + step as f64 / 2.0).unwrap(),
            Exact::Float(f) if f.is_nan() => Number::Integer(0),
            Exact::Float(f) => Number::from_f64(if half { f.next_down() } else { f }).unwrap(),
        };
        let out = run(&format!("threshold:value={value}"), &volume);
        for (v, &o) in voxels.iter().zip(out.as_slice::<u8>()) {
            let above = match (*v, value) {
                (Exact::Integer(v), Number::Integer(c)) => v > c,
                // A number of 64 bits more than a float: compare with the parts of the float.
                (Exact::Integer(v), Number::Float(c)) if c.is_infinite() => c < 0.0 && v != i128::MAX,
                (Exact::Integer(v), Number::Float(c)) => v > c.trunc() as i128 || (v == c.trunc() as i128 && c.fract() < 0.0),
                (Exact::Float(v), Number::Integer(c)) if v.is_finite() && v.abs() < 1e37 => {
                    v.trunc() as i128 > c || (v.trunc() as i128 == c && v.fract() > 0.0)
                }
                (Exact::Float(v), c) => v > c.to_f64(),
            };
            prop_assert_eq!(o, u8::from(above), "{:?} > {}", v, value);
        }
    }

    #[test]
    fn clip_is_clip_then_round(volume in volumes(0..=3), a in -70_000i64..70_000, width in 0i64..70_000, one in 0..3) {
        let (min, max) = (a as f64 / 4.0, (a + width) as f64 / 4.0);
        let op = match one {
            0 => format!("clip:min={min}"),
            1 => format!("clip:max={max}"),
            _ => format!("clip:min={min}:max={max}"),
        };
        let (min, max) = (if one == 1 { f64::NEG_INFINITY } else { min }, if one == 0 { f64::INFINITY } else { max });
        let out = run(&op, &volume);
        prop_assert_eq!(out.dtype(), volume.dtype());
        for (from, to) in exact(&volume).into_iter().zip(exact(&out)) {
            match (from, to) {
                (Exact::Integer(i), Exact::Integer(o)) => {
                    let (lo, hi) = limits(volume.dtype());
                    let expected = if (i as f64) < min { round(min) as i128 } else if i as f64 > max { round(max) as i128 } else { i };
                    prop_assert_eq!(o, expected.clamp(lo, hi), "{} of {}", op, i);
                }
                (Exact::Float(f), Exact::Float(o)) => {
                    // Bounds become voxels: the nearest float32.
                    let near = |b: f64| if volume.dtype() == Dtype::F32 { f64::from(b as f32) } else { b };
                    let expected = if f < min { near(min) } else if f > max { near(max) } else { f };
                    prop_assert!(o == expected || (o.is_nan() && f.is_nan()));
                }
                _ => prop_assert!(false),
            }
        }
    }

    #[test]
    fn arithmetic_is_float64_rounded_once(volume in volumes(0..=3), c in -1e6f64..1e6) {
        for (name, f) in [("subtract", (|v, c| v - c) as fn(f64, f64) -> f64), ("multiply", |v, c| v * c)] {
            let out = run(&format!("{name}:value={c}"), &volume);
            let wide = matches!(volume.dtype(), Dtype::U32 | Dtype::U64 | Dtype::I32 | Dtype::I64 | Dtype::F64);
            prop_assert_eq!(out.dtype(), if wide { Dtype::F64 } else { Dtype::F32 });
            for (from, to) in exact(&volume).into_iter().zip(exact(&out)) {
                let (Exact::Float(o), v) = (to, match from { Exact::Integer(i) => i as f64, Exact::Float(f) => f }) else {
                    panic!("not a float");
                };
                let e = if wide { f(v, c) } else { f64::from(f(v, c) as f32) };
                prop_assert!(o == e || (o.is_nan() && e.is_nan()), "{} {}: {} != {}", v, name, o, e);
            }
        }
    }

    #[test]
    fn chunked_is_whole(volume in volumes(0..=5), corners in boxes(), op in prop::sample::select(vec![
        "cast:dtype=uint8", "cast:dtype=float32", "cast:dtype=bool", "clip:min=-3:max=40.5", "threshold:value=2", "subtract:value=3.7", "multiply:value=-1e3",
    ])) {
        check_chunk(&chain(&[op], VolumeInfo::new(volume.shape(), volume.dtype())), &volume, &corners)?;
    }
}

/// Rows longer than a piece, and more of them than one, with strides.
#[test]
fn long_rows() {
    let n = 3 * crate::rows::PIECE as u64 + 5;
    let voxels: Vec<u16> = (0..3 * n).map(|i| (i * 7919 % 65_536) as u16).collect();
    let volume = Buffer::from_slice(&[3, n], &voxels);
    let out = run("subtract:value=1.5", &volume);
    assert!(out.as_slice::<f32>().iter().zip(&voxels).all(|(o, &v)| *o == f32::from(v) - 1.5));
    let pipeline = chain(&["subtract:value=1.5"], VolumeInfo::new(&[3, n], Dtype::U16));
    check_chunk(&pipeline, &volume, &[(0.4, 1.0), (0.1, 0.95)]).unwrap();
}

#[test]
fn refused() {
    let clip = |a, b| Clip::new(Some(Number::Integer(a)), Some(Number::Integer(b)));
    assert!(clip(1, 0).is_err() && clip(0, 0).is_ok() && Clip::new(None, None).is_err());
    let empty = VolumeInfo::new(&[3, 0], Dtype::U8);
    let error = Elementwise::new(empty, clip(0, 1).unwrap()).unwrap_err().to_string();
    assert!(error.contains("axis x") && error.contains("clip"), "{error}");
    let huge = VolumeInfo::new(&[1 << 61], Dtype::U8);
    let error = OpSpec::parse("cast:dtype=float64").unwrap().bind(&huge).unwrap_err().to_string();
    assert!(error.contains("2^63"), "{error}");
}
