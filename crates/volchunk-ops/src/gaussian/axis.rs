//! What is done along one axis, as users say it.

use volchunk::{Boundary, Error, Result};

use super::weights::Weights;

/// SciPy filters no axis whose sigma is at most this.
const NEGLIGIBLE: f64 = 1e-15;

/// A wider filter is taken for a mistake: its halo would exceed any volume.
const MAX_RADIUS: u64 = 1 << 20;

/// A higher derivative is taken for a mistake.
const MAX_ORDER: u64 = 20;

/// The Gaussian filter along one axis. The default leaves the axis as it is.
///
/// ```
/// use volchunk_ops::{GaussianAxis, Reach};
/// let smooth = GaussianAxis::smooth(2.0);
/// let slope = GaussianAxis { order: 1, reach: Reach::Voxels(6), ..smooth };
/// assert_eq!((smooth.radius(), slope.radius()), (8, 6));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GaussianAxis {
    /// Standard deviation in voxels. At most 1e-15: the axis stays as it is, whatever the rest says.
    pub sigma: f64,
    /// 0 smooths; n gives the n-th derivative of that.
    pub order: u64,
    /// Where the filter ends.
    pub reach: Reach,
    /// What it sees beyond the true edge.
    pub boundary: Boundary,
}

/// Where a filter ends, on either side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reach {
    /// After so many standard deviations: `int(this · sigma + 0.5)` voxels.
    Sigmas(f64),
    /// After so many voxels.
    Voxels(u64),
}

impl Default for Reach {
    /// Four standard deviations, as in SciPy.
    fn default() -> Self {
        Self::Sigmas(4.0)
    }
}

impl GaussianAxis {
    /// Smoothing with `sigma` voxels, all else by default.
    pub fn smooth(sigma: f64) -> Self {
        Self { sigma, ..Self::default() }
    }

    /// Voxels that are needed on either side; saturates.
    pub fn radius(&self) -> u64 {
        match self.reach {
            _ if self.sigma <= NEGLIGIBLE => 0,
            Reach::Voxels(radius) => radius,
            Reach::Sigmas(n) => (n * self.sigma + 0.5) as u64,
        }
    }

    /// The taps; None where the axis stays as it is.
    pub(crate) fn weights(&self, axis: &str) -> Result<Option<Weights>> {
        let Self { sigma, order, reach, .. } = *self;
        if let Reach::Sigmas(n) = reach
            && !(n >= 0.0 && n.is_finite())
        {
            return Err(Error::argument(format!(
                "truncate of axis {axis} is {n} sigma; legal: finite, and at least 0"
            )));
        }
        // Written so that NaN is refused too.
        if !(sigma >= 0.0 && sigma.is_finite()) {
            return Err(Error::argument(format!(
                "sigma of axis {axis} is {sigma} voxels; legal: 0 (axis untouched), or finite and above 0"
            )));
        }
        if self.radius() > MAX_RADIUS {
            return Err(Error::argument(match reach {
                Reach::Sigmas(n) => format!(
                    "sigma of axis {axis} is {sigma} voxels; legal: 0 (axis untouched) to {}, where the filter, which ends at {n} sigma, is {MAX_RADIUS} voxels wide on each side",
                    MAX_RADIUS as f64 / n
                ),
                Reach::Voxels(radius) => {
                    format!("radius of axis {axis} is {radius} voxels; legal: 0 to {MAX_RADIUS}")
                }
            }));
        }
        if order > MAX_ORDER {
            return Err(Error::argument(format!(
                "order of axis {axis} is {order}; legal: 0 to {MAX_ORDER}"
            )));
        }
        if sigma <= NEGLIGIBLE {
            return Ok(None);
        }
        let weights = Weights::new(sigma, order as u32, self.radius() as usize);
        weights.map(Some).ok_or_else(|| {
            Error::argument(format!(
                "order of axis {axis} is {order}, sigma {sigma}, radius {}: such weights overflow; legal: a lower order, a smaller radius, or a sigma not near 0",
                self.radius()
            ))
        })
    }
}
