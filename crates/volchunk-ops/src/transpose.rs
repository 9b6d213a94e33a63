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
        outputs[0].view_mut().copy_from(&inputs[0].view.permuted(&self.order));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use volchunk::{Buffer, Dtype, VolumeInfo};

    use super::Transpose;
    use crate::testing::{boxes, chain, check_chunk, volumes, whole};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Voxel by voxel, and for any chunk.
        #[test]
        fn voxels_move(volume in volumes(1..=5), seed in any::<u64>(), corners in boxes()) {
            let info = VolumeInfo::new(volume.shape(), volume.dtype());
            let mut order: Vec<usize> = (0..info.ndim()).collect();
            (1..order.len()).for_each(|a| order.swap(a, (seed >> (8 * a)) as usize % (a + 1)));
            let names: Vec<_> = order.iter().map(|&a| info.axes[a].name.clone()).collect();
            let pipeline = chain(&[&format!("transpose:axes={}", names.concat())], info.clone());
            let out = whole(&pipeline, &volume);
            prop_assert_eq!(pipeline.output().axis_names(), names.concat());
            let size = volume.dtype().size();
            for (i, voxel) in out.bytes().chunks(size).enumerate() {
                let mut rest = i as u64;
                let mut from = vec![0; order.len()];
                for (a, &n) in order.iter().zip(out.shape()).rev() {
                    from[*a] = rest % n;
                    rest /= n;
                }
                let at = from.iter().zip(volume.shape()).fold(0, |at, (x, n)| at * n + x) as usize;
                prop_assert_eq!(voxel, &volume.bytes()[at * size..(at + 1) * size]);
            }
            check_chunk(&pipeline, &volume, &corners)?;
        }
    }

    #[test]
    fn long_names() {
        let mut info = VolumeInfo::new(&[2, 3], Dtype::U8);
        info.axes[0].name = "depth".into();
        let op = Transpose::by_names(info.clone(), "x,depth").unwrap();
        assert_eq!(&op.outputs[0].info.shape[..], [3, 2]);
        assert!(Transpose::by_names(info.clone(), "xdepth").is_err());
        assert!(Transpose::new(info, &[0, 0]).is_err());
        let one = VolumeInfo::new(&[2], Dtype::U8);
        let pipeline = chain(&["transpose:axes=x"], one);
        assert_eq!(whole(&pipeline, &Buffer::from_slice(&[2], &[1u8, 2])).as_slice::<u8>(), [1, 2]);
    }
}
