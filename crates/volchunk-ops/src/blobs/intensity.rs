//! Voxels as the numbers that blobs are looked for in.

use volchunk::{Bool, Element};

/// A dtype that `img_as_float` of scikit-image converts.
///
/// The division by the largest value is left to the end of the filter, which is linear: voxels of
/// up to 24 bits stay exact until then.
pub(super) trait Intensity: Element {
    /// What the result of a filter is to be multiplied by.
    const UNIT: f64;
    /// The voxel before that multiplication.
    fn intensity(self) -> f32;
}

macro_rules! intensity {
    ($($t:ty: $unit:expr, $convert:expr;)*) => {$(
        impl Intensity for $t {
            const UNIT: f64 = $unit;
            #[inline(always)]
            fn intensity(self) -> f32 {
                $convert(self)
            }
        }
    )*};
}
// The least of a signed dtype is -1 too.
intensity! {
    Bool: 1.0, |v: Self| f32::from(u8::from(v.0 != 0));
    u8: 1.0 / u8::MAX as f64, f32::from;
    u16: 1.0 / u16::MAX as f64, f32::from;
    u32: 1.0 / u32::MAX as f64, |v| v as f32;
    u64: 1.0 / u64::MAX as f64, |v| v as f32;
    i8: 1.0 / i8::MAX as f64, |v: Self| f32::from(v.max(-Self::MAX));
    i16: 1.0 / i16::MAX as f64, |v: Self| f32::from(v.max(-Self::MAX));
    i32: 1.0 / i32::MAX as f64, |v: Self| v.max(-Self::MAX) as f32;
    i64: 1.0 / i64::MAX as f64, |v: Self| v.max(-Self::MAX) as f32;
    f32: 1.0, |v| v;
    f64: 1.0, |v| v as f32;
}

/// Converts the voxels at `bytes`, `step` bytes apart, in native order at any alignment.
#[inline(always)]
pub(super) fn load<T: Intensity>(bytes: &[u8], step: usize, to: &mut [f32]) {
    let size = size_of::<T>();
    if step == size
        && let Ok(voxels) = bytemuck::try_cast_slice::<u8, T>(&bytes[..to.len() * size])
    {
        for (to, voxel) in to.iter_mut().zip(voxels) {
            *to = voxel.intensity();
        }
        return;
    }
    for (i, to) in to.iter_mut().enumerate() {
        let voxel = &bytes[i * step..][..size];
        *to = bytemuck::pod_read_unaligned::<T>(voxel).intensity();
    }
}
