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

/// Columns that are worked on at a time.
const BLOCK: usize = 32;
/// Sums that are kept apart, so that they may be taken at once.
const LANES: usize = 4;
/// Differences of numbers below are finite.
const SAFE: f64 = 1e300;

/// A plane's share of a block.
type Plane = [f64; BLOCK];

/// What is summed of one order at one plane.
#[derive(Clone, Copy, Default)]
struct Sums {
    sum: [f64; LANES],
    magnitude: [f64; LANES],
    count: u32,
}

/// Where fewer than one in so many columns count, a plane tells nothing.
const SPARSEST: usize = 4;

/// The jumps in `voxels`, read at `site`, of all orders that reach up to `reach` voxels beyond those
/// beside a plane. Voxels that are not finite, or not `inside`, count for nothing.
pub(super) fn jumps(voxels: &Buffer, inside: Option<&[bool]>, site: &Site, reach: u64) -> Measure {
    let (columns, stride) = columns(voxels.shape(), site.axis);
    let length = voxels.shape()[site.axis] as usize;
    let passes = reach as usize + 1;
    // Of plane k, which lies before voxel k, in the order of passes.
    let mut sums = vec![Sums::default(); passes * length];
    let mut lines: Vec<Plane> = vec![[0.0; BLOCK]; length];
    for block in columns.chunks(BLOCK) {
        let mut size = [0f64; LANES];
        dispatch!(voxels.dtype(), T => {
            let from = voxels.as_slice::<T>();
            for (k, line) in lines.iter_mut().enumerate() {
                for (v, column) in line.iter_mut().zip(block) {
                    *v = from[column + k * stride].to_f64();
                }
                if let Some(inside) = inside {
                    let outside = |column: &usize| !inside[column + k * stride];
                    let line = line.iter_mut().zip(block).filter(|(_, column)| outside(column));
                    line.for_each(|(v, _)| *v = f64::NAN);
                }
                // What lies beyond the last column is 0, and adds nothing.
                line[block.len()..].fill(0.0);
                for lanes in line.chunks_exact(LANES) {
                    lanes.iter().zip(&mut size).for_each(|(v, size)| *size += v.abs());
                }
            }
        });
        // False too where one is NaN.
        let plain = size.iter().sum::<f64>() < SAFE;
        differences(&mut lines);
        for pass in 0..passes {
            let valid = 1 + pass..length.saturating_sub(pass);
            if valid.is_empty() {
                break;
            }
            if pass > 0 {
                second_differences(&mut lines, valid.start - 1..valid.end + 1);
            }
            let sums = &mut sums[pass * length..][..length];
            for k in valid {
                match plain {
                    true => sums[k].add(&lines[k], block.len() as u32),
                    false => lines[k][..block.len()].iter().for_each(|&v| sums[k].add_finite(v)),
                }
            }
        }
    }
    let mut measure = Measure::default();
    let middle = (site.plane - site.region.start()[site.axis]) as usize;
    let tells = |sums: &Sums| sums.count > 0 && sums.count as usize * SPARSEST >= columns.len();
    for (at, sums) in sums.iter().enumerate().filter(|(_, sums)| tells(sums)) {
        let (pass, k) = (at / length, at % length);
        let slot = (k + BESIDE as usize).checked_sub(middle);
        if let Some(slot) = slot.filter(|&slot| slot < LENGTH) {
            let count = f64::from(sums.count);
            measure.0[2 * pass][slot] = sums.magnitude.iter().sum::<f64>() / count;
            measure.0[2 * pass + 1][slot] = (sums.sum.iter().sum::<f64>() / count).abs();
        }
    }
    measure
}

/// Where the first voxels of all lines along `axis` lie in an array of `shape`, and the distance between
/// two of a line.
fn columns(shape: &[u64], axis: usize) -> (Vec<usize>, usize) {
    let strides: Vec<usize> =
        (0..shape.len()).map(|a| Region::whole(&shape[a + 1..]).voxels() as usize).collect();
    let mut columns = vec![0];
    for a in (0..shape.len()).filter(|&a| a != axis) {
        let (steps, stride) = (0..shape[a] as usize, strides[a]);
        columns = columns
            .iter()
            .flat_map(|first| steps.clone().map(move |k| first + k * stride))
            .collect();
    }
    (columns, strides[axis])
}

impl Sums {
    fn add(&mut self, plane: &Plane, width: u32) {
        for lanes in plane.chunks_exact(LANES) {
            for (k, v) in lanes.iter().enumerate() {
                self.sum[k] += v;
                self.magnitude[k] += v.abs();
            }
        }
        self.count += width;
    }

    fn add_finite(&mut self, v: f64) {
        if v.is_finite() {
            (self.sum[0], self.magnitude[0]) = (self.sum[0] + v, self.magnitude[0] + v.abs());
            self.count += 1;
        }
    }
}

/// Replaces every plane but the first by its difference from the one before.
fn differences(lines: &mut [Plane]) {
    for k in (1..lines.len()).rev() {
        let before = lines[k - 1];
        lines[k].iter_mut().zip(&before).for_each(|(v, b)| *v -= b);
    }
}

/// Replaces the planes inside `valid`, its ends apart, by their second differences.
fn second_differences(lines: &mut [Plane], valid: std::ops::Range<usize>) {
    let mut last = lines[valid.start];
    for k in valid.start + 1..valid.end - 1 {
        let (own, next) = (lines[k], lines[k + 1]);
        for (j, v) in lines[k].iter_mut().enumerate() {
            *v = next[j] - 2.0 * own[j] + last[j];
        }
        last = own;
    }
}
