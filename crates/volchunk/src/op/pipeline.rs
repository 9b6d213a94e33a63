//! Ops behind one another: who feeds whom, and one region computed through all of them.

use std::ops::Range;

use super::{Block, Op};
use crate::{
    Dtype, Error, Region, Result, Scratch,
    geometry::Coords,
    volume::{AxisMap, Buffer, Source, View, ViewMut, VolumeInfo},
};

/// Where an input of a step comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A volume that the pipeline reads.
    Source(usize),
    /// An output of an earlier step.
    Step {
        /// Number of the step.
        step: usize,
        /// Number of its output.
        output: usize,
    },
}

/// An op and what feeds it.
#[derive(Debug)]
pub struct Step {
    /// The op.
    pub op: Box<dyn Op>,
    /// One for each input of the op.
    pub inputs: Vec<Input>,
}

/// Ops that feed one another; the last one's first output is the result.
///
/// Each op is given its own input, clipped to the volume and padded by that op's boundary at the
/// true edges. Padding is never computed through an op: that would differ from two passes over the
/// whole volume.
#[derive(Debug)]
pub struct Pipeline {
    sources: Vec<VolumeInfo>,
    steps: Vec<Step>,
}

/// Reads a region of one source.
pub(crate) trait Reader {
    /// The region without a copy, if that can be.
    fn borrow(&self, source: usize, region: &Region) -> Option<View<'_>>;
    /// Reads the region into `out`.
    fn read(
        &self,
        source: usize,
        region: &Region,
        out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()>;
}

impl Reader for [&dyn Source] {
    fn borrow(&self, source: usize, region: &Region) -> Option<View<'_>> {
        self[source].borrow(region)
    }

    fn read(
        &self,
        source: usize,
        region: &Region,
        out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self[source].read(region, out, scratch)
    }
}

impl Pipeline {
    /// A pipeline without steps, which reads `sources`.
    ///
    /// # Panics
    /// Without a source.
    pub fn new(sources: Vec<VolumeInfo>) -> Self {
        assert!(!sources.is_empty(), "a pipeline needs a source");
        Self { sources, steps: Vec::new() }
    }

    /// One source through `ops`, each feeding the next; without ops the source itself.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn chain(source: VolumeInfo, ops: impl IntoIterator<Item = Box<dyn Op>>) -> Result<Self> {
        let mut pipeline = Self::new(vec![source]);
        let mut last = Input::Source(0);
        for op in ops {
            last = pipeline.push(op, &[last])?;
        }
        Ok(pipeline)
    }

    /// Adds a step, and returns its first output.
    ///
    /// # Errors
    /// An input that does not exist, or whose shape or dtype is not what the op was bound to.
    pub fn push(&mut self, op: Box<dyn Op>, inputs: &[Input]) -> Result<Input> {
        if inputs.len() != op.inputs().len() {
            return Err(Error::argument(format!(
                "op {} has {} inputs, {} were given",
                op.name(),
                op.inputs().len(),
                inputs.len()
            )));
        }
        for (port, &input) in op.inputs().iter().zip(inputs) {
            if let Input::Step { step, .. } = input
                && let Some(before) = self.steps.get(step)
                && before.op.columns().is_some()
            {
                return Err(Error::argument(format!(
                    "op {} cannot follow op {}, which makes a table, not voxels; legal: {} as the \
                     last op",
                    op.name(),
                    before.op.name(),
                    before.op.name()
                )));
            }
            let info = self.info(input).ok_or_else(|| {
                Error::argument(format!("op {}: its input {input:?} does not exist", op.name()))
            })?;
            if info.shape != port.info.shape || info.dtype != port.info.dtype {
                return Err(Error::argument(format!(
                    "op {} was bound to {:?} {} at input '{}', but is given {:?} {}",
                    op.name(),
                    port.info.shape,
                    port.info.dtype,
                    port.name,
                    info.shape,
                    info.dtype
                )));
            }
        }
        self.steps.push(Step { op, inputs: inputs.to_vec() });
        Ok(Input::Step { step: self.steps.len() - 1, output: 0 })
    }

    fn info(&self, input: Input) -> Option<&VolumeInfo> {
        match input {
            Input::Source(i) => self.sources.get(i),
            Input::Step { step, output } => {
                self.steps.get(step)?.op.outputs().get(output).map(|p| &p.info)
            }
        }
    }

    /// The volumes that are read.
    pub fn sources(&self) -> &[VolumeInfo] {
        &self.sources
    }

    /// The steps, each behind those that feed it.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Where the result stands.
    pub fn result(&self) -> Input {
        match self.steps.len() {
            0 => Input::Source(0),
            n => Input::Step { step: n - 1, output: 0 },
        }
    }

    /// Shape, dtype and axes of the result.
    pub fn output(&self) -> &VolumeInfo {
        match self.steps.last() {
            Some(step) => &step.op.outputs()[0].info,
            None => &self.sources[0],
        }
    }

    /// Columns of the table that the pipeline makes in place of voxels; None, and it makes voxels.
    pub fn columns(&self) -> Option<u64> {
        self.steps.last()?.op.columns()
    }

    /// Computes `region` of the result from `sources`: its voxels, or its table
    /// ([`Op::columns`](super::Op::columns)).
    ///
    /// # Errors
    /// What a source or an op reports.
    pub fn compute(
        &self,
        sources: &[&dyn Source],
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<Buffer> {
        self.compute_from(sources, region, scratch)
    }

    pub(crate) fn compute_from<R: Reader + ?Sized>(
        &self,
        reader: &R,
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<Buffer> {
        self.evaluate(self.result(), reader, region, scratch)
    }

    fn evaluate<R: Reader + ?Sized>(
        &self,
        what: Input,
        reader: &R,
        region: &Region,
        scratch: &mut Scratch,
    ) -> Result<Buffer> {
        let (step, output) = match what {
            Input::Source(i) => {
                let mut buffer = scratch.take(region.shape(), self.sources[i].dtype);
                reader.read(i, region, buffer.view_mut(), scratch)?;
                return Ok(buffer);
            }
            Input::Step { step, output } => (&self.steps[step], output),
        };
        let op = &*step.op;
        let mut held: Vec<Option<Buffer>> = Vec::with_capacity(step.inputs.len());
        let mut shapes = Vec::with_capacity(step.inputs.len());
        for (i, &input) in step.inputs.iter().enumerate() {
            let wanted = Wanted::new(op, i, region);
            held.push(match (input, wanted.single()) {
                (Input::Source(s), Some(r)) if reader.borrow(s, &r).is_some() => None,
                (_, Some(r)) => Some(self.evaluate(input, reader, &r, scratch)?),
                (_, None) => Some(self.gather(input, reader, &wanted, scratch)?),
            });
            shapes.push(wanted);
        }
        let blocks: Vec<Block<'_>> = step
            .inputs
            .iter()
            .zip(&held)
            .zip(shapes)
            .map(|((&input, buffer), wanted)| {
                let view = match (buffer, input, wanted.single()) {
                    (Some(buffer), _, _) => Some(buffer.view()),
                    (None, Input::Source(s), Some(r)) => reader.borrow(s, &r),
                    _ => None,
                };
                view.map(|view| wanted.block(view))
                    .ok_or_else(|| Error::data("a source lent a region once, then refused it"))
            })
            .collect::<Result<_>>()?;
        let mut outputs: Vec<Buffer> = match op.columns() {
            Some(columns) => vec![Buffer::zeros(&[0, columns], Dtype::F64)],
            None => {
                op.outputs().iter().map(|p| scratch.take(region.shape(), p.info.dtype)).collect()
            }
        };
        op.compute(&blocks, region, &mut outputs, scratch)?;
        drop(blocks);
        held.into_iter().flatten().for_each(|b| scratch.give(b));
        let result = outputs.swap_remove(output);
        outputs.into_iter().for_each(|b| scratch.give(b));
        Ok(result)
    }

    /// Evaluates the several parts of a wrapped region and lays them side by side.
    fn gather<R: Reader + ?Sized>(
        &self,
        input: Input,
        reader: &R,
        wanted: &Wanted,
        scratch: &mut Scratch,
    ) -> Result<Buffer> {
        let dtype = self.info(input).map_or(Dtype::U8, |i| i.dtype);
        let mut all = scratch.take(&wanted.shape(), dtype);
        for (part, place) in wanted.parts() {
            let buffer = self.evaluate(input, reader, &part, scratch)?;
            all.view_mut().part_mut(&place).copy_from(&buffer.view());
            scratch.give(buffer);
        }
        Ok(all)
    }
}

/// What one evaluation of an op wants of one input.
struct Wanted {
    extents: Vec<Range<i64>>,
    /// Per axis, the voxels read: one range, or two under wrap.
    ranges: Vec<Vec<Range<u64>>>,
    boundaries: Vec<crate::Boundary>,
    lengths: Coords,
}

impl Wanted {
    fn new(op: &dyn Op, input: usize, region: &Region) -> Self {
        let lengths = op.inputs()[input].info.shape.clone();
        let needs = op.needs(input);
        let extents: Vec<_> = needs
            .iter()
            .zip(&lengths)
            .map(|(need, &n)| need.extent(need.output_axis.map_or(0..0, |a| region.range(a)), n))
            .collect();
        let ranges = needs
            .iter()
            .zip(&extents)
            .zip(&lengths)
            .map(|((need, extent), &n)| need.ranges(extent, n))
            .collect();
        Self { extents, ranges, boundaries: needs.iter().map(|n| n.boundary).collect(), lengths }
    }

    /// The region, if it is one.
    fn single(&self) -> Option<Region> {
        self.ranges
            .iter()
            .all(|r| r.len() == 1)
            .then(|| Region::from_ranges(self.ranges.iter().map(|r| r[0].clone())))
    }

    fn shape(&self) -> Coords {
        self.ranges.iter().map(|r| r.iter().map(|r| r.end - r.start).sum::<u64>()).collect()
    }

    /// Every part: its region in the volume, its place in the block.
    fn parts(&self) -> Vec<(Region, Region)> {
        let mut parts = vec![(Vec::new(), Vec::new())];
        for ranges in &self.ranges {
            let mut at = 0;
            let mut next = Vec::new();
            for r in ranges {
                let len = r.end - r.start;
                for (part, place) in &parts {
                    let (mut part, mut place): (Vec<_>, Vec<_>) = (part.clone(), place.clone());
                    part.push(r.clone());
                    place.push(at..at + len);
                    next.push((part, place));
                }
                at += len;
            }
            parts = next;
        }
        parts
            .into_iter()
            .map(|(part, place)| (Region::from_ranges(part), Region::from_ranges(place)))
            .collect()
    }

    fn block<'a>(&self, view: View<'a>) -> Block<'a> {
        let axes = (0..self.ranges.len())
            .map(|a| {
                let extent = &self.extents[a];
                AxisMap::new(
                    self.boundaries[a],
                    extent.start,
                    extent.end,
                    self.lengths[a],
                    &self.ranges[a],
                )
            })
            .collect();
        Block { view, axes, boundaries: self.boundaries.clone() }
    }
}
