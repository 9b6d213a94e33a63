//! The scales at which blobs are looked for.

use volchunk::{Error, Result};

/// More are taken for a mistake.
const MAX_SCALES: u64 = 1000;

/// Standard deviations to look for blobs at, in voxels, one for each spatial axis, slowest first;
/// and with them the method.
///
/// The numbers are those of `skimage.feature.blob_log` and `blob_dog`, to the last bit but where
/// NumPy's own power or logarithm is not correctly rounded.
///
/// ```
/// use volchunk_ops::Scales;
/// let linear = Scales::linear(&[1.0, 3.0], &[2.0, 6.0], 3)?;
/// assert_eq!(linear.sigmas(1), [1.5, 4.5]);
/// assert_eq!(Scales::logarithmic(&[1.0], &[100.0], 3)?.sigmas(1), [10.0]);
/// // Gaussians of 2, 4 and 8 voxels; a scale is the difference between two.
/// let geometric = Scales::geometric(&[2.0], &[4.0], 2.0)?;
/// assert_eq!((geometric.len(), geometric.sigmas(1)), (2, &[4.0][..]));
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    /// Per filter, per spatial axis. The difference of Gaussians has one more than scales.
    sigmas: Vec<Vec<f64>>,
    /// For the difference of Gaussians, between successive filters.
    ratio: Option<f64>,
}

impl Scales {
    /// `count` scales for the Laplacian of Gaussian, evenly spaced from `min` to `max`, which have
    /// one value for each spatial axis.
    ///
    /// # Errors
    /// Values that are NaN, infinite or not above 0; `min` above `max` on an axis; not as many of
    /// one as of the other, or none; `count` not from 1 to 1000.
    pub fn linear(min: &[f64], max: &[f64], count: u64) -> Result<Self> {
        check(min, max)?;
        check_count(count)?;
        Ok(Self { sigmas: spaced(min, max, count), ratio: None })
    }

    /// As [`linear`](Self::linear), but evenly spaced in the logarithm.
    ///
    /// # Errors
    /// As [`linear`](Self::linear).
    pub fn logarithmic(min: &[f64], max: &[f64], count: u64) -> Result<Self> {
        check(min, max)?;
        check_count(count)?;
        let log = |values: &[f64]| values.iter().map(|&v| pxfm::f_log10(v)).collect::<Vec<_>>();
        let mut sigmas = spaced(&log(min), &log(max), count);
        sigmas.iter_mut().flatten().for_each(|s| *s = pxfm::f_exp10(*s));
        Ok(Self { sigmas, ratio: None })
    }

    /// Scales for the difference of Gaussians: `min · ratio^k` for k from 0 while that is at most
    /// `max`, in the mean over the axes.
    ///
    /// # Errors
    /// As [`linear`](Self::linear); a ratio that is not finite and above 1; more than 1000 scales.
    pub fn geometric(min: &[f64], max: &[f64], ratio: f64) -> Result<Self> {
        check(min, max)?;
        // Written so that NaN is refused too.
        if !(ratio > 1.0 && ratio.is_finite()) {
            return Err(Error::argument(format!(
                "sigma-ratio is {ratio}; legal: finite, and above 1"
            )));
        }
        let step = pxfm::f_log(ratio);
        let steps = min.iter().zip(max).map(|(a, b)| pxfm::f_log(b / a) / step + 1.0);
        let count = (steps.sum::<f64>() / min.len() as f64) as u64;
        if count > MAX_SCALES {
            return Err(Error::argument(format!(
                "sigma-ratio {ratio} makes {count} scales from {min:?} to {max:?}; legal: at most {MAX_SCALES}, so a larger ratio"
            )));
        }
        let sigmas = (0..=count)
            .map(|k| min.iter().map(|s| s * pxfm::f_pow(ratio, k as f64)).collect())
            .collect();
        Ok(Self { sigmas, ratio: Some(ratio) })
    }

    /// Number of scales, at least 1.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.sigmas.len() - usize::from(self.ratio.is_some())
    }

    /// The standard deviations of scale `k`, in voxels, one for each spatial axis.
    ///
    /// # Panics
    /// If `k` is not below [`len`](Self::len).
    pub fn sigmas(&self, k: usize) -> &[f64] {
        &self.sigmas[..self.len()][k]
    }

    /// Those of every filter: of each scale, and for the difference of Gaussians one more.
    pub(super) fn filters(&self) -> &[Vec<f64>] {
        &self.sigmas
    }

    /// Peaks per voxel, about the most that there are over all scales.
    ///
    /// White noise behind a Laplacian of Gaussian has `OF_NOISE` / σ^d maxima a voxel in d dimensions.
    /// Taken are four times as many, or a fifth more than in one dimension less, for images that repeat
    /// along an axis. Voxels that are no neighbours are one in 2^d at most, and such scales
    /// every second one.
    pub(super) fn density(&self) -> f64 {
        /// In one, two, three dimensions. Source: Rice (1945) for one, Longuet-Higgins (1957) for two,
        /// Bardeen, Bond, Kaiser and Szalay (1986) for three, with the moments of k⁴ exp(−k²σ²).
        const OF_NOISE: [f64; 3] = [0.298, 0.092, 0.0294];
        let apart = |dimensions: usize| 0.5f64.powi(dimensions as i32);
        let of_scale = |k: usize| {
            let mut sigmas = self.sigmas(k).to_vec();
            sigmas.sort_by(|a, b| b.total_cmp(a));
            let d = sigmas.len();
            let noise = |d: usize, sigmas: &[f64]| {
                let one = OF_NOISE.get(d.wrapping_sub(1)).copied().unwrap_or(1.0);
                one / sigmas.iter().product::<f64>()
            };
            let repeats = noise(d - 1, &sigmas[1..]);
            (4.0 * noise(d, &sigmas)).max(1.2 * repeats).min(apart(d))
        };
        let sum: f64 = (0..self.len()).map(of_scale).sum();
        sum.min(apart(self.sigmas(0).len()) * self.len().div_ceil(2) as f64)
    }

    /// The ratio between successive filters, if they are for the difference of Gaussians.
    pub(super) fn ratio(&self) -> Option<f64> {
        self.ratio
    }
}

fn check(min: &[f64], max: &[f64]) -> Result<()> {
    if min.len() != max.len() || min.is_empty() {
        return Err(Error::argument(format!(
            "min-sigma has {} values, max-sigma {}; legal: one for each spatial axis",
            min.len(),
            max.len()
        )));
    }
    for (key, values) in [("min-sigma", min), ("max-sigma", max)] {
        if let Some(value) = values.iter().find(|v| !(**v > 0.0 && v.is_finite())) {
            return Err(Error::argument(format!(
                "{key} is {value} voxels; legal: finite, and above 0"
            )));
        }
    }
    match min.iter().zip(max).find(|(a, b)| a > b) {
        Some((a, b)) => Err(Error::argument(format!(
            "min-sigma is {a} voxels, above max-sigma, {b}; legal: at most max-sigma, on every axis"
        ))),
        None => Ok(()),
    }
}

fn check_count(count: u64) -> Result<()> {
    match (1..=MAX_SCALES).contains(&count) {
        true => Ok(()),
        false => Err(Error::argument(format!("num-sigma is {count}; legal: 1 to {MAX_SCALES}"))),
    }
}

/// `count` values from `start` to `stop` with the roundings of `numpy.linspace`.
fn spaced(start: &[f64], stop: &[f64], count: u64) -> Vec<Vec<f64>> {
    let intervals = count.saturating_sub(1) as f64;
    // NumPy multiplies in another order if the step is 0 on any axis.
    let any_flat = start.iter().zip(stop).any(|(a, b)| (b - a) / intervals == 0.0);
    let value = |k: u64, a: f64, b: f64| match k {
        _ if count > 1 && k + 1 == count => b,
        0 => a,
        _ if any_flat => k as f64 / intervals * (b - a) + a,
        _ => k as f64 * ((b - a) / intervals) + a,
    };
    (0..count).map(|k| start.iter().zip(stop).map(|(&a, &b)| value(k, a, b)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What NumPy 2.4 gives.
    #[test]
    fn values_are_those_of_numpy() {
        let linear = Scales::linear(&[3.0], &[4.5], 7).unwrap();
        let found: Vec<f64> = (0..7).map(|k| linear.sigmas(k)[0]).collect();
        assert_eq!(found, [3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5]);
        let thirds = Scales::linear(&[1.0], &[2.1], 4).unwrap();
        assert_eq!(thirds.sigmas(2), [1.7333333333333334]);
        let one_flat = Scales::linear(&[1.0, 2.0], &[2.1, 2.0], 8).unwrap();
        assert_eq!(one_flat.sigmas(3), [1.4714285714285715, 2.0]);
        assert_eq!(Scales::linear(&[1.0], &[2.0], 1).unwrap().sigmas(0), [1.0]);
        let log = Scales::logarithmic(&[1.5], &[9.0], 4).unwrap();
        assert_eq!(log.sigmas(1), [2.7256808892482094]);
        // min · ratio² is max, and log(1.6²) / log(1.6) is 2.
        assert_eq!(Scales::geometric(&[1.0], &[1.6 * 1.6], 1.6).unwrap().len(), 3);
        assert_eq!(Scales::geometric(&[3.0], &[4.5], 1.6).unwrap().len(), 1);
        assert_eq!(
            Scales::geometric(&[3.0], &[4.5], 1.6).unwrap().filters()[1],
            [4.800000000000001]
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (min, max) in [(f64::NAN, 1.0), (1.0, f64::NAN), (0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)] {
            assert!(Scales::linear(&[min], &[max], 3).is_err());
            assert!(Scales::logarithmic(&[min], &[max], 3).is_err());
            assert!(Scales::geometric(&[min], &[max], 1.6).is_err());
        }
        assert!(Scales::linear(&[1.0], &[f64::INFINITY], 3).is_err());
        assert!(Scales::linear(&[1.0], &[2.0], 0).is_err());
        assert!(Scales::linear(&[1.0], &[2.0, 3.0], 2).is_err());
        assert!(Scales::linear(&[], &[], 2).is_err());
        for ratio in [1.0, 0.5, f64::NAN, f64::INFINITY, 1.0 + 1e-9] {
            assert!(Scales::geometric(&[1.0], &[9.0], ratio).is_err(), "{ratio}");
        }
    }
}
