//! Voxel types, and the one place where a dtype becomes a Rust type.

use std::fmt;

use bytemuck::Pod;

use crate::{Error, Result};

/// The type of a voxel. In memory always native byte order; files may differ at the edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// 8-bit unsigned.
    U8,
    /// 16-bit unsigned.
    U16,
    /// 32-bit unsigned.
    U32,
    /// 64-bit unsigned.
    U64,
    /// 8-bit signed.
    I8,
    /// 16-bit signed.
    I16,
    /// 32-bit signed.
    I32,
    /// 64-bit signed.
    I64,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
}

impl Dtype {
    /// Every dtype.
    pub const ALL: [Self; 11] = [
        Self::Bool,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
    ];

    /// Bytes of one voxel.
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// NumPy's name: `bool`, `uint8` … `float64`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// The dtype of that NumPy name.
    pub fn from_name(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name).ok_or_else(|| {
            let legal = Self::ALL.map(Self::name).join(", ");
            Error::argument(format!("unknown dtype '{name}'; legal: {legal}"))
        })
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A boolean voxel: one byte, so that every bit pattern a file may hold is legal; non-zero is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Bool(pub u8);

// The one impl of each that cannot be derived without bytemuck's macros.
// SAFETY: a transparent wrapper of u8, which is Pod.
unsafe impl bytemuck::Zeroable for Bool {}
// SAFETY: as above.
unsafe impl Pod for Bool {}

/// A Rust type that can be a voxel.
pub trait Element: Pod + Send + Sync + PartialOrd + fmt::Debug + Default {
    /// The dtype that it stands for.
    const DTYPE: Dtype;
    /// As f64: exact but for 64-bit integers beyond 2⁵³, which round to nearest.
    fn to_f64(self) -> f64;
    /// From f64: integers round half to even, then saturate; NaN becomes 0. Bool: non-zero is true.
    fn from_f64(value: f64) -> Self;
    /// As i128 where it is an integer or bool, for conversions that f64 would round.
    fn to_i128(self) -> Option<i128>;
    /// From an integer: saturates; floats round to nearest.
    fn from_i128(value: i128) -> Self;
}

/// Rounds half to even. As `f64::round_ties_even`, but for the sign of zero, and without a call
/// where the instruction set has no rounding: above 2⁵² every number is whole, and below it adding
/// 2⁵² leaves no room for a fraction.
#[inline(always)]
fn half_to_even(value: f64) -> f64 {
    const WHOLE: f64 = (1u64 << 52) as f64;
    let shift = WHOLE.copysign(value);
    if value.abs() < WHOLE { (value + shift) - shift } else { value }
}

macro_rules! integer {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: Dtype = Dtype::$d;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                half_to_even(value) as Self
            }
            #[inline(always)]
            fn to_i128(self) -> Option<i128> {
                Some(self as i128)
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                value.clamp(Self::MIN as i128, Self::MAX as i128) as Self
            }
        }
    )*};
}
integer!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32, i64 => I64);

macro_rules! float {
    ($($t:ty => $d:ident),*) => {$(
        impl Element for $t {
            const DTYPE: Dtype = Dtype::$d;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn from_f64(value: f64) -> Self {
                value as Self
            }
            #[inline(always)]
            fn to_i128(self) -> Option<i128> {
                None
            }
            #[inline(always)]
            fn from_i128(value: i128) -> Self {
                value as Self
            }
        }
    )*};
}
float!(f32 => F32, f64 => F64);

impl Element for Bool {
    const DTYPE: Dtype = Dtype::Bool;
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self.0 != 0))
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        Self(u8::from(value != 0.0))
    }
    #[inline(always)]
    fn to_i128(self) -> Option<i128> {
        Some(i128::from(self.0 != 0))
    }
    #[inline(always)]
    fn from_i128(value: i128) -> Self {
        Self(u8::from(value != 0))
    }
}

/// Runs an expression with `$T` bound to the Rust type of a [`Dtype`]: the project's one dispatch.
///
/// ```
/// use volchunk::{dispatch, Dtype};
/// let size = dispatch!(Dtype::U16, T => std::mem::size_of::<T>());
/// assert_eq!(size, 2);
/// ```
#[macro_export]
macro_rules! dispatch {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::Dtype::Bool => {
                type $T = $crate::Bool;
                $body
            }
            $crate::Dtype::U8 => {
                type $T = u8;
                $body
            }
            $crate::Dtype::U16 => {
                type $T = u16;
                $body
            }
            $crate::Dtype::U32 => {
                type $T = u32;
                $body
            }
            $crate::Dtype::U64 => {
                type $T = u64;
                $body
            }
            $crate::Dtype::I8 => {
                type $T = i8;
                $body
            }
            $crate::Dtype::I16 => {
                type $T = i16;
                $body
            }
            $crate::Dtype::I32 => {
                type $T = i32;
                $body
            }
            $crate::Dtype::I64 => {
                type $T = i64;
                $body
            }
            $crate::Dtype::F32 => {
                type $T = f32;
                $body
            }
            $crate::Dtype::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_to_even_and_saturates() {
        for v in [0.5, 1.5, 2.5, -0.5, -1.5, 0.49999999999999994, 4503599627370495.5, 1e300, -7.2] {
            assert_eq!(half_to_even(v), v.round_ties_even(), "{v}");
        }
        for i in -2000..2000 {
            let v = f64::from(i) / 8.0;
            assert_eq!(half_to_even(v), v.round_ties_even(), "{v}");
        }
        let rounded = [2.5, 3.5, -1.0, 300.0, f64::NAN].map(u8::from_f64);
        assert_eq!(rounded, [2, 4, 0, 255, 0]);
        assert_eq!(i64::from_f64(f64::INFINITY), i64::MAX);
    }
}
