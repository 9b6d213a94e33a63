//! The taps of the filter, with the bits that SciPy gives them.

/// The taps of one axis's filter, outermost of the low side first, centre last; never empty. Those
/// of the high side are the same, or their negatives.
///
/// The method is `scipy.ndimage._filters._gaussian_kernel1d` of SciPy 1.17: `exp(-0.5 / sigma² · x²)`
/// over the sum of all taps, times the polynomial that makes it the derivative of that order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    taps: Vec<f64>,
    antisymmetric: bool,
}

impl Weights {
    /// The filter of `sigma` voxels, the `order`-th derivative, `radius` taps on each side. None
    /// where its numbers overflow.
    pub(super) fn new(sigma: f64, order: u32, radius: usize) -> Option<Self> {
        let r = radius as i64;
        // SciPy's integers would wrap around.
        r.checked_pow(order.max(2))?;
        let variance = sigma * sigma;
        let factor = -0.5 / variance;
        // Correctly rounded, so the same on every platform; a last bit here is every voxel's in f64.
        let all: Vec<f64> = (-r..=r).map(|x| pxfm::f_exp(factor * (x * x) as f64)).collect();
        let sum = pairwise_sum(&all);
        let low = all[..=radius].iter().map(|t| t / sum);
        if order == 0 {
            return Some(Self { taps: low.collect(), antisymmetric: false });
        }
        let polynomial = derivative(variance, order);
        // SciPy correlates with the reversed kernel: what stands low is the kernel's high side.
        let taps: Vec<f64> = low
            .zip((0..=r).rev())
            .map(|(tap, x)| {
                let powers: Vec<f64> = (0..=order).map(|k| x.pow(k) as f64).collect();
                dot(&powers, &polynomial) * tap
            })
            .collect();
        if !taps.iter().all(|t| t.is_finite()) {
            return None;
        }
        // SciPy asks whether taps are equal first, and takes what is nearly so for equal.
        let nearly_zero = taps[..radius].iter().all(|t| (t + t).abs() <= f64::EPSILON);
        Some(Self { antisymmetric: order % 2 == 1 && !nearly_zero, taps })
    }

    /// The filter of one tap, which changes nothing.
    pub(super) fn one() -> Self {
        Self { taps: vec![1.0], antisymmetric: false }
    }

    /// Taps on each side of the centre.
    pub(super) fn radius(&self) -> usize {
        self.taps.len() - 1
    }

    /// Outermost first, centre last.
    pub(crate) fn taps(&self) -> &[f64] {
        &self.taps
    }

    /// Whether the high side's taps are the negatives of the low side's.
    pub(super) fn antisymmetric(&self) -> bool {
        self.antisymmetric
    }
}

/// Coefficients, constant first, of the polynomial that a Gaussian's `order`-th derivative is a
/// multiple of.
fn derivative(variance: f64, order: u32) -> Vec<f64> {
    let n = order as usize + 1;
    let mut q = vec![0.0; n];
    q[0] = 1.0;
    // (q · g)' = (q' + q · p') · g for g = exp(p), p' = -x / variance.
    let rows: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            let mut row = vec![0.0; n];
            if i + 1 < n {
                row[i + 1] = (i + 1) as f64;
            }
            if i > 0 {
                row[i - 1] = 1.0 / -variance;
            }
            row
        })
        .collect();
    for _ in 0..order {
        q = rows.iter().map(|row| dot(row, &q)).collect();
    }
    q
}

/// The scalar product with the roundings of NumPy's, which are OpenBLAS's on x86-64 with AVX2 (up
/// to seven values): four running sums, then the rest. The fused multiply-adds are part of that;
/// `mul_add` has the same bits on every CPU.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((fours, rest), (b_fours, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in fours.iter().zip(b_fours) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum = a.mul_add(*b, *sum);
        }
    }
    let sum: f64 = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    match (rest, b_rest) {
        ([], _) => sum,
        ([a], [b, ..]) => a.mul_add(*b, sum),
        _ => sum + rest.iter().zip(b_rest).fold(0.0, |t, (a, b)| a.mul_add(*b, t)),
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
            let weights = Weights::new(sigma, 0, (4.0 * sigma + 0.5) as usize).unwrap();
            let bytes = weights.taps().iter().flat_map(|t| t.to_le_bytes());
            let found = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
            });
            assert_eq!(found, digest, "sigma {sigma}: {found:#x}, not {digest:#x}");
        }
    }
}
