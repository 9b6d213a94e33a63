//! Chunks that read nothing but one value, whose result is known without running the ops on them.
//!
//! That is exact where every op gives equal voxels for equal voxels
//! ([`Op::keeps_constant`](crate::Op::keeps_constant)) and none sees a boundary's constant. The
//! pipeline itself then tells the value: it is run on one voxel of the first such chunk, in a volume
//! that is the value everywhere. What an op makes of a constant need not be that constant: a
//! filter's weights may not sum to 1, and a sum is rounded.

use std::sync::OnceLock;

use super::{
    footprint::Visit,
    mask::{check_voxel, filled},
};
use crate::{
    Boundary, Buffer, ChunkGrid, Dtype, Element, Error, Input, Pipeline, Region, Result, Scratch,
    Source, View, ViewMut, dispatch, op::Reader,
};

/// What a run needs to know of empty chunks.
pub(super) struct Empty<'a> {
    pipeline: &'a Pipeline,
    sources: &'a [&'a dyn Source],
    visits: &'a [Visit],
    /// One voxel of the source.
    value: &'a Buffer,
    /// Per grid axis and index: whether chunks there see a boundary's constant.
    padded: Vec<Vec<bool>>,
    /// Whether anything can be known at all.
    exact: bool,
    /// The voxel that the pipeline makes of the value; None inside where it may not stand for others.
    result: OnceLock<Option<Buffer>>,
}

/// What became of a chunk.
pub(super) enum Found {
    /// It read nothing but the value; its result.
    Empty(Buffer),
    /// Something else; what was read of it so far.
    Something(Vec<Kept>),
}

/// A region that was read to look at it.
pub(super) struct Kept {
    source: usize,
    region: Region,
    voxels: Buffer,
}

impl<'a> Empty<'a> {
    /// `value` is one voxel of the one source.
    ///
    /// # Errors
    /// Several sources; a value of another dtype, or NaN.
    pub(super) fn new(
        pipeline: &'a Pipeline,
        sources: &'a [&'a dyn Source],
        grid: &ChunkGrid,
        visits: &'a [Visit],
        value: &'a Buffer,
    ) -> Result<Self> {
        let [source] = pipeline.sources() else {
            return Err(Error::unsupported(format!(
                "empty chunks can be told of one source; the pipeline reads {}",
                pipeline.sources().len()
            )));
        };
        check_voxel(value, source.dtype, "the value of empty chunks")?;
        if is_nan(value) {
            return Err(Error::argument(
                "the value of empty chunks is NaN, which equals nothing; legal: a number",
            ));
        }
        let padded = padded(pipeline, grid, visits);
        let exact = pipeline.steps().iter().all(|step| step.op.keeps_constant());
        Ok(Self { pipeline, sources, visits, value, padded, exact, result: OnceLock::new() })
    }

    /// Looks at what the chunk at `index` reads, through `reader`, as long as it is empty.
    pub(super) fn look<R: Reader>(
        &self,
        reader: &R,
        index: &[u64],
        core: &Region,
        scratch: &mut Scratch,
    ) -> Result<Found> {
        let mut kept = Vec::new();
        let padded = self.padded.iter().zip(index).any(|(axis, &i)| axis[i as usize]);
        if !self.exact || padded {
            return Ok(Found::Something(kept));
        }
        let reads = self.visits.iter().filter_map(|visit| match visit.node {
            Input::Source(source) => Some((source, &visit.footprint)),
            Input::Step { .. } => None,
        });
        for (source, footprint) in reads {
            for region in footprint.regions(index) {
                if let Some(view) = self.sources[source].borrow(&region) {
                    if !is_all(&view, self.value) {
                        return Ok(Found::Something(kept));
                    }
                    continue;
                }
                let mut voxels = scratch.take(region.shape(), self.value.dtype());
                reader.read(source, &region, voxels.view_mut(), scratch)?;
                let empty = is_all(&voxels.view(), self.value);
                kept.push(Kept { source, region, voxels });
                if !empty {
                    return Ok(Found::Something(kept));
                }
            }
        }
        let Some(voxel) = self.result(core, scratch)? else {
            return Ok(Found::Something(kept));
        };
        kept.into_iter().for_each(|k| scratch.give(k.voxels));
        Ok(Found::Empty(match self.pipeline.columns() {
            // Without rows, or it would not be known.
            Some(columns) => Buffer::zeros(&[0, columns], Dtype::F64),
            None => filled(voxel, core.shape(), scratch),
        }))
    }

    /// The result's voxel, computed at the first of `core`, about which all is the value.
    fn result(&self, core: &Region, scratch: &mut Scratch) -> Result<Option<&Buffer>> {
        if let Some(known) = self.result.get() {
            return Ok(known.as_ref());
        }
        let ones = vec![1; core.ndim()];
        let reader = Constant(self.value);
        let place = Region::new(core.start(), &ones);
        let voxel = self.pipeline.compute_from(&reader, &place, scratch)?;
        if self.pipeline.columns().is_some() {
            let known = (voxel.shape()[0] == 0).then_some(voxel);
            return Ok(self.result.get_or_init(|| known).as_ref());
        }
        // Not the worker's: it outlives the chunk.
        let mut own = Buffer::zeros(&ones, voxel.dtype());
        own.bytes_mut().copy_from_slice(voxel.bytes());
        scratch.give(voxel);
        // Of a NaN only that it is one is the same everywhere.
        let own = (!is_nan(&own)).then_some(own);
        Ok(self.result.get_or_init(|| own).as_ref())
    }
}

/// Per grid axis and index, whether some op sees a boundary's constant there.
fn padded(pipeline: &Pipeline, grid: &ChunkGrid, visits: &[Visit]) -> Vec<Vec<bool>> {
    let mut padded: Vec<Vec<bool>> =
        grid.counts().iter().map(|&n| vec![false; n as usize]).collect();
    for visit in visits {
        let Input::Step { step, .. } = visit.node else { continue };
        let op = &pipeline.steps()[step].op;
        for (i, port) in op.inputs().iter().enumerate() {
            for (need, &n) in op.needs(i).iter().zip(&port.info.shape) {
                let (Boundary::Constant(_), Some(out)) = (need.boundary, need.output_axis) else {
                    continue;
                };
                let axis = &visit.footprint.axes[out];
                for (k, ranges) in axis.ranges.iter().enumerate() {
                    let beyond = ranges.iter().any(|r| {
                        let extent = need.extent(r.clone(), n);
                        extent.start < 0 || extent.end > n as i64
                    });
                    match axis.driver {
                        _ if !beyond => {}
                        Some(driver) => padded[driver][k] = true,
                        // Every chunk reads the same.
                        None => padded.iter_mut().for_each(|axis| axis.fill(true)),
                    }
                }
            }
        }
    }
    padded
}

fn is_nan(voxel: &Buffer) -> bool {
    dispatch!(voxel.dtype(), T => voxel.as_slice::<T>()[0].to_f64().is_nan())
}

/// Whether every voxel of `view` has the bits of `value`: zeros of either sign are two values.
fn is_all(view: &View<'_>, value: &Buffer) -> bool {
    let bytes = value.bytes();
    match view.dtype().size() {
        1 => is_all_of::<u8>(view, bytes),
        2 => is_all_of::<u16>(view, bytes),
        4 => is_all_of::<u32>(view, bytes),
        _ => is_all_of::<u64>(view, bytes),
    }
}

fn is_all_of<W: bytemuck::Pod + PartialEq>(view: &View<'_>, value: &[u8]) -> bool {
    let value: W = bytemuck::pod_read_unaligned(value);
    let size = size_of::<W>();
    // In pieces: no branch within, an early end between.
    if let Some(Ok(voxels)) = view.as_contiguous().map(bytemuck::try_cast_slice::<u8, W>) {
        return voxels.chunks(1 << 12).all(|p| p.iter().fold(true, |all, v| all & (*v == value)));
    }
    let Some((&n, outer)) = view.shape().split_first() else {
        return bytemuck::pod_read_unaligned::<W>(&view.data()[..size]) == value;
    };
    let stride = view.strides()[0];
    (0..n).all(|i| {
        let data = &view.data()[(i * stride) as usize..];
        is_all_of::<W>(
            &View::strided(outer, &view.strides()[1..], view.dtype(), data),
            bytemuck::bytes_of(&value),
        )
    })
}

/// A volume that is one value everywhere.
struct Constant<'a>(&'a Buffer);

impl Reader for Constant<'_> {
    fn borrow(&self, _: usize, _: &Region) -> Option<View<'_>> {
        None
    }

    fn read(&self, _: usize, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        // Strides of 0: one voxel seen everywhere.
        let strides = vec![0; region.ndim()];
        let (dtype, voxel) = (self.0.dtype(), self.0.bytes());
        out.copy_from(&View::strided(region.shape(), &strides, dtype, voxel));
        Ok(())
    }
}

/// A reader that has some regions at hand.
pub(super) struct AtHand<'a, R> {
    pub(super) kept: &'a [Kept],
    pub(super) reader: &'a R,
}

impl<R> AtHand<'_, R> {
    fn find(&self, source: usize, region: &Region) -> Option<View<'_>> {
        let kept = self.kept.iter().find(|k| k.source == source && k.region == *region)?;
        Some(kept.voxels.view())
    }
}

impl<R: Reader> Reader for AtHand<'_, R> {
    fn borrow(&self, source: usize, region: &Region) -> Option<View<'_>> {
        self.find(source, region).or_else(|| self.reader.borrow(source, region))
    }

    fn read(
        &self,
        source: usize,
        region: &Region,
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        match self.find(source, region) {
            Some(view) => out.copy_from(&view),
            None => return self.reader.read(source, region, out, scratch),
        }
        Ok(())
    }
}

impl Kept {
    pub(super) fn give_back(self, scratch: &mut Scratch) {
        scratch.give(self.voxels);
    }
}
