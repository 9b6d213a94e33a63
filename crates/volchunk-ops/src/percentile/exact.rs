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
