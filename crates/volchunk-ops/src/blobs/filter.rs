//! One filter over groups of planes: three passes (z, y, x) through buffers that stay in the cache.
//!
//! Of the seven convolutions of a Laplacian of Gaussian, two make rows of the z pass (smooth, second
//! derivative), three those of the y pass (smooth; the sum of the second derivatives in z and y),
//! two the response. A Gaussian alone takes three.
//!
//! For each row that the y pass needs, the z pass of a whole group of planes is made from the input
//! rows above each other, converted to f32; its results go to a ring of rows. From the ring the y
//! pass makes the padded rows, from which the x pass makes the response. At a true edge rows of the
//! ring and voxels of a padded row are used again, not computed again.

use std::{marker::PhantomData, ops::Range};

use pulp::NullaryFnOnce;
use volchunk::{Dtype, dispatch};

use super::{
    intensity::{self, Intensity},
    kernel::{self, LANES, Taps},
};
use crate::Simd;

/// Voxels of a row that the z and y passes take at a time: few enough that all their taps lie in
/// the first-level cache.
const SEGMENT: usize = 64;
/// Rows that are made together.
const BATCH: usize = 16;
/// Bytes of the ring that a group of planes may take.
const RING: usize = 640 << 10;
/// Planes that are made together, at least and at most. For each of them, fewer input rows are read
/// again, which costs more than a ring that exceeds the second-level cache.
const GROUP: (usize, usize) = (8, 16);
/// Voxels of a row that are made together, if the row has so many.
const TILE: usize = 512;

/// The taps of one filter along z, y, x. An axis that is not there has one tap, and no curvature.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) taps: [Taps; 3],
    /// Whether it is a Laplacian of Gaussian, else a Gaussian.
    pub(super) laplacian: bool,
}

/// Sizes of the buffers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) group: usize,
    batch: usize,
    tile: usize,
    /// Arrays that the z and y passes make.
    fields: usize,
    /// Rows of input above each other.
    column: usize,
    /// Elements from a row of the column, and of the ring, to the next.
    row: usize,
    ring_rows: usize,
    padded: usize,
    line: usize,
}

impl Layout {
    /// For a response of `n` voxels and filters of at most `radii`, both as z, y, x.
    pub(super) fn new(n: [usize; 3], radii: [usize; 3], laplacian: bool) -> Self {
        let fields = if laplacian { 2 } else { 1 };
        let tile = n[2].min(TILE.max(4 * radii[2]));
        let row = odd_lines(tile + 2 * radii[2]);
        let batch = BATCH.min(n[1]);
        let ring_rows = batch + 2 * radii[1];
        let fits = RING / (fields * ring_rows * row * size_of::<f32>()).max(1);
        let group = fits.clamp(GROUP.0, GROUP.1).min(n[0]);
        Self {
            group,
            batch,
            tile,
            fields,
            column: group + 2 * radii[0],
            row,
            ring_rows,
            padded: odd_lines(tile + 2 * radii[2] + LANES),
            line: tile.next_multiple_of(LANES),
        }
    }

    fn ring_plane(&self) -> usize {
        self.ring_rows * self.row
    }

    fn ring_field(&self) -> usize {
        self.group * self.ring_plane()
    }

    fn padded_field(&self) -> usize {
        self.batch * self.padded
    }

    /// Elements of the column, of the ring, of the padded rows, of a line.
    fn parts(&self) -> [usize; 4] {
        [
            self.column * self.row,
            self.fields * self.ring_field(),
            self.fields * self.padded_field(),
            self.line,
        ]
    }

    /// Number of f32 that a filter needs.
    pub(super) fn elements(&self) -> usize {
        self.parts().iter().sum()
    }
}

/// At least `n` elements, an odd number of cache lines: rows above each other then lie in
/// different sets of the cache.
fn odd_lines(n: usize) -> usize {
    (n.div_ceil(16) | 1) * 16
}

/// A filter on the voxels of a block.
pub(super) struct Pass<'a> {
    pub(super) simd: Simd,
    pub(super) filter: &'a Filter,
    pub(super) layout: Layout,
    pub(super) dtype: Dtype,
    /// Bytes between neighbours along z, y, x.
    pub(super) steps: [usize; 3],
    /// For z, y, x: the voxel that stands at each position; response `i` is a sum over positions
    /// `i..=i + 2 · radius`. Neighbouring positions hold neighbouring voxels or the same.
    pub(super) at: [&'a [usize]; 3],
}

impl Pass<'_> {
    /// Filters the voxels that begin at `data[0]`: `planes` of the result. Calls `row` with plane, y,
    /// first x, and the values from there; every value once.
    pub(super) fn run(
        &self,
        data: &[u8],
        planes: Range<usize>,
        memory: &mut [f32],
        mut row: impl FnMut(usize, usize, usize, &[f32]),
    ) {
        let layout = &self.layout;
        let [column_len, ring_len, padded_len, line_len] = layout.parts();
        let (column, memory) = memory.split_at_mut(column_len);
        let (ring, memory) = memory.split_at_mut(ring_len);
        let (padded, memory) = memory.split_at_mut(padded_len);
        let line = &mut memory[..line_len];

        let [_, y_taps, x_taps] = &self.filter.taps;
        let [_, y_at, x_at] = self.at;
        let (ry, rx) = (y_taps.radius(), x_taps.radius());
        let (ny, nx) = (y_at.len() - 2 * ry, x_at.len() - 2 * rx);
        let slot = |voxel: usize| voxel % layout.ring_rows * layout.row;
        let x_offsets: Vec<usize> = (0..=2 * rx).collect();
        let mut y_offsets = vec![0; layout.batch + 2 * ry];
        for x0 in (0..nx).step_by(layout.tile) {
            let tile = layout.tile.min(nx - x0);
            let positions = &x_at[x0..x0 + tile + 2 * rx];
            let run = longest_run(positions);
            let first = positions[run.start];
            let mut made = y_at[..layout.batch.min(ny) + 2 * ry].iter().copied().min().unwrap_or(0);
            for y0 in (0..ny).step_by(layout.batch) {
                let batch = layout.batch.min(ny - y0);
                let rows = &y_at[y0..y0 + batch + 2 * ry];
                let needed = rows.iter().copied().max().unwrap_or(0) + 1;
                for voxel in made..needed {
                    let from = &data[voxel * self.steps[1] + first * self.steps[2]..];
                    self.z_pass(from, run.len(), planes.clone(), column, &mut ring[slot(voxel)..]);
                }
                made = made.max(needed);
                for (offset, &voxel) in y_offsets.iter_mut().zip(rows) {
                    *offset = slot(voxel);
                }
                for (g, plane) in planes.clone().enumerate() {
                    self.simd.run(YPass {
                        filter: self.filter,
                        layout,
                        batch,
                        ring: &ring[g * layout.ring_plane()..],
                        offsets: &y_offsets,
                        positions,
                        run: run.clone(),
                        padded,
                    });
                    for b in 0..batch {
                        self.simd.run(XPass {
                            filter: self.filter,
                            padded: &padded[b * layout.padded..],
                            field: layout.padded_field(),
                            offsets: &x_offsets,
                            to: &mut line[..tile.next_multiple_of(LANES)],
                        });
                        row(plane, y0 + b, x0, &line[..tile]);
                    }
                }
            }
        }
    }

    /// The z pass of `planes` for the row of `len` voxels that begins at `data[0]` in the block's
    /// first plane: a row for each plane, a plane of the ring apart.
    fn z_pass(
        &self,
        data: &[u8],
        len: usize,
        planes: Range<usize>,
        column: &mut [f32],
        ring: &mut [f32],
    ) {
        let layout = &self.layout;
        let taps = &self.filter.taps[0];
        let above = &self.at[0][planes.start..planes.end + 2 * taps.radius()];
        dispatch!(self.dtype, T => self.simd.run(Load::<T> {
            data,
            step: self.steps[2],
            above,
            plane: self.steps[0],
            next: self.steps[1],
            len,
            simd: self.simd,
            column,
            row: layout.row,
            dtype: PhantomData,
        }));
        self.simd.run(ZPass {
            taps,
            laplacian: self.filter.laplacian,
            planes: planes.len(),
            width: len.next_multiple_of(LANES),
            column,
            row: layout.row,
            ring,
            plane: layout.ring_plane(),
            field: layout.ring_field(),
        });
    }
}

/// The longest range of positions that stand for ascending neighbours. It holds every voxel that
/// any position stands for: beyond a true edge voxels come back in reverse.
fn longest_run(at: &[usize]) -> Range<usize> {
    let (mut best, mut start) = (0..0, 0);
    for p in 1..=at.len() {
        if p == at.len() || at[p] != at[p - 1] + 1 {
            if p - start > best.len() {
                best = start..p;
            }
            start = p;
        }
    }
    best
}

/// Converts the rows above each other.
struct Load<'a, T> {
    data: &'a [u8],
    step: usize,
    above: &'a [usize],
    plane: usize,
    /// Bytes to what is converted after this: more streams than a CPU follows by itself.
    next: usize,
    len: usize,
    simd: Simd,
    column: &'a mut [f32],
    row: usize,
    dtype: PhantomData<T>,
}

impl<T: Intensity> NullaryFnOnce for Load<'_, T> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        for (to, voxel) in self.column.chunks_exact_mut(self.row).zip(self.above) {
            let from = &self.data[voxel * self.plane..];
            let next = from.get(self.next..).unwrap_or_default();
            self.simd.prefetch(&next[..next.len().min(self.len * self.step)]);
            intensity::load::<T>(from, self.step, &mut to[..self.len]);
        }
    }
}

/// The z pass of one row of each plane of a group.
struct ZPass<'a> {
    taps: &'a Taps,
    laplacian: bool,
    planes: usize,
    width: usize,
    column: &'a [f32],
    row: usize,
    ring: &'a mut [f32],
    plane: usize,
    field: usize,
}

impl NullaryFnOnce for ZPass<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let offsets: Vec<usize> = (0..=2 * self.taps.radius()).map(|k| k * self.row).collect();
        for s in (0..self.width).step_by(SEGMENT) {
            let n = SEGMENT.min(self.width - s);
            for g in 0..self.planes {
                let src = &self.column[g * self.row + s..];
                let at = g * self.plane + s;
                if self.laplacian {
                    let (smooth, second) = self.ring.split_at_mut(self.field);
                    let (smooth, second) = (&mut smooth[at..][..n], &mut second[at..][..n]);
                    kernel::smooth_and_second(self.taps, &offsets, src, smooth, second);
                } else {
                    kernel::smooth(self.taps, &offsets, src, &mut self.ring[at..][..n]);
                }
            }
        }
    }
}

/// The y pass of a batch of rows of one plane, and their padding.
struct YPass<'a> {
    filter: &'a Filter,
    layout: &'a Layout,
    batch: usize,
    ring: &'a [f32],
    /// Where the rows above each other begin, from the first one of the batch on.
    offsets: &'a [usize],
    positions: &'a [usize],
    run: Range<usize>,
    padded: &'a mut [f32],
}

impl NullaryFnOnce for YPass<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Self { filter, layout, ring, run, .. } = self;
        let taps = &filter.taps[1];
        let width = run.len().next_multiple_of(LANES);
        let (smooth, curved) = self.padded.split_at_mut(layout.padded_field());
        for s in (0..width).step_by(SEGMENT) {
            let n = SEGMENT.min(width - s);
            for b in 0..self.batch {
                let (offsets, at) = (&self.offsets[b..], b * layout.padded + run.start + s);
                let src = &ring[s..];
                if filter.laplacian {
                    let src = [src, &ring[layout.ring_field() + s..]];
                    let (to, curved) = (&mut smooth[at..][..n], &mut curved[at..][..n]);
                    kernel::smooth_and_curved(taps, offsets, src, to, curved);
                } else {
                    kernel::smooth(taps, offsets, src, &mut smooth[at..][..n]);
                }
            }
        }
        for row in smooth.chunks_exact_mut(layout.padded).take(self.batch) {
            pad(row, self.positions, &run);
        }
        for row in curved.chunks_exact_mut(layout.padded).take(self.batch) {
            pad(row, self.positions, &run);
        }
    }
}

/// The x pass of one row.
struct XPass<'a> {
    filter: &'a Filter,
    padded: &'a [f32],
    field: usize,
    offsets: &'a [usize],
    to: &'a mut [f32],
}

impl NullaryFnOnce for XPass<'_> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Self { filter, padded, offsets, to, .. } = self;
        let taps = &filter.taps[2];
        if filter.laplacian {
            kernel::curved(taps, offsets, [padded, &padded[self.field..]], to);
        } else {
            kernel::smooth(taps, offsets, padded, to);
        }
    }
}

/// Fills the positions outside of `run` with the voxels that stand there.
#[inline(always)]
fn pad(row: &mut [f32], at: &[usize], run: &Range<usize>) {
    let first = at[run.start];
    for p in (0..run.start).chain(run.end..at.len()) {
        row[p] = row[run.start + at[p] - first];
    }
}
