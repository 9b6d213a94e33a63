//! Gaussian filter.

mod axis;
mod columns;
mod fused;
mod kernel;
mod simd;
mod store;
mod weights;

pub use axis::{GaussianAxis, Reach};
pub use simd::Simd;

use volchunk::{
    AxisNeed, Block, Boundary, Buffer, Dtype, Error, Op, Port, Region, Result, Scratch, View,
    VolumeInfo, dispatch,
};

use crate::rows::pieces;
use fused::{Fused, Layout, Line};
use weights::Weights;

/// Separable Gaussian filter, or its derivatives: a finite filter along each axis.
///
/// The result is that of `scipy.ndimage.gaussian_filter` on x86-64 with `output` the dtype of this
/// op's output. Sums are f64, taken in SciPy's order. Between the axes, slowest first, voxels are
/// stored in the output's dtype, as C converts a `double`: integers truncate toward zero. Where C
/// leaves the conversion undefined, what x86-64 does is the definition on every CPU: a value that
/// does not fit is the least i32 (i64 for u32, i64 and u64), or modulo 2⁶⁴ for u64, and narrower
/// integers keep its low bits. Where no axis is filtered, voxels are converted as NumPy does.
///
/// No pass uses fused multiply-add, so the bits are the same on every CPU (of a NaN, only that it
/// is one).
///
/// A voxel needs [`GaussianAxis::radius`] voxels on either side along each axis.
///
/// ```
/// use volchunk::{ArraySource, Buffer, Dtype, Pipeline, Region, Scratch, Source};
/// use volchunk_ops::{Gaussian, GaussianAxis};
///
/// let voxels = Buffer::from_slice(&[1, 5], &[0u16, 0, 100, 0, 0]);
/// let source = ArraySource::new(voxels.view());
/// let compute = |axis, dtype| {
///     let axes = [GaussianAxis::default(), axis];
///     let op = Gaussian::new(source.info().clone(), &axes, dtype)?;
///     let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _])?;
///     pipeline.compute(&[&source], &Region::whole([1, 5]), &mut Scratch::new())
/// };
/// let smooth = GaussianAxis::smooth(1.0);
/// assert_eq!(compute(smooth, Some(Dtype::U8))?.as_slice::<u8>(), [5, 24, 39, 24, 5]);
/// let slope = GaussianAxis { order: 1, ..smooth };
/// assert_eq!(compute(slope, Some(Dtype::I8))?.as_slice::<i8>(), [9, 24, 0, -24, -9]);
/// assert_eq!(compute(smooth, None)?.dtype(), Dtype::F32);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct Gaussian {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    /// None where the axis stays as it is.
    weights: Vec<Option<Weights>>,
    simd: Simd,
}

impl Gaussian {
    /// One filter per axis of `input`, slowest first, and the dtype of the result; None is f32 where
    /// that holds every value of `input` (bool, integers of 8 and 16 bits, f32), else f64.
    ///
    /// # Errors
    /// A sigma that is negative, infinite or NaN; a filter of more than 2²⁰ voxels on a side; a
    /// truncation that is negative or not finite; an order above 20, or one whose weights overflow;
    /// not one filter per axis; a value of the environment variable `VOLCHUNK_SIMD` that
    /// [`Simd::parse`] refuses.
    pub fn new(input: VolumeInfo, axes: &[GaussianAxis], dtype: Option<Dtype>) -> Result<Self> {
        if axes.len() != input.ndim() {
            return Err(Error::argument(format!(
                "gaussian was given {} values of sigma; legal: one for each of the {} axes ({})",
                axes.len(),
                input.ndim(),
                input.axis_names()
            )));
        }
        let weights: Vec<Option<Weights>> = axes
            .iter()
            .zip(&input.axes)
            .map(|(axis, named)| axis.weights(&named.name))
            .collect::<Result<_>>()?;
        let needs = (0..axes.len())
            .map(|a| {
                let radius = radius(&weights[a]) as u64;
                AxisNeed::identity(a).with_halo(radius, radius, axes[a].boundary)
            })
            .collect();
        let dtype = dtype.unwrap_or(match input.dtype {
            Dtype::Bool | Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 | Dtype::F32 => {
                Dtype::F32
            }
            Dtype::U32 | Dtype::I32 | Dtype::U64 | Dtype::I64 | Dtype::F64 => Dtype::F64,
        });
        let output = VolumeInfo { dtype, storage: None, ..input.clone() };
        Ok(Self {
            inputs: [Port::image(input)],
            outputs: [Port::image(output)],
            needs,
            weights,
            simd: Simd::from_env()?,
        })
    }

    /// The same filter on given instructions; without this, what `VOLCHUNK_SIMD` says.
    #[must_use]
    pub fn with_simd(self, simd: Simd) -> Self {
        Self { simd, ..self }
    }

    /// Runs `pass` on `view`, whose filtered axes are padded by the maps of `block`.
    fn pass(
        &self,
        pass: &Pass,
        view: &View<'_>,
        block: &Block<'_>,
        out: &mut Buffer,
        scratch: &mut Scratch,
    ) {
        let untouched = Weights::one();
        let last_filtered = pass.filtered.last();
        let lines: Vec<Line<'_>> = (0..view.shape().len())
            .map(|a| {
                let step = view.strides()[a] as usize;
                let filter = self.weights[a].as_ref().filter(|_| pass.filtered.contains(&a));
                let Some(weights) = filter else {
                    let at = (0..view.shape()[a] as usize).map(Some).collect();
                    return Line { at, step, weights: &untouched, constant: 0.0, stored: false };
                };
                let map = &block.axes[a];
                let constant = match self.needs[a].boundary {
                    Boundary::Constant(value) => value,
                    _ => 0.0,
                };
                Line {
                    at: (0..map.len()).map(|k| map.get(k)).collect(),
                    step,
                    weights,
                    constant,
                    // Once only: some values change if they are stored again.
                    stored: last_filtered != Some(&a),
                }
            })
            .collect();
        let missing =
            Line { at: vec![Some(0)], step: 0, weights: &untouched, constant: 0.0, stored: false };
        let axes = pass.zyx.map(|a| a.map_or(&missing, |a| &lines[a]));
        let fused = Fused::new(self.simd, axes, view.dtype());
        let mut memory = scratch.take(&[fused.elements() as u64], Dtype::F64);

        let mut out_steps = vec![1; lines.len()];
        for a in (1..lines.len()).rev() {
            out_steps[a - 1] = out_steps[a] * out.shape()[a] as usize;
        }
        let [z, y, _] = pass.zyx;
        let fused_steps = [z, y].map(|a| a.map_or(0, |a| out_steps[a]));
        // Every combination of places on the axes that the pass does not take.
        let others: Vec<(usize, &Line<'_>, usize)> = (0..lines.len())
            .filter(|&a| !pass.zyx.contains(&Some(a)))
            .map(|a| (lines[a].at.len(), &lines[a], out_steps[a]))
            .collect();
        for number in 0..others.iter().map(|(n, ..)| n).product() {
            let (mut rest, mut from, mut to) = (number, 0, 0);
            for (n, line, out_step) in others.iter().rev() {
                from += rest % n * line.step;
                to += rest % n * out_step;
                rest /= n;
            }
            let (data, memory) = (&view.data()[from..], memory.as_slice_mut());
            dispatch!(out.dtype(), T => {
                fused.run(data, &mut out.as_slice_mut::<T>()[to..], fused_steps, memory);
            });
        }
        scratch.give(memory);
    }
}

impl Op for Gaussian {
    fn name(&self) -> &'static str {
        "gaussian"
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
        let volume = &self.inputs[0].info.shape;
        let mut held: Vec<u64> = (0..shape.len())
            .map(|a| (shape[a] + 2 * radius(&self.weights[a]) as u64).min(volume[a]))
            .collect();
        let held_dtype = held_dtype(self.outputs[0].info.dtype);
        let item = held_dtype.size() as u64;
        let passes = self.passes();
        let (mut bytes, mut dtype) = (0u64, self.inputs[0].info.dtype);
        for (i, pass) in passes.iter().enumerate() {
            pass.filtered.iter().for_each(|&a| held[a] = shape[a]);
            let n = pass.zyx.map(|a| a.map_or(1, |a| held[a] as usize));
            let radii = pass.zyx.map(|a| match a {
                Some(a) if pass.filtered.contains(&a) => radius(&self.weights[a]),
                _ => 0,
            });
            bytes += 8 * Layout::new(n, radii, dtype).elements() as u64;
            if i + 1 < passes.len() {
                bytes = bytes.saturating_add(Region::whole(&held).voxels().saturating_mul(item));
                dtype = held_dtype;
            }
        }
        bytes
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
            return Err(Error::argument("gaussian has one input and one output"));
        };
        if region.is_empty() {
            return Ok(());
        }
        let passes = self.passes();
        if passes.is_empty() {
            convert(&block.view, out);
        }
        let mut held: Option<Buffer> = None;
        for (i, pass) in passes.iter().enumerate() {
            let view = held.as_ref().map_or_else(|| block.view.clone(), Buffer::view);
            if i + 1 == passes.len() {
                self.pass(pass, &view, block, out, scratch);
                break;
            }
            let mut shape = view.shape().to_vec();
            pass.filtered.iter().for_each(|&a| shape[a] = region.shape()[a]);
            let mut next = scratch.take(&shape, held_dtype(out.dtype()));
            self.pass(pass, &view, block, &mut next, scratch);
            held.replace(next).into_iter().for_each(|b| scratch.give(b));
        }
        held.into_iter().for_each(|b| scratch.give(b));
        Ok(())
    }
}

/// The axes that one fused pass takes, and which of them it filters.
#[derive(Debug, Clone, PartialEq)]
struct Pass {
    /// Ascending; the last is the volume's last axis. None: an axis of one voxel.
    zyx: [Option<usize>; 3],
    filtered: Vec<usize>,
}

impl Gaussian {
    /// One pass does for up to three filtered axes that include the last, hence for every image of
    /// up to three spatial axes. More take two axes each, slowest first, as SciPy goes. None
    /// where no axis is filtered.
    fn passes(&self) -> Vec<Pass> {
        let ndim = self.weights.len();
        let mut filtered: Vec<usize> = (0..ndim).filter(|&a| self.weights[a].is_some()).collect();
        let mut passes = Vec::new();
        if filtered.is_empty() {
            return passes;
        }
        let last = ndim - 1;
        while filtered.iter().filter(|&&a| a != last).count() > 2 {
            let rest = filtered.split_off(2);
            passes.push(Pass { zyx: with_neighbours(&filtered, last), filtered });
            filtered = rest;
        }
        passes.push(Pass { zyx: with_neighbours(&filtered, last), filtered });
        passes
    }
}

/// At most two of the `axes`, filled up with the axes nearest to the last, and the last.
fn with_neighbours(axes: &[usize], last: usize) -> [Option<usize>; 3] {
    let mut pair: Vec<usize> = axes.iter().copied().filter(|&a| a != last).collect();
    pair.extend((0..last).rev().filter(|a| !axes.contains(a)));
    pair.truncate(2);
    pair.sort_unstable();
    let mut zyx = [None; 3];
    for (slot, a) in zyx.iter_mut().rev().zip(std::iter::once(last).chain(pair.into_iter().rev())) {
        *slot = Some(a);
    }
    zyx
}

fn radius(weights: &Option<Weights>) -> usize {
    weights.as_ref().map_or(0, Weights::radius)
}

/// What holds voxels between passes whose result is `output`: SciPy's bools are bytes there.
fn held_dtype(output: Dtype) -> Dtype {
    match output {
        Dtype::Bool => Dtype::U8,
        other => other,
    }
}

/// The voxels as NumPy converts them.
fn convert(view: &View<'_>, out: &mut Buffer) {
    dispatch!(out.dtype(), U => {
        let to = out.as_slice_mut::<U>();
        dispatch!(view.dtype(), T => pieces::<T>(view, |at, from| {
            for (to, &voxel) in to[at..].iter_mut().zip(from) {
                *to = store::convert(voxel);
            }
        }));
    });
}
