//! A box of voxels.

use std::{fmt, ops::Range};

use super::Coords;
use crate::{Error, Result};

/// A half-open box of voxels: `start[a] <= i < start[a] + shape[a]` on every axis `a`.
///
/// ```
/// use volchunk::Region;
/// let a = Region::new([0, 10], [4, 10]);
/// let b = Region::new([2, 0], [9, 15]);
/// assert_eq!(a.intersect(&b), Region::new([2, 10], [2, 5]));
/// assert_eq!(a.to_string(), "[0:4, 10:20]");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Region {
    start: Coords,
    shape: Coords,
}

impl Region {
    /// The region at `start` with `shape`, both in voxels, slowest axis first.
    ///
    /// # Panics
    /// If the two have different numbers of axes.
    pub fn new(start: impl AsRef<[u64]>, shape: impl AsRef<[u64]>) -> Self {
        let (start, shape) =
            (Coords::from_slice(start.as_ref()), Coords::from_slice(shape.as_ref()));
        assert_eq!(start.len(), shape.len(), "start and shape need the same number of axes");
        Self { start, shape }
    }

    /// The whole of a volume of `shape`.
    pub fn whole(shape: impl AsRef<[u64]>) -> Self {
        let shape = Coords::from_slice(shape.as_ref());
        Self { start: smallvec::smallvec![0; shape.len()], shape }
    }

    /// The region that spans one half-open range per axis; an inverted range is empty.
    pub fn from_ranges(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let (start, shape) =
            ranges.into_iter().map(|r| (r.start, r.end.saturating_sub(r.start))).unzip();
        Self { start, shape }
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.start.len()
    }

    /// First voxel on each axis.
    pub fn start(&self) -> &[u64] {
        &self.start
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// One past the last voxel of `axis`.
    pub fn stop(&self, axis: usize) -> u64 {
        self.start[axis] + self.shape[axis]
    }

    /// The half-open range of `axis`.
    pub fn range(&self, axis: usize) -> Range<u64> {
        self.start[axis]..self.stop(axis)
    }

    /// The half-open range of every axis.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<u64>> + '_ {
        (0..self.ndim()).map(|a| self.range(a))
    }

    /// Number of voxels; `u64::MAX` where the true number does not fit.
    pub fn voxels(&self) -> u64 {
        voxels(&self.shape)
    }

    /// Whether no voxel is inside.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Whether every voxel of `other` is inside; an empty `other` always is.
    pub fn contains(&self, other: &Self) -> bool {
        other.is_empty()
            || (0..self.ndim())
                .all(|a| self.start[a] <= other.start[a] && other.stop(a) <= self.stop(a))
    }

    /// The voxels that are in both; empty where there are none.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Self {
        Self::from_ranges((0..self.ndim()).map(|a| {
            let start = self.start[a].max(other.start[a]);
            start..self.stop(a).min(other.stop(a)).max(start)
        }))
    }

    /// This region in the coordinates of `origin`, of which it must be a part.
    ///
    /// # Panics
    /// If it starts before `origin`.
    #[must_use]
    pub fn relative_to(&self, origin: &[u64]) -> Self {
        let start = self.start.iter().zip(origin).map(|(&s, &o)| {
            assert!(s >= o, "{self} starts before {origin:?}");
            s - o
        });
        Self { start: start.collect(), shape: self.shape.clone() }
    }

    /// This region moved forward by `by` voxels.
    #[must_use]
    pub fn translate(&self, by: &[u64]) -> Self {
        let start = self.start.iter().zip(by).map(|(&s, &o)| s + o).collect();
        Self { start, shape: self.shape.clone() }
    }

    /// This region with another half-open range on `axis`; an inverted range is empty.
    ///
    /// # Panics
    /// If there is no such axis.
    #[must_use]
    pub fn with_range(&self, axis: usize, range: Range<u64>) -> Self {
        let mut region = self.clone();
        region.start[axis] = range.start;
        region.shape[axis] = range.end.saturating_sub(range.start);
        region
    }

    /// An error, naming `what`, unless this region lies within a volume of `shape`.
    pub fn check_within(&self, shape: &[u64], what: &str) -> Result<()> {
        if self.ndim() != shape.len() {
            return Err(Error::argument(format!(
                "{what} {self} has {} axes, the volume {shape:?} has {}",
                self.ndim(),
                shape.len()
            )));
        }
        for (a, &n) in shape.iter().enumerate() {
            if self.start[a].checked_add(self.shape[a]).is_none_or(|stop| stop > n) {
                return Err(Error::argument(format!(
                    "{what} is {self}: axis {a} must lie within 0:{n} (volume shape {shape:?})"
                )));
            }
        }
        Ok(())
    }
}

/// Product of `shape`, saturating at `u64::MAX`.
pub(crate) fn voxels(shape: &[u64]) -> u64 {
    if shape.contains(&0) {
        return 0;
    }
    shape.iter().fold(1, |n: u64, &s| n.saturating_mul(s))
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (a, s) in self.start.iter().enumerate() {
            let comma = if a > 0 { ", " } else { "" };
            write!(f, "{comma}{s}:{}", s.saturating_add(self.shape[a]))?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
