//! How much changes across the planes of one patch.

use super::sites::{BESIDE, Site};
use crate::{Buffer, Element, Region, dispatch};

/// What is measured across a plane: differences of an order, and what is taken of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// Order of the difference: 1, 3, 5 or 7.
    pub order: u8,
    /// Whether it is their mean that counts, else their mean magnitude.
    pub step: bool,
}

/// Everything that is measured.
pub(super) const KINDS: [Jump; 8] = {
    let mut kinds = [Jump { order: 1, step: false }; 8];
    let mut k = 0;
    while k < kinds.len() {
        kinds[k] = Jump { order: 1 + 2 * (k as u8 / 2), step: k % 2 == 1 };
        k += 1;
    }
    kinds
};

/// Planes that a patch may hold: the one of the grid in the middle.
pub(super) const LENGTH: usize = 2 * BESIDE as usize + 1;

/// Each of [`KINDS`] at each plane from the farthest before to the farthest behind; NaN where there
/// is none.
#[derive(Debug, Clone)]
pub(super) struct Measure(pub(super) Vec<[f64; LENGTH]>);

impl Default for Measure {
    fn default() -> Self {
        Self(vec![[f64::NAN; LENGTH]; KINDS.len()])
    }
}

/// The jumps in `voxels`, read at `site`, of all orders that reach up to `reach` voxels beyond those
/// beside a plane. Voxels that are not finite count for nothing.
pub(super) fn jumps(voxels: &Buffer, site: &Site, reach: u64) -> Measure {
    let ndim = voxels.shape().len();
    let order: Vec<usize> =
        std::iter::once(site.axis).chain((0..ndim).filter(|&a| a != site.axis)).collect();
    let view = voxels.view().permuted(&order);
    let mut first = Buffer::zeros(view.shape(), view.dtype());
    first.view_mut().copy_from(&view);
    let length = view.shape()[0] as usize;
    let columns = Region::whole(&view.shape()[1..]).voxels() as usize;
    let mut lines: Vec<f64> = dispatch!(first.dtype(), T => {
        first.as_slice::<T>().iter().map(|v| v.to_f64()).collect()
    });
    drop(first);
    let mut measure = Measure::default();
    // Plane k of the lines lies before voxel k, as long as there is one on its other side.
    let middle = (site.plane - site.region.start()[site.axis]) as usize;
    for k in (1..length).rev() {
        let (before, behind) = lines.split_at_mut(k * columns);
        let before = &before[(k - 1) * columns..];
        behind[..columns].iter_mut().zip(before).for_each(|(b, a)| *b -= a);
    }
    let mut valid = 1..length;
    for pass in 0..=reach as usize {
        if pass > 0 {
            second_difference(&mut lines, columns, valid.clone());
            valid = valid.start + 1..valid.end.saturating_sub(1).max(valid.start + 1);
        }
        for k in valid.clone() {
            let Some(slot) = (k + BESIDE as usize).checked_sub(middle).filter(|&s| s < LENGTH)
            else {
                continue;
            };
            let (mut sum, mut magnitude, mut count) = (0.0, 0.0, 0u32);
            for &v in &lines[k * columns..(k + 1) * columns] {
                if v.is_finite() {
                    (sum, magnitude, count) = (sum + v, magnitude + v.abs(), count + 1);
                }
            }
            if count > 0 {
                measure.0[2 * pass][slot] = magnitude / f64::from(count);
                measure.0[2 * pass + 1][slot] = (sum / f64::from(count)).abs();
            }
        }
    }
    measure
}

/// Replaces the planes inside `valid` by their second differences.
fn second_difference(lines: &mut [f64], columns: usize, valid: std::ops::Range<usize>) {
    if valid.len() < 3 {
        return;
    }
    let mut last: Vec<f64> = lines[valid.start * columns..][..columns].to_vec();
    for k in valid.start + 1..valid.end - 1 {
        let (own, next) = lines[k * columns..(k + 2) * columns].split_at_mut(columns);
        for ((own, next), last) in own.iter_mut().zip(&*next).zip(&mut last) {
            let before = std::mem::replace(last, *own);
            *own = next - 2.0 * *own + before;
        }
    }
}
