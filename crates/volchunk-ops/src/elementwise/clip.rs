//! Values into a range.

use volchunk::{Dtype, Element, Error, Result};

use super::Kernel;
use crate::{Number, rows::normal};

/// Moves voxels below `min` to `min` and above `max` to `max`; the dtype stays, NaN stays NaN.
///
/// For integers the bounds round half to even and saturate, which is the same as clipping first
/// and rounding then.
#[derive(Debug, Clone, Copy)]
pub struct Clip {
    min: Option<Number>,
    max: Option<Number>,
}

impl Clip {
    /// With either bound or both.
    ///
    /// # Errors
    /// No bound, or `min` above `max`.
    pub fn new(min: Option<Number>, max: Option<Number>) -> Result<Self> {
        match (min, max) {
            (None, None) => Err(Error::argument("clip needs min, max or both")),
            (Some(lo), Some(hi)) if lo.exceeds(hi) => {
                Err(Error::argument(format!("min is {lo} and max is {hi}; legal: min at most max")))
            }
            _ => Ok(Self { min, max }),
        }
    }
}

impl Kernel for Clip {
    const NAME: &'static str = "clip";

    fn output(&self, input: Dtype) -> Dtype {
        input
    }

    #[inline(always)]
    fn apply<T: Element>(&self, from: &[T], to: &mut [u8]) {
        let to: &mut [T] = bytemuck::cast_slice_mut(to);
        let (min, max) = (self.min.map(Number::to_voxel::<T>), self.max.map(Number::to_voxel::<T>));
        for (to, &from) in to.iter_mut().zip(from) {
            let mut v = normal(from);
            // These comparisons keep NaN, and vectorise.
            if let Some(min) = min {
                v = if v < min { min } else { v };
            }
            if let Some(max) = max {
                v = if v > max { max } else { v };
            }
            *to = v;
        }
    }
}
