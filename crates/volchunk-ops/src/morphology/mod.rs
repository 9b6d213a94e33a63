//! Grey morphology: the least or the largest voxel of a neighbourhood.

mod footprint;
#[cfg(test)]
mod tests;

pub use footprint::{Footprint, Shape};
use footprint::{Lines, place};
use volchunk::{
    AxisNeed, Block, Boundary, Buffer, Dtype, Element, Error, Op, Port, Region, Result, Scratch,
    VolumeInfo, dispatch,
};

use crate::rows::{normal, pieces};

/// The least (erosion) or the largest (dilation) voxel of a [`Footprint`] about each voxel, beyond
/// the true edge reflected; the dtype stays.
///
/// The result is that of `scipy.ndimage.grey_erosion` and `grey_dilation` with the same footprint.
/// Where a float neighbourhood holds a NaN, the result is NaN (SciPy's depends on the order).
///
/// A cube takes `2·radius + 1` vectorised comparisons per voxel and axis; an octahedron or a ball
/// one for every run of it along the last axis, which is about `3·radius²` in three dimensions.
#[derive(Debug)]
pub struct Extremum {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    parts: Vec<Lines>,
    largest: bool,
}

impl Extremum {
    /// Grey erosion.
    ///
    /// # Errors
    /// An axis of `input` without voxels.
    pub fn erosion(input: VolumeInfo, footprint: &Footprint) -> Result<Self> {
        Self::new(input, footprint, false)
    }

    /// Grey dilation.
    ///
    /// # Errors
    /// As [`erosion`](Self::erosion).
    pub fn dilation(input: VolumeInfo, footprint: &Footprint) -> Result<Self> {
        Self::new(input, footprint, true)
    }

    fn new(input: VolumeInfo, footprint: &Footprint, largest: bool) -> Result<Self> {
        let name = if largest { "dilate" } else { "erode" };
        let need =
            |(a, &r): (usize, &u64)| AxisNeed::identity(a).with_halo(r, r, Boundary::Reflect);
        Ok(Self {
            needs: footprint.radius().iter().enumerate().map(need).collect(),
            outputs: crate::output_port(name, input.clone())?,
            inputs: crate::input_port(name, input)?,
            parts: footprint.parts(),
            largest,
        })
    }

    /// Shape of what `part` of the parts is given, for a result of `shape`.
    fn given(&self, shape: &[u64], part: usize) -> Vec<u64> {
        let wider =
            |a: usize| self.parts[part..].iter().map(|p| 2 * p.reach[a] as u64).sum::<u64>();
        (0..shape.len()).map(|a| shape[a] + wider(a)).collect()
    }

    /// Shape of the memory that `part` needs for one row of what it makes.
    fn rows(&self, shape: &[u64], part: usize) -> [u64; 2] {
        let made = self.given(shape, part + 1);
        [self.parts[part].widths() as u64, made.last().copied().unwrap_or(1)]
    }
}

impl Op for Extremum {
    fn name(&self) -> &'static str {
        if self.largest { "dilate" } else { "erode" }
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
        let bytes = |shape: &[u64]| shape.iter().fold(item, |b, &n| b.saturating_mul(n)) + 8;
        let held = (0..self.parts.len()).map(|part| bytes(&self.given(shape, part)));
        let rows = (0..self.parts.len()).map(|part| bytes(&self.rows(shape, part)));
        held.chain(rows).fold(0, u64::saturating_add)
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
            return Err(Error::argument("morphology has one input and one output"));
        };
        let dtype = out.dtype();
        if region.is_empty() {
            return Ok(());
        }
        if self.parts.is_empty() {
            dispatch!(dtype, T => {
                let to = out.as_slice_mut::<T>();
                pieces::<T>(&block.view, |at, from| {
                    to[at..].iter_mut().zip(from).for_each(|(to, &v)| *to = normal(v));
                });
            });
            return Ok(());
        }
        let mut held = scratch.take(&self.given(region.shape(), 0), dtype);
        block.copy_padded(held.view_mut());
        if dtype == Dtype::Bool {
            held.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
        for (k, part) in self.parts.iter().enumerate() {
            let mut rows = scratch.take(&self.rows(region.shape(), k), dtype);
            if k + 1 == self.parts.len() {
                self.run(part, &held, out, &mut rows);
            } else {
                let mut next = scratch.take(&self.given(region.shape(), k + 1), dtype);
                self.run(part, &held, &mut next, &mut rows);
                scratch.give(std::mem::replace(&mut held, next));
            }
            scratch.give(rows);
        }
        scratch.give(held);
        Ok(())
    }
}

impl Extremum {
    fn run(&self, part: &Lines, from: &Buffer, to: &mut Buffer, rows: &mut Buffer) {
        let lengths = |shape: &[u64]| shape.iter().map(|&n| n as usize).collect::<Vec<_>>();
        let (given, wanted) = (lengths(from.shape()), lengths(to.shape()));
        let arch = pulp::Arch::new();
        dispatch!(from.dtype(), T => {
            let (from, to) = (from.as_slice::<T>(), to.as_slice_mut::<T>());
            let rows = rows.as_slice_mut::<T>();
            arch.dispatch(
                #[inline(always)]
                || match self.largest {
                    true => part.run::<T, true>(from, &given, to, &wanted, rows),
                    false => part.run::<T, false>(from, &given, to, &wanted, rows),
                },
            );
        });
    }
}

impl Lines {
    /// Widths of runs, from 0 to the widest.
    fn widths(&self) -> usize {
        self.reach.last().map_or(1, |r| r + 1)
    }

    /// The extremum over all runs, of `from` into `to`, which is shorter by the reach on either
    /// side. `rows` has room for a row of `to` per width.
    #[inline(always)]
    fn run<T: Element, const LARGEST: bool>(
        &self,
        from: &[T],
        given: &[usize],
        to: &mut [T],
        wanted: &[usize],
        rows: &mut [T],
    ) {
        to.fill(if LARGEST { lowest() } else { highest() });
        let last = given.len() - 1;
        let (long, short, reach) = (given[last], wanted[last], self.reach[last]);
        let mut targets: Vec<(usize, usize)> = Vec::with_capacity(self.runs.len());
        for (number, line) in from.chunks_exact(long).enumerate() {
            let at = place(number, given[..last].iter().copied());
            targets.clear();
            for (offset, width) in &self.runs {
                // The row of the result that sees this line at this offset, if there is one.
                let row = (0..last).try_fold(0, |row, a| {
                    let k = at[a].checked_sub(offset[a]).filter(|&k| k < wanted[a])?;
                    Some(row * wanted[a] + k)
                });
                targets.extend(row.map(|row| (row, *width)));
            }
            let Some(widest) = targets.iter().map(|t| t.1).max() else { continue };
            rows[..short].copy_from_slice(&line[reach..reach + short]);
            for width in 1..=widest {
                let (narrower, wider) = rows.split_at_mut(width * short);
                let narrower = &narrower[(width - 1) * short..];
                let low = &line[reach - width..][..short];
                let high = &line[reach + width..][..short];
                let wider = &mut wider[..short];
                for (((w, &n), &a), &b) in wider.iter_mut().zip(narrower).zip(low).zip(high) {
                    *w = pick::<T, LARGEST>(pick::<T, LARGEST>(n, a), b);
                }
            }
            for &(row, width) in &targets {
                let found = &rows[width * short..][..short];
                for (to, &v) in to[row * short..][..short].iter_mut().zip(found) {
                    *to = pick::<T, LARGEST>(*to, v);
                }
            }
        }
    }
}

/// The larger or the smaller; NaN if either is.
#[inline(always)]
#[allow(clippy::eq_op)]
fn pick<T: Element, const LARGEST: bool>(a: T, b: T) -> T {
    let further = if LARGEST { b > a } else { b < a };
    if further || b != b { b } else { a }
}

/// The value that no voxel is below.
fn lowest<T: Element>() -> T {
    match T::DTYPE {
        Dtype::Bool => T::from_i128(0),
        float if float.is_float() => T::from_f64(f64::NEG_INFINITY),
        _ => T::from_i128(i128::MIN),
    }
}

/// The value that no voxel is above.
fn highest<T: Element>() -> T {
    if T::DTYPE.is_float() { T::from_f64(f64::INFINITY) } else { T::from_i128(i128::MAX) }
}
