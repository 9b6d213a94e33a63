//! Blobs: bright spots, found as peaks of a band-pass filter over space and scale.

mod filter;
mod intensity;
mod kernel;
mod largest;
mod peaks;
mod scales;
mod table;

use std::ops::Range;

pub(crate) use largest::largest_response;
pub use scales::Scales;
use volchunk::{
    AxisKind, AxisNeed, Block, Boundary, Buffer, Dtype, Error, Op, Port, Region, Result, Scratch,
    VolumeInfo, dispatch,
};

use crate::{GaussianAxis, Simd};
use filter::{Filter, Layout, Pass};
use intensity::Intensity;
use kernel::Taps;
use peaks::Window;
use table::Found;

/// Finds blobs by the Laplacian of Gaussian, or by the difference of Gaussians.
///
/// The meaning is that of the peaks of `skimage.feature.blob_log` and `blob_dog`, before they are
/// pruned, but that all arithmetic is f32. Integers are scaled as `img_as_float` does: u8 / 255,
/// u16 / 65535, signed ones by their largest value. The response at scale k with standard deviations σ
/// is −(sum over the spatial axes of the second derivative along that axis of a Gaussian, 4 σ wide
/// on each side) · mean(σ)²; or, for the difference of Gaussians, (Gaussian of scale k − that of
/// scale k + 1) / (ratio − 1). Beyond the true edge the image is reflected. A peak is a voxel whose
/// response is strictly above the threshold, and at least as large as those of its neighbours,
/// diagonal ones and those at the scales beside it included. One thing differs: where a response
/// equals those of all its neighbours at its own scale, there is no peak. So a volume of one value,
/// or the inside of a saturated spot, has none. Where a filter sees a NaN there is no peak.
///
/// Axes that are not spatial (t, c) are independent.
///
/// The result is a table: [`compute`](Op::compute) replaces its output by rows × columns of f64.
/// A row is a peak of the region: its coordinates along all axes of the volume, in voxels; the
/// number of its scale; its response. Rows are in raster order, then by scale. The bits don't depend
/// on the region, nor on the CPU.
///
/// ```
/// use volchunk::{ArraySource, Buffer, Pipeline, Region, Scratch, Source};
/// use volchunk_ops::{Blobs, Scales};
///
/// let mut voxels = Buffer::zeros(&[31, 41], volchunk::Dtype::U8);
/// for (y, x) in [(9, 20), (10, 20), (9, 21), (10, 21), (10, 22), (11, 21)] {
///     voxels.as_slice_mut::<u8>()[y * 41 + x] = 200;
/// }
/// let source = ArraySource::new(voxels.view());
/// let scales = Scales::linear(&[1.0, 1.0], &[2.0, 2.0], 3)?;
/// let op = Blobs::new(source.info().clone(), &scales, 0.1, &[0, 0], None)?;
/// let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _])?;
/// let table = pipeline.compute(&[&source], &Region::whole([31, 41]), &mut Scratch::new())?;
/// assert_eq!(table.shape(), [1, 4]);
/// assert_eq!(table.as_slice::<f64>()[..3], [10.0, 21.0, 0.0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct Blobs {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    /// The axes z, y, x of the volume, as far as it has them.
    zyx: [Option<usize>; 3],
    filters: Vec<Filter>,
    /// What the numbers of each filter are multiplied by; for the difference of Gaussians the
    /// difference.
    factors: Vec<f32>,
    scales: usize,
    /// Peaks per voxel, about the most that there are.
    density: f64,
    /// The largest f32 that is not above what the user said.
    threshold: f32,
    /// Per axis of the volume.
    border: Vec<u64>,
    channels: Option<Vec<u64>>,
    /// Whether the largest response is looked for, not the peaks.
    maximum: bool,
    /// Whether the threshold waits for the largest response.
    unresolved: bool,
    simd: Simd,
}

impl Blobs {
    /// Peaks above `threshold` at `scales`, none nearer to the true edge than `border` voxels (one
    /// value for each spatial axis, slowest first), of these `channels` (None: of all).
    ///
    /// # Errors
    /// A volume with no spatial axis, or more than three; not one σ and one border for each of them;
    /// a threshold that is NaN; a σ of 1e-15 or less, or too large, or for which weights overflow;
    /// channels of a volume that has no axis for them, or not that many, or none; a value of the
    /// environment variable `VOLCHUNK_SIMD` that [`Simd::parse`] refuses.
    pub fn new(
        input: VolumeInfo,
        scales: &Scales,
        threshold: f64,
        border: &[u64],
        channels: Option<&[u64]>,
    ) -> Result<Self> {
        let spatial = input.spatial_axes();
        let names: Vec<_> = spatial.iter().map(|&a| input.axes[a].name.as_str()).collect();
        if !(1..=3).contains(&spatial.len()) {
            return Err(Error::argument(format!(
                "blobs: the volume has {} spatial axes ({}); legal: 1 to 3",
                spatial.len(),
                names.join(", ")
            )));
        }
        if border.len() != spatial.len() {
            return Err(Error::argument(format!(
                "exclude-border has {} values; legal: one for each of the {} spatial axes ({})",
                border.len(),
                spatial.len(),
                names.join(", ")
            )));
        }
        if threshold.is_nan() {
            return Err(Error::argument("threshold is NaN; legal: a number"));
        }
        let channels = channels.map(|c| check_channels(&input, c)).transpose()?;
        let mut zyx = [None; 3];
        for (slot, &a) in zyx.iter_mut().rev().zip(spatial.iter().rev()) {
            *slot = Some(a);
        }
        let laplacian = scales.ratio().is_none();
        let filters: Vec<Filter> = scales
            .filters()
            .iter()
            .map(|sigmas| filter(&input, &spatial, sigmas, laplacian))
            .collect::<Result<_>>()?;
        let unit = dispatch!(input.dtype, T => <T as Intensity>::UNIT);
        let factors = scales.filters().iter().map(|sigmas| match scales.ratio() {
            Some(ratio) => (unit / (ratio - 1.0)) as f32,
            None => {
                let mean = sigmas.iter().sum::<f64>() / sigmas.len() as f64;
                (-unit * (mean * mean)) as f32
            }
        });
        let factors = factors.collect();
        let mut border_of = vec![0; input.ndim()];
        let mut needs: Vec<AxisNeed> = (0..input.ndim()).map(AxisNeed::identity).collect();
        for (k, &a) in spatial.iter().enumerate() {
            border_of[a] = border[k];
            let halo = radii(&filters)[3 - spatial.len() + k] as u64 + 1;
            needs[a] = AxisNeed::identity(a).with_halo(halo, halo, Boundary::Reflect);
        }
        let output = VolumeInfo { dtype: Dtype::U8, storage: None, ..input.clone() };
        let rounded = threshold as f32;
        let above = f64::from(rounded) > threshold;
        Ok(Self {
            inputs: crate::input_port("blobs", input)?,
            outputs: [Port::image(output)],
            needs,
            zyx,
            filters,
            factors,
            scales: scales.len(),
            density: scales.density(),
            threshold: if above { rounded.next_down() } else { rounded },
            border: border_of,
            channels,
            maximum: false,
            unresolved: false,
            simd: Simd::from_env()?,
        })
    }

    /// In place of the peaks, the largest response of the region over all scales: a table of one
    /// row, the first one of equal responses; of none where there is no response but NaN or −∞.
    /// Neither threshold nor border count.
    #[must_use]
    pub fn maximum(self) -> Self {
        Self { maximum: true, ..self }
    }

    /// The same, but it refuses to compute: its threshold is not known yet. Plans can be made for it.
    #[must_use]
    pub(crate) fn unresolved(self) -> Self {
        Self { unresolved: true, ..self }
    }

    /// The same on given instructions; without this, what `VOLCHUNK_SIMD` says.
    #[must_use]
    pub fn with_simd(self, simd: Simd) -> Self {
        Self { simd, ..self }
    }

    /// Axes z, y, x of `values`, 1 where the volume lacks one.
    fn zyx(&self, values: &[u64]) -> [usize; 3] {
        self.zyx.map(|a| a.map_or(1, |a| values[a] as usize))
    }

    /// Sizes for a region of `shape` with voxels on all its sides, where there are so many.
    fn sizes(&self, shape: &[u64]) -> (Layout, Window) {
        let volume = self.zyx(&self.inputs[0].info.shape);
        let shape = self.zyx(shape);
        let n = [0, 1, 2].map(|k| (shape[k] + 2).min(volume[k]));
        let layout = Layout::new(n, radii(&self.filters), self.filters[0].laplacian);
        // A plane is looked at when the one behind it is there, beside the one before it.
        (layout, Window { scales: self.scales, n, planes: layout.group + 2 })
    }

    /// Responses that the peaks of a region depend on: one voxel more on each side, where there is
    /// one.
    fn known(&self, region: &Region, a: usize) -> Range<u64> {
        let range = region.range(a);
        range.start.saturating_sub(1)..(range.end + 1).min(self.inputs[0].info.shape[a])
    }

    /// The peaks of one place on the axes that are not spatial, whose voxels begin at `data[0]`.
    fn search(
        &self,
        block: &Block<'_>,
        data: &[u8],
        region: &Region,
        memory: &mut [f32],
        found: &mut Found<'_>,
    ) {
        let known = self.zyx.map(|a| a.map_or(0..1, |a| self.known(region, a)));
        let n = known.clone().map(|r| (r.end - r.start) as usize);
        let (layout, window) = self.sizes(region.shape());
        let window = Window { n, ..window };
        let (cube, buffers) = memory.split_at_mut(window.elements());
        window.clear(cube);
        let steps = self.zyx.map(|a| a.map_or(0, |a| block.view.strides()[a] as usize));
        let places: Vec<[Vec<usize>; 3]> =
            self.filters.iter().map(|f| self.places(block, &known, f)).collect();
        // Where peaks are wanted: in the region, and not in the border.
        let wanted = [0, 1, 2].map(|k| {
            let Some(a) = self.zyx[k] else { return 0..1 };
            let (range, border) = (region.range(a), if self.maximum { 0 } else { self.border[a] });
            let behind = self.inputs[0].info.shape[a].saturating_sub(border).min(range.end);
            let first = range.start.max(border).min(behind);
            (first.max(known[k].start) - known[k].start) as usize
                ..behind.saturating_sub(known[k].start) as usize
        });
        if wanted.iter().any(Range::is_empty) {
            return;
        }
        let mut peaks = Vec::new();
        let place = |zyx: [usize; 3]| [0, 1, 2].map(|a| known[a].start + zyx[a] as u64);
        for z0 in (0..n[0]).step_by(layout.group) {
            let planes = z0..n[0].min(z0 + layout.group);
            for (k, filter) in self.filters.iter().enumerate() {
                let at = [0, 1, 2].map(|a| &places[k][a][..]);
                let pass =
                    Pass { simd: self.simd, filter, layout, dtype: block.view.dtype(), steps, at };
                let factor = self.factors[k];
                pass.run(data, planes.clone(), buffers, |z, y, x, values| {
                    if filter.laplacian {
                        let row = &mut window.row_mut(cube, k, z, y)[x..][..values.len()];
                        row.iter_mut().zip(values).for_each(|(r, v)| *r = v * factor);
                        return;
                    }
                    if k > 0 {
                        let row = &mut window.row_mut(cube, k - 1, z, y)[x..][..values.len()];
                        row.iter_mut().zip(values).for_each(|(r, v)| *r = (*r - v) * factor);
                    }
                    if k < self.scales {
                        window.row_mut(cube, k, z, y)[x..][..values.len()].copy_from_slice(values);
                    }
                });
            }
            // The last plane needs the one behind it, unless there is none.
            let end = if planes.end == n[0] { n[0] } else { planes.end - 1 };
            let begin = z0.saturating_sub(1);
            for z in begin.max(wanted[0].start)..end.min(wanted[0].end) {
                for y in wanted[1].clone() {
                    for k in 0..self.scales {
                        if self.maximum {
                            let row = &window.row_mut(cube, k, z, y)[wanted[2].clone()];
                            let value = peaks::largest(row);
                            if let Some(x) = found.may_be_largest(value, row) {
                                let x = wanted[2].start + x;
                                found.set_largest(place([z, y, x]), k, value);
                            }
                        } else {
                            let (at, xs) = ([k, z, y], wanted[2].clone());
                            window.peaks(self.simd, cube, at, xs, self.threshold, &mut peaks);
                            for &x in &peaks {
                                found.push(place([z, y, x]), k, window.value(cube, at, x));
                            }
                        }
                    }
                }
            }
        }
    }

    /// The voxel of the block at each position that `filter` needs, along z, y, x.
    fn places(
        &self,
        block: &Block<'_>,
        known: &[Range<u64>; 3],
        filter: &Filter,
    ) -> [Vec<usize>; 3] {
        [0, 1, 2].map(|k| match self.zyx[k] {
            None => vec![0],
            Some(a) => {
                let map = &block.axes[a];
                let (range, radius) = (&known[k], filter.taps[k].radius() as i64);
                let first = range.start as i64 - radius - map.start();
                let last = range.end as i64 + radius - map.start();
                (first..last).filter_map(|p| map.get(p as usize)).collect()
            }
        })
    }
}

impl Op for Blobs {
    fn name(&self) -> &'static str {
        if self.filters[0].laplacian { "log" } else { "dog" }
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
        let (layout, window) = self.sizes(shape);
        let filters = 4 * (layout.elements() + window.elements()) as u64;
        let row = Found::ROW_BYTES + 8 * self.columns().unwrap_or(0);
        filters.saturating_add(self.most_rows(shape).saturating_mul(row))
    }

    fn keeps_constant(&self) -> bool {
        // A largest response there is where there are no peaks, too.
        !self.maximum
    }

    fn columns(&self) -> Option<u64> {
        Some(self.border.len() as u64 + 2)
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument("blobs have one input and one output"));
        };
        if self.unresolved {
            return Err(Error::argument(
                "threshold-rel counts from the largest response, which a pass of its own finds before",
            ));
        }
        let others: Vec<usize> =
            (0..region.ndim()).filter(|a| !self.zyx.contains(&Some(*a))).collect();
        let mut found = Found::new(region, self.zyx);
        if !region.is_empty() && self.has_channel(region) {
            found.reserve(self.most_rows(region.shape()));
            let (layout, window) = self.sizes(region.shape());
            let elements = layout.elements() + window.elements();
            let mut memory = scratch.take(&[elements as u64], Dtype::F32);
            // What pads a row to full lanes is computed too: no leftover values there that are slow.
            memory.bytes_mut().fill(0);
            let number: u64 = others.iter().map(|&a| region.shape()[a]).product();
            for i in 0..number {
                let (mut rest, mut from, mut wanted) = (i, 0, true);
                for &a in others.iter().rev() {
                    let place = rest % region.shape()[a];
                    rest /= region.shape()[a];
                    let Some(held) = block.axes[a].get(place as usize) else { continue };
                    from += held * block.view.strides()[a] as usize;
                    let at = region.start()[a] + place;
                    found.move_to(a, at);
                    wanted &= self.wants(a, at);
                }
                if wanted {
                    self.search(
                        block,
                        &block.view.data()[from..],
                        region,
                        memory.as_slice_mut(),
                        &mut found,
                    );
                }
            }
            scratch.give(memory);
        }
        let table = found.table(scratch);
        scratch.give(std::mem::replace(out, table));
        Ok(())
    }
}

impl Blobs {
    /// About the most peaks that a region of `shape` has: those of noise. A volume whose responses
    /// equal each other along an axis may have more.
    fn most_rows(&self, shape: &[u64]) -> u64 {
        /// The peaks of a small region vary about their mean.
        const FEW: u64 = 64;
        if self.maximum {
            return 1;
        }
        let voxels = shape.iter().fold(1u64, |n, &len| n.saturating_mul(len));
        ((voxels as f64 * self.density) as u64).saturating_add(FEW)
    }

    /// Whether coordinate `at` of axis `a` is one of the channels asked for; so is any of another
    /// axis.
    fn wants(&self, a: usize, at: u64) -> bool {
        match &self.channels {
            Some(channels) if self.inputs[0].info.axes[a].kind == AxisKind::Channel => {
                channels.contains(&at)
            }
            _ => true,
        }
    }

    fn has_channel(&self, region: &Region) -> bool {
        (0..region.ndim()).all(|a| region.range(a).any(|at| self.wants(a, at)))
    }
}

/// The taps of one filter with a σ for each of the `spatial` axes.
fn filter(
    input: &VolumeInfo,
    spatial: &[usize],
    sigmas: &[f64],
    laplacian: bool,
) -> Result<Filter> {
    if sigmas.len() != spatial.len() {
        return Err(Error::argument(format!(
            "blobs: scales have {} values of sigma; legal: one for each of the {} spatial axes ({})",
            sigmas.len(),
            spatial.len(),
            input.axis_names()
        )));
    }
    let missing = Taps { smooth: vec![1.0], second: vec![0.0] };
    let mut taps = [(); 3].map(|()| missing.clone());
    for (k, (&a, &sigma)) in spatial.iter().zip(sigmas).enumerate() {
        let name = &input.axes[a].name;
        let narrow = |order| -> Result<Vec<f32>> {
            let axis = GaussianAxis { order, ..GaussianAxis::smooth(sigma) };
            let weights = axis.weights(name)?.ok_or_else(|| {
                Error::argument(format!(
                    "sigma of axis {name} is {sigma} voxels; legal: above 1e-15"
                ))
            })?;
            Ok(weights.taps().iter().map(|&w| w as f32).collect())
        };
        taps[3 - spatial.len() + k] = Taps { smooth: narrow(0)?, second: narrow(2)? };
    }
    Ok(Filter { taps, laplacian })
}

/// The largest radius along z, y, x.
fn radii(filters: &[Filter]) -> [usize; 3] {
    [0, 1, 2].map(|a| filters.iter().map(|f| f.taps[a].radius()).max().unwrap_or(0))
}

/// The channels, each of which there must be.
fn check_channels(input: &VolumeInfo, channels: &[u64]) -> Result<Vec<u64>> {
    let Some(a) = input.axes.iter().position(|a| a.kind == AxisKind::Channel) else {
        return Err(Error::argument(format!(
            "channel is given, but the volume has no channel axis (its axes are {}); legal: without channel",
            input.axis_names()
        )));
    };
    let n = input.shape[a];
    if let Some(channel) = channels.iter().find(|&&c| c >= n) {
        return Err(Error::argument(format!(
            "channel is {channel}, but the volume has {n}; legal: 0 to {}",
            n.saturating_sub(1)
        )));
    }
    match channels {
        [] => Err(Error::argument("channel has no value; legal: at least one")),
        _ => Ok(channels.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use volchunk::{ArraySource, Pipeline, Source};

    use super::*;

    /// Noise, and noise that repeats along an axis, have no more peaks than are counted on.
    #[test]
    fn noise_has_no_more_peaks_than_are_counted_on() {
        for (shape, repeats) in [([48u64, 48, 48], false), ([24, 72, 72], true)] {
            let plane = shape[1] * shape[2];
            let mut state = 7u64;
            let mut values: Vec<u16> = (0..shape[0] * plane)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 48) as u16
                })
                .collect();
            if repeats {
                let first = values[..plane as usize].to_vec();
                values.chunks_mut(plane as usize).for_each(|p| p.copy_from_slice(&first));
            }
            let volume = Buffer::from_slice(&shape, &values);
            let source = ArraySource::new(volume.view());
            for (sigma, scales) in [(1.0, 1), (2.0, 1), (1.0, 4)] {
                let scales = Scales::linear(&[sigma; 3], &[sigma + 1.0; 3], scales).unwrap();
                let op = Blobs::new(source.info().clone(), &scales, 0.0, &[0; 3], None).unwrap();
                let most = op.most_rows(&shape);
                let op = Box::new(op) as _;
                let pipeline = Pipeline::chain(source.info().clone(), [op]).unwrap();
                let table =
                    pipeline.compute(&[&source], &Region::whole(shape), &mut Scratch::new());
                let rows = table.unwrap().shape()[0];
                assert!(rows <= most && rows * 20 > most, "{rows} of {most}: {sigma} {repeats}");
            }
        }
    }
}
