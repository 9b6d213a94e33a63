//! What an op's keys were given, in the terms of the volume that it is bound to.

use volchunk::{AxisKind, Boundary, Dtype, Error, Result, VolumeInfo};

use super::{
    OpSpec,
    value::{Length, Value},
};
use crate::{Clip, Footprint, GaussianAxis, Number, Reach, Shape};

macro_rules! getters {
    ($($name:ident: $variant:ident -> $t:ty, $convert:expr;)*) => {$(
        pub(super) fn $name(&self, key: &str) -> Result<$t> {
            match self.value(key) {
                Some(Value::$variant(v)) => Ok($convert(v)),
                _ => Err(Error::argument(format!("key '{key}' is missing"))),
            }
        }
    )*};
}

impl OpSpec {
    getters! {
        lengths: Lengths -> &[Length], |v| v;
        counts: Counts -> &[u64], |v| v;
        number: Number -> Number, |v: &Number| *v;
        numbers: Numbers -> &[Number], |v| v;
        boundaries: Boundaries -> &[Boundary], |v| v;
        dtype: Dtype -> Dtype, |v: &Dtype| *v;
        word: Word -> &str, |v| v;
    }

    /// The gaussian filter along each axis of `input`.
    pub(super) fn gaussian_axes(&self, input: &VolumeInfo) -> Result<Vec<GaussianAxis>> {
        let integers = |key| match self.value(key) {
            Some(_) => Ok(Some(per_axis(input, self.counts(key)?, 0, key)?)),
            None => Ok::<_, Error>(None),
        };
        let (order, radius) = (integers("order")?, integers("radius")?);
        let reach = match self.value("truncate") {
            Some(_) => Reach::Sigmas(self.number("truncate")?.to_f64()),
            None => Reach::default(),
        };
        let boundaries = self.boundaries("boundary")?;
        let boundaries = per_axis(input, boundaries, Boundary::default(), "boundary")?;
        let axes = self.voxels("sigma", input)?.into_iter().zip(boundaries).enumerate();
        let axes = axes.map(|(a, (sigma, boundary))| GaussianAxis {
            sigma,
            order: order.as_ref().map_or(0, |o| o[a]),
            reach: radius.as_ref().map_or(reach, |r| Reach::Voxels(r[a])),
            boundary,
        });
        Ok(axes.collect())
    }

    /// Smoothing along each axis of `input` by `key`, with the boundary if the op has that key.
    pub(super) fn smooth(&self, input: &VolumeInfo, key: &str) -> Result<Vec<GaussianAxis>> {
        let boundaries = match self.value("boundary") {
            Some(_) => {
                per_axis(input, self.boundaries("boundary")?, Boundary::default(), "boundary")?
            }
            None => vec![Boundary::default(); input.ndim()],
        };
        let axes = self.voxels(key, input)?.into_iter().zip(boundaries);
        Ok(axes.map(|(s, boundary)| GaussianAxis { boundary, ..GaussianAxis::smooth(s) }).collect())
    }

    pub(super) fn footprint(&self, input: &VolumeInfo) -> Result<Footprint> {
        let shape = match self.word("footprint")? {
            "octahedron" => Shape::Octahedron,
            "ball" => Shape::Ball,
            _ => Shape::Cube,
        };
        Footprint::new(shape, per_axis(input, self.counts("radius")?, 0, "radius")?, input)
    }

    /// The key `found`, if it was given.
    pub(super) fn found(&self) -> Result<Option<Vec<f64>>> {
        match self.value("found") {
            Some(_) => Ok(Some(self.numbers("found")?.iter().map(|n| n.to_f64()).collect())),
            None => Ok(None),
        }
    }

    /// The keys `low` and `high`.
    pub(super) fn percents(&self) -> Result<[f64; 2]> {
        Ok([self.number("low")?.to_f64(), self.number("high")?.to_f64()])
    }

    /// Refuses percentiles and ranges that are none; `count` is how many values `found` has.
    pub(super) fn ranges(&self, count: usize) -> Result<()> {
        let [low, high] = self.percents()?;
        if !(0.0 <= low && low < high && high <= 100.0) {
            return Err(Error::argument(format!(
                "low is {low} and high is {high}; legal: 0 <= low < high <= 100"
            )));
        }
        self.finite("min").and(self.finite("max"))?;
        if self.value("floor").is_some() {
            self.finite("floor")?;
        }
        match self.found()? {
            Some(found) if found.len() != count || !found.is_sorted() => Err(Error::argument(
                format!("found has {} values, {found:?}; legal: {count}, ascending", found.len()),
            )),
            Some(found) if !found.iter().all(|v| v.is_finite()) => {
                Err(Error::argument(format!("found is {found:?}; legal: finite numbers")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn finite(&self, key: &str) -> Result<f64> {
        let value = self.number(key)?.to_f64();
        match value.is_finite() {
            true => Ok(value),
            false => Err(Error::argument(format!("{key} is {value}; legal: a finite number"))),
        }
    }

    pub(super) fn clip(&self) -> Result<Clip> {
        let bound = |key| self.value(key).map(|_| self.number(key)).transpose();
        Clip::new(bound("min")?, bound("max")?)
    }

    /// Refuses one of two keys without the other.
    pub(super) fn both(&self, a: &str, b: &str) -> Result<()> {
        match (self.value(a), self.value(b)) {
            (Some(_), None) | (None, Some(_)) => Err(Error::argument(format!(
                "'{a}' and '{b}' belong together; legal: both, or neither"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn one_of(&self, a: &str, b: &str) -> Result<()> {
        match (self.value(a), self.value(b)) {
            (Some(_), Some(_)) => {
                Err(Error::argument(format!("both '{a}' and '{b}' are given; legal: one of them")))
            }
            (None, None) => Err(Error::argument(format!(
                "neither '{a}' nor '{b}' is given; legal: {}",
                self.info.usage()
            ))),
            _ => Ok(()),
        }
    }

    /// Lengths in voxels, one per axis of `input`, 0 where it is not spatial unless all are given.
    pub(super) fn voxels(&self, key: &str, input: &VolumeInfo) -> Result<Vec<f64>> {
        let none = Length { value: 0.0, micrometers: false };
        let lengths = per_axis(input, self.lengths(key)?, none, key)?;
        let voxels = lengths.iter().enumerate().map(|(a, length)| {
            Ok(if length.micrometers && length.value > 0.0 {
                length.value / voxel_size(key, input, a)?
            } else {
                length.value
            })
        });
        voxels.collect()
    }

    /// Output voxels per input voxel, one per axis of `input`, for output voxels of size `key`.
    pub(super) fn enlargement(&self, key: &str, input: &VolumeInfo) -> Result<Vec<f64>> {
        let none = Length { value: 1.0, micrometers: true };
        let sizes = input.per_axis(self.lengths(key)?, none, key)?;
        let factors = sizes.iter().enumerate().map(|(a, size)| {
            Ok(match input.axes[a].kind {
                AxisKind::Space => voxel_size(key, input, a)? / size.value,
                _ => 1.0,
            })
        });
        factors.collect()
    }
}

/// Values for the axes of `input`: one for each, or as [`VolumeInfo::per_axis`] expands them.
pub(super) fn per_axis<T: Copy>(
    input: &VolumeInfo,
    values: &[T],
    other: T,
    key: &str,
) -> Result<Vec<T>> {
    match values.len() == input.ndim() {
        true => Ok(values.to_vec()),
        false => input.per_axis(values, other, key),
    }
}

/// Voxel size of axis `a` in µm.
fn voxel_size(key: &str, input: &VolumeInfo, a: usize) -> Result<f64> {
    let axis = &input.axes[a];
    match axis.micrometers() {
        Some(size) if size > 0.0 && size.is_finite() => Ok(size),
        Some(size) => Err(Error::argument(format!(
            "{key} is in µm, but the voxel size of axis {} is {size} µm; give one above 0 with --voxel-size",
            axis.name
        ))),
        None => Err(Error::argument(format!(
            "{key} is in µm, but the voxel size of axis {} is unknown (scale {:?}, unit {:?}); give it with --voxel-size, in µm for each spatial axis, such as --voxel-size 5,2,2",
            axis.name, axis.scale, axis.unit
        ))),
    }
}
