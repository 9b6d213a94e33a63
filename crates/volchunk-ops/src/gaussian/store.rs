//! How a sum becomes a voxel of the output dtype.

use volchunk::{Bool, Element};

/// A dtype that sums are stored in, as C on x86-64 converts a `double`, hence as SciPy does.
///
/// To integers: truncated toward zero. What C leaves undefined is defined here as what that machine
/// does: a value that fits no i32 (no i64 for 32-bit unsigned and wider) is the least one, of which
/// a narrower dtype keeps the low bits. So -1.5 is 255 in u8, and NaN is 0.
pub(super) trait Stored: Element {
    /// Stores one sum.
    fn store(sum: f64) -> Self;

    /// The stored sum as the next pass reads it.
    fn between(sum: f64) -> f64;

    /// NumPy's conversion of a whole number: integers wrap around, floats are the nearest.
    fn wrap(whole: i128) -> Self;
}

macro_rules! stored {
    ($($t:ty: $store:expr),*) => {$(
        impl Stored for $t {
            #[inline(always)]
            fn store(sum: f64) -> Self {
                $store(sum)
            }
            #[inline(always)]
            fn between(sum: f64) -> f64 {
                Self::store(sum) as f64
            }
            #[inline(always)]
            fn wrap(whole: i128) -> Self {
                whole as Self
            }
        }
    )*};
}
stored!(
    u8: |sum| to_i32(sum) as Self,
    i8: |sum| to_i32(sum) as Self,
    u16: |sum| to_i32(sum) as Self,
    i16: |sum| to_i32(sum) as Self,
    i32: to_i32,
    u32: |sum| to_i64(sum) as Self,
    i64: to_i64,
    u64: to_u64,
    f32: |sum| sum as Self,
    f64: |sum| sum
);

/// SciPy stores a bool as the C type that it is, one byte: 0.9 is false, and the next pass reads 2
/// where 2.5 was.
impl Stored for Bool {
    #[inline(always)]
    fn store(sum: f64) -> Self {
        Self(u8::from(u8::store(sum) != 0))
    }
    #[inline(always)]
    fn between(sum: f64) -> f64 {
        u8::between(sum)
    }
    #[inline(always)]
    fn wrap(whole: i128) -> Self {
        Self(u8::from(whole != 0))
    }
}

/// Truncates; `i32::MIN` where the result does not fit.
#[inline(always)]
fn to_i32(value: f64) -> i32 {
    // Open bounds, since it is the truncated value that must fit.
    let fits = value > f64::from(i32::MIN) - 1.0 && value < -f64::from(i32::MIN);
    if fits { value as i32 } else { i32::MIN }
}

/// Truncates; `i64::MIN` where the result does not fit.
#[inline(always)]
fn to_i64(value: f64) -> i64 {
    // -2^63 is an f64, and the next below it is a whole number too.
    if value < -(i64::MIN as f64) { value as i64 } else { i64::MIN }
}

/// Truncates; below zero modulo 2^64.
#[inline(always)]
fn to_u64(value: f64) -> u64 {
    let half = -(i64::MIN as f64);
    if value >= half { to_i64(value - half) as u64 ^ 1 << 63 } else { to_i64(value) as u64 }
}

/// The voxel that NumPy makes of another where no filter runs between.
#[inline(always)]
pub(super) fn convert<T: Element, U: Stored>(voxel: T) -> U {
    match voxel.to_i128() {
        Some(whole) => U::wrap(whole),
        None if U::DTYPE == volchunk::Dtype::Bool => U::from_f64(voxel.to_f64()),
        None => U::store(voxel.to_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `scipy.ndimage.correlate1d(values, [1.0], output=dtype)` of SciPy 1.17 gives on x86-64.
    #[test]
    fn sums_are_stored_as_scipy_does() {
        let values = [
            -1.5,
            -0.5,
            0.99,
            1.7,
            255.9,
            300.7,
            -300.2,
            65536.5,
            2147483648.5,
            4294967301.0,
            -2147483653.0,
            -8589934597.0,
            1099511627783.0,
        ];
        let low = [255, 0, 0, 1, 255, 44, 212, 0, 0, 0, 0, 0, 0];
        assert_eq!(values.map(u8::store), low);
        assert_eq!(values.map(i8::store), low.map(|v| v as i8));
        assert_eq!(values.map(|v| Bool::store(v).0), low.map(|v| u8::from(v != 0)));
        let low = [65535, 0, 0, 1, 255, 300, 65236, 0, 0, 0, 0, 0, 0];
        assert_eq!(values.map(u16::store), low);
        assert_eq!(values.map(i16::store), low.map(|v| v as i16));
        let least = i32::MIN;
        assert_eq!(
            values.map(i32::store),
            [-1, 0, 0, 1, 255, 300, -300, 65536, least, least, least, least, least]
        );
        assert_eq!(
            values.map(u32::store),
            [
                4294967295, 0, 0, 1, 255, 300, 4294966996, 65536, 2147483648, 5, 2147483643,
                4294967291, 7
            ]
        );
        let wide = [9223372036854775808.0, 9223372036854779904.0, 18446744073709551616.0];
        let beyond = [-9223372036854779904.0, 1e30, -1e30, f64::NAN, f64::INFINITY];
        assert_eq!(wide.map(i64::store), [i64::MIN; 3]);
        assert_eq!(beyond.map(i64::store), [i64::MIN; 5]);
        assert_eq!(wide.map(u64::store), [1 << 63, (1 << 63) + 4096, 0]);
        assert_eq!(beyond.map(u64::store), [1 << 63, 0, 1 << 63, 1 << 63, 0]);
        assert_eq!(u64::store(-300.2), 18446744073709551316);
        assert_eq!([f64::NAN, f64::NEG_INFINITY, 1e30].map(i32::store), [i32::MIN; 3]);
        assert_eq!(i32::store(-2147483648.9), i32::MIN);
        assert_eq!(i32::store(2147483647.9), i32::MAX);
        assert_eq!(i64::store(-9223372036854775808.0), i64::MIN);
    }
}
