//! Largest responses among their neighbours in space and scale.

use std::{cmp::Ordering, ops::Range};

use pulp::NullaryFnOnce;

use crate::Simd;

/// Voxels of which the largest is looked at first.
const LANES: usize = 32;
/// Voxels that are compared together.
const VECTOR: usize = 8;

/// Responses of some planes of all scales; a plane takes the place of an earlier one.
///
/// A row has one element more at each end, which holds −∞: a voxel that doesn't exist is above
/// none. Positions here count from the first voxel whose response is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) scales: usize,
    /// Known responses along z, y, x.
    pub(super) n: [usize; 3],
    /// Planes that are held.
    pub(super) planes: usize,
}

impl Window {
    /// Elements of all planes, and of one row of −∞ behind them.
    pub(super) fn elements(&self) -> usize {
        (self.scales * self.planes * self.n[1] + 1) * self.row()
    }

    fn row(&self) -> usize {
        self.n[2] + 2
    }

    /// Where a row begins, its first −∞ included.
    fn place(&self, scale: usize, z: usize, y: usize) -> usize {
        ((scale * self.planes + z % self.planes) * self.n[1] + y) * self.row()
    }

    /// The responses of a row, to be written.
    pub(super) fn row_mut<'a>(
        &self,
        memory: &'a mut [f32],
        scale: usize,
        z: usize,
        y: usize,
    ) -> &'a mut [f32] {
        &mut memory[self.place(scale, z, y) + 1..][..self.n[2]]
    }

    /// Writes what stands for voxels that don't exist.
    pub(super) fn clear(&self, memory: &mut [f32]) {
        let row = self.row();
        for row in memory.chunks_exact_mut(row) {
            row[0] = f32::NEG_INFINITY;
            row[row.len() - 1] = f32::NEG_INFINITY;
        }
        let nothing = memory.len() - row;
        memory[nothing..].fill(f32::NEG_INFINITY);
    }

    /// A row with its −∞; one of nothing but these where there is none.
    fn get<'a>(
        &self,
        memory: &'a [f32],
        scale: Option<usize>,
        z: Option<usize>,
        y: Option<usize>,
    ) -> &'a [f32] {
        let row = self.row();
        let at = match (scale, z, y) {
            (Some(s), Some(z), Some(y)) => self.place(s, z, y),
            _ => memory.len() - row,
        };
        &memory[at..][..row]
    }

    /// Sets `peaks` to the x of each peak above `threshold` among `xs` of one row, ascending.
    ///
    /// A peak is at least as large as each of its neighbours, diagonal ones and those of the scales
    /// beside it included, and not equal to all its neighbours at its own scale.
    pub(super) fn peaks(
        &self,
        simd: Simd,
        memory: &[f32],
        [scale, z, y]: [usize; 3],
        xs: Range<usize>,
        threshold: f32,
        peaks: &mut Vec<usize>,
    ) {
        let after = |i: usize, n: usize| (i + 1 < n).then_some(i + 1);
        let (s, z1, y1) = (Some(scale), Some(z), Some(y));
        let own = self.get(memory, s, z1, y1);
        peaks.clear();
        if threshold == f32::INFINITY {
            return;
        }
        simd.run(Near {
            values: part(&xs, own, 1),
            threshold,
            neighbours: [
                part(&xs, own, 0),
                part(&xs, own, 2),
                part(&xs, self.get(memory, s, z1, y.checked_sub(1)), 1),
                part(&xs, self.get(memory, s, z1, after(y, self.n[1])), 1),
                part(&xs, self.get(memory, s, z.checked_sub(1), y1), 1),
                part(&xs, self.get(memory, s, after(z, self.n[0]), y1), 1),
                part(&xs, self.get(memory, scale.checked_sub(1), z1, y1), 1),
                part(&xs, self.get(memory, after(scale, self.scales), z1, y1), 1),
            ],
            near: peaks,
        });
        peaks.iter_mut().for_each(|i| *i += xs.start);
        peaks.retain(|&x| self.is_peak(memory, [scale, z, y], x));
    }

    /// The response at x of a row.
    pub(super) fn value(&self, memory: &[f32], [scale, z, y]: [usize; 3], x: usize) -> f32 {
        memory[self.place(scale, z, y) + 1 + x]
    }

    fn is_peak(&self, memory: &[f32], [scale, z, y]: [usize; 3], x: usize) -> bool {
        let around = |i: usize, n: usize| i.saturating_sub(1)..(i + 2).min(n);
        let value = self.value(memory, [scale, z, y], x);
        let mut flat = true;
        for s in around(scale, self.scales) {
            for z in around(z, self.n[0]) {
                for y in around(y, self.n[1]) {
                    let row = &memory[self.place(s, z, y) + 1..];
                    for neighbour in &row[around(x, self.n[2])] {
                        match neighbour.partial_cmp(&value) {
                            Some(Ordering::Less) => flat &= s != scale,
                            Some(Ordering::Equal) => {}
                            _ => return false,
                        }
                    }
                }
            }
        }
        !flat
    }
}

/// The largest of the values that are not NaN; −∞ where there is none.
pub(super) fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (parts, rest) = values.as_chunks::<LANES>();
    for part in parts {
        for (lane, value) in lanes.iter_mut().zip(part) {
            *lane = larger(*lane, *value);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| larger(a, *b))
}

/// The voxels `xs` of a row that begins `by` elements behind.
fn part<'a>(xs: &Range<usize>, row: &'a [f32], by: usize) -> &'a [f32] {
    &row[by + xs.start..][..xs.len()]
}

/// Finds the voxels above a threshold that no neighbour in a row beside exceeds.
struct Near<'a> {
    values: &'a [f32],
    threshold: f32,
    neighbours: [&'a [f32]; 8],
    near: &'a mut Vec<usize>,
}

impl NullaryFnOnce for Near<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Self { values, threshold, neighbours, near } = self;
        // What is at least this is above the threshold.
        let least = threshold.next_up();
        let whole = values.len() / LANES * LANES;
        for begin in (0..whole).step_by(LANES) {
            if reaches(&values[begin..][..LANES], least) {
                for at in (begin..begin + LANES).step_by(VECTOR) {
                    block(values, least, &neighbours, at..at + VECTOR, near);
                }
            }
        }
        for at in (whole..values.len()).step_by(VECTOR) {
            block(values, least, &neighbours, at..values.len().min(at + VECTOR), near);
        }
    }
}

/// Whether one of the values, whole vectors of them, is at least this.
#[inline(always)]
fn reaches(values: &[f32], least: f32) -> bool {
    let mut lanes = [f32::NEG_INFINITY; VECTOR];
    for part in values.as_chunks::<VECTOR>().0 {
        for l in 0..VECTOR {
            lanes[l] = larger(lanes[l], part[l]);
        }
    }
    any(&lanes.map(|lane| u32::from(lane >= least)))
}

#[inline(always)]
fn any(lanes: &[u32; VECTOR]) -> bool {
    lanes.iter().fold(0, |any, lane| any | lane) != 0
}

/// The larger of two; the first where the second is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Adds the voxels of `at`, at most a vector, that reach `least` and that no neighbour exceeds.
#[inline(always)]
fn block(
    values: &[f32],
    least: f32,
    neighbours: &[&[f32]; 8],
    at: Range<usize>,
    near: &mut Vec<usize>,
) {
    let mut own = [f32::NEG_INFINITY; VECTOR];
    let mut bar = [least; VECTOR];
    let n = at.len();
    own[..n].copy_from_slice(&values[at.clone()]);
    for neighbour in neighbours {
        for (bar, &value) in bar.iter_mut().zip(&neighbour[at.clone()]) {
            *bar = larger(*bar, value);
        }
    }
    let mut kept = [0u32; VECTOR];
    for l in 0..VECTOR {
        kept[l] = u32::from(own[l] >= bar[l]);
    }
    if any(&kept) {
        near.extend((0..n).filter(|&l| kept[l] != 0).map(|l| at.start + l));
    }
}
