//! Another dtype.

use volchunk::{Dtype, Element, dispatch};

use super::Kernel;

/// Converts voxels to a dtype.
///
/// To integers: rounds half to even, then saturates; NaN becomes 0. Between integers exact where
/// it fits, 64 bits included. To floats: the nearest. To bool: whatever is not zero is true, NaN
/// too, as in NumPy.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// Dtype of the result.
    pub dtype: Dtype,
}

impl Kernel for Cast {
    const NAME: &'static str = "cast";

    fn output(&self, _: Dtype) -> Dtype {
        self.dtype
    }

    #[inline(always)]
    fn apply<T: Element>(&self, from: &[T], to: &mut [u8]) {
        dispatch!(self.dtype, U => convert::<T, U>(from, bytemuck::cast_slice_mut(to)));
    }
}

#[inline(always)]
fn convert<T: Element, U: Element>(from: &[T], to: &mut [U]) {
    for (to, &from) in to.iter_mut().zip(from) {
        // Which arm is known when this is compiled.
        *to = match from.to_i128() {
            Some(i) => U::from_i128(i),
            None => U::from_f64(from.to_f64()),
        };
    }
}
