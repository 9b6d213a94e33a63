//! Constants that users write, kept as exactly as they wrote them.

use std::fmt;

use volchunk::{Dtype, Element, Error, Result};

/// A number from a user: integers stay exact, so that 64-bit voxels are compared exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// An integer, also if it was written as `1e3`.
    Integer(i128),
    /// Anything else, infinities included; NaN by [`parse_voxel`](Number::parse_voxel) alone.
    Float(f64),
}

impl Number {
    /// Parses a decimal number.
    ///
    /// # Errors
    /// Not a number, or NaN.
    pub fn parse(text: &str) -> Result<Self> {
        if let Ok(i) = text.parse() {
            return Ok(Self::Integer(i));
        }
        let value: f64 = text.parse().map_err(|_| {
            Error::argument(format!("'{text}' is not a number; legal: 3, -1.5, 1e4"))
        })?;
        Self::from_f64(value)
    }

    /// As [`parse`](Self::parse), and NaN, which a voxel may be.
    ///
    /// # Errors
    /// Not a number.
    pub fn parse_voxel(text: &str) -> Result<Self> {
        match text.parse::<f64>() {
            Ok(value) if value.is_nan() => Ok(Self::Float(f64::NAN)),
            _ => Self::parse(text),
        }
    }

    /// The same value.
    ///
    /// # Errors
    /// NaN.
    pub fn from_f64(value: f64) -> Result<Self> {
        if value.is_nan() {
            return Err(Error::argument("NaN is not a number; legal: 3, -1.5, 1e4"));
        }
        // 2^127: beyond it an i128 ends.
        let integer = value.fract() == 0.0 && value.abs() < 1.7e38;
        Ok(if integer { Self::Integer(value as i128) } else { Self::Float(value) })
    }

    /// The nearest f64.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Integer(i) => i as f64,
            Self::Float(f) => f,
        }
    }

    /// The largest integer that is not above; saturates.
    pub fn floor(self) -> i128 {
        match self {
            Self::Integer(i) => i,
            Self::Float(f) => f.floor() as i128,
        }
    }

    /// The largest f64 that is not above.
    pub fn floor_f64(self) -> f64 {
        match self {
            Self::Float(f) => f,
            Self::Integer(i) => {
                let f = i as f64;
                // Compared as integers: i as f64 is itself an integer within i128, but for 2^127.
                if f as i128 > i || f >= 1.7e38 { f.next_down() } else { f }
            }
        }
    }

    /// Whether this is more than `other`, exactly.
    pub fn exceeds(self, other: Self) -> bool {
        match (self, other) {
            (Self::Float(a), Self::Float(b)) => a > b,
            (Self::Float(a), Self::Integer(b)) => a.ceil() as i128 > b,
            (Self::Integer(a), b) => a > b.floor(),
        }
    }

    /// As a voxel: integers round half to even and saturate; bool is an integer of 0 and 1 here.
    pub fn to_voxel<T: Element>(self) -> T {
        let bool = T::DTYPE == Dtype::Bool;
        match self {
            Self::Integer(i) if bool => T::from_i128(i.clamp(0, 1)),
            Self::Integer(i) => T::from_i128(i),
            Self::Float(f) if bool => T::from_f64(f.round_ties_even().clamp(0.0, 1.0)),
            Self::Float(f) => T::from_f64(f),
        }
    }
}

/// Voxels in ascending order, NaN last.
#[inline(always)]
#[allow(clippy::eq_op)]
pub(crate) fn order<T: Element>(a: &T, b: &T) -> std::cmp::Ordering {
    a.partial_cmp(b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(i) => write!(f, "{i}"),
            Self::Float(v) => write!(f, "{v}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_stay_exact_and_floats_that_are_integers_become_integers() {
        let big = "18446744073709551615";
        assert_eq!(Number::parse(big).unwrap(), Number::Integer(u64::MAX.into()));
        assert_eq!(Number::parse("1e3").unwrap(), Number::Integer(1000));
        assert!(Number::parse("nan").is_err() && Number::parse("").is_err());
        assert!(Number::Integer((1 << 53) + 1).exceeds(Number::Float(9_007_199_254_740_992.0)));
    }

    proptest! {
        #[test]
        fn floors_are_floors(i in any::<i128>(), shift in 0u32..127) {
            let i = i >> shift;
            let f = Number::Integer(i).floor_f64();
            prop_assert!(f as i128 <= i);
            // The next f64 is above; where it is 2^127, i128 cannot hold it.
            let next = f.next_up();
            prop_assert!(next >= 1.7e38 || next.ceil() as i128 > i);
        }

        #[test]
        fn text_and_back(bits in any::<u64>()) {
            let v = f64::from_bits(bits);
            prop_assume!(!v.is_nan());
            let n = Number::from_f64(v).unwrap();
            prop_assert_eq!(Number::parse(&n.to_string()).unwrap(), n);
            prop_assert_eq!(n.to_f64(), v);
        }
    }
}
