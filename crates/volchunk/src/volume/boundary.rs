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
        if stop.saturating_sub(start) >= 2 * len
            && !matches!(self, Self::Constant(_) | Self::Nearest)
        {
            return vec![0..n];
        }
        // Beyond an edge the map is piecewise monotone, so the extremes of the few positions that
        // lie outside bound it; halos are short beside volumes, so they are walked.
        let outside =
            (start..stop.min(0).max(start)).chain(stop.min(len.max(start)).max(start)..stop);
        let mut seen: Vec<u64> = match self {
            Self::Nearest => [start, stop - 1].iter().filter_map(|&i| self.index(i, n)).collect(),
            _ => outside.filter_map(|i| self.index(i, n)).collect(),
        };
        if inner_lo < inner_hi {
            seen.extend([inner_lo as u64, inner_hi as u64 - 1]);
        }
        seen.sort_unstable();
        let (Some(&first), Some(&last)) = (seen.first(), seen.last()) else {
            return Vec::new();
        };
        if self != Self::Wrap {
            return vec![first..last + 1];
        }
        // Under wrap the voxels form a cyclic interval: split at the only gap, if there is one.
        let inner = inner_lo as u64..inner_hi as u64;
        let gap = seen
            .windows(2)
            .find(|w| w[1] - w[0] > 1 && !(inner.contains(&w[0]) && inner.contains(&w[1])));
        match gap {
            Some(w) => vec![first..w[0] + 1, w[1]..last + 1],
            None => vec![first..last + 1],
        }
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
        }
    }
}
