//! Blobs that share their volume.

use std::{cmp::Ordering, f64::consts::PI};

use super::{Rule, by_value, check_axes, check_column, group_of};
use crate::{Error, Result};

/// Of two blobs that overlap by more than a fraction of the smaller one's volume, the larger survives.
///
/// What scikit-image's `blob_log` means by its `overlap`: a blob of σ is a ball of radius σ·√ndim
/// around its peak, the overlap of two is the volume that their balls share over that of the smaller
/// ball. With a σ for each axis, in a ratio that all blobs have in common, coordinates are divided by
/// that ratio first. Of blobs in conflict the one with the larger σ survives; at equal σ that with the
/// larger value; then the first in raster order, all columns compared.
///
/// scikit-image knows the shared volume of discs and balls, and takes that of intervals for one of
/// balls and that in four axes or more for none. Here all have their own. It also lets a blob that was
/// suppressed suppress others, as its search happens to meet them; here what was dropped drops nothing.
///
/// ```
/// use volchunk::{Overlap, suppress_points};
/// // y, x, σ: the second lies in the first, the third beside it.
/// let rows = [10.0, 10.0, 4.0, 11.0, 11.0, 2.0, 10.0, 30.0, 4.0];
/// let rule = Overlap::new(0.5, 4.0, &[1.0, 1.0], 2, 3)?;
/// assert_eq!(suppress_points(&rows, &rule, 1)?.to_vec(), [10.0, 10.0, 4.0, 10.0, 30.0, 4.0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Overlap {
    overlap: f64,
    max_sigma: f64,
    ratio: Vec<f64>,
    reach: Vec<f64>,
    sigma: usize,
    columns: usize,
    value: Option<usize>,
    group: Vec<usize>,
}

impl Overlap {
    /// A rule for rows of `columns` numbers that hold σ in column `sigma`, at most `max_sigma`; on
    /// each axis σ times that axis's `ratio`, in the unit of the coordinates. `overlap` is the
    /// fraction above which two blobs are in conflict; at 1 none are.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if `overlap` is not between 0 and 1,
    /// `max_sigma` or a ratio not finite and above 0, or if there are fewer columns than named.
    pub fn new(
        overlap: f64,
        max_sigma: f64,
        ratio: &[f64],
        sigma: usize,
        columns: usize,
    ) -> Result<Self> {
        check_axes(ratio.len(), columns)?;
        check_column("σ", sigma, columns)?;
        if !(0.0..=1.0).contains(&overlap) {
            return Err(Error::argument(format!("overlap is {overlap}; legal: 0 to 1")));
        }
        let positive = |what: &str, number: f64| match number.is_finite() && number > 0.0 {
            true => Ok(()),
            false => Err(Error::argument(format!("{what} is {number}; legal: finite, above 0"))),
        };
        positive("the largest σ", max_sigma)?;
        for (axis, &r) in ratio.iter().enumerate() {
            positive(&format!("the ratio of σ on axis {axis}"), r)?;
        }
        // Half of a ball lies in another only if its centre does. The margin is for rounding.
        let radii = if overlap >= 0.5 { 1.0 } else { 2.0 } * (1.0 + 1e-9);
        let root = (ratio.len() as f64).sqrt();
        let reach: Vec<f64> = ratio.iter().map(|r| radii * max_sigma * r * root).collect();
        if !reach.iter().all(|r| r.is_finite()) {
            return Err(Error::argument(format!(
                "σ up to {max_sigma} times the ratio {ratio:?} is too large; legal: finite radii"
            )));
        }
        let ratio = ratio.to_vec();
        let group = Vec::new();
        Ok(Self { overlap, max_sigma, ratio, reach, sigma, columns, value: None, group })
    }

    /// Of blobs of the same σ, those with more in column `value` are stronger.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such column.
    pub fn with_value(mut self, value: usize) -> Result<Self> {
        check_column("value", value, self.columns)?;
        self.value = Some(value);
        Ok(self)
    }

    /// Blobs that differ in one of these columns (channel, time) never suppress each other.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such column.
    pub fn with_group(mut self, group: &[usize]) -> Result<Self> {
        group.iter().try_for_each(|&g| check_column("group", g, self.columns))?;
        self.group = group.to_vec();
        Ok(self)
    }
}

impl Rule for Overlap {
    fn columns(&self) -> usize {
        self.columns
    }

    fn reach(&self) -> &[f64] {
        &self.reach
    }

    fn check(&self, row: &[f64]) -> Result<()> {
        let sigma = row[self.sigma];
        if !(sigma > 0.0 && sigma <= self.max_sigma) {
            return Err(Error::argument(format!(
                "σ, column {}, is {sigma}; legal: above 0, up to {}",
                self.sigma, self.max_sigma
            )));
        }
        if let Some(c) = self.value.iter().chain(&self.group).find(|&&c| row[c].is_nan()) {
            return Err(Error::argument(format!("column {c} is NaN; legal: a number")));
        }
        Ok(())
    }

    fn group(&self, row: &[f64]) -> u64 {
        group_of(row, &self.group)
    }

    fn strength(&self, row: &[f64]) -> f64 {
        row[self.sigma]
    }

    fn conflict(&self, a: &[f64], b: &[f64]) -> bool {
        if self.group.iter().any(|&g| a[g] != b[g]) {
            return false;
        }
        let (large, small) = (a[self.sigma].max(b[self.sigma]), a[self.sigma].min(b[self.sigma]));
        let ndim = self.ratio.len();
        let unit = large * (ndim as f64).sqrt();
        // In radii of the larger ball.
        let squares = self.ratio.iter().zip(a.iter().zip(b)).map(|(ratio, (a, b))| {
            let apart = (a - b) / (unit * ratio);
            apart * apart
        });
        shared_of_smaller(ndim, squares.sum::<f64>().sqrt(), small / large) > self.overlap
    }

    fn order(&self, a: &[f64], b: &[f64]) -> Ordering {
        b[self.sigma].total_cmp(&a[self.sigma]).then_with(|| by_value(self.value, a, b))
    }
}

/// The part of a ball of radius `r` ≤ 1 in `ndim` axes that lies in a ball of radius 1 whose centre
/// is at `distance`.
fn shared_of_smaller(ndim: usize, distance: f64, r: f64) -> f64 {
    if distance >= 1.0 + r {
        return 0.0;
    }
    if distance <= 1.0 - r {
        return 1.0;
    }
    // The spheres meet in a plane, beyond which each ball has a cap in the other; a cap is told by the
    // plane's distance from its ball's centre, in radii.
    let of_large = (distance * distance + 1.0 - r * r) / (2.0 * distance);
    let of_small = (distance * distance + r * r - 1.0) / (2.0 * distance * r);
    let volume = (0..ndim).fold(1.0, |volume, _| volume * r);
    cap(ndim, of_small) + cap(ndim, of_large) / volume
}

/// The part of a ball's volume beyond a plane at `height` radii from its centre.
///
/// With φ = acos(height), it is ∫₀^φ sinⁿ over ∫₀^π sinⁿ; both follow from those of sinⁿ⁻².
fn cap(ndim: usize, height: f64) -> f64 {
    let cos = height.clamp(-1.0, 1.0);
    let sin = (1.0 - cos * cos).sqrt();
    let even = ndim.is_multiple_of(2);
    let (mut part, mut whole) = if even { (angle(cos), PI) } else { (1.0 - cos, 2.0) };
    let mut power = if even { sin } else { sin * sin };
    for n in (2 + ndim % 2..=ndim).step_by(2) {
        let n = n as f64;
        part = ((n - 1.0) * part - cos * power) / n;
        whole *= (n - 1.0) / n;
        power *= sin * sin;
    }
    part / whole
}

/// acos, from operations that IEEE 754 rounds alike everywhere; a library's last bit differs from
/// machine to machine, and with it which blobs are kept.
fn angle(cos: f64) -> f64 {
    const HALVINGS: i32 = 5;
    let mut cos = cos;
    let mut sin = 0.0;
    for _ in 0..HALVINGS {
        sin = ((1.0 - cos) / 2.0).max(0.0).sqrt();
        cos = ((1.0 + cos) / 2.0).max(0.0).sqrt();
    }
    // asin's series, for at most sin(π/32).
    let mut term = sin;
    let mut sum = sin;
    for k in 1..10 {
        let odd = f64::from(2 * k - 1);
        term *= sin * sin * odd / (odd + 1.0);
        sum += term / (odd + 2.0);
    }
    sum * f64::from(1 << HALVINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_those_of_acos() {
        for i in -1000..=1000 {
            let cos = f64::from(i) / 1000.0;
            let apart = (angle(cos) - cos.acos()).abs();
            assert!(apart < 1e-12, "{cos}: {apart:e}");
        }
    }

    /// Integrates both balls in slices, each a ball of one axis less.
    #[test]
    fn shared_volumes_are_those_of_sums() {
        fn ball(ndim: usize, r: f64) -> f64 {
            let unit = [1.0, 2.0, PI, 4.0 / 3.0 * PI, PI * PI / 2.0][ndim];
            unit * r.max(0.0).powi(ndim as i32)
        }
        for ndim in 1..=5 {
            for (distance, r) in [(0.7, 1.0), (1.2, 0.5), (0.6, 0.5), (0.9, 0.3), (1.0, 0.9)] {
                // Where both balls are cut by a plane across the line between their centres, the
                // smaller of the two cuts is shared.
                const STEPS: i32 = 200_000;
                let step = 2.0 * r / f64::from(STEPS);
                let sum: f64 = (0..STEPS)
                    .map(|i| {
                        let x = (f64::from(i) + 0.5) * step - r;
                        let small = (r * r - x * x).max(0.0).sqrt();
                        let large = (1.0 - (distance + x) * (distance + x)).max(0.0).sqrt();
                        let inside = (distance + x).abs() < 1.0;
                        if inside { ball(ndim - 1, small.min(large)) * step } else { 0.0 }
                    })
                    .sum();
                let whole: f64 = (0..STEPS)
                    .map(|i| {
                        let x = (f64::from(i) + 0.5) * step - r;
                        ball(ndim - 1, (r * r - x * x).max(0.0).sqrt()) * step
                    })
                    .sum();
                let found = shared_of_smaller(ndim, distance, r);
                assert!((found - sum / whole).abs() < 1e-4, "{ndim} {distance} {r}: {found}");
            }
        }
    }
}
