//! Above a value or not.

use volchunk::{Dtype, Element};

use super::Kernel;
use crate::{Number, rows::normal};

/// 1 where a voxel is above a value, else 0, as uint8. Exact for every dtype; NaN is not above.
#[derive(Debug, Clone, Copy)]
pub struct Threshold {
    /// The value, which itself gives 0.
    pub value: Number,
}

impl Kernel for Threshold {
    const NAME: &'static str = "threshold";

    fn output(&self, _: Dtype) -> Dtype {
        Dtype::U8
    }

    #[inline(always)]
    fn apply<T: Element>(&self, from: &[T], to: &mut [u8]) {
        if T::DTYPE.is_float() {
            let limit = self.value.floor_f64();
            for (to, &from) in to.iter_mut().zip(from) {
                *to = u8::from(from.to_f64() > limit);
            }
            return;
        }
        // An integer is above the value if it is above the value's floor.
        let floor = self.value.floor();
        let limit: T = self.value_floor();
        if limit.to_i128().is_some_and(|l| l > floor) {
            // Even the dtype's least value is above.
            to.fill(1);
            return;
        }
        for (to, &from) in to.iter_mut().zip(from) {
            *to = u8::from(normal(from) > limit);
        }
    }
}

impl Threshold {
    /// The value's floor, saturated to `T`.
    fn value_floor<T: Element>(&self) -> T {
        Number::Integer(self.value.floor()).to_voxel()
    }
}
