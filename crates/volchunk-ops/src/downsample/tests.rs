//! Means against a definition written voxel by voxel.

use proptest::prelude::*;
use volchunk::{Buffer, Dtype, Element, Region, VolumeInfo, dispatch};

use super::Downsample;
use crate::testing::{bits, boxes, chain, check_chunk, scaled, volumes, whole};

/// The mean of the voxels of `group`: integers exactly, floats in raster order.
fn mean<T: Element>(volume: &Buffer, group: &Region) -> T {
    let mut part = Buffer::zeros(group.shape(), T::DTYPE);
    part.view_mut().copy_from(&volume.view().part(group));
    let voxels = part.as_slice::<T>();
    if T::DTYPE.is_float() {
        let sum = voxels.iter().fold(0.0, |s, v| s + v.to_f64());
        return T::from_f64(sum / voxels.len() as f64);
    }
    let sum: i128 = voxels.iter().filter_map(|v| v.to_i128()).sum();
    let n = voxels.len() as i128;
    // Of the integers around the mean, the nearest; of two, the even one.
    let around = [sum.div_euclid(n), sum.div_euclid(n) + 1];
    let best = around.iter().min_by_key(|&&m| ((m * n - sum).abs(), m & 1));
    T::from_i128(*best.unwrap())
}

fn naive(volume: &Buffer, factor: &[u64]) -> Buffer {
    let shape: Vec<u64> = volume.shape().iter().zip(factor).map(|(n, k)| n.div_ceil(*k)).collect();
    let mut out = Buffer::zeros(&shape, volume.dtype());
    dispatch!(volume.dtype(), T => {
        for (i, voxel) in out.as_slice_mut::<T>().iter_mut().enumerate() {
            let mut rest = i as u64;
            let mut group: Vec<_> = (0..shape.len()).rev().map(|a| {
                let at = rest % shape[a] * factor[a];
                rest /= shape[a];
                at..(at + factor[a]).min(volume.shape()[a])
            }).collect();
            group.reverse();
            *voxel = mean(volume, &Region::from_ranges(group));
        }
    });
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn means(volume in volumes(1..=4), factor in prop::collection::vec(1u64..12, 4), corners in boxes()) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        let spatial = info.spatial_axes();
        let some: Vec<_> = spatial.iter().zip(&factor).map(|(_, k)| k.to_string()).collect();
        let op = format!("downsample:factor={}", some.join(","));
        let pipeline = chain(&[&op], info);
        let mut all = vec![1; volume.shape().len()];
        spatial.iter().zip(&factor).for_each(|(&a, &k)| all[a] = k);
        prop_assert_eq!(bits(&whole(&pipeline, &volume)), bits(&naive(&volume, &all)));
        check_chunk(&pipeline, &volume, &corners)?;
    }

    #[test]
    fn pyramid_levels(volume in volumes(3..=5), corners in boxes()) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        check_chunk(&chain(&["downsample:factor=2", "downsample:factor=2"], info), &volume, &corners)?;
    }
}

/// Lines longer than a piece, and groups longer than one.
#[test]
fn long_lines() {
    let n = 5 * crate::rows::PIECE as u64 + 3;
    let voxels: Vec<i16> = (0..2 * n).map(|i| (i * 7919 % 65_536) as u16 as i16).collect();
    let volume = Buffer::from_slice(&[2, n], &voxels);
    for k in [1, 2, 3, 4, 1000, 3000, n] {
        let pipeline =
            chain(&[&format!("downsample:factor=2,{k}")], VolumeInfo::new(&[2, n], Dtype::I16));
        assert_eq!(bits(&whole(&pipeline, &volume)), bits(&naive(&volume, &[2, k])), "{k}");
        check_chunk(&pipeline, &volume, &[(0.0, 0.9), (0.3, 0.9)]).unwrap();
    }
}

/// Sums at the ends of each accumulator.
#[test]
fn sums_do_not_overflow() {
    for (dtype, n) in [
        (Dtype::U16, 1 << 15),
        (Dtype::I16, 1 << 15),
        (Dtype::U16, (1 << 15) + 2),
        (Dtype::U64, 6),
        (Dtype::I64, 8),
        (Dtype::U32, 1 << 17),
    ] {
        dispatch!(dtype, T => for extreme in [i128::MIN, i128::MAX] {
            let volume = Buffer::from_slice(&[n], &vec![T::from_i128(extreme); n as usize]);
            let pipeline = chain(&[&format!("downsample:factor={n}")], VolumeInfo::new(&[n], dtype));
            assert_eq!(whole(&pipeline, &volume).as_slice::<T>(), [T::from_i128(extreme)]);
        });
    }
}

#[test]
fn scale_and_origin_follow() {
    let volume = Buffer::zeros(&[2, 9, 1, 10], Dtype::U8);
    let info = scaled(&volume, &[5.0, 2.0, 1.0]);
    let pipeline = chain(&["downsample:factor=4"], info);
    let out = pipeline.output();
    assert_eq!(&out.shape[..], [2, 3, 1, 3]);
    let axes: Vec<_> = out.axes.iter().map(|a| (a.scale, a.origin)).collect();
    // The one plane of y is averaged with nothing: it stays where it is.
    assert_eq!(axes, [(None, 0.0), (Some(20.0), 7.5), (Some(2.0), 0.0), (Some(4.0), 1.5)]);
    assert!(Downsample::new(VolumeInfo::new(&[4], Dtype::U8), &[0]).is_err());
    // A factor far beyond the axis reserves nothing.
    let far = Downsample::new(VolumeInfo::new(&[4], Dtype::U8), &[u64::MAX]).unwrap();
    assert_eq!(far.factor, [4]);
}
