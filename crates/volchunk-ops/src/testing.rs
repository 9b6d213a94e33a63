//! What the tests of this crate share: random volumes, and chunked against whole.

use proptest::prelude::*;
use volchunk::{
    ArraySource, Axis, Buffer, Dtype, Element, Pipeline, Region, Scratch, Source, View, VolumeInfo,
    dispatch,
};

use crate::{OpSpec, bind_chain};

/// Any dtype.
pub(crate) fn dtypes() -> impl Strategy<Value = Dtype> {
    prop::sample::select(Dtype::ALL.to_vec())
}

/// A small volume of any values, the dtype's extremes, NaN and infinities among them.
pub(crate) fn volumes(axes: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Buffer> {
    (dtypes(), prop::collection::vec(1u64..10, axes)).prop_flat_map(|(dtype, mut shape)| {
        // Longer axes where there are few.
        let limit = [1, 9, 9, 9, 6, 4][shape.len().min(5)];
        shape.iter_mut().for_each(|n| *n = (*n).min(limit));
        let n = shape.iter().product::<u64>() as usize;
        prop::collection::vec(any::<u64>(), n).prop_map(move |raw| volume(&shape, dtype, &raw))
    })
}

/// A voxel per number of `raw`: a sixth of them extremes, a sixth small, the rest any bits.
pub(crate) fn volume(shape: &[u64], dtype: Dtype, raw: &[u64]) -> Buffer {
    dispatch!(dtype, T => {
        let voxels: Vec<T> = raw.iter().map(|&r| voxel(r)).collect();
        Buffer::from_slice(shape, &voxels)
    })
}

fn voxel<T: Element>(raw: u64) -> T {
    let float = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.5, -2.5, 1e30, 3.25];
    match (raw % 6, T::DTYPE.is_float()) {
        (0, true) => T::from_f64(float[(raw / 6 % 8) as usize]),
        (1, true) => T::from_f64((raw / 6 % 1000) as f64 / 8.0 - 60.0),
        (_, true) => T::from_f64((raw as i64) as f64 / 1e15),
        (0, false) if raw & 8 == 0 => T::from_i128(i128::MIN),
        (0, false) => T::from_i128(i128::MAX),
        (1, false) => T::from_i128((raw / 6 % 5) as i128),
        // A file may hold any byte as true.
        _ => bytemuck::pod_read_unaligned(&raw.to_ne_bytes()[..size_of::<T>()]),
    }
}

/// The ops behind one another, bound to a volume.
pub(crate) fn chain(ops: &[&str], input: VolumeInfo) -> Pipeline {
    let specs: Vec<_> = ops.iter().map(|o| OpSpec::parse(o).unwrap()).collect();
    bind_chain(&specs, input).unwrap()
}

/// The info of `volume` with a voxel size in µm on every spatial axis.
pub(crate) fn scaled(volume: &Buffer, sizes: &[f64]) -> VolumeInfo {
    let mut info = VolumeInfo::new(volume.shape(), volume.dtype());
    let spatial = info.spatial_axes();
    for (&a, &size) in spatial.iter().zip(sizes.iter().cycle()) {
        let axis = &mut info.axes[a];
        *axis = Axis { scale: Some(size), unit: Some("micrometer".into()), ..axis.clone() };
    }
    info
}

/// `region` of the result.
pub(crate) fn compute(pipeline: &Pipeline, view: View<'_>, region: &Region) -> Buffer {
    let source = ArraySource::new(view);
    // Dirty memory: an op that does not write every voxel is seen.
    let mut scratch = Scratch::new();
    let mut dirt = scratch.take(&[1 << 12], Dtype::U64);
    dirt.bytes_mut().fill(0xA5);
    scratch.give(dirt);
    pipeline.compute(&[&source as &dyn Source], region, &mut scratch).unwrap()
}

/// All of the result.
pub(crate) fn whole(pipeline: &Pipeline, volume: &Buffer) -> Buffer {
    compute(pipeline, volume.view(), &Region::whole(&pipeline.output().shape))
}

/// Two corners of a box as fractions of a shape, for shapes not known yet.
pub(crate) fn boxes() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec((0.0..1.0, 0.0..1.0), 5)
}

/// The box in a volume of `shape`; at least one voxel.
pub(crate) fn region(shape: &[u64], corners: &[(f64, f64)]) -> Region {
    Region::from_ranges(shape.iter().zip(corners).map(|(&n, &(a, b))| {
        let at = |f: f64| ((n as f64 * f) as u64).min(n - 1);
        at(a.min(b))..at(a.max(b)) + 1
    }))
}

/// The voxels as text of their bits, all NaN alike: what two equal results share.
pub(crate) fn bits(volume: &Buffer) -> Vec<String> {
    dispatch!(volume.dtype(), T => volume
        .as_slice::<T>()
        .iter()
        .map(|v| format!("{v:?}"))
        .collect())
}

/// Whether `corners` of the result, computed alone, are the same bits as in the whole; also from
/// memory with strides and without alignment.
pub(crate) fn check_chunk(
    pipeline: &Pipeline,
    volume: &Buffer,
    corners: &[(f64, f64)],
) -> Result<(), TestCaseError> {
    let all = whole(pipeline, volume);
    let region = region(&pipeline.output().shape, corners);
    let mut expected = Buffer::zeros(region.shape(), all.dtype());
    expected.view_mut().copy_from(&all.view().part(&region));
    let alone = compute(pipeline, volume.view(), &region);
    prop_assert_eq!(alone.shape(), region.shape());
    prop_assert_eq!(bits(&alone), bits(&expected), "{}", region);

    // The same voxels in Fortran order, one byte off.
    let order: Vec<usize> = (0..volume.shape().len()).rev().collect();
    let reversed: Vec<u64> = volume.shape().iter().rev().copied().collect();
    let mut bytes = vec![0; volume.bytes().len() + 1];
    volchunk::ViewMut::contiguous(&reversed, volume.dtype(), &mut bytes[1..])
        .copy_from(&volume.view().permuted(&order));
    let strided = View::contiguous(&reversed, volume.dtype(), &bytes[1..]).permuted(&order);
    prop_assert_eq!(bits(&compute(pipeline, strided, &region)), bits(&expected), "strided");
    Ok(())
}
