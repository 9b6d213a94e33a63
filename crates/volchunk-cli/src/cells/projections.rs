//! Maximum projections, gathered while a run hands over its chunks.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use volchunk::{
    Control, Dtype, Element, Pipeline, PlanRequest, Region, Result, Scratch, Sink, Source,
    StorageRequest, View, VolumeInfo, dispatch, plan,
};

use super::frame::Frame;
use crate::config::Limits;

/// The largest voxel of each block of a panel, rows from the top; -∞ where there was none.
pub(crate) type Image = Vec<f32>;

/// A sink that keeps the largest voxel along each axis of its frame. NaN counts as nothing.
///
/// Its memory is that of the frame's blocks, whatever the volume. The result does not depend on the
/// order in which chunks come.
pub(crate) struct Projections<'a> {
    info: VolumeInfo,
    frame: &'a Frame,
    images: Vec<Mutex<Image>>,
}

impl<'a> Projections<'a> {
    /// For the voxels of `info`, which are those of the domain that `frame` was made for, or a
    /// channel of them.
    pub(crate) fn new(info: VolumeInfo, frame: &'a Frame) -> Self {
        let blank = |k: usize| Mutex::new(vec![f32::NEG_INFINITY; blocks(frame, k)]);
        Self { info, frame, images: (0..frame.panels.len()).map(blank).collect() }
    }

    /// One image for each panel of the frame.
    pub(crate) fn images(self) -> Vec<Image> {
        let images = self.images.into_iter();
        images.map(|i| i.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

fn blocks(frame: &Frame, panel: usize) -> usize {
    let panel = frame.panels[panel];
    frame.axes[panel.down].blocks * frame.axes[panel.across].blocks
}

/// Bytes that the images of a frame take.
pub(crate) fn image_bytes(frame: &Frame) -> u64 {
    (0..frame.panels.len()).map(|k| 4 * blocks(frame, k) as u64).sum()
}

/// Projects `domain` of `source`, in chunks on the engine, under its memory cap, of which the caller
/// holds `held` bytes; of a volume with
/// channels the one that is given.
///
/// # Errors
/// A cap that is too small; reading; a request to stop.
pub(crate) fn project(
    source: &dyn Source,
    domain: &Region,
    channel: Option<(usize, u64)>,
    (frame, held): (&Frame, u64),
    limits: Limits,
    cancel: &AtomicBool,
) -> Result<Vec<Image>> {
    let pipeline = Pipeline::new(vec![source.info().clone()]);
    let roi = match channel {
        Some((axis, channel)) => domain.with_range(axis, channel..channel + 1),
        None => domain.clone(),
    };
    let plan = plan(&PlanRequest {
        pipeline: &pipeline,
        roi: Some(roi),
        chunk: None,
        storage: StorageRequest::Flat,
        workers: limits.workers,
        memory: limits.memory,
        held,
        read_overhead: source.read_overhead(),
        write_overhead: &|info| Ok(write_overhead(info, frame)),
        mask: None,
        skip_empty: false,
    })?;
    let sink = Projections::new(plan.output.clone(), frame);
    volchunk::run(&plan, &pipeline, &[source], &sink, Control { cancel, ..Control::default() })?;
    if cancel.load(Ordering::Relaxed) {
        return Err(volchunk::Error::new(volchunk::ErrorKind::Cancelled, "stopped"));
    }
    Ok(sink.images())
}

/// Voxels that are looked at in one go, or one row where that is longer.
const SLAB: u64 = 1 << 16;

/// The images of a chunk, and a slab of its voxels as they are and as f32.
fn write_overhead(info: &VolumeInfo, frame: &Frame) -> u64 {
    let row = info.shape.iter().copied().max().unwrap_or(1);
    image_bytes(frame).saturating_add(12 * row.max(SLAB))
}

/// Blocks of an axis that a chunk touches.
struct Tile {
    /// First block, and blocks.
    first: usize,
    blocks: usize,
    /// First voxel of the chunk, counted from the start of the first block.
    lead: u64,
    /// Voxels of a block.
    step: u64,
}

impl Tile {
    fn block(&self, voxel: u64) -> usize {
        ((self.lead + voxel) / self.step) as usize
    }
}

impl Sink for Projections<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        // The frame's axes behind the others, in its order.
        let shown: Vec<Option<usize>> =
            self.frame.axes.iter().map(|s| s.axis.map(|(a, _)| a)).collect();
        let mut order: Vec<usize> =
            (0..region.ndim()).filter(|&a| !shown.contains(&Some(a))).collect();
        order.extend(shown.iter().flatten());
        let view = data.permuted(&order);
        let tiles: Vec<Tile> = self
            .frame
            .axes
            .iter()
            .zip(&shown)
            .map(|(s, axis)| {
                let (start, voxels) =
                    axis.map_or((0, 1), |a| (region.start()[a], region.shape()[a]));
                let (first, lead) = ((start / s.step) as usize, start % s.step);
                let blocks = (lead + voxels).div_ceil(s.step) as usize;
                Tile { first, blocks, lead, step: s.step }
            })
            .collect();
        let mut parts: Vec<Image> = self
            .frame
            .panels
            .iter()
            .map(|p| vec![f32::NEG_INFINITY; tiles[p.down].blocks * tiles[p.across].blocks])
            .collect();
        fold(&view, &tiles, self.frame, &mut parts, scratch);
        for ((panel, image), part) in self.frame.panels.iter().zip(&self.images).zip(parts) {
            let (down, across) = (&tiles[panel.down], &tiles[panel.across]);
            let width = self.frame.axes[panel.across].blocks;
            let mut image = image.lock().unwrap_or_else(PoisonError::into_inner);
            for (row, values) in part.chunks(across.blocks).enumerate() {
                let at = (down.first + row) * width + across.first;
                image[at..at + across.blocks]
                    .iter_mut()
                    .zip(values)
                    .for_each(|(m, &v)| raise(m, v));
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }

    fn write_overhead(&self) -> u64 {
        write_overhead(&self.info, self.frame)
    }
}

/// Raises `most` to `value`, unless that is NaN.
fn raise(most: &mut f32, value: f32) {
    if value > *most {
        *most = value;
    }
}

/// Projects a chunk whose last axes are those of the frame.
fn fold(
    view: &View<'_>,
    tiles: &[Tile],
    frame: &Frame,
    parts: &mut [Image],
    scratch: &mut Scratch,
) {
    let ndim = view.shape().len();
    let shown = frame.axes.iter().filter(|s| s.axis.is_some()).count();
    let width = view.shape()[ndim - 1];
    // A volume of one axis is a row of its own.
    let height = if shown > 1 { view.shape()[ndim - 2] } else { 1 };
    let layers = if shown > 2 { view.shape()[ndim - 3] } else { 1 };
    let others: Vec<u64> = view.shape()[..ndim - shown].to_vec();
    let rows = (SLAB / width).clamp(1, height);
    let mut place = vec![0; ndim];
    let mut extent = vec![1; ndim];
    extent[ndim - 1] = width;
    for other in 0..others.iter().product::<u64>() {
        let mut rest = other;
        for (slot, &n) in place.iter_mut().zip(&others).rev() {
            (*slot, rest) = (rest % n, rest / n);
        }
        for layer in 0..layers {
            if shown > 2 {
                place[ndim - 3] = layer;
            }
            for top in (0..height).step_by(rows as usize) {
                let count = rows.min(height - top);
                if shown > 1 {
                    (place[ndim - 2], extent[ndim - 2]) = (top, count);
                }
                let mut slab = scratch.take(&[count, width], view.dtype());
                let mut flat = scratch.take(&[count, width], Dtype::F32);
                let part = view.part(&Region::new(&place, &extent));
                let mut shape = volchunk::Coords::from_elem(1, ndim);
                shape.copy_from_slice(&extent);
                volchunk::ViewMut::contiguous(&shape, view.dtype(), slab.bytes_mut())
                    .copy_from(&part);
                dispatch!(slab.dtype(), T => {
                    let pairs = flat.as_slice_mut::<f32>().iter_mut().zip(slab.as_slice::<T>());
                    pairs.for_each(|(to, from)| *to = from.to_f64() as f32);
                });
                for (row, line) in flat.as_slice::<f32>().chunks(width as usize).enumerate() {
                    project_row([layer, top + row as u64], line, tiles, frame, parts);
                }
                scratch.give(slab);
                scratch.give(flat);
            }
        }
    }
}

/// Projects one row of voxels, at `[layer, row]` of the chunk.
fn project_row(
    [layer, row]: [u64; 2],
    line: &[f32],
    tiles: &[Tile],
    frame: &Frame,
    parts: &mut [Image],
) {
    let last = tiles.len() - 1;
    let block = |axis: usize| match last - axis {
        1 => tiles[axis].block(row),
        _ => tiles[axis].block(layer),
    };
    for (panel, part) in frame.panels.iter().zip(parts) {
        if panel.across == last {
            let tile = &tiles[last];
            let image = &mut part[block(panel.down) * tile.blocks..][..tile.blocks];
            if tile.step == 1 {
                image.iter_mut().zip(line).for_each(|(most, &v)| raise(most, v));
            } else {
                for (voxel, &v) in line.iter().enumerate() {
                    raise(&mut image[tile.block(voxel as u64)], v);
                }
            }
        } else {
            let most =
                line.iter().fold(f32::NEG_INFINITY, |most, &v| if v > most { v } else { most });
            let width = tiles[panel.across].blocks;
            raise(&mut part[block(panel.down) * width + block(panel.across)], most);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use volchunk::{Axis, Buffer, ChunkGrid};

    use super::*;

    /// Every voxel to every panel, one by one.
    fn slowly(whole: &Buffer, frame: &Frame) -> Vec<Image> {
        let mut images: Vec<Image> =
            (0..frame.panels.len()).map(|k| vec![f32::NEG_INFINITY; blocks(frame, k)]).collect();
        let grid = ChunkGrid::new(whole.shape(), &vec![1; whole.shape().len()]).unwrap();
        for (voxel, value) in grid.iter().zip(whole.as_slice::<f32>()) {
            let at = |axis: usize| {
                let shown = &frame.axes[axis];
                shown.axis.map_or(0, |(a, _)| (voxel.index[a] / shown.step) as usize)
            };
            for (panel, image) in frame.panels.iter().zip(&mut images) {
                let to =
                    &mut image[at(panel.down) * frame.axes[panel.across].blocks + at(panel.across)];
                if !value.is_nan() {
                    *to = to.max(*value);
                }
            }
        }
        images
    }

    proptest! {
        #[test]
        fn any_grid_in_any_order_gives_the_projections_of_the_whole(
            (names, shape) in (1..=5usize).prop_flat_map(|n| (
                Just(["t", "c", "z", "y", "x"]).prop_shuffle().prop_map(move |v| v[..n].to_vec()),
                prop::collection::vec(1..9u64, n),
            )),
            chunk in prop::collection::vec(1..9u64, 5),
            step in 1..4u64,
            seed in any::<u64>(),
        ) {
            let mut info = VolumeInfo::new(&shape, Dtype::F32);
            info.axes = names.iter().map(|n| Axis::new(*n)).collect();
            prop_assume!(!info.spatial_axes().is_empty());
            let mut frame = Frame::new(&info, &Region::whole(&shape));
            for shown in frame.axes.iter_mut().filter(|s| s.axis.is_some()) {
                shown.step = step;
                shown.blocks = shown.voxels.div_ceil(step) as usize;
            }
            let count = shape.iter().product::<u64>();
            let values: Vec<f32> = (0..count)
                .map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
                .map(|v| if v % 7 == 0 { f32::NAN } else { v as f32 })
                .collect();
            let whole = Buffer::from_slice(&shape, &values);
            let grid = ChunkGrid::new(&shape, &chunk[..shape.len()]).unwrap();
            let sink = Projections::new(info, &frame);
            let mut chunks: Vec<_> = grid.iter().collect();
            chunks.sort_by_key(|c| grid.number_of(&c.index).wrapping_mul(seed | 1));
            for c in chunks {
                sink.write(&c.core, whole.view().part(&c.core), &mut Scratch::new()).unwrap();
            }
            prop_assert_eq!(sink.images(), slowly(&whole, &frame));
        }
    }
}
