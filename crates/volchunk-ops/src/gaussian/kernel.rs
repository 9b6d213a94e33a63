//! The inner loops. Everything here is inlined into a caller that chose the instruction set.

use std::marker::PhantomData;

use volchunk::Element;

use super::{store::Stored, weights::Weights};

/// Voxels whose sums are held in registers together; rows between the passes are padded to it.
pub(super) const LANES: usize = 16;

/// How a sum is stored.
pub(super) trait Round {
    /// Type of a stored voxel.
    type Out: Copy;
    /// Stores one sum.
    fn round(sum: f64) -> Self::Out;
}

/// As a voxel of `T`: the last pass.
pub(super) struct To<T>(PhantomData<T>);
/// As the f64 of that voxel: between the passes, where the next needs f64 again.
pub(super) struct Through<T>(PhantomData<T>);
/// As it is.
pub(super) type Keep = Through<f64>;

impl<T: Stored> Round for To<T> {
    type Out = T;
    #[inline(always)]
    fn round(sum: f64) -> T {
        T::store(sum)
    }
}

impl<T: Stored> Round for Through<T> {
    type Out = f64;
    #[inline(always)]
    fn round(sum: f64) -> f64 {
        T::between(sum)
    }
}

/// Where the rows of one pass lie. All offsets count elements.
///
/// Voxel `i` of row `k` is the sum over taps `t` of `src[k · src_step + taps[k · tap_step + t] + i]`.
pub(super) struct Rows<'a> {
    /// Number of rows.
    pub(super) count: usize,
    /// Voxels in a row.
    pub(super) width: usize,
    /// The filter.
    pub(super) weights: &'a Weights,
    /// Offset of each tap.
    pub(super) taps: &'a [usize],
    /// From the taps of a row to those of the next.
    pub(super) tap_step: usize,
    /// From the input of a row to that of the next.
    pub(super) src_step: usize,
    /// From a row of the result to the next.
    pub(super) dst_step: usize,
}

/// Correlates rows with a filter.
///
/// Per voxel, in f64, in this order, as `NI_Correlate1D` of SciPy does it: centre · weight, then
/// for each pair from the outermost inwards `+= (a + b) · weight`, or `(a - b)` for a filter of odd
/// order. The order is the same for every voxel and every vector width, so a voxel's bits do not
/// depend on its place in a row.
#[inline(always)]
pub(super) fn correlate<R: Round>(rows: &Rows<'_>, src: &[f64], dst: &mut [R::Out]) {
    if rows.weights.antisymmetric() {
        correlate_pairs::<true, R>(rows, src, dst);
    } else {
        correlate_pairs::<false, R>(rows, src, dst);
    }
}

#[inline(always)]
fn correlate_pairs<const ODD: bool, R: Round>(rows: &Rows<'_>, src: &[f64], dst: &mut [R::Out]) {
    let weights = rows.weights.taps();
    let taps_per_row = 2 * weights.len() - 1;
    for k in 0..rows.count {
        let src = &src[k * rows.src_step..];
        let taps = &rows.taps[k * rows.tap_step..][..taps_per_row];
        let dst = &mut dst[k * rows.dst_step..][..rows.width];
        let mut i = 0;
        while i + 2 * LANES <= dst.len() {
            block::<{ 2 * LANES }, ODD, R>(weights, taps, src, i, dst);
            i += 2 * LANES;
        }
        while i + LANES <= dst.len() {
            block::<LANES, ODD, R>(weights, taps, src, i, dst);
            i += LANES;
        }
        while i < dst.len() {
            block::<1, ODD, R>(weights, taps, src, i, dst);
            i += 1;
        }
    }
}

/// `N` neighbouring voxels from `i` on; their sums stay in registers over all taps.
#[inline(always)]
fn block<const N: usize, const ODD: bool, R: Round>(
    weights: &[f64],
    taps: &[usize],
    src: &[f64],
    i: usize,
    dst: &mut [R::Out],
) {
    let radius = weights.len() - 1;
    let mut sums = [0.0; N];
    let centre = &src[taps[radius] + i..][..N];
    for l in 0..N {
        sums[l] = centre[l] * weights[radius];
    }
    for t in 0..radius {
        let before = &src[taps[t] + i..][..N];
        let behind = &src[taps[2 * radius - t] + i..][..N];
        for l in 0..N {
            let pair = if ODD { before[l] - behind[l] } else { before[l] + behind[l] };
            sums[l] += pair * weights[t];
        }
    }
    let dst = &mut dst[i..][..N];
    for l in 0..N {
        dst[l] = R::round(sums[l]);
    }
}

/// Reads a row of voxels from bytes in native order, at any alignment.
#[inline(always)]
pub(super) fn load<T: Element>(bytes: &[u8], dst: &mut [f64]) {
    for (to, from) in dst.iter_mut().zip(bytes.chunks_exact(size_of::<T>())) {
        *to = bytemuck::pod_read_unaligned::<T>(from).to_f64();
    }
}
