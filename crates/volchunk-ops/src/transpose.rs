//! Axes in another order.

use volchunk::{AxisNeed, Block, Buffer, Error, Op, Port, Region, Result, Scratch, VolumeInfo};

/// The same voxels with the axes in another order.
#[derive(Debug)]
pub struct Transpose {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    order: Vec<usize>,
}

impl Transpose {
    /// Axis `a` of the output is axis `order[a]` of `input`.
    ///
    /// # Errors
    /// `order` is not a permutation of the axes.
    pub fn new(input: VolumeInfo, order: &[usize]) -> Result<Self> {
        // needs[a] is driven by the output axis that shows input axis a.
        let shown: Vec<_> = (0..input.ndim()).map(|a| order.iter().position(|&o| o == a)).collect();
        if order.len() != input.ndim() || shown.contains(&None) {
            return Err(Error::argument(format!(
                "transpose: {order:?} is not an order of the {} axes; legal: each of 0..{} once",
                input.ndim(),
                input.ndim()
            )));
        }
        let output = VolumeInfo {
            shape: order.iter().map(|&a| input.shape[a]).collect(),
            axes: order.iter().map(|&a| input.axes[a].clone()).collect(),
            ..input.clone()
        };
        Ok(Self {
            inputs: crate::input_port("transpose", input)?,
            outputs: crate::output_port("transpose", output)?,
            needs: shown.into_iter().flatten().map(AxisNeed::identity).collect(),
            order: order.to_vec(),
        })
    }

    /// By the names of all axes in their new order: `xyz`, or `x,y,z` for any names.
    ///
    /// # Errors
    /// A name that is not an axis of `input`, a name missing or given twice.
    pub fn by_names(input: VolumeInfo, names: &str) -> Result<Self> {
        let wanted: Vec<String> = if names.contains(',') || input.ndim() == 1 {
            names.split(',').map(str::to_owned).collect()
        } else {
            names.chars().map(String::from).collect()
        };
        let order: Vec<_> =
            wanted.iter().filter_map(|n| input.axes.iter().position(|a| a.name == *n)).collect();
        let mut once = order.clone();
        once.sort_unstable();
        once.dedup();
        if wanted.len() != input.ndim() || once.len() != input.ndim() {
            return Err(Error::argument(format!(
                "axes is '{names}'; legal: each axis of '{}' once, in any order",
                input.axis_names()
            )));
        }
        Self::new(input, &order)
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
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

    fn compute(
        &self,
        inputs: &[Block<'_>],
        _: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        outputs[0].view_mut().copy_from(&inputs[0].view.permuted(&self.order));
        Ok(())
    }
}
