//! Ops that are made of others: opening, closing, top-hat, high-pass, unsharp mask, erosion of
//! dense places.

use volchunk::{Error, Input, Op, Pipeline, Result, VolumeInfo};

use crate::{
    Extremum, Footprint, Gaussian, GaussianAxis,
    combine::{Combine, Combined},
    composite::Composite,
};

/// Grey opening: erosion, then dilation; `scipy.ndimage.grey_opening` with the same footprint.
///
/// # Errors
/// An axis of `input` without voxels.
pub fn opening(input: VolumeInfo, footprint: &Footprint) -> Result<impl Op + 'static> {
    let mut pipeline = Pipeline::new(vec![input]);
    open(&mut pipeline, footprint)?;
    Composite::new("open", pipeline)
}

/// Grey closing: dilation, then erosion; `scipy.ndimage.grey_closing` with the same footprint.
///
/// # Errors
/// As [`opening`].
pub fn closing(input: VolumeInfo, footprint: &Footprint) -> Result<impl Op + 'static> {
    let dilate = Extremum::dilation(input.clone(), footprint)?;
    let erode = Extremum::erosion(input.clone(), footprint)?;
    let ops: [Box<dyn Op>; 2] = [Box::new(dilate), Box::new(erode)];
    Composite::new("close", Pipeline::chain(input, ops)?)
}

/// White top-hat, the image less its opening: what is bright and narrower than the footprint. The
/// dtype stays; where a signed integer cannot hold the difference, it saturates (SciPy's wraps).
///
/// # Errors
/// As [`opening`].
pub fn tophat(input: VolumeInfo, footprint: &Footprint) -> Result<impl Op + 'static> {
    let mut pipeline = Pipeline::new(vec![input.clone()]);
    let opened = open(&mut pipeline, footprint)?;
    let excess = Combined::new(Combine::Excess, &input, &input)?;
    pipeline.push(Box::new(excess), &[Input::Source(0), opened])?;
    Composite::new("tophat", pipeline)
}

fn open(pipeline: &mut Pipeline, footprint: &Footprint) -> Result<Input> {
    let input = pipeline.sources()[0].clone();
    let eroded = Extremum::erosion(input.clone(), footprint)?;
    let eroded = pipeline.push(Box::new(eroded), &[Input::Source(0)])?;
    pipeline.push(Box::new(Extremum::dilation(input, footprint)?), &[eroded])
}

/// The image less its [`Gaussian`]: what varies over shorter distances than sigma. Float32, or
/// float64 for float64 and integers of 32 bits or more.
///
/// # Errors
/// As [`Gaussian::new`].
pub fn highpass(input: VolumeInfo, axes: &[GaussianAxis]) -> Result<impl Op + 'static> {
    Composite::new("highpass", less_blurred(input, axes, Combine::Difference)?)
}

/// Unsharp mask: `image + (image − gaussian) · amount`, the meaning of
/// `skimage.filters.unsharp_mask` with `preserve_range=True` and sigma its `radius`.
///
/// Float32, or float64 for float64 and integers of 32 bits or more; scikit-image has float64 for all
/// integers. Nothing is clipped.
///
/// # Errors
/// As [`Gaussian::new`]; an amount that is not finite.
pub fn unsharp(input: VolumeInfo, axes: &[GaussianAxis], amount: f64) -> Result<impl Op + 'static> {
    if !amount.is_finite() {
        return Err(Error::argument(format!("amount is {amount}; legal: a finite number")));
    }
    Composite::new("unsharp", less_blurred(input, axes, Combine::Sharpen(amount))?)
}

fn less_blurred(input: VolumeInfo, axes: &[GaussianAxis], what: Combine) -> Result<Pipeline> {
    let mut pipeline = Pipeline::new(vec![input.clone()]);
    let blur = Gaussian::new(input.clone(), axes, None)?;
    let blurred = blur.outputs()[0].info.clone();
    let other = pipeline.push(Box::new(blur), &[Input::Source(0)])?;
    let combined = Combined::new(what, &input, &blurred)?;
    pipeline.push(Box::new(combined), &[Input::Source(0), other])?;
    Ok(pipeline)
}

/// Grey erosion where the image's [`Gaussian`] is above `value`; elsewhere the image.
///
/// # Errors
/// As [`Gaussian::new`].
pub fn erosion_where(
    input: VolumeInfo,
    footprint: &Footprint,
    mean: &[GaussianAxis],
    value: f64,
) -> Result<impl Op + 'static> {
    let mut pipeline = Pipeline::new(vec![input.clone()]);
    let mean = Gaussian::new(input.clone(), mean, None)?;
    let combined = Combined::new(Combine::Where(value), &input, &mean.outputs()[0].info)?;
    let mean = pipeline.push(Box::new(mean), &[Input::Source(0)])?;
    let erode = Extremum::erosion(input, footprint)?;
    let eroded = pipeline.push(Box::new(erode), &[Input::Source(0)])?;
    pipeline.push(Box::new(combined), &[Input::Source(0), mean, eroded])?;
    Composite::new("erode", pipeline)
}
