//! Which voxels of an input a range of the output needs.

use std::ops::Range;

use crate::volume::Boundary;

/// Input voxels per output voxel along an axis, as the fraction `num / den`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Numerator, at least 1.
    pub num: u64,
    /// Denominator, at least 1.
    pub den: u64,
}

impl Scale {
    /// One to one.
    pub const ONE: Self = Self { num: 1, den: 1 };
}

/// What an op needs of one axis of an input: the output's range, scaled, then widened by the halo.
///
/// ```
/// use volchunk::{AxisNeed, Boundary};
/// let need = AxisNeed::identity(0).with_halo(2, 3, Boundary::Reflect);
/// assert_eq!(need.extent(10..20, 100), 8..23);
/// // Before the true edge the op sees padding, so positions may be negative.
/// assert_eq!(need.extent(0..10, 100), -2..13);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AxisNeed {
    /// The output axis that drives this input axis; None: all of the axis, always.
    pub output_axis: Option<usize>,
    /// Input voxels per output voxel.
    pub scale: Scale,
    /// Voxels beyond the scaled range, before and behind.
    pub halo: (u64, u64),
    /// What the op sees beyond the true edge.
    pub boundary: Boundary,
}

impl AxisNeed {
    /// The same range as the output axis `axis`.
    pub fn identity(axis: usize) -> Self {
        Self {
            output_axis: Some(axis),
            scale: Scale::ONE,
            halo: (0, 0),
            boundary: Boundary::Nearest,
        }
    }

    /// All of the axis, whatever the output range.
    pub fn all() -> Self {
        Self { output_axis: None, ..Self::identity(0) }
    }

    /// The same, widened by a halo, with `boundary` beyond the true edge.
    #[must_use]
    pub fn with_halo(self, lo: u64, hi: u64, boundary: Boundary) -> Self {
        Self { halo: (lo, hi), boundary, ..self }
    }

    /// The same, `num / den` input voxels to each output voxel.
    #[must_use]
    pub fn with_scale(self, num: u64, den: u64) -> Self {
        Self { scale: Scale { num, den }, ..self }
    }

    /// Input positions for the output range `out`, on an input axis of `n` voxels, unclipped:
    /// `floor(start · scale) − lo .. ceil(stop · scale) + hi`.
    pub fn extent(&self, out: Range<u64>, n: u64) -> Range<i64> {
        if self.output_axis.is_none() {
            return 0..n as i64;
        }
        // 128 bits: a product of two coordinates may exceed 64.
        let (num, den) = (i128::from(self.scale.num), i128::from(self.scale.den));
        let start = i128::from(out.start) * num / den - i128::from(self.halo.0);
        let stop = (i128::from(out.end) * num + den - 1) / den + i128::from(self.halo.1);
        let clamp = |v: i128| v.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        clamp(start)..clamp(stop)
    }

    /// The voxels of an input axis of `n` that positions `extent` read.
    pub fn ranges(&self, extent: &Range<i64>, n: u64) -> Vec<Range<u64>> {
        self.boundary.ranges(extent.start, extent.end, n)
    }
}
