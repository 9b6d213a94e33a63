//! What a search has found, and the table of it.

use volchunk::{Buffer, Dtype, Region, Scratch};

/// A peak.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Number of the voxel in the region, in raster order.
    at: u64,
    scale: u32,
    value: f32,
}

/// Peaks of a region, or its largest response.
pub(super) struct Found<'a> {
    region: &'a Region,
    zyx: [Option<usize>; 3],
    rows: Vec<Row>,
    /// Voxels from a place to the next, per axis.
    steps: Vec<u64>,
    /// Coordinates of the place searched, on the axes that are not spatial.
    place: Vec<u64>,
}

impl<'a> Found<'a> {
    /// Memory of a row until the table is made.
    pub(super) const ROW_BYTES: u64 = size_of::<Row>() as u64;

    /// Nothing yet.
    pub(super) fn new(region: &'a Region, zyx: [Option<usize>; 3]) -> Self {
        let mut steps = vec![1; region.ndim()];
        for a in (1..region.ndim()).rev() {
            steps[a - 1] = steps[a] * region.shape()[a];
        }
        let place = region.start().to_vec();
        Self { region, zyx, rows: Vec::new(), steps, place }
    }

    /// Makes room for so many rows, so that none are moved later. Memory is not touched before it
    /// is written.
    pub(super) fn reserve(&mut self, rows: u64) {
        // Where there is no such room the rows are moved as they become more.
        let _ = usize::try_from(rows).map(|rows| self.rows.try_reserve_exact(rows));
    }

    /// Sets the coordinate of what is searched on an axis that is not spatial.
    pub(super) fn move_to(&mut self, axis: usize, at: u64) {
        self.place[axis] = at;
    }

    /// Adds a peak at coordinates z, y, x.
    pub(super) fn push(&mut self, zyx: [u64; 3], scale: usize, value: f32) {
        for (axis, at) in self.zyx.iter().zip(zyx) {
            if let Some(a) = axis {
                self.place[*a] = at;
            }
        }
        let offsets = self.place.iter().zip(self.region.start()).zip(&self.steps);
        let at = offsets.map(|((at, start), step)| (at - start) * step).sum();
        self.rows.push(Row { at, scale: scale as u32, value });
    }

    /// Where in `row` its largest response `value` first stands, unless a larger one is known.
    pub(super) fn may_be_largest(&self, value: f32, row: &[f32]) -> Option<usize> {
        let known = self.rows.first().map_or(f32::NEG_INFINITY, |r| r.value);
        let may = value > f32::NEG_INFINITY && value >= known;
        if may { row.iter().position(|v| *v == value) } else { None }
    }

    /// Keeps the largest response alone, of equal ones the first in the table's order.
    pub(super) fn set_largest(&mut self, zyx: [u64; 3], scale: usize, value: f32) {
        self.push(zyx, scale, value);
        if let [old, new] = self.rows[..] {
            let first = (new.at, new.scale) < (old.at, old.scale);
            self.rows[0] = if new.value > old.value || first { new } else { old };
            self.rows.truncate(1);
        }
    }

    /// All rows: coordinates, scale, value; in raster order, then by scale.
    pub(super) fn table(mut self, scratch: &mut Scratch) -> Buffer {
        self.rows.sort_unstable_by_key(|r| (r.at, r.scale));
        let ndim = self.steps.len();
        let mut table = scratch.take(&[self.rows.len() as u64, ndim as u64 + 2], Dtype::F64);
        let rows = table.as_slice_mut::<f64>().chunks_exact_mut(ndim + 2);
        for (to, row) in rows.zip(&self.rows) {
            let mut rest = row.at;
            let axes = self.region.start().iter().zip(&self.steps);
            for (to, (start, step)) in to.iter_mut().zip(axes) {
                *to = (start + rest / step) as f64;
                rest %= step;
            }
            to[ndim] = f64::from(row.scale);
            to[ndim + 1] = f64::from(row.value);
        }
        table
    }
}
