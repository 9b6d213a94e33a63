//! Neighbourhood ops against definitions that look at every voxel of the neighbourhood.

use proptest::prelude::*;
use volchunk::{Boundary, Buffer, Element, VolumeInfo, dispatch};

use super::{Footprint, Shape};
use crate::{
    number::order,
    rows::normal,
    testing::{bits, boxes, chain, check_chunk, volumes, whole},
};

const SHAPES: [(&str, Shape); 3] =
    [("octahedron", Shape::Octahedron), ("ball", Shape::Ball), ("cube", Shape::Cube)];

/// The voxels of each neighbourhood, reflected, by `f`.
fn naive(volume: &Buffer, footprint: &Footprint, f: &dyn Fn(usize) -> usize) -> Buffer {
    let shape: Vec<u64> = volume.shape().to_vec();
    let radius = footprint.radius();
    let box_lengths: Vec<u64> = radius.iter().map(|r| 2 * r + 1).collect();
    let unravel = |mut k: u64, lengths: &[u64]| {
        let mut at = vec![0u64; lengths.len()];
        for (p, n) in at.iter_mut().rev().zip(lengths.iter().rev()) {
            (*p, k) = (k % n, k / n);
        }
        at
    };
    dispatch!(volume.dtype(), T => {
        let voxels: Vec<T> = volume.as_slice::<T>().iter().map(|&v| normal(v)).collect();
        let result: Vec<T> = (0..voxels.len() as u64).map(|k| {
            let at = unravel(k, &shape);
            let mut held: Vec<T> = Vec::new();
            for j in 0..box_lengths.iter().product() {
                let offset: Vec<i64> = unravel(j, &box_lengths)
                    .iter()
                    .zip(radius)
                    .map(|(&p, &r)| p as i64 - r as i64)
                    .collect();
                if !footprint.contains(&offset) {
                    continue;
                }
                let mut place = 0;
                for a in 0..shape.len() {
                    let i = Boundary::Reflect.index(at[a] as i64 + offset[a], shape[a]).unwrap();
                    place = place * shape[a] + i;
                }
                held.push(voxels[place as usize]);
            }
            held.sort_by(order);
            held[f(held.len())]
        }).collect();
        Buffer::from_slice(&shape, &result)
    })
}

/// As [`naive`] for an extremum: a NaN is the result wherever there is one.
fn extremum(volume: &Buffer, footprint: &Footprint, largest: bool) -> Buffer {
    let last = naive(volume, footprint, &|n| n - 1);
    if largest {
        return last;
    }
    let mut first = naive(volume, footprint, &|_| 0);
    dispatch!(volume.dtype(), T => {
        for (a, &b) in first.as_slice_mut::<T>().iter_mut().zip(last.as_slice::<T>()) {
            if b.to_f64().is_nan() {
                *a = b;
            }
        }
    });
    first
}

/// Zeros of either sign are equal, and which of them is found is no one's promise beyond ours.
fn unsigned(volume: &Buffer) -> Vec<String> {
    bits(volume).into_iter().map(|v| if v == "-0.0" { "0.0".into() } else { v }).collect()
}

fn text(radius: &[u64]) -> String {
    radius.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn extrema_are_those_of_every_neighbourhood(
        volume in volumes(0..=3),
        radii in prop::collection::vec(0u64..4, 3),
        (name, shape) in prop::sample::select(SHAPES.to_vec()),
        corners in boxes(),
    ) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        let radius = radii[..volume.shape().len()].to_vec();
        let footprint = Footprint::new(shape, radius.clone(), &info).unwrap();
        let keys = format!("footprint={name}:radius={}", text(&radii[..radius.len().max(1)]));
        let eroded = extremum(&volume, &footprint, false);
        let dilated = extremum(&volume, &footprint, true);
        for (op, expected) in [
            ("erode", &eroded),
            ("dilate", &dilated),
            ("open", &extremum(&eroded, &footprint, true)),
            ("close", &extremum(&dilated, &footprint, false)),
        ] {
            let pipeline = chain(&[&format!("{op}:{keys}")], info.clone());
            let found = whole(&pipeline, &volume);
            prop_assert_eq!(unsigned(&found), unsigned(expected), "{}", op);
            check_chunk(&pipeline, &volume, &corners)?;
        }
        let pipeline = chain(&[&format!("tophat:{keys}")], info);
        check_chunk(&pipeline, &volume, &corners)?;
    }

    #[test]
    fn medians_are_those_of_every_box(
        volume in volumes(0..=3),
        radii in prop::collection::vec(0u64..3, 3),
        corners in boxes(),
    ) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        let radius = radii[..volume.shape().len()].to_vec();
        let footprint = Footprint::new(Shape::Cube, radius.clone(), &info).unwrap();
        let op = format!("median:radius={}", text(&radii[..radius.len().max(1)]));
        let pipeline = chain(&[&op], info);
        let expected = naive(&volume, &footprint, &|n| n / 2);
        prop_assert_eq!(unsigned(&whole(&pipeline, &volume)), unsigned(&expected));
        check_chunk(&pipeline, &volume, &corners)?;
    }

    #[test]
    fn ops_made_of_others_have_no_seams(
        volume in volumes(1..=3),
        sigma in 0.2f64..2.0,
        boundary in prop::sample::select(vec!["reflect", "mirror", "nearest", "wrap", "constant(3)"]),
        corners in boxes(),
    ) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        for op in [
            format!("highpass:sigma={sigma}:boundary={boundary}"),
            format!("unsharp:radius={sigma}:amount=0.7:boundary={boundary}"),
            format!("erode:radius=1:above=3:sigma={sigma}"),
        ] {
            check_chunk(&chain(&[&op], info.clone()), &volume, &corners)?;
        }
    }
}

#[test]
fn erosion_follows_the_local_mean() {
    let volume = Buffer::from_slice(&[8], &[0f32, 4.0, 0.0, 0.0, 9.0, 8.0, 9.0, 9.0]);
    let info = VolumeInfo::new(&[8], volume.dtype());
    let found = whole(&chain(&["erode:radius=1:above=5:sigma=0.5"], info), &volume);
    assert_eq!(found.as_slice::<f32>(), [0.0, 4.0, 0.0, 0.0, 0.0, 8.0, 8.0, 9.0]);
}

#[test]
fn refused() {
    let info = VolumeInfo::new(&[9, 9, 9], volchunk::Dtype::U8);
    let new = |shape, radius: &[u64]| Footprint::new(shape, radius.to_vec(), &info);
    assert!(new(Shape::Cube, &[1, 2]).unwrap_err().to_string().contains("3 axes (zyx)"));
    assert!(new(Shape::Cube, &[1, 2, 1025]).unwrap_err().to_string().contains("axis x is 1025"));
    assert!(new(Shape::Ball, &[1024, 1024, 0]).unwrap_err().to_string().contains("runs"));
}
