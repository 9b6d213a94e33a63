//! Means around points against every voxel looked at one by one, for any chunks and workers.

#![allow(clippy::unwrap_used)]

use proptest::{collection::vec, prelude::*, sample::select};
use volchunk::{ArraySource, Axis, AxisKind, Buffer, Dtype, ErrorKind, Source, dispatch};
use volchunk_ops::{Ellipsoids, PassOptions, means_around};

/// A volume, a row for each ellipsoid, a chunk.
#[derive(Debug, Clone)]
struct Case {
    axes: &'static str,
    volume: Buffer,
    rows: Vec<f64>,
    chunk: Vec<u64>,
}

fn volume(shape: &[u64], dtype: Dtype, seed: u64) -> Buffer {
    let mut state = seed;
    let mut volume = Buffer::zeros(shape, dtype);
    dispatch!(dtype, T => for v in volume.as_slice_mut::<T>() {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let raw = state >> 20;
        *v = match dtype.is_float() {
            true => volchunk::Element::from_f64(raw as f64 / 1e9 - 7.0),
            false => volchunk::Element::from_i128((raw as i128 * (raw as i128 % 5)) << (raw % 20)),
        };
    });
    volume
}

fn cases() -> impl Strategy<Value = Case> {
    let axes = select(vec!["cx", "cyx", "czyx", "zyxc", "tczyx", "ztcyx"]);
    (axes, select(Dtype::ALL.to_vec()), any::<u64>()).prop_flat_map(|(axes, dtype, seed)| {
        let long = |name: char| match (name, axes.len()) {
            ('c' | 't', _) => 1..4u64,
            (_, 2) => 1..300,
            (_, 3) => 1..90,
            _ => 1..12,
        };
        let shape: Vec<_> = axes.chars().map(long).collect();
        shape.prop_flat_map(move |shape| {
            let spatial = axes.chars().filter(|n| !"ct".contains(*n)).count();
            let others: Vec<u64> =
                axes.chars().zip(&shape).filter(|(n, _)| *n != 'c').map(|(_, n)| *n).collect();
            let names: Vec<char> = axes.chars().filter(|n| *n != 'c').collect();
            // Anywhere within, at the very edge too; on the lattice more often.
            let centre: Vec<BoxedStrategy<f64>> = others
                .iter()
                .zip(names)
                .map(|(&n, name)| {
                    let lattice = (0..n).prop_map(|v| v as f64);
                    match name {
                        't' => lattice.boxed(),
                        _ => prop_oneof![lattice, -0.5..n as f64 - 0.5, Just(-0.5)].boxed(),
                    }
                })
                .collect();
            let radius = prop_oneof![select(vec![0.2, 1.0, 1.5, 2.0]), 0.01..6.0, Just(500.0)];
            let row = (centre, vec(radius, spatial)).prop_map(|(c, r)| [c, r].concat());
            let chunk: Vec<_> = shape.iter().map(|&n| 1..=n).collect();
            (vec(row, 0..25), chunk).prop_map(move |(rows, chunk)| Case {
                axes,
                volume: volume(&shape, dtype, seed),
                rows: rows.concat(),
                chunk,
            })
        })
    })
}

/// The definition.
fn by_hand(case: &Case, axes: &[Axis]) -> Vec<f64> {
    let kind = |a: &usize| axes[*a].kind;
    let channel = (0..axes.len()).find(|a| kind(a) == AxisKind::Channel).unwrap();
    let others: Vec<usize> = (0..axes.len()).filter(|&a| a != channel).collect();
    let spatial: Vec<usize> =
        others.iter().copied().filter(|a| kind(a) == AxisKind::Space).collect();
    let shape = case.volume.shape();
    let mut means = Vec::new();
    for row in case.rows.chunks_exact(others.len() + spatial.len()) {
        let centre = |a: usize| row[others.iter().position(|&o| o == a).unwrap()];
        let radius = |a: usize| row[others.len() + spatial.iter().position(|&s| s == a).unwrap()];
        for c in 0..shape[channel] {
            let (mut integers, mut floats, mut count) = (0i128, 0.0, 0u64);
            for number in 0..shape.iter().product::<u64>() {
                let mut rest = number;
                let mut at = vec![0; shape.len()];
                for a in (0..shape.len()).rev() {
                    (at[a], rest) = (rest % shape[a], rest / shape[a]);
                }
                let own = |a: usize| at[a] == (centre(a) + 0.5).floor() as u64;
                let there = others.iter().all(|&a| kind(&a) == AxisKind::Space || own(a));
                let squares =
                    spatial.iter().map(|&a| ((at[a] as f64 - centre(a)) / radius(a)).powi(2));
                let within = squares.sum::<f64>() <= 1.0 || others.iter().all(|&a| own(a));
                if at[channel] == c && there && within {
                    dispatch!(case.volume.dtype(), T => {
                        let voxel = case.volume.as_slice::<T>()[number as usize];
                        match volchunk::Element::to_i128(voxel) {
                            Some(v) => integers += v,
                            None => floats += volchunk::Element::to_f64(voxel),
                        }
                    });
                    count += 1;
                }
            }
            let float = case.volume.dtype().is_float();
            means.push(if float { floats } else { integers as f64 } / count as f64);
        }
    }
    means
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn means_are_those_of_every_voxel(case in cases(), workers in 1usize..4) {
        let axes: Vec<Axis> = case.axes.chars().map(Axis::new).collect();
        let source = ArraySource::new(case.volume.view()).with_axes(axes.clone());
        let expected: Vec<u64> = by_hand(&case, &axes).iter().map(|v| v.to_bits()).collect();
        for chunk in [None, Some(&case.chunk[..])] {
            let ellipsoids = Ellipsoids::new(source.info(), case.rows.clone()).unwrap();
            let options = PassOptions { chunk, workers: Some(workers), ..PassOptions::default() };
            let found = means_around(ellipsoids, &source, &options).unwrap();
            let found: Vec<u64> = found.iter().map(|v| v.to_bits()).collect();
            prop_assert_eq!(&found, &expected, "{:?}", chunk);
        }
    }
}

/// More points than a cell holds, some of them on one voxel: none is lost, none is doubled.
#[test]
fn crowds() {
    let shape = [1, 3, 130, 200];
    let voxels: Vec<u16> =
        (0..shape.iter().product::<u64>()).map(|i| (i % 65_521) as u16).collect();
    let volume = Buffer::from_slice(&shape, &voxels);
    let source = ArraySource::new(volume.view()).with_axes("czyx".chars().map(Axis::new).collect());
    let mut rows = Vec::new();
    let mut expected = Vec::new();
    for i in 0..20_000u64 {
        let at = [i % 3, (i * 7) % 130, (i * i) % 200];
        rows.extend(at.map(|v| v as f64).into_iter().chain([0.4; 3]));
        expected.push(f64::from(voxels[((at[0] * 130 + at[1]) * 200 + at[2]) as usize]));
    }
    for chunk in [[1, 2, 70, 33], [1, 3, 130, 200], [1, 1, 1, 64]] {
        let ellipsoids = Ellipsoids::new(source.info(), rows.clone()).unwrap();
        let options = PassOptions { chunk: Some(&chunk), ..PassOptions::default() };
        assert!(means_around(ellipsoids, &source, &options).unwrap() == expected, "{chunk:?}");
    }
}

/// The largest number below 0.5, to which 0.5 is added, gives 1.
#[test]
fn at_the_edge_of_the_only_voxel() {
    let volume = Buffer::from_slice(&[1, 1], &[7u8]);
    let source = ArraySource::new(volume.view()).with_axes("cx".chars().map(Axis::new).collect());
    let ellipsoids = Ellipsoids::new(source.info(), vec![0.5f64.next_down(), 0.1]).unwrap();
    assert_eq!(means_around(ellipsoids, &source, &PassOptions::default()).unwrap(), [7.0]);
}

#[test]
fn what_cannot_be_right_is_named() {
    let volume = Buffer::zeros(&[2, 4, 5], Dtype::U8);
    let info = |axes: &str| {
        let axes = axes.chars().map(Axis::new).collect();
        ArraySource::new(volume.view()).with_axes(axes).info().clone()
    };
    let refused = |axes: &str, rows: &[f64], words: &[&str]| {
        let error = Ellipsoids::new(&info(axes), rows.to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(words.iter().all(|w| error.to_string().contains(w)), "{error}");
    };
    let good = [1.0, 2.0, 1.0, 1.0];
    refused("zyx", &good, &["zyx", "none of channels"]);
    refused("cyx", &[&good[..], &[3.5, 2.0, 1.0, 1.0]].concat(), &["row 1", "y is 3.5", "0 to 3"]);
    refused("cyx", &[1.0, -0.6, 1.0, 1.0], &["row 0", "x is -0.6", "0 to 4"]);
    refused("cyx", &[f64::NAN, 1.0, 1.0, 1.0], &["row 0", "y is NaN"]);
    refused("cyx", &[1.0, 1.0, 0.0, 1.0], &["row 0", "radius on axis y is 0"]);
    refused("cyx", &[1.0, 1.0, 1.0, f64::INFINITY], &["axis x is inf"]);
    refused("cyx", &good[..3], &["3 numbers", "4 columns"]);
}
