//! The taps of the filter, with the bits that SciPy gives them.

use volchunk::{Error, Result};

/// SciPy's default: the filter ends at four standard deviations.
const TRUNCATE: f64 = 4.0;

/// SciPy filters no axis whose sigma is at most this.
const NEGLIGIBLE: f64 = 1e-15;

/// A wider filter is taken for a mistake: its halo would exceed any volume.
const MAX_RADIUS: f64 = (1u64 << 20) as f64;

/// Half of a symmetric filter: outermost tap first, centre last; never empty.
///
/// The method is `scipy.ndimage._filters._gaussian_kernel1d` of SciPy 1.17 with `order = 0`:
/// `exp(-0.5 / sigma² · x²)` over the sum of all taps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weights(Vec<f64>);

impl Weights {
    /// The filter of `sigma` voxels along `axis` (for messages); 0 is the filter of one tap.
    pub(super) fn new(sigma: f64, axis: &str) -> Result<Self> {
        let radius = (TRUNCATE * sigma + 0.5).floor();
        // Written so that NaN is refused too.
        if !(sigma >= 0.0 && radius <= MAX_RADIUS) {
            return Err(Error::argument(format!(
                "sigma of axis {axis} is {sigma} voxels; legal: 0 (axis untouched) to {}",
                MAX_RADIUS / TRUNCATE
            )));
        }
        if sigma <= NEGLIGIBLE || radius == 0.0 {
            return Ok(Self::one());
        }
        let radius = radius as i64;
        let factor = -0.5 / (sigma * sigma);
        let taps: Vec<f64> =
            (-radius..=radius).map(|x| libm::exp(factor * (x * x) as f64)).collect();
        let sum = pairwise_sum(&taps);
        Ok(Self(taps[..=radius as usize].iter().map(|t| t / sum).collect()))
    }

    /// The filter of one tap, which changes nothing.
    pub(super) fn one() -> Self {
        Self(vec![1.0])
    }

    /// Taps on each side of the centre.
    pub(super) fn radius(&self) -> usize {
        self.0.len() - 1
    }

    /// Outermost first, centre last.
    pub(super) fn taps(&self) -> &[f64] {
        &self.0
    }
}

/// The sum in the order in which NumPy adds a contiguous array (pairwise summation: eight running
/// sums over at most 128 values, halves above).
fn pairwise_sum(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 8 {
        return values.iter().fold(0.0, |sum, v| sum + v);
    }
    if n > 128 {
        let half = n / 2 - n / 2 % 8;
        return pairwise_sum(&values[..half]) + pairwise_sum(&values[half..]);
    }
    let (eights, rest) = values.as_chunks::<8>();
    let mut r = eights[0];
    for eight in &eights[1..] {
        for (sum, v) in r.iter_mut().zip(eight) {
            *sum += v;
        }
    }
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, v| sum + v)
}
