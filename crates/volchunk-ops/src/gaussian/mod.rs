//! Gaussian filter.

mod columns;
mod fused;
mod kernel;
mod simd;
mod weights;

pub use simd::Simd;

use volchunk::{
    AxisNeed, Block, Boundary, Buffer, Dtype, Error, Op, Port, Region, Result, Scratch, View,
    VolumeInfo,
};

use fused::{Fused, Layout, Line};
use kernel::{Keep, ThroughSingle, ToSingle};
use weights::Weights;

/// Separable Gaussian filter: a finite filter of `2 · int(4σ + 0.5) + 1` taps along each axis.
///
/// The result is that of `scipy.ndimage.gaussian_filter` with `truncate=4` and `output` the dtype
/// of this op's output: f32 for bool, integers of 8 and 16 bits and f32, else f64. Sums are f64,
/// taken in SciPy's order; between the axes, slowest first, voxels are held in the output dtype.
/// No fused multiply-add is used on any path, so the bits are the same on every CPU (of a NaN, only
/// that it is one).
///
/// A voxel needs `int(4σ + 0.5)` voxels on either side along each axis.
///
/// ```
/// use volchunk::{ArraySource, Boundary, Buffer, Pipeline, Region, Scratch, Source};
/// use volchunk_ops::Gaussian;
///
/// let voxels = Buffer::from_slice(&[1, 1, 5], &[0u16, 0, 100, 0, 0]);
/// let source = ArraySource::new(voxels.view());
/// let op = Gaussian::new(source.info().clone(), &[0.0, 0.0, 1.0], Boundary::Reflect)?;
/// let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _])?;
/// let out = pipeline.compute(&[&source], &Region::whole([1, 1, 5]), &mut Scratch::new())?;
/// assert_eq!(out.as_slice::<f32>()[2].round(), 40.0);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct Gaussian {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    weights: Vec<Weights>,
    boundary: Boundary,
    simd: Simd,
}

impl Gaussian {
    /// `sigma` in voxels, one per axis of `input`, slowest first; 0 leaves an axis as it is.
    ///
    /// # Errors
    /// A sigma that is negative, infinite or NaN, or above 262144; not one sigma per axis; a value
    /// of the environment variable `VOLCHUNK_SIMD` that [`Simd::parse`] refuses.
    pub fn new(input: VolumeInfo, sigma: &[f64], boundary: Boundary) -> Result<Self> {
        if sigma.len() != input.ndim() {
            return Err(Error::argument(format!(
                "gaussian was given {} values of sigma; legal: one for each of the {} axes ({})",
                sigma.len(),
                input.ndim(),
                input.axis_names()
            )));
        }
        let weights: Vec<Weights> = sigma
            .iter()
            .zip(&input.axes)
            .map(|(&s, axis)| Weights::new(s, &axis.name))
            .collect::<Result<_>>()?;
        let needs = weights
            .iter()
            .enumerate()
            .map(|(a, w)| {
                let r = w.radius() as u64;
                AxisNeed::identity(a).with_halo(r, r, boundary)
            })
            .collect();
        let output =
            VolumeInfo { dtype: output_dtype(input.dtype), storage: None, ..input.clone() };
        Ok(Self {
            inputs: [Port::image(input)],
            outputs: [Port::image(output)],
            needs,
            weights,
            boundary,
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
        let lines: Vec<Line<'_>> = (0..view.shape().len())
            .map(|a| {
                let step = view.strides()[a] as usize;
                if pass.filtered.contains(&a) {
                    let map = &block.axes[a];
                    let at = (0..map.len()).map(|k| map.get(k)).collect();
                    Line { at, step, weights: &self.weights[a] }
                } else {
                    let at = (0..view.shape()[a] as usize).map(Some).collect();
                    Line { at, step, weights: &untouched }
                }
            })
            .collect();
        let missing = Line { at: vec![Some(0)], step: 0, weights: &untouched };
        let axes = pass.zyx.map(|a| a.map_or(&missing, |a| &lines[a]));
        let constant = match self.boundary {
            Boundary::Constant(value) => value,
            _ => 0.0,
        };
        let fused = Fused::new(self.simd, axes, view.dtype(), constant);
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
            match out.dtype() {
                Dtype::F32 => {
                    let out = &mut out.as_slice_mut()[to..];
                    fused.run::<ThroughSingle, ToSingle>(data, out, fused_steps, memory);
                }
                _ => {
                    let out = &mut out.as_slice_mut()[to..];
                    fused.run::<Keep, Keep>(data, out, fused_steps, memory);
                }
            }
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
            .map(|a| (shape[a] + 2 * self.weights[a].radius() as u64).min(volume[a]))
            .collect();
        let item = self.outputs[0].info.dtype.size() as u64;
        let passes = self.passes();
        let (mut bytes, mut dtype) = (0u64, self.inputs[0].info.dtype);
        for (i, pass) in passes.iter().enumerate() {
            pass.filtered.iter().for_each(|&a| held[a] = shape[a]);
            let n = pass.zyx.map(|a| a.map_or(1, |a| held[a] as usize));
            let radii = pass.zyx.map(|a| match a {
                Some(a) if pass.filtered.contains(&a) => self.weights[a].radius(),
                _ => 0,
            });
            bytes += 8 * Layout::new(n, radii, dtype).elements() as u64;
            if i + 1 < passes.len() {
                bytes = bytes.saturating_add(Region::whole(&held).voxels().saturating_mul(item));
                dtype = self.outputs[0].info.dtype;
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
        let mut held: Option<Buffer> = None;
        for (i, pass) in passes.iter().enumerate() {
            let view = held.as_ref().map_or_else(|| block.view.clone(), Buffer::view);
            if i + 1 == passes.len() {
                self.pass(pass, &view, block, out, scratch);
                break;
            }
            let mut shape = view.shape().to_vec();
            pass.filtered.iter().for_each(|&a| shape[a] = region.shape()[a]);
            let mut next = scratch.take(&shape, out.dtype());
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
    /// up to three spatial axes. More take two axes each, slowest first, as SciPy goes.
    fn passes(&self) -> Vec<Pass> {
        let ndim = self.weights.len();
        let mut filtered: Vec<usize> =
            (0..ndim).filter(|&a| self.weights[a].radius() > 0).collect();
        let Some(last) = ndim.checked_sub(1) else {
            return vec![Pass { zyx: [None; 3], filtered }];
        };
        let mut passes = Vec::new();
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

/// f32 where it holds every input value, else f64.
fn output_dtype(input: Dtype) -> Dtype {
    match input {
        Dtype::Bool | Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 | Dtype::F32 => Dtype::F32,
        Dtype::U32 | Dtype::I32 | Dtype::U64 | Dtype::I64 | Dtype::F64 => Dtype::F64,
    }
}
