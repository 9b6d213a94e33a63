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
        let taps: Vec<f64> = (-radius..=radius).map(|x| exp(factor * (x * x) as f64)).collect();
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

/// `exp(x)` for -40 ≤ x ≤ 0, rounded to nearest.
///
/// A maths library may err by a unit in the last place; then every sum in f64 would differ from
/// SciPy's, and between platforms. So: `x = n · ln 2 + 2⁹ · r`, a Taylor series for `exp(r) - 1`,
/// nine squarings, all in pairs of f64 (about 100 bits), rounded once.
fn exp(x: f64) -> f64 {
    const LN_2: Pair = Pair { hi: std::f64::consts::LN_2, lo: 2.319_046_813_846_299_6e-17 };
    const SQUARINGS: i32 = 9;
    let n = (x / LN_2.hi).round_ties_even();
    let scale = 1.0 / f64::from(1 << SQUARINGS);
    let r = Pair::new(x).add(LN_2.mul(Pair::new(-n)));
    let r = Pair { hi: r.hi * scale, lo: r.lo * scale };
    let (mut term, mut sum) = (r, r);
    for k in 2..=11 {
        term = term.mul(r).div(f64::from(k));
        sum = sum.add(term);
    }
    // (1 + s)² - 1 = 2 s + s²
    for _ in 0..SQUARINGS {
        sum = sum.add(sum).add(sum.mul(sum));
    }
    let exponent = (1023 + n as i64) as u64;
    Pair::new(1.0).add(sum).hi * f64::from_bits(exponent << 52)
}

/// The unevaluated sum of two f64, the second at most half a unit in the last place of the first.
/// Arithmetic after T. J. Dekker, "A floating-point technique for extending the available
/// precision", Numerische Mathematik 18 (1971).
#[derive(Debug, Clone, Copy)]
struct Pair {
    hi: f64,
    lo: f64,
}

impl Pair {
    fn new(hi: f64) -> Self {
        Self { hi, lo: 0.0 }
    }

    /// `a + b`, exactly.
    fn sum(a: f64, b: f64) -> Self {
        let hi = a + b;
        let b_part = hi - a;
        Self { hi, lo: (a - (hi - b_part)) + (b - b_part) }
    }

    /// `a · b`, exactly.
    fn product(a: f64, b: f64) -> Self {
        let split = |v: f64| {
            let c = v * 134_217_729.0; // 2²⁷ + 1
            let hi = c - (c - v);
            (hi, v - hi)
        };
        let ((a_hi, a_lo), (b_hi, b_lo)) = (split(a), split(b));
        let hi = a * b;
        Self { hi, lo: ((a_hi * b_hi - hi) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo }
    }

    fn add(self, other: Self) -> Self {
        let (hi, lo) = (Self::sum(self.hi, other.hi), Self::sum(self.lo, other.lo));
        let first = Self::sum(hi.hi, hi.lo + lo.hi);
        Self::sum(first.hi, first.lo + lo.lo)
    }

    fn mul(self, other: Self) -> Self {
        let p = Self::product(self.hi, other.hi);
        Self::sum(p.hi, p.lo + (self.hi * other.lo + self.lo * other.hi))
    }

    fn div(self, by: f64) -> Self {
        let hi = self.hi / by;
        let back = Self::product(hi, by);
        let rest = ((self.hi - back.hi) - back.lo) + self.lo;
        Self::sum(hi, rest / by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a of the taps' little-endian bytes, outermost first, centre last, as NumPy 2.4 and
    /// SciPy 1.17 make them on x86-64 Linux.
    #[test]
    fn taps_have_the_bits_of_scipy() {
        for (sigma, digest) in [
            (0.13, 0x2a07f91062679cec),
            (0.5, 0x437d45ea0c14c91b),
            (1.0, 0xb22812b06ccb1cb9),
            (1.3, 0x0b6768ac23ed273e),
            (2.0, 0x05e6e351a03621c5),
            (2.5, 0x1fbbc34961b2e33b),
            (3.7, 0x8d76367ffb6ac987),
            (16.0, 0xefda9c5128430655),
            (40.0, 0x849ec811ec7777df),
        ] {
            let weights = Weights::new(sigma, "x").unwrap();
            let bytes = weights.taps().iter().flat_map(|t| t.to_le_bytes());
            let found = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
            });
            assert_eq!(found, digest, "sigma {sigma}: {found:#x}, not {digest:#x}");
        }
    }
}
