//! Percentiles against sorted values, and chunks against the whole.

use proptest::prelude::*;
use volchunk::{ArraySource, Buffer, Dtype, Element, Pipeline, Source, VolumeInfo, dispatch};

use super::{PassOptions, percentiles};
use crate::{
    OpSpec, resolve,
    testing::{bits, boxes, chain, check_chunk, volumes, whole},
};

/// The numbers of a volume, ascending.
fn sorted(volume: &Buffer) -> Vec<f64> {
    let mut values: Vec<f64> = dispatch!(volume.dtype(), T => {
        volume.as_slice::<T>().iter().map(|v| v.to_f64() + 0.0).filter(|v| !v.is_nan()).collect()
    });
    values.sort_by(f64::total_cmp);
    values
}

/// NumPy's linear rule, on sorted values.
fn naive(sorted: &[f64], percent: f64) -> f64 {
    let at = (sorted.len() - 1) as f64 * (percent / 100.0);
    let (a, b) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    let t = at - at.floor();
    match (a == b, t >= 0.5) {
        (true, _) => a,
        (_, true) => b - (b - a) * (1.0 - t),
        _ => a + (b - a) * t,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn percentiles_are_those_of_sorted_values(
        volume in volumes(1..=3),
        percents in prop::collection::vec(prop_oneof![0.0..=100.0, Just(0.0), Just(100.0), Just(50.0)], 1..4),
        workers in 1usize..4,
    ) {
        let source = ArraySource::new(volume.view());
        let pipeline = Pipeline::new(vec![source.info().clone()]);
        let options = PassOptions { workers: Some(workers), memory: Some(1 << 30), ..PassOptions::default() };
        let found = percentiles(&pipeline, &source, &percents, &options);
        let values = sorted(&volume);
        let expected: Vec<f64> = match values.is_empty() {
            true => Vec::new(),
            false => percents.iter().map(|&p| naive(&values, p)).collect(),
        };
        match found {
            Ok(found) => prop_assert_eq!(found, expected),
            Err(e) => prop_assert!(expected.iter().any(|v| !v.is_finite()) || values.is_empty(), "{}", e),
        }
    }

    #[test]
    fn local_percentiles_have_no_seams(
        volume in volumes(1..=3),
        size in prop::collection::vec(1u64..7, 3),
        corners in boxes(),
    ) {
        let size: Vec<String> = size[..volume.shape().len()].iter().map(u64::to_string).collect();
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        for more in ["", ":floor=0.5:found=3", ":low=20:high=70:min=-3:max=2"] {
            let op = format!("local-percentile:block={}{more}", size.join(","));
            check_chunk(&chain(&[&op], info.clone()), &volume, &corners)?;
        }
        check_chunk(&chain(&["percentile:found=1,20"], info), &volume, &corners)?;
    }

    #[test]
    fn total_variation_has_no_seams(
        volume in volumes(1..=4),
        iterations in 1u64..6,
        corners in boxes(),
    ) {
        let info = VolumeInfo::new(volume.shape(), volume.dtype());
        prop_assume!(!info.spatial_axes().is_empty());
        let op = format!("tv:weight=7:iterations={iterations}");
        check_chunk(&chain(&[&op], info), &volume, &corners)?;
    }
}

/// Along one axis: cells of 4 in 13 voxels are 0..4, 4..8, 8..13.
#[test]
fn local_percentiles_are_interpolated_between_cells() {
    let voxels: Vec<u16> = (0..13).map(|x| x * x).collect();
    let volume = Buffer::from_slice(&[13], &voxels);
    let op = "local-percentile:block=4:low=0:high=100";
    let found = whole(&chain(&[op], VolumeInfo::new(&[13], Dtype::U16)), &volume);
    let cells = [(1.5, 0.0, 9.0), (5.5, 16.0, 49.0), (10.0, 64.0, 144.0)];
    for x in 0..13u16 {
        let at = f64::from(x).clamp(1.5, 10.0);
        let k = if at < 5.5 { 0 } else { 1 };
        let ((c0, l0, h0), (c1, l1, h1)) = (cells[k], cells[k + 1]);
        let t = (at - c0) / (c1 - c0);
        let (low, high) = (l0 + (l1 - l0) * t, h0 + (h1 - h0) * t);
        let expected = ((f64::from(x * x) - low) / (high - low)).clamp(0.0, 1.0);
        let got = f64::from(found.as_slice::<f32>()[usize::from(x)]);
        assert!((got - expected).abs() < 1e-6, "{x}: {got} {expected}");
    }
}

/// A plateau keeps its value, and what is lost at an edge goes nowhere: the sum stays.
#[test]
fn total_variation_flattens_noise() {
    let voxels: Vec<f64> =
        (0..64).map(|x| f64::from(x / 32 * 10) + f64::from(x * 7919 % 13) / 13.0).collect();
    let volume = Buffer::from_slice(&[64], &voxels);
    let found =
        whole(&chain(&["tv:weight=1:iterations=100"], VolumeInfo::new(&[64], Dtype::F64)), &volume);
    let variation = |v: &[f64]| v.windows(2).map(|w| (w[1] - w[0]).abs()).sum::<f64>();
    let found = found.as_slice::<f64>();
    assert!(variation(found) < 0.5 * variation(&voxels));
    assert!((found.iter().sum::<f64>() - voxels.iter().sum::<f64>()).abs() < 1e-9);
}

#[test]
fn passes_see_what_the_ops_before_made() {
    let volume = Buffer::from_slice(&[6], &[0u8, 1, 2, 3, 4, 200]);
    let source = ArraySource::new(volume.view());
    let ops: Vec<OpSpec> = ["clip:max=5", "percentile:low=0:high=100:max=10", "percentile:high=50"]
        .iter()
        .map(|o| OpSpec::parse(o).unwrap())
        .collect();
    let ops = resolve(&ops, &source, &PassOptions::default()).unwrap();
    assert!(ops[1].to_string().ends_with(":found=0,5"), "{}", ops[1]);
    assert!(ops[2].to_string().ends_with(":found=0.5,5"), "{}", ops[2]);
    assert!(ops.iter().all(|op| !op.needs_pass()));
    assert!(ops[1].agrees(&OpSpec::parse("percentile:low=0:high=100:max=10").unwrap()));
    assert!(!ops[1].agrees(&ops[2]) && !ops[1].agrees(&ops[0]));
}

#[test]
fn unknown_percentiles_are_refused_when_computed() {
    let volume = Buffer::from_slice(&[2], &[0u8, 1]);
    for op in ["percentile", "local-percentile:block=1:floor=1"] {
        let pipeline = chain(&[op], VolumeInfo::new(&[2], Dtype::U8));
        let source = ArraySource::new(volume.view());
        let region = volchunk::Region::whole([2]);
        let error =
            pipeline.compute(&[&source], &region, &mut volchunk::Scratch::new()).unwrap_err();
        assert!(error.to_string().contains("have not been found"), "{error}");
    }
    let nan = Buffer::from_slice(&[2], &[f32::NAN; 2]);
    let source = ArraySource::new(nan.view());
    let ops = [OpSpec::parse("percentile").unwrap()];
    let error = resolve(&ops, &source, &PassOptions::default()).unwrap_err().to_string();
    assert!(error.contains("every voxel is NaN") && error.contains("op 'percentile"), "{error}");
}

#[test]
fn equal_percentiles_divide() {
    let volume = Buffer::from_slice(&[4], &[1.0f32, 2.0, 3.0, f32::NAN]);
    let found =
        whole(&chain(&["percentile:found=2,2"], VolumeInfo::new(&[4], Dtype::F32)), &volume);
    assert_eq!(bits(&found), ["0.0", "0.0", "1.0", "NaN"]);
}
