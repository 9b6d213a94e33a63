//! Context around a core.

use super::{Coords, Region};

/// Voxels of context around a core: `(lo, hi)` for each axis, slowest axis first.
///
/// A halo may be larger than a chunk, or than the volume.
///
/// ```
/// use volchunk::{Halo, Region};
/// let halo = Halo::new([(2, 2), (0, 3)]);
/// // The outer is clipped to the volume.
/// let outer = halo.outer(&Region::new([0, 4], [4, 4]), &[10, 10]);
/// assert_eq!(outer, Region::new([0, 4], [6, 6]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Halo {
    lo: Coords,
    hi: Coords,
}

impl Halo {
    /// One `(lo, hi)` pair per axis.
    pub fn new(sides: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let (lo, hi) = sides.into_iter().unzip();
        Self { lo, hi }
    }

    /// No context on any of `ndim` axes.
    pub fn none(ndim: usize) -> Self {
        Self::new(vec![(0, 0); ndim])
    }

    /// The same width on both sides of each axis.
    pub fn symmetric(widths: impl IntoIterator<Item = u64>) -> Self {
        Self::new(widths.into_iter().map(|w| (w, w)))
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.lo.len()
    }

    /// `(lo, hi)` of `axis`.
    pub fn side(&self, axis: usize) -> (u64, u64) {
        (self.lo[axis], self.hi[axis])
    }

    /// `core` grown by this halo and clipped to a volume of `shape`.
    pub fn outer(&self, core: &Region, shape: &[u64]) -> Region {
        Region::from_ranges((0..core.ndim()).map(|a| {
            core.start()[a].saturating_sub(self.lo[a])
                ..core.stop(a).saturating_add(self.hi[a]).min(shape[a])
        }))
    }
}
