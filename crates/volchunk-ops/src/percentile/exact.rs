//! Which voxels a percentile lies between, and where between them.

/// The places of a percentile among `n` sorted values, from 0, and how far from the first to the
/// second: the rule that NumPy calls linear.
///
/// `percent` lies from 0 to 100; `n` is at least 1.
pub(super) fn places(percent: f64, n: u64) -> (u64, u64, f64) {
    let at = (n - 1) as f64 * (percent / 100.0);
    let first = (at.floor() as u64).min(n - 1);
    (first, (first + 1).min(n - 1), at - at.floor())
}

/// The value `t` of the way from `a` to `b`, rounded as NumPy's.
pub(super) fn between(a: f64, b: f64, t: f64) -> f64 {
    let step = b - a;
    if a == b {
        a
    } else if t >= 0.5 {
        b - step * (1.0 - t)
    } else {
        a + step * t
    }
}

/// A percentile of `values` but NaN, interpolated as [`percentiles`](super::percentiles) are; None
/// where there is no other value. `percent` lies from 0 to 100.
///
/// ```
/// use volchunk_ops::percentile_of;
/// assert_eq!(percentile_of([3.0, f64::NAN, 1.0, 2.0, 8.0], 50.0), Some(2.5));
/// assert_eq!(percentile_of([f64::NAN], 50.0), None);
/// ```
pub fn percentile_of(values: impl IntoIterator<Item = f64>, percent: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
    if values.is_empty() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let (first, second, t) = places(percent, values.len() as u64);
    Some(between(values[first as usize], values[second as usize], t))
}
