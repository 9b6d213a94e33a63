//! Constants off and times voxels.

use volchunk::{Dtype, Element, Error, Result};

use super::Kernel;
use crate::Number;

/// Voxel minus a constant, computed in float64; the result is float32 for bool, integers of up to
/// 16 bits and float32, float64 for the rest.
#[derive(Debug, Clone, Copy)]
pub struct Subtract(f64);

/// Voxel times a constant; computed and returned as by [`Subtract`].
#[derive(Debug, Clone, Copy)]
pub struct Multiply(f64);

impl Subtract {
    /// Minus `value`.
    ///
    /// # Errors
    /// An infinite value.
    pub fn new(value: Number) -> Result<Self> {
        finite(value).map(Self)
    }
}

impl Multiply {
    /// Times `value`.
    ///
    /// # Errors
    /// An infinite value.
    pub fn new(value: Number) -> Result<Self> {
        finite(value).map(Self)
    }
}

fn finite(value: Number) -> Result<f64> {
    let v = value.to_f64();
    if v.is_finite() {
        return Ok(v);
    }
    Err(Error::argument(format!("value is {v}; legal: a finite number")))
}

/// The dtype that holds a result computed in float64 from voxels of `input`.
pub(crate) fn float_for(input: Dtype) -> Dtype {
    if input == Dtype::F32 || input.size() <= 2 { Dtype::F32 } else { Dtype::F64 }
}

#[inline(always)]
fn map<T: Element>(from: &[T], to: &mut [u8], f: impl Fn(f64) -> f64) {
    if float_for(T::DTYPE) == Dtype::F32 {
        let to: &mut [f32] = bytemuck::cast_slice_mut(to);
        to.iter_mut().zip(from).for_each(|(to, v)| *to = f(v.to_f64()) as f32);
    } else {
        let to: &mut [f64] = bytemuck::cast_slice_mut(to);
        to.iter_mut().zip(from).for_each(|(to, v)| *to = f(v.to_f64()));
    }
}

impl Kernel for Subtract {
    const NAME: &'static str = "subtract";

    fn output(&self, input: Dtype) -> Dtype {
        float_for(input)
    }

    #[inline(always)]
    fn apply<T: Element>(&self, from: &[T], to: &mut [u8]) {
        map(from, to, |v| v - self.0);
    }
}

impl Kernel for Multiply {
    const NAME: &'static str = "multiply";

    fn output(&self, input: Dtype) -> Dtype {
        float_for(input)
    }

    #[inline(always)]
    fn apply<T: Element>(&self, from: &[T], to: &mut [u8]) {
        map(from, to, |v| v * self.0);
    }
}
