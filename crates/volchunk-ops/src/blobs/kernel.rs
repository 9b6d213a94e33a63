//! The inner loops. Everything here is inlined into a caller that chose the instruction set.
//!
//! Per voxel, in f32, in this order, whatever the vector width: `sum += (a + b) · weight` for each
//! pair of taps from the outermost inwards, then the centre. So a voxel's bits do not depend on its
//! place in a row. Small terms come first, which loses the fewest bits.
//!
//! Weights are read before the loops over lanes: a check of bounds within keeps them from becoming
//! vectors.

/// Rows are padded to this many voxels; the loops take four times as many where they can.
pub(super) const LANES: usize = 8;

/// The taps of a Gaussian and of its second derivative along one axis, as [`Weights::taps`] has
/// them, in f32. The slices are equally long.
///
/// [`Weights::taps`]: crate::gaussian::Weights::taps
#[derive(Debug, Clone)]
pub(super) struct Taps {
    pub(super) smooth: Vec<f32>,
    pub(super) second: Vec<f32>,
}

impl Taps {
    pub(super) fn radius(&self) -> usize {
        self.smooth.len() - 1
    }
}

/// Where a row's taps begin in the source: `2 · radius + 1` offsets.
type Offsets<'a> = &'a [usize];

/// Calls `block` with the starts of blocks of 4 · LANES, then LANES, that cover `width`.
macro_rules! blocks {
    ($width:expr, $i:ident, $N:ident => $block:expr) => {
        let mut $i = 0;
        while $i + 4 * LANES <= $width {
            const $N: usize = 4 * LANES;
            $block;
            $i += $N;
        }
        while $i < $width {
            const $N: usize = LANES;
            $block;
            $i += $N;
        }
    };
}

/// One row through the Gaussian.
#[inline(always)]
pub(super) fn smooth(taps: &Taps, at: Offsets<'_>, src: &[f32], to: &mut [f32]) {
    let (w, r) = (&taps.smooth[..], taps.radius());
    let at = &at[..2 * r + 1];
    blocks!(to.len(), i, N => {
        let mut sum = [0.0f32; N];
        for t in 0..r {
            let (low, high) = (&src[at[t] + i..][..N], &src[at[2 * r - t] + i..][..N]);
            let w = w[t];
            for l in 0..N {
                sum[l] += (low[l] + high[l]) * w;
            }
        }
        let centre = &src[at[r] + i..][..N];
        let to = &mut to[i..][..N];
        let w = w[r];
        for l in 0..N {
            to[l] = sum[l] + centre[l] * w;
        }
    });
}

/// One row through the Gaussian and through its second derivative; their pairs are added once.
#[inline(always)]
pub(super) fn smooth_and_second(
    taps: &Taps,
    at: Offsets<'_>,
    src: &[f32],
    smooth: &mut [f32],
    second: &mut [f32],
) {
    let (g, d, r) = (&taps.smooth[..], &taps.second[..], taps.radius());
    let at = &at[..2 * r + 1];
    blocks!(smooth.len(), i, N => {
        let (mut a, mut b) = ([0.0f32; N], [0.0f32; N]);
        for t in 0..r {
            let (low, high) = (&src[at[t] + i..][..N], &src[at[2 * r - t] + i..][..N]);
            let (g, d) = (g[t], d[t]);
            for l in 0..N {
                let pair = low[l] + high[l];
                a[l] += pair * g;
                b[l] += pair * d;
            }
        }
        let centre = &src[at[r] + i..][..N];
        let (smooth, second) = (&mut smooth[i..][..N], &mut second[i..][..N]);
        let (g, d) = (g[r], d[r]);
        for l in 0..N {
            smooth[l] = a[l] + centre[l] * g;
            second[l] = b[l] + centre[l] * d;
        }
    });
}

/// One row of what the axis before made smooth, through the Gaussian; and the sum of that row's
/// second derivative with the smoothed row of the second derivatives before.
#[inline(always)]
pub(super) fn smooth_and_curved(
    taps: &Taps,
    at: Offsets<'_>,
    [src, curved]: [&[f32]; 2],
    to_smooth: &mut [f32],
    to_curved: &mut [f32],
) {
    let (g, d, r) = (&taps.smooth[..], &taps.second[..], taps.radius());
    let at = &at[..2 * r + 1];
    blocks!(to_smooth.len(), i, N => {
        let (mut a, mut b) = ([0.0f32; N], [0.0f32; N]);
        for t in 0..r {
            let (low, high) = (at[t] + i, at[2 * r - t] + i);
            let (s0, s1) = (&src[low..][..N], &src[high..][..N]);
            let (c0, c1) = (&curved[low..][..N], &curved[high..][..N]);
            let (g, d) = (g[t], d[t]);
            for l in 0..N {
                let pair = s0[l] + s1[l];
                a[l] += pair * g;
                b[l] += pair * d;
                b[l] += (c0[l] + c1[l]) * g;
            }
        }
        let (s, c) = (&src[at[r] + i..][..N], &curved[at[r] + i..][..N]);
        let (to_smooth, to_curved) = (&mut to_smooth[i..][..N], &mut to_curved[i..][..N]);
        let (g, d) = (g[r], d[r]);
        for l in 0..N {
            to_smooth[l] = a[l] + s[l] * g;
            to_curved[l] = (b[l] + s[l] * d) + c[l] * g;
        }
    });
}

/// As [`smooth_and_curved`], of which the second result alone.
#[inline(always)]
pub(super) fn curved(taps: &Taps, at: Offsets<'_>, [src, curved]: [&[f32]; 2], to: &mut [f32]) {
    let (g, d, r) = (&taps.smooth[..], &taps.second[..], taps.radius());
    let at = &at[..2 * r + 1];
    blocks!(to.len(), i, N => {
        let (mut a, mut b) = ([0.0f32; N], [0.0f32; N]);
        for t in 0..r {
            let (low, high) = (at[t] + i, at[2 * r - t] + i);
            let (s0, s1) = (&src[low..][..N], &src[high..][..N]);
            let (c0, c1) = (&curved[low..][..N], &curved[high..][..N]);
            let (g, d) = (g[t], d[t]);
            for l in 0..N {
                a[l] += (s0[l] + s1[l]) * d;
                b[l] += (c0[l] + c1[l]) * g;
            }
        }
        let (s, c) = (&src[at[r] + i..][..N], &curved[at[r] + i..][..N]);
        let to = &mut to[i..][..N];
        let (g, d) = (g[r], d[r]);
        for l in 0..N {
            to[l] = (a[l] + s[l] * d) + (b[l] + c[l] * g);
        }
    });
}
