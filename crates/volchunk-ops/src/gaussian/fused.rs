//! Three passes (z, y, x) over a block in one go, through buffers that stay in the cache.
//!
//! Outputs are made in groups of planes and batches of rows. For each row that the y pass will
//! need, the z pass of a whole group is made from the input rows above each other, converted to
//! f64 once; its results go to a ring of rows. From the ring the y pass makes the padded rows, from
//! which the x pass makes the output. Between the passes voxels are f64 that hold values of the
//! output's dtype: conversions there and back would cost more than the sums.

use std::{marker::PhantomData, ops::Range};

use pulp::NullaryFnOnce;
use volchunk::{Dtype, Element, dispatch};

use super::{
    columns::Columns,
    kernel::{self, Keep, LANES, Round, Rows, Through, To},
    simd::Simd,
    store::Stored,
    weights::Weights,
};

/// Voxels of a row that the z and y passes take at a time: few enough that all their taps lie in
/// the first-level cache.
const SEGMENT: usize = 64;
/// Output rows that are made together.
const BATCH: usize = 8;
/// Bytes of the ring. It may exceed the second-level cache a little: it is read in order, and the
/// more planes are made together, the fewer input rows are read again.
const RING: usize = 640 << 10;
/// Output planes that are made together, at least and at most.
const GROUP: (usize, usize) = (4, 12);
/// Output voxels of a row that are made together, at least, if the row has so many.
const TILE: usize = 512;

/// One axis of a fused pass.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// The voxel of the view that stands at each position; None is the constant.
    pub(super) at: Vec<Option<usize>>,
    /// Bytes between neighbours in the view.
    pub(super) step: usize,
    /// The filter; output voxel `i` is its sum over positions `i..=i + 2 · radius`.
    pub(super) weights: &'a Weights,
    /// What stands where there is no voxel.
    pub(super) constant: f64,
    /// Whether sums are stored as the output's dtype before the next axis reads them. The last
    /// axis's always are.
    pub(super) stored: bool,
}

impl Line<'_> {
    fn outputs(&self) -> usize {
        self.at.len() - 2 * self.weights.radius()
    }
}

/// Sizes of the buffers of a fused pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    /// Output voxels of a row that are made together.
    tile: usize,
    /// Output planes that are made together.
    group: usize,
    /// Output rows that are made together.
    batch: usize,
    /// Elements of a row of the ring.
    ring_row: usize,
    /// Rows of one plane of the ring.
    ring_rows: usize,
    /// Elements of a padded row.
    padded_row: usize,
    /// Rows of input above each other.
    column: usize,
    /// f64 that hold one row of input as it is.
    staged_row: usize,
}

impl Layout {
    /// For an output of `n` voxels and filters of `radii`, both as z, y, x, and input of `dtype`.
    pub(super) fn new(n: [usize; 3], radii: [usize; 3], dtype: Dtype) -> Self {
        let tile = n[2].min(TILE.max(4 * radii[2]));
        let positions = tile + 2 * radii[2];
        let ring_row = positions.next_multiple_of(LANES);
        let batch = BATCH.min(n[1]);
        let ring_rows = batch + 2 * radii[1];
        let fits = RING / (ring_rows * ring_row * size_of::<f64>()).max(1);
        let group = fits.clamp(GROUP.0, GROUP.1).min(n[0]);
        Self {
            tile,
            group,
            batch,
            ring_row,
            ring_rows,
            padded_row: positions + LANES,
            column: group + 2 * radii[0],
            staged_row: (positions * dtype.size()).div_ceil(size_of::<f64>()),
        }
    }

    fn ring_plane(&self) -> usize {
        self.ring_rows * self.ring_row
    }

    /// Elements of the staged input, the column, the ring and the padded rows.
    fn parts(&self) -> [usize; 4] {
        [
            self.column * self.batch * self.staged_row,
            self.column * SEGMENT,
            self.group * self.ring_plane(),
            self.batch * self.padded_row,
        ]
    }

    /// Number of f64 that a fused pass needs.
    pub(super) fn elements(&self) -> usize {
        self.parts().iter().sum()
    }
}

/// A fused pass over the axes z, y, x.
pub(super) struct Fused<'a> {
    simd: Simd,
    axes: [&'a Line<'a>; 3],
    dtype: Dtype,
    layout: Layout,
    z_taps: Vec<usize>,
}

impl<'a> Fused<'a> {
    /// A pass over voxels of `dtype`.
    pub(super) fn new(simd: Simd, axes: [&'a Line<'a>; 3], dtype: Dtype) -> Self {
        let layout = Layout::new(axes.map(Line::outputs), axes.map(|a| a.weights.radius()), dtype);
        let z_taps = (0..=2 * axes[0].weights.radius()).map(|k| k * SEGMENT).collect();
        Self { simd, axes, dtype, layout, z_taps }
    }

    /// Number of f64 that [`run`](Self::run) needs.
    pub(super) fn elements(&self) -> usize {
        self.layout.elements()
    }

    /// Filters the voxels that begin at `data[0]` and writes all outputs to `out`, whose planes and
    /// rows lie `out_steps` elements apart; `memory` holds what the layout asks for.
    pub(super) fn run<T: Stored>(
        &self,
        data: &[u8],
        out: &mut [T],
        out_steps: [usize; 2],
        memory: &mut [f64],
    ) {
        let [z, y, x] = self.axes;
        let layout = &self.layout;
        let [staged_len, column_len, ring_len, padded_len] = layout.parts();
        let (staged, memory) = memory.split_at_mut(staged_len);
        let staged = bytemuck::cast_slice_mut(staged);
        let (column, memory) = memory.split_at_mut(column_len);
        let (ring, memory) = memory.split_at_mut(ring_len);
        let padded = &mut memory[..padded_len];
        // The last segment is rounded up to full lanes: no leftover values there that are slow.
        column.fill(0.0);

        let (nz, ny, nx) = (z.outputs(), y.outputs(), x.outputs());
        let (ry, rx) = (y.weights.radius(), x.weights.radius());
        let plane = layout.ring_plane();
        let slot = |position: usize| position % layout.ring_rows * layout.ring_row;
        let x_taps: Vec<usize> = (0..=2 * rx).collect();
        let mut y_taps = vec![0; layout.batch + 2 * ry];
        for x0 in (0..nx).step_by(layout.tile) {
            let tile = layout.tile.min(nx - x0);
            let columns = Columns::new(&x.at[x0..x0 + tile + 2 * rx], x.step, self.dtype);
            let width = columns.len.next_multiple_of(LANES);
            for z0 in (0..nz).step_by(layout.group) {
                let group = layout.group.min(nz - z0);
                let mut made = 0;
                for y0 in (0..ny).step_by(layout.batch) {
                    let batch = layout.batch.min(ny - y0);
                    while made < y0 + batch + 2 * ry {
                        let rows = made..(made + layout.batch).min(y0 + batch + 2 * ry);
                        made = rows.end;
                        self.stage(data, z0..z0 + group, rows.clone(), &columns, staged);
                        for (b, position) in rows.enumerate() {
                            let from = &staged[b * layout.staged_row * size_of::<f64>()..];
                            let to = &mut ring[slot(position)..];
                            self.z_pass::<T>(
                                z0..z0 + group,
                                position,
                                from,
                                columns.len,
                                column,
                                to,
                            );
                        }
                    }
                    for (j, tap) in y_taps.iter_mut().enumerate() {
                        *tap = slot(y0 + j);
                    }
                    for g in 0..group {
                        let from = &ring[g * plane..];
                        let to = &mut out[(z0 + g) * out_steps[0] + y0 * out_steps[1] + x0..];
                        let y_and_x = YAndX {
                            columns: &columns,
                            constant: x.constant,
                            width,
                            y: Rows {
                                count: batch,
                                width: SEGMENT,
                                weights: y.weights,
                                taps: &y_taps,
                                tap_step: 1,
                                src_step: 0,
                                dst_step: layout.padded_row,
                            },
                            x: Rows {
                                count: batch,
                                width: tile,
                                weights: x.weights,
                                taps: &x_taps,
                                tap_step: 0,
                                src_step: layout.padded_row,
                                dst_step: out_steps[1],
                            },
                            from,
                            padded,
                            to,
                        };
                        if y.stored {
                            self.simd.run(Rounded::<_, Through<T>>(y_and_x, PhantomData));
                        } else {
                            self.simd.run(Rounded::<_, Keep>(y_and_x, PhantomData));
                        }
                    }
                }
            }
        }
    }

    /// Copies the input rows at y positions `rows` of all planes that the z pass of `planes` reads,
    /// for each plane side by side: the z pass goes across planes, and a page and a cache miss for
    /// each short piece of a row would cost more than its sums.
    fn stage(
        &self,
        data: &[u8],
        planes: Range<usize>,
        rows: Range<usize>,
        columns: &Columns,
        staged: &mut [u8],
    ) {
        let [z, y, _] = self.axes;
        let row_bytes = self.layout.staged_row * size_of::<f64>();
        let above = &z.at[planes.start..planes.end + 2 * z.weights.radius()];
        for (&plane, to) in above.iter().zip(staged.chunks_exact_mut(self.layout.batch * row_bytes))
        {
            let Some(plane) = plane else { continue };
            for (position, to) in rows.clone().zip(to.chunks_exact_mut(row_bytes)) {
                let Some(row) = y.at[position] else { continue };
                columns.copy(&data[plane * z.step + row * y.step..], to);
            }
        }
    }

    /// The z pass of `planes` at one y position, whose staged rows begin at `staged[0]`: a row for
    /// each, a ring's plane apart.
    fn z_pass<T: Stored>(
        &self,
        planes: Range<usize>,
        position: usize,
        staged: &[u8],
        len: usize,
        column: &mut [f64],
        to: &mut [f64],
    ) {
        let [z, y, _] = self.axes;
        let plane = self.layout.ring_plane();
        if y.at[position].is_none() {
            for g in 0..planes.len() {
                to[g * plane..][..self.layout.ring_row].fill(y.constant);
            }
            return;
        }
        let above = &z.at[planes.start..planes.end + 2 * z.weights.radius()];
        for s in (0..len).step_by(SEGMENT) {
            let width = SEGMENT.min(len - s);
            dispatch!(self.dtype, U => self.simd.run(Load::<U> {
                constant: z.constant,
                above,
                from: &staged[s * size_of::<U>()..],
                step: self.layout.batch * self.layout.staged_row * size_of::<f64>(),
                width,
                to: column,
                dtype: PhantomData,
            }));
            let rows = Rows {
                count: planes.len(),
                width: width.next_multiple_of(LANES),
                weights: z.weights,
                taps: &self.z_taps,
                tap_step: 0,
                src_step: SEGMENT,
                dst_step: plane,
            };
            let z_rows = ZRows { rows, from: column, to: &mut to[s..] };
            if z.stored {
                self.simd.run(Rounded::<_, Through<T>>(z_rows, PhantomData));
            } else {
                self.simd.run(Rounded::<_, Keep>(z_rows, PhantomData));
            }
        }
    }
}

/// Converts a segment of the rows above each other to f64.
struct Load<'a, T> {
    constant: f64,
    above: &'a [Option<usize>],
    from: &'a [u8],
    step: usize,
    width: usize,
    to: &'a mut [f64],
    dtype: PhantomData<T>,
}

impl<T: Element> NullaryFnOnce for Load<'_, T> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        for (k, to) in self.to.chunks_exact_mut(SEGMENT).take(self.above.len()).enumerate() {
            let to = &mut to[..self.width];
            match self.above[k] {
                Some(_) => kernel::load::<T>(&self.from[k * self.step..], to),
                None => to.fill(self.constant),
            }
        }
    }
}

/// A kernel that rounds as `R` says.
struct Rounded<K, R>(K, PhantomData<R>);

/// The z pass of one segment of a row of each plane.
struct ZRows<'a> {
    rows: Rows<'a>,
    from: &'a [f64],
    to: &'a mut [f64],
}

impl<R: Round<Out = f64>> NullaryFnOnce for Rounded<ZRows<'_>, R> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Self(z, _) = self;
        kernel::correlate::<R>(&z.rows, z.from, z.to);
    }
}

/// The y pass of a batch of rows of one plane, their padding, and the x pass.
struct YAndX<'a, T> {
    columns: &'a Columns,
    constant: f64,
    width: usize,
    y: Rows<'a>,
    x: Rows<'a>,
    from: &'a [f64],
    padded: &'a mut [f64],
    to: &'a mut [T],
}

impl<T: Stored, R: Round<Out = f64>> NullaryFnOnce for Rounded<YAndX<'_, T>, R> {
    type Output = ();
    #[inline(always)]
    fn call(self) {
        let Self(k, _) = self;
        for s in (0..k.width).step_by(SEGMENT) {
            let rows = Rows { width: SEGMENT.min(k.width - s), ..k.y };
            let to = &mut k.padded[k.columns.first + s..];
            kernel::correlate::<R>(&rows, &k.from[s..], to);
        }
        for row in k.padded.chunks_exact_mut(k.x.src_step).take(k.x.count) {
            k.columns.pad(row, k.constant);
        }
        kernel::correlate::<To<T>>(&k.x, k.padded, k.to);
    }
}
