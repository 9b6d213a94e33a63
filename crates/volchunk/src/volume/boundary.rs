//! What lies beyond the true edge of a volume.

use std::{fmt, ops::Range};

use crate::{Error, Result};

/// What an op sees beyond the volume's edge, with the names and meanings of `scipy.ndimage`.
///
/// For a line `a b c d`:
///
/// | boundary | seen |
/// |---|---|
/// | reflect | `d c b a │ a b c d │ d c b a` |
/// | mirror | `d c b │ a b c d │ c b a` |
/// | nearest | `a a a a │ a b c d │ d d d d` |
/// | wrap | `a b c d │ a b c d │ a b c d` |
/// | constant | `k k k k │ a b c d │ k k k k` |
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Boundary {
    /// Mirrored about the edge of the last voxel.
    #[default]
    Reflect,
    /// Mirrored about the centre of the last voxel.
    Mirror,
    /// The last voxel repeated.
    Nearest,
    /// The volume repeated.
    Wrap,
    /// This value.
    Constant(f64),
}

impl Boundary {
    /// Parses `reflect`, `mirror`, `nearest`, `wrap`, `constant` (0) or `constant(VALUE)`.
    pub fn parse(text: &str) -> Result<Self> {
        let error = || {
            Error::argument(format!(
                "unknown boundary '{text}'; legal: reflect, mirror, nearest, wrap, constant, constant(VALUE)"
            ))
        };
        Ok(match text {
            "reflect" => Self::Reflect,
            "mirror" => Self::Mirror,
            "nearest" => Self::Nearest,
            "wrap" => Self::Wrap,
            "constant" => Self::Constant(0.0),
            _ => {
                let value = text.strip_prefix("constant(").and_then(|t| t.strip_suffix(')'));
                Self::Constant(value.and_then(|v| v.trim().parse().ok()).ok_or_else(error)?)
            }
        })
    }

    /// The voxel, `0 <= i < n`, that stands at position `i` of a line of `n`; None is the constant.
    ///
    /// ```
    /// use volchunk::Boundary;
    /// assert_eq!(Boundary::Reflect.index(-1, 4), Some(0));
    /// assert_eq!(Boundary::Mirror.index(-1, 4), Some(1));
    /// assert_eq!(Boundary::Wrap.index(4, 4), Some(0));
    /// assert_eq!(Boundary::Constant(0.0).index(4, 4), None);
    /// ```
    pub fn index(self, i: i64, n: u64) -> Option<u64> {
        let len = n as i64;
        if (0..len).contains(&i) {
            return Some(i as u64);
        }
        Some(match self {
            Self::Reflect => {
                let r = i.rem_euclid(2 * len);
                if r < len { r } else { 2 * len - 1 - r }
            }
            Self::Mirror if len == 1 => 0,
            Self::Mirror => {
                let r = i.rem_euclid(2 * len - 2);
                if r < len { r } else { 2 * len - 2 - r }
            }
            Self::Nearest => i.clamp(0, len - 1),
            Self::Wrap => i.rem_euclid(len),
            Self::Constant(_) => return None,
        } as u64)
    }

    /// The voxels of a line of `n` that positions `start..stop` read: at most two disjoint ranges,
    /// ascending. Two only under wrap, where the far side is read.
    // A vector that holds one range is what is meant.
    #[allow(clippy::single_range_in_vec_init)]
    pub fn ranges(self, start: i64, stop: i64, n: u64) -> Vec<Range<u64>> {
        if start >= stop || n == 0 {
            return Vec::new();
        }
        let len = n as i64;
        let (inner_lo, inner_hi) = (start.clamp(0, len), stop.clamp(0, len));
        if inner_lo == start && inner_hi == stop {
            return vec![start as u64..stop as u64];
        }
        let inner = inner_lo as u64..inner_hi as u64;
        let length = stop.saturating_sub(start);
        match self {
            Self::Constant(_) if inner.is_empty() => return Vec::new(),
            Self::Constant(_) => return vec![inner],
            Self::Wrap if length < len => {
                let first = start.rem_euclid(len);
                let last = first + length;
                return if last <= len {
                    vec![first as u64..last as u64]
                } else {
                    vec![0..(last - len) as u64, first as u64..n]
                };
            }
            Self::Reflect | Self::Mirror if length < 2 * len => {}
            Self::Nearest => {}
            Self::Reflect | Self::Mirror | Self::Wrap => return vec![0..n],
        }
        // Within a length of the edge the map is monotone, so that the ends of what lies outside bound
        // it; only of what lies farther, beyond a short volume, all positions are looked at.
        let (mut first, mut last) = (n, 0);
        let mut see = |i: i64| {
            if let Some(voxel) = self.index(i, n) {
                (first, last) = (first.min(voxel), last.max(voxel));
            }
        };
        for outside in [start..stop.min(0), start.max(len)..stop] {
            let monotone = outside.start > -len && outside.end < 2 * len - 1;
            if monotone || matches!(self, Self::Nearest) {
                [outside.start, outside.end - 1]
                    .into_iter()
                    .filter(|_| !outside.is_empty())
                    .for_each(&mut see);
            } else {
                outside.for_each(&mut see);
            }
        }
        if !inner.is_empty() {
            (first, last) = (first.min(inner.start), last.max(inner.end - 1));
        }
        vec![first..last + 1]
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reflect => f.write_str("reflect"),
            Self::Mirror => f.write_str("mirror"),
            Self::Nearest => f.write_str("nearest"),
            Self::Wrap => f.write_str("wrap"),
            Self::Constant(v) => write!(f, "constant({v})"),
        }
    }
}

/// Where each position that an op asks for along one axis lies in the block that it was given.
///
/// Positions run from `start` in unclipped volume coordinates: negative before the true edge. A
/// block holds only voxels of the volume; padding is this look-up, not a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AxisMap {
    start: i64,
    index: Vec<u32>,
}

/// Marks a position that reads the constant.
const PAD: u32 = u32::MAX;

impl AxisMap {
    /// The map for positions `start..stop` of an axis of `n` voxels of which the block holds
    /// `ranges`, one behind the other.
    pub fn new(boundary: Boundary, start: i64, stop: i64, n: u64, ranges: &[Range<u64>]) -> Self {
        let place = |voxel: u64| {
            let mut before = 0;
            for r in ranges {
                if r.contains(&voxel) {
                    return (before + voxel - r.start) as u32;
                }
                before += r.end - r.start;
            }
            PAD
        };
        let index = (start..stop).map(|i| boundary.index(i, n).map_or(PAD, place)).collect();
        Self { start, index }
    }

    /// First position, in unclipped volume coordinates.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no position.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Place in the block of the `k`-th position; None reads the boundary's constant.
    #[inline]
    pub fn get(&self, k: usize) -> Option<usize> {
        let i = self.index[k];
        (i != PAD).then_some(i as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn boundaries() -> impl Strategy<Value = Boundary> {
        prop_oneof![
            Just(Boundary::Reflect),
            Just(Boundary::Mirror),
            Just(Boundary::Nearest),
            Just(Boundary::Wrap),
            Just(Boundary::Constant(3.0)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        /// Every voxel that any position reads is in the ranges, and the map finds it there.
        #[test]
        fn ranges_cover_what_is_read(b in boundaries(), n in 1u64..12, start in -30i64..30, len in 1i64..40) {
            let stop = start + len;
            let ranges = b.ranges(start, stop, n);
            prop_assert!(ranges.len() <= 2);
            prop_assert!(ranges.windows(2).all(|w| w[0].end < w[1].start));
            prop_assert!(ranges.iter().all(|r| r.start < r.end && r.end <= n));
            let held: Vec<u64> = ranges.iter().flat_map(|r| r.clone()).collect();
            let map = AxisMap::new(b, start, stop, n, &ranges);
            for (k, i) in (start..stop).enumerate() {
                prop_assert_eq!(map.get(k).map(|p| held[p]), b.index(i, n));
            }
            // And no more than that.
            let read = |voxel| (start..stop).any(|i| b.index(i, n) == Some(voxel));
            prop_assert!(held.into_iter().all(read));
        }
    }
}
