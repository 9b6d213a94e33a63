//! Percentiles of a voxel's surroundings, on a lattice that no chunk moves.

use volchunk::{
    AxisKind, AxisNeed, Block, Boundary, Buffer, Dtype, Element, Error, Op, Port, Region, Result,
    Scratch, View, VolumeInfo, dispatch,
};

use super::{
    Stretch,
    exact::{between, places},
    not_found,
};
use crate::{
    number::order,
    rows::{each, pieces},
};

/// Clips to two percentiles of a voxel's surroundings, and rescales what is between them.
///
/// The volume is divided into cells of one size from voxel 0 on; what is left over at the far end,
/// if it is less than half a cell, belongs to the last one. Each cell has its exact percentiles (all
/// its voxels but NaN, NumPy's linear rule). Between the centres of cells they are interpolated
/// linearly along every spatial axis; before the first centre and behind the last they stay. Channels
/// and times are apart.
///
/// The lattice belongs to the volume, so a voxel's result does not depend on its chunk. A voxel needs
/// at most 1.75 cells before it and 2 behind it: chunks that are large beside cells compute little
/// twice. The result is float32, or float64 for float64 and integers of 32 bits or more; what only
/// cells of NaN surround is NaN.
#[derive(Debug)]
pub struct LocalPercentile {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    cells: Vec<Cells>,
    percents: [f64; 2],
    stretch: Stretch,
    least: Option<Least>,
}

/// The least that the high percentile may be.
#[derive(Debug, Clone, Copy)]
struct Least {
    fraction: f64,
    /// That percentile of the whole volume; None: not found yet.
    whole: Option<f64>,
}

impl LocalPercentile {
    /// Cells of `size` voxels, one per axis (1 and more; that of an axis that is not spatial does
    /// not count); the percentiles `percents` become `range`.
    ///
    /// # Errors
    /// Not one size per axis, or 0; percentiles outside of 0 to 100, or not ascending; an axis of
    /// `input` without voxels.
    pub fn new(
        input: VolumeInfo,
        size: &[u64],
        percents: [f64; 2],
        range: [f64; 2],
    ) -> Result<Self> {
        if size.len() != input.ndim() || size.contains(&0) {
            return Err(Error::argument(format!(
                "cells of {size:?} voxels; legal: at least 1 on each of the {} axes",
                input.ndim()
            )));
        }
        let [low, high] = percents;
        if !(0.0 <= low && low < high && high <= 100.0) {
            return Err(Error::argument(format!(
                "low is {low} and high is {high}; legal: 0 <= low < high <= 100"
            )));
        }
        let output = VolumeInfo { dtype: crate::float_for(input.dtype), ..input.clone() };
        let outputs = crate::output_port("local-percentile", output)?;
        let inputs = crate::input_port("local-percentile", input)?;
        let info = &inputs[0].info;
        let cells: Vec<Cells> = (0..info.ndim())
            .map(|a| Cells::new(info.shape[a], size[a], info.axes[a].kind == AxisKind::Space))
            .collect();
        Ok(Self {
            needs: cells.iter().enumerate().map(|(a, c)| c.need(a)).collect(),
            outputs,
            inputs,
            cells,
            percents,
            stretch: Stretch { min: range[0], max: range[1] },
            least: None,
        })
    }

    /// The same, the high percentile nowhere below `fraction` times that of the `whole` volume, so
    /// that the noise of dark places is not taken for signal. Without `whole`, the op can be planned,
    /// not computed.
    #[must_use]
    pub fn with_floor(self, fraction: f64, whole: Option<f64>) -> Self {
        Self { least: Some(Least { fraction, whole }), ..self }
    }

    /// Voxels of the largest cell.
    fn largest_cell(&self) -> u64 {
        self.cells.iter().map(Cells::longest).fold(1, u64::saturating_mul)
    }

    /// Cells that a region of `shape` can need, per axis.
    fn most_cells(&self, shape: &[u64]) -> Vec<u64> {
        let most = |(c, &n): (&Cells, &u64)| (n / c.size).saturating_add(3).min(c.count);
        self.cells.iter().zip(shape).map(most).collect()
    }
}

/// The cells along an axis.
#[derive(Debug, Clone, Copy)]
struct Cells {
    /// Voxels of the axis.
    n: u64,
    /// Voxels of a cell, but of the last.
    size: u64,
    count: u64,
    /// Whether there is anything between two cells.
    spatial: bool,
}

/// A place between the centres of two cells: that of the first, and how far it is to the second.
#[derive(Debug, Clone, Copy)]
struct Near {
    cell: u64,
    t: f64,
}

impl Cells {
    fn new(n: u64, size: u64, spatial: bool) -> Self {
        let size = if spatial { size.min(n) } else { 1 };
        // A last cell that is cut short below half a size would be a poor sample.
        let rest = n % size;
        let count = n / size + u64::from(rest > 0 && 2 * rest >= size);
        Self { n, size, count, spatial }
    }

    fn range(&self, cell: u64) -> std::ops::Range<u64> {
        let end = if cell + 1 == self.count { self.n } else { (cell + 1) * self.size };
        cell * self.size..end
    }

    fn centre(&self, cell: u64) -> f64 {
        let range = self.range(cell);
        (range.start + range.end - 1) as f64 / 2.0
    }

    fn longest(&self) -> u64 {
        let last = self.range(self.count - 1);
        self.size.max(last.end - last.start)
    }

    fn need(&self, axis: usize) -> AxisNeed {
        let (lo, hi) = match self.spatial {
            true => (self.size.saturating_mul(7).div_ceil(4), self.size.saturating_mul(2)),
            false => (0, 0),
        };
        AxisNeed::identity(axis).with_halo(lo.min(self.n), hi.min(self.n), Boundary::Nearest)
    }

    fn near(&self, x: u64) -> Near {
        let own = (x / self.size).min(self.count - 1);
        if !self.spatial {
            return Near { cell: own, t: 0.0 };
        }
        let (at, centre) = (x as f64, self.centre(own));
        let cell = match at < centre {
            true if own == 0 => return Near { cell: 0, t: 0.0 },
            true => own - 1,
            false if own + 1 == self.count => return Near { cell: own, t: 0.0 },
            false => own,
        };
        let (from, to) = (self.centre(cell), self.centre(cell + 1));
        Near { cell, t: (at - from) / (to - from) }
    }
}

/// The value between two; where nothing is between, the first alone.
#[inline(always)]
fn mix(a: f64, b: f64, t: f64) -> f64 {
    if t == 0.0 || a == b { a } else { a + (b - a) * t }
}

/// Percentiles of the cells about a region.
struct Lattice<'a> {
    /// Per axis, for every voxel of the region.
    near: Vec<Vec<Near>>,
    /// The first cell per axis, and how many.
    first: Vec<u64>,
    counts: Vec<usize>,
    /// Low and high percentile of each cell, in C order.
    values: &'a mut [[f64; 2]],
}

impl Lattice<'_> {
    fn cells(cells: &[Cells], region: &Region) -> (Vec<Vec<Near>>, Vec<u64>, Vec<usize>) {
        let near: Vec<Vec<Near>> = region
            .ranges()
            .zip(cells)
            .map(|(range, cells)| range.map(|x| cells.near(x)).collect())
            .collect();
        let first = near.iter().map(|n| n.first().map_or(0, |n| n.cell)).collect();
        let counts = near.iter().map(|near| match (near.first(), near.last()) {
            (Some(a), Some(b)) => (b.cell + u64::from(b.t > 0.0) - a.cell + 1) as usize,
            _ => 0,
        });
        let counts = counts.collect();
        (near, first, counts)
    }

    /// Percentiles at the place `at` on the axes before `last`, cell `last_cell` of the last axis.
    fn between(&self, at: &[usize], axis: usize, offset: usize, last_cell: usize) -> [f64; 2] {
        let Some(&x) = at.get(axis) else {
            let last = self.counts.last().copied().unwrap_or(1);
            return self.values[offset * last + last_cell];
        };
        let near = self.near[axis][x];
        let offset = offset * self.counts[axis] + (near.cell - self.first[axis]) as usize;
        let a = self.between(at, axis + 1, offset, last_cell);
        if near.t == 0.0 {
            return a;
        }
        let b = self.between(at, axis + 1, offset + 1, last_cell);
        [mix(a[0], b[0], near.t), mix(a[1], b[1], near.t)]
    }
}

impl Op for LocalPercentile {
    fn name(&self) -> &'static str {
        "local-percentile"
    }

    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }

    fn scratch_bytes(&self, shape: &[u64]) -> u64 {
        let item = self.inputs[0].info.dtype.size() as u64;
        let cells = self.most_cells(shape);
        let table = cells.iter().fold(16, |b: u64, &n| b.saturating_mul(n));
        let rows = 16 * (cells.last().unwrap_or(&1) + shape.iter().sum::<u64>());
        let sample = self.largest_cell().saturating_mul(item);
        sample.saturating_add(table).saturating_add(rows + 1024)
    }

    fn keeps_constant(&self) -> bool {
        true
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument("local-percentile has one input and one output"));
        };
        if region.is_empty() {
            return Ok(());
        }
        let floor = match self.least {
            Some(Least { fraction, whole }) => {
                fraction * whole.ok_or_else(|| not_found("local-percentile"))?
            }
            None => f64::NEG_INFINITY,
        };
        let (near, first, counts) = Lattice::cells(&self.cells, region);
        let voxels = counts.iter().product::<usize>() as u64;
        let mut table = scratch.take(&[voxels, 2], Dtype::F64);
        let dtype = block.view.dtype();
        let mut sample = scratch.take(&[self.largest_cell()], dtype);
        let values: &mut [[f64; 2]] = bytemuck::cast_slice_mut(table.as_slice_mut::<f64>());
        // The first voxel that the block holds, per axis.
        let origin: Vec<u64> = region
            .start()
            .iter()
            .zip(&self.needs)
            .map(|(start, need)| start.saturating_sub(need.halo.0))
            .collect();
        let steps: Vec<(usize, usize)> = counts.iter().map(|&n| (n, 0)).collect();
        let mut number = 0;
        each(&steps, 0, &mut |_| {
            let mut rest = number as u64;
            let mut ranges = Vec::with_capacity(counts.len());
            for a in (0..counts.len()).rev() {
                let range = self.cells[a].range(first[a] + rest % counts[a] as u64);
                rest /= counts[a] as u64;
                ranges.push(range.start - origin[a]..range.end - origin[a]);
            }
            ranges.reverse();
            let cell = block.view.part(&Region::from_ranges(ranges));
            values[number] = dispatch!(dtype, T => {
                self.percentiles(&cell, sample.as_slice_mut::<T>())
            });
            number += 1;
        });
        let lattice = Lattice { near, first, counts, values };
        dispatch!(dtype, T => match out.dtype() {
            Dtype::F32 => self.apply::<T>(block, &origin, &lattice, floor, region, |at, row| {
                let to = &mut out.as_slice_mut::<f32>()[at..at + row.len()];
                to.iter_mut().zip(row).for_each(|(to, &v)| *to = v as f32);
            }),
            _ => self.apply::<T>(block, &origin, &lattice, floor, region, |at, row| {
                out.as_slice_mut::<f64>()[at..at + row.len()].copy_from_slice(row);
            }),
        });
        scratch.give(sample);
        scratch.give(table);
        Ok(())
    }
}

impl LocalPercentile {
    /// Both percentiles of a cell, whose voxels are copied to `sample`; NaN where there are none.
    fn percentiles<T: Element>(&self, cell: &View<'_>, sample: &mut [T]) -> [f64; 2] {
        let mut n = 0;
        pieces::<T>(cell, |_, from| {
            for &v in from {
                sample[n] = v;
                n += usize::from(!v.to_f64().is_nan());
            }
        });
        let sample = &mut sample[..n];
        if sample.is_empty() {
            return [f64::NAN; 2];
        }
        self.percents.map(|percent| {
            let (first, second, t) = places(percent, n as u64);
            let (_, &mut a, above) = sample.select_nth_unstable_by(first as usize, order);
            let b = match second > first {
                true => above.iter().copied().min_by(order).unwrap_or(a),
                false => a,
            };
            between(a.to_f64(), b.to_f64(), t)
        })
    }

    /// Hands every row of the result to `store`, with the C-order number of its first voxel.
    fn apply<T: Element>(
        &self,
        block: &Block<'_>,
        origin: &[u64],
        lattice: &Lattice<'_>,
        floor: f64,
        region: &Region,
        mut store: impl FnMut(usize, &[f64]),
    ) {
        let place = region.ranges().zip(origin).map(|(r, o)| r.start - o..r.end - o);
        let view = block.view.part(&Region::from_ranges(place));
        let last = region.ndim().saturating_sub(1);
        let near = lattice.near.last().map_or(&[][..], Vec::as_slice);
        let row = region.shape().last().map_or(1, |&n| n as usize);
        let first = lattice.first.last().copied().unwrap_or(0);
        let mut along = vec![[0.0; 2]; lattice.counts.last().copied().unwrap_or(1)];
        let (mut at, mut done) = (vec![0; last], None);
        let mut held = Vec::with_capacity(crate::rows::PIECE);
        pieces::<T>(&view, |number, from| {
            held.clear();
            for (k, v) in from.iter().enumerate() {
                let (line, x) = ((number + k) / row, (number + k) % row);
                if done != Some(line) {
                    done = Some(line);
                    let mut rest = line;
                    for a in (0..last).rev() {
                        (at[a], rest) =
                            (rest % lattice.near[a].len(), rest / lattice.near[a].len());
                    }
                    for (j, along) in along.iter_mut().enumerate() {
                        *along = lattice.between(&at, 0, 0, j);
                    }
                }
                let [low, high] = match near.get(x) {
                    Some(&Near { cell, t }) if t > 0.0 => {
                        let j = (cell - first) as usize;
                        let (a, b) = (along[j], along[j + 1]);
                        [mix(a[0], b[0], t), mix(a[1], b[1], t)]
                    }
                    Some(&Near { cell, .. }) => along[(cell - first) as usize],
                    None => along[0],
                };
                held.push(match low.is_nan() {
                    true => f64::NAN,
                    false => self.stretch.apply(v.to_f64(), low, high.max(floor)),
                });
            }
            store(number, &held);
        });
    }
}
