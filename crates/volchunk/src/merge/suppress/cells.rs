//! A uniform grid of cells, about as large as the reach, rolled up into a table of few of them.

use std::ops::Range;

/// Cells as long as the reach or a few of it on each of `D` axes, numbered modulo a count per axis.
///
/// Rows within reach of each other lie in the same cell or in neighbours. On the last axis, cells that
/// follow each other are one range of the table, and short; on the others they are long, so that few
/// ranges are looked at: to begin with one costs as much as some rows in it. The count follows the number
/// of rows, not the extent: cells that are far apart share a number, which costs a comparison of rows
/// and nothing else, so that neither a far outlier nor a tiny reach makes the table large or a cell
/// crowded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells<const D: usize> {
    /// Cells per unit of the coordinate.
    per_unit: [f64; D],
    /// The reach and a margin, in cells.
    reach: [f64; D],
    count: [usize; D],
    stride: [usize; D],
}

/// At most so many cells for each row: more cost memory, fewer rows that have nothing in common but
/// the number of their cell.
const CELLS_PER_ROW: usize = 3;

/// The length of cells in reaches, on the first axis and on those between it and the last.
const FIRST: f64 = 4.0;
const MIDDLE: f64 = 2.0;

/// A cell by its number on each axis.
pub(super) type Cell<const D: usize> = [usize; D];

impl<const D: usize> Cells<D> {
    /// Cells for about `rows` rows between `low` and `high`, both finite.
    pub(super) fn new(reach: &[f64; D], low: &[f64; D], high: &[f64; D], rows: usize) -> Self {
        let mut cells = Self { per_unit: [1.0; D], reach: [1.0; D], count: [1; D], stride: [1; D] };
        let mut extent = [1.0; D];
        for a in 0..D {
            // Longer than the reach by a margin, and at most 2⁴⁰ of them, so that no rounding of a
            // quotient puts two rows within reach two cells apart.
            let farthest = low[a].abs().max(high[a].abs());
            let length = (reach[a] * (1.0 + 1.0 / 256.0)).max(farthest / (1u64 << 40) as f64);
            let reaches = match a {
                _ if a + 1 == D => 1.0,
                0 => FIRST,
                _ => MIDDLE,
            };
            cells.reach[a] = 1.0 / reaches;
            cells.per_unit[a] = (1.0 / reaches / length).min(f64::MAX / 4.0);
            // Neighbours of the first and the last cell are not each other's.
            extent[a] = (high[a] * cells.per_unit[a] - low[a] * cells.per_unit[a]) + 3.0;
        }
        // Shared out from the shortest axis to the longest.
        let mut axes: [usize; D] = std::array::from_fn(|a| a);
        axes.sort_by(|&a, &b| extent[a].total_cmp(&extent[b]));
        let mut left = (rows.max(1) * CELLS_PER_ROW) as f64;
        for (i, &a) in axes.iter().enumerate() {
            let share = left.powf(1.0 / (D - i) as f64);
            cells.count[a] =
                if extent[a] <= share { extent[a] as usize } else { prime(share as usize) };
            left = (left / cells.count[a] as f64).max(1.0);
        }
        for a in (1..D).rev() {
            cells.stride[a - 1] = cells.stride[a] * cells.count[a];
        }
        cells
    }

    /// How many cells there are.
    pub(super) fn len(&self) -> usize {
        self.count[0] * self.stride[0]
    }

    /// The cell of a site.
    pub(super) fn of(&self, site: &[f64; D]) -> Cell<D> {
        std::array::from_fn(|a| self.roll(a, whole(site[a] * self.per_unit[a])))
    }

    fn roll(&self, axis: usize, cell: i64) -> usize {
        cell.rem_euclid(self.count[axis] as i64) as usize
    }

    /// The place of a cell in the table.
    pub(super) fn at(&self, cell: &Cell<D>) -> usize {
        (0..D).map(|a| cell[a] * self.stride[a]).sum()
    }

    /// Calls `visit` for ranges of the table that hold the cells within reach of a site, each cell once.
    pub(super) fn around(&self, site: &[f64; D], mut visit: impl FnMut(Range<usize>)) {
        let near: [Near; D] = std::array::from_fn(|a| {
            let at = site[a] * self.per_unit[a];
            let (from, to) = (whole(at - self.reach[a]), whole(at + self.reach[a]));
            let (count, len) = (self.count[a], (to - from) as usize + 1);
            if len >= count {
                return Near { from: 0, len: count };
            }
            Near { from: self.roll(a, from), len }
        });
        let last = D - 1;
        let ends = near[last].from + near[last].len;
        let count = self.count[last];
        let mut digit = [0; D];
        loop {
            let cell = |a: usize| {
                let cell = near[a].from + digit[a];
                if cell < self.count[a] { cell } else { cell - self.count[a] }
            };
            let base: usize = (0..last).map(|a| cell(a) * self.stride[a]).sum();
            visit(base + near[last].from..base + ends.min(count));
            if ends > count {
                visit(base..base + ends - count);
            }
            // The next combination on all axes but the last.
            let mut a = last;
            loop {
                if a == 0 {
                    return;
                }
                a -= 1;
                digit[a] += 1;
                if digit[a] < near[a].len {
                    break;
                }
                digit[a] = 0;
            }
        }
    }

    /// For every cell, `join` over it and its neighbours.
    pub(super) fn dilate<T: Copy>(&self, values: &mut Vec<T>, join: impl Fn(T, T) -> T) {
        for a in 0..D {
            let (count, stride) = (self.count[a], self.stride[a]);
            if count == 1 {
                continue;
            }
            let line = count * stride;
            let mut out = Vec::with_capacity(values.len());
            for block in values.chunks_exact(line) {
                for i in 0..count {
                    let before = if i == 0 { count - 1 } else { i - 1 } * stride;
                    let behind = if i + 1 == count { 0 } else { i + 1 } * stride;
                    let own = i * stride;
                    out.extend(
                        (0..stride).map(|k| {
                            join(join(block[before + k], block[own + k]), block[behind + k])
                        }),
                    );
                }
            }
            *values = out;
        }
    }
}

/// Cells that follow each other on one axis, modulo their count.
#[derive(Clone, Copy)]
struct Near {
    from: usize,
    len: usize,
}

/// The largest whole number up to `cell`. Truncation and a comparison: floor() is a call on processors
/// before SSE4.1.
fn whole(cell: f64) -> i64 {
    let whole = cell as i64;
    whole - i64::from((whole as f64) > cell)
}

/// The largest prime up to `n`, or 1: rows on a lattice, at powers of two for instance, then spread
/// over all cells.
fn prime(n: usize) -> usize {
    let is_prime = |n: usize| (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (1..=n).rev().find(|&n| is_prime(n)).unwrap_or(1)
}
