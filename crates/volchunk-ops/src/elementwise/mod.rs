//! Ops whose voxel depends on the same voxel of the input alone.

mod arithmetic;
mod cast;
mod clip;
mod threshold;

use std::fmt::Debug;

pub(crate) use arithmetic::float_for;
pub use arithmetic::{Multiply, Subtract};
pub use cast::Cast;
pub use clip::Clip;
pub use threshold::Threshold;
use volchunk::{
    AxisNeed, Block, Buffer, Dtype, Element, Op, Port, Region, Result, Scratch, VolumeInfo,
    dispatch,
};

use crate::rows::pieces;

/// What an elementwise op does to a voxel.
pub trait Kernel: Send + Sync + Debug {
    /// The name users call the op by.
    const NAME: &'static str;

    /// Dtype of the result for voxels of `input`.
    fn output(&self, input: Dtype) -> Dtype;

    /// Computes `to`, native bytes of as many voxels of [`output`](Self::output) as `from` holds,
    /// aligned for them. Implementations are inlined into code for the machine's vector unit.
    fn apply<T: Element>(&self, from: &[T], to: &mut [u8]);
}

/// A [`Kernel`] bound to a volume; shape and axes stay.
#[derive(Debug)]
pub struct Elementwise<K> {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    kernel: K,
}

impl<K: Kernel> Elementwise<K> {
    /// `kernel` on every voxel of `input`.
    ///
    /// # Errors
    /// An axis without voxels; an output that no computer could address.
    pub fn new(input: VolumeInfo, kernel: K) -> Result<Self> {
        let output = VolumeInfo { dtype: kernel.output(input.dtype), ..input.clone() };
        Ok(Self {
            needs: (0..input.ndim()).map(AxisNeed::identity).collect(),
            inputs: crate::input_port(K::NAME, input)?,
            outputs: crate::output_port(K::NAME, output)?,
            kernel,
        })
    }
}

impl<K: Kernel> Op for Elementwise<K> {
    fn name(&self) -> &'static str {
        K::NAME
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
        let size = outputs[0].dtype().size();
        let to = outputs[0].bytes_mut();
        let arch = pulp::Arch::new();
        dispatch!(inputs[0].view.dtype(), T => pieces::<T>(&inputs[0].view, |at, from| {
            let to = &mut to[at * size..(at + from.len()) * size];
            arch.dispatch(
                #[inline(always)]
                || self.kernel.apply(from, to),
            );
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
