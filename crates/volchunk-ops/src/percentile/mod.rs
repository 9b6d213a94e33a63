//! Percentiles: clip to them and rescale, of the whole volume or of its neighbourhood.

mod count;
mod exact;
mod local;
mod resolve;
#[cfg(test)]
mod tests;

pub use exact::percentile_of;
pub use local::LocalPercentile;
pub(crate) use resolve::pass_plan;
pub use resolve::{Pass, PassOptions, pass_bytes, percentiles, resolve};

use volchunk::{
    AxisNeed, Block, Buffer, Element, Error, Op, Port, Region, Result, Scratch, VolumeInfo,
    dispatch,
};

use crate::rows::pieces;

/// From a low and a high value to a range: clipped to them, then rescaled.
///
/// `v ↦ (v − low) / (high − low) · (max − min) + min`, in float64. What is at most `low` becomes
/// `min`, what is at least `high` becomes `max`; where the two are equal, what is above them becomes
/// `max`. NaN stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Stretch {
    #[inline(always)]
    fn apply(self, v: f64, low: f64, high: f64) -> f64 {
        let (range, span) = (high - low, self.max - self.min);
        let part = (v - low) / range;
        let inside = if range > 0.0 { part * span + self.min } else { self.min };
        let inside = if v >= high { self.max } else { inside };
        let inside = if v <= low { self.min } else { inside };
        if v.is_nan() { v } else { inside }
    }
}

/// Clips to two percentiles of the whole volume, and rescales what is between them.
///
/// The percentiles are those of all voxels of the op's input but NaN, whatever region or mask of the
/// result was asked for; [`percentiles`] finds them, in passes of their own. The result is float32,
/// or float64 for float64 and integers of 32 bits or more.
#[derive(Debug)]
pub struct Percentile {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    stretch: Stretch,
    /// The percentiles themselves; None: not found yet.
    found: Option<[f64; 2]>,
}

impl Percentile {
    /// `found` are the low and the high percentile; without them the op can be planned, not
    /// computed. They become `min` and `max`.
    ///
    /// # Errors
    /// Values that are not finite, or in the wrong order; an axis of `input` without voxels.
    pub fn new(input: VolumeInfo, found: Option<[f64; 2]>, min: f64, max: f64) -> Result<Self> {
        if let Some([low, high]) = found
            && !(low <= high && low.is_finite() && high.is_finite())
        {
            return Err(Error::argument(format!(
                "the percentiles are {low} and {high}; legal: finite, the low one first"
            )));
        }
        let output = VolumeInfo { dtype: crate::float_for(input.dtype), ..input.clone() };
        Ok(Self {
            needs: (0..input.ndim()).map(AxisNeed::identity).collect(),
            outputs: crate::output_port("percentile", output)?,
            inputs: crate::input_port("percentile", input)?,
            stretch: Stretch { min, max },
            found,
        })
    }
}

fn not_found(op: &str) -> Error {
    Error::argument(format!(
        "op {op}: the percentiles of the whole volume have not been found; legal: after the passes \
         that find them"
    ))
}

impl Op for Percentile {
    fn name(&self) -> &'static str {
        "percentile"
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

    fn keeps_constant(&self) -> bool {
        true
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        _: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument("percentile has one input and one output"));
        };
        let [low, high] = self.found.ok_or_else(|| not_found("percentile"))?;
        let stretch = self.stretch;
        dispatch!(block.view.dtype(), T => match out.dtype() {
            volchunk::Dtype::F32 => {
                let to = out.as_slice_mut::<f32>();
                pieces::<T>(&block.view, |at, from| {
                    for (to, v) in to[at..].iter_mut().zip(from) {
                        *to = stretch.apply(v.to_f64(), low, high) as f32;
                    }
                });
            }
            _ => {
                let to = out.as_slice_mut::<f64>();
                pieces::<T>(&block.view, |at, from| {
                    for (to, v) in to[at..].iter_mut().zip(from) {
                        *to = stretch.apply(v.to_f64(), low, high);
                    }
                });
            }
        });
        Ok(())
    }
}
