//! An op that is made of ops.

use std::ops::Range;

use volchunk::{
    AxisNeed, Block, Buffer, Error, Input, Op, Pipeline, Port, Region, Result, Scratch, Source,
    View, ViewMut, VolumeInfo,
};

/// A pipeline of one source as one op, for results that ops make together: the source's voxels are
/// read, or computed, once, however many of the ops look at them. Each op pads its own input at the
/// true edges, as in any pipeline.
///
/// The ops' inputs are addressed by the same axes as their outputs, one to one.
#[derive(Debug)]
pub(crate) struct Composite {
    name: &'static str,
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    pipeline: Pipeline,
}

impl Composite {
    pub(crate) fn new(name: &'static str, pipeline: Pipeline) -> Result<Self> {
        let input = pipeline.sources()[0].clone();
        let mut needs: Vec<AxisNeed> = (0..input.ndim()).map(AxisNeed::identity).collect();
        reach(&pipeline, pipeline.result(), &vec![(0, 0); input.ndim()], &mut needs);
        Ok(Self {
            name,
            outputs: crate::output_port(name, pipeline.output().clone())?,
            inputs: crate::input_port(name, input)?,
            needs,
            pipeline,
        })
    }

    /// Bytes that computing `shape` of `what` takes, and those of its result.
    fn bytes(&self, what: Input, shape: &[u64]) -> (u64, u64) {
        let Input::Step { step, output } = what else { return (0, 0) };
        let step = &self.pipeline.steps()[step];
        let (mut held, mut most) = (0u64, 0u64);
        for (k, &input) in step.inputs.iter().enumerate() {
            let wider: Vec<u64> = step.op.needs(k).iter().zip(shape).map(wider).collect();
            let (peak, result) = self.bytes(input, &wider);
            // Where each position lies, as the plan counts it.
            held = held.saturating_add(wider.iter().sum::<u64>() * 32);
            most = most.max(held.saturating_add(peak));
            held = held.saturating_add(result);
        }
        let size = |port: &Port| {
            let bytes = shape.iter().fold(1, |b: u64, &n| b.saturating_mul(n));
            bytes.saturating_mul(port.info.dtype.size() as u64).saturating_add(8)
        };
        let outputs = step.op.outputs().iter().map(size).fold(0, u64::saturating_add);
        let now = held.saturating_add(outputs).saturating_add(step.op.scratch_bytes(shape));
        (most.max(now), size(&step.op.outputs()[output]))
    }
}

/// A length with the halo around it.
fn wider((need, &n): (&AxisNeed, &u64)) -> u64 {
    n.saturating_add(need.halo.0).saturating_add(need.halo.1)
}

/// Widens `needs` by what `what` reads of the source for a voxel, `beyond` being what of `what` is
/// needed before and behind it.
fn reach(pipeline: &Pipeline, what: Input, beyond: &[(u64, u64)], needs: &mut [AxisNeed]) {
    let Input::Step { step, .. } = what else {
        for (need, beyond) in needs.iter_mut().zip(beyond) {
            need.halo = (need.halo.0.max(beyond.0), need.halo.1.max(beyond.1));
        }
        return;
    };
    let step = &pipeline.steps()[step];
    for (k, &input) in step.inputs.iter().enumerate() {
        let mut further = Vec::with_capacity(beyond.len());
        for ((own, beyond), need) in step.op.needs(k).iter().zip(beyond).zip(&mut *needs) {
            further.push((beyond.0 + own.halo.0, beyond.1 + own.halo.1));
            if own.halo != (0, 0) {
                need.boundary = own.boundary;
            }
        }
        reach(pipeline, input, &further, needs);
    }
}

/// The voxels of a block, by their place in the volume.
struct Held<'a> {
    info: &'a VolumeInfo,
    view: &'a View<'a>,
    /// Per axis, the ranges of the volume that the block holds, one behind the other.
    ranges: Vec<Vec<Range<u64>>>,
}

impl Source for Held<'_> {
    fn info(&self) -> &VolumeInfo {
        self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        let view = self.borrow(region).ok_or_else(|| {
            Error::argument(format!("an op read {region}, beyond what it had declared"))
        })?;
        out.copy_from(&view);
        Ok(())
    }

    fn borrow(&self, region: &Region) -> Option<View<'_>> {
        let place = |(wanted, held): (Range<u64>, &Vec<Range<u64>>)| {
            let mut before = 0;
            for r in held {
                if r.start <= wanted.start && wanted.end <= r.end {
                    let at = before + wanted.start - r.start;
                    return Some(at..at + (wanted.end - wanted.start));
                }
                before += r.end - r.start;
            }
            None
        };
        let places: Option<Vec<_>> = region.ranges().zip(&self.ranges).map(place).collect();
        Some(self.view.part(&Region::from_ranges(places?)))
    }
}

impl Op for Composite {
    fn name(&self) -> &'static str {
        self.name
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
        self.bytes(self.pipeline.result(), shape).0
    }

    fn keeps_constant(&self) -> bool {
        self.pipeline.steps().iter().all(|step| step.op.keeps_constant())
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument(format!("{} has one input and one output", self.name)));
        };
        if region.is_empty() {
            return Ok(());
        }
        let info = &self.inputs[0].info;
        let ranges = self.needs.iter().zip(region.ranges()).zip(&info.shape);
        let ranges = ranges.map(|((need, r), &n)| need.ranges(&need.extent(r, n), n)).collect();
        let held = Held { info, view: &block.view, ranges };
        let result = self.pipeline.compute(&[&held], region, scratch)?;
        scratch.give(std::mem::replace(out, result));
        Ok(())
    }
}
