//! Ellipsoids in a volume, and which of them have their centre in a region.

use volchunk::{AxisKind, Coords, Error, Region, Result, VolumeInfo};

/// Voxels of a cell along a spatial axis; along the others it is one long.
const CELL: u64 = 64;

/// Ellipsoids in a volume with channels: the neighbourhoods that
/// [`means_around`](crate::means_around) measures.
#[derive(Debug)]
pub struct Ellipsoids {
    volume: VolumeInfo,
    channel: usize,
    /// The axes but the channels', then their cells: length, and steps from one to the next.
    axes: Vec<usize>,
    lengths: Vec<u64>,
    steps: Vec<u64>,
    spatial: Vec<usize>,
    /// For each: the centre, on all axes but the channels'; the semi-axes, on the spatial ones.
    rows: Vec<f64>,
    /// Cell and number of each, sorted.
    order: Vec<(u64, u32)>,
    /// Most that there are in a cell.
    densest: u64,
}

impl Ellipsoids {
    /// Ellipsoids in `volume`, a row for each: the coordinates of its centre in voxels, one for each
    /// axis but the channels', in the volume's order; its semi-axes, one for each spatial axis.
    ///
    /// # Errors
    /// A volume without an axis of channels; a row whose centre lies outside of the volume, or one
    /// of whose semi-axes is not above 0: names the row, from 0.
    pub fn new(volume: &VolumeInfo, rows: Vec<f64>) -> Result<Self> {
        let kinds = volume.axes.iter().map(|axis| axis.kind);
        let Some(channel) = kinds.clone().position(|kind| kind == AxisKind::Channel) else {
            return Err(Error::argument(format!(
                "the volume has the axes {}, none of channels; legal: one that is called c",
                volume.axis_names()
            )));
        };
        let spatial = volume.spatial_axes();
        let axes: Vec<usize> = (0..volume.ndim()).filter(|&a| a != channel).collect();
        let length = |&a: &usize| if spatial.contains(&a) { CELL } else { 1 };
        let lengths: Vec<u64> = axes.iter().map(length).collect();
        let mut steps = vec![1u64; axes.len()];
        for k in (1..axes.len()).rev() {
            let cells = volume.shape[axes[k]].div_ceil(lengths[k]).max(1);
            steps[k - 1] = steps[k].saturating_mul(cells);
        }
        let columns = axes.len() + spatial.len();
        if !rows.len().is_multiple_of(columns.max(1)) || rows.len() / columns.max(1) > MOST {
            return Err(Error::argument(format!(
                "{} numbers; legal: a multiple of {columns} columns, fewer than 2³² rows",
                rows.len()
            )));
        }
        let (order, densest) = (Vec::new(), 0);
        let volume = volume.clone();
        let mut all = Self { volume, channel, axes, lengths, steps, spatial, rows, order, densest };
        for number in 0..all.len() as u32 {
            all.check(number)?;
        }
        let mut place = vec![0; all.volume.ndim()];
        for number in 0..all.len() as u32 {
            all.centre_voxel(number, &mut place);
            all.order.push((all.cell(&place), number));
        }
        all.order.sort_unstable();
        let cells = all.order.chunk_by(|a, b| a.0 == b.0);
        all.densest = cells.map(|cell| cell.len() as u64).max().unwrap_or(0);
        Ok(all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len() / self.columns().max(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn columns(&self) -> usize {
        self.axes.len() + self.spatial.len()
    }

    fn check(&self, number: u32) -> Result<()> {
        let (centre, radii) = self.row(number);
        for (&a, &at) in self.axes.iter().zip(centre) {
            let (axis, n) = (&self.volume.axes[a].name, self.volume.shape[a]);
            if !(at >= -0.5 && at < n as f64 - 0.5) {
                return Err(Error::argument(format!(
                    "row {number}: {axis} is {at}; legal: in the image, which has {n} voxels there, 0 \
                     to {}",
                    n.saturating_sub(1)
                )));
            }
        }
        for (&a, &radius) in self.spatial.iter().zip(radii) {
            if !(radius > 0.0 && radius.is_finite()) {
                return Err(Error::argument(format!(
                    "row {number}: the radius on axis {} is {radius}; legal: above 0, finite",
                    self.volume.axes[a].name
                )));
            }
        }
        Ok(())
    }

    pub(super) fn volume(&self) -> &VolumeInfo {
        &self.volume
    }

    pub(super) fn channel_axis(&self) -> usize {
        self.channel
    }

    pub(super) fn channels(&self) -> u64 {
        self.volume.shape[self.channel]
    }

    /// Centre and semi-axes.
    fn row(&self, number: u32) -> (&[f64], &[f64]) {
        let at = number as usize * self.columns();
        self.rows[at..at + self.columns()].split_at(self.axes.len())
    }

    /// For each axis of the volume centre and semi-axis; None on those that are not spatial.
    pub(super) fn extent(&self, number: u32) -> impl Iterator<Item = Option<(f64, f64)>> + '_ {
        let (centre, radii) = self.row(number);
        let mut found = self.axes.iter().zip(centre).filter(|(a, _)| self.spatial.contains(a));
        let mut radii = radii.iter();
        (0..self.volume.ndim()).map(move |a| match self.spatial.contains(&a) {
            true => found.next().zip(radii.next()).map(|((_, &at), &radius)| (at, radius)),
            false => None,
        })
    }

    /// Puts the voxel that holds the centre into `place`; the channel stays as it is.
    pub(super) fn centre_voxel(&self, number: u32, place: &mut [u64]) {
        for (&a, &at) in self.axes.iter().zip(self.row(number).0) {
            // Just below the last voxel's edge, the sum rounds to that edge.
            place[a] = ((at + 0.5).floor() as u64).min(self.volume.shape[a] - 1);
        }
    }

    /// How far voxels lie from the voxel of a centre, on each axis of the volume.
    pub(super) fn reach(&self) -> Vec<u64> {
        let mut reach = vec![0; self.volume.ndim()];
        for number in 0..self.len() as u32 {
            for (&a, &radius) in self.spatial.iter().zip(self.row(number).1) {
                // Half a voxel from the centre to its voxel's, and one more for rounding.
                let most = self.volume.shape[a];
                reach[a] = ((radius + 0.5) as u64).saturating_add(1).min(most).max(reach[a]);
            }
        }
        reach
    }

    /// The number of the cell of a voxel.
    fn cell(&self, place: &[u64]) -> u64 {
        let axes = self.axes.iter().zip(&self.lengths).zip(&self.steps);
        axes.map(|((&a, length), step)| place[a] / length * step).sum()
    }

    /// Calls `visit` for each whose centre lies in `region`.
    pub(super) fn within(&self, region: &Region, mut visit: impl FnMut(u32)) {
        if region.is_empty() || self.axes.is_empty() {
            return;
        }
        let mut place = vec![0; region.ndim()];
        // From one corner to the other in steps of cells, along all axes but the last.
        let mut corner: Coords = region.start().into();
        let last = self.axes.len() - 1;
        let (end, length) = (region.stop(self.axes[last]) - 1, self.lengths[last]);
        loop {
            let first = self.cell(&corner);
            let from = corner[self.axes[last]] / length;
            let cells = first..first + (end / length - from) + 1;
            let begin = self.order.partition_point(|&(cell, _)| cell < cells.start);
            for &(cell, number) in &self.order[begin..] {
                if cell >= cells.end {
                    break;
                }
                self.centre_voxel(number, &mut place);
                if self.axes.iter().all(|&a| region.range(a).contains(&place[a])) {
                    visit(number);
                }
            }
            let Some(k) = (0..last).rev().find(|&k| {
                let (a, length) = (self.axes[k], self.lengths[k]);
                corner[a] / length < (region.stop(a) - 1) / length
            }) else {
                return;
            };
            let (a, length) = (self.axes[k], self.lengths[k]);
            corner[a] = (corner[a] / length + 1) * length;
            for &a in &self.axes[k + 1..last] {
                corner[a] = region.start()[a];
            }
        }
    }

    /// No region of `shape` has more rows: centres, for each channel.
    pub(super) fn most_within(&self, shape: &[u64]) -> u64 {
        let cells = self.axes.iter().zip(&self.lengths).map(|(&a, &length)| match length {
            1 => shape[a],
            length => shape[a].div_ceil(length) + 1,
        });
        let cells = cells.fold(1u64, u64::saturating_mul);
        let most = cells.saturating_mul(self.densest).min(self.len() as u64);
        most.saturating_mul(shape[self.channel])
    }
}

/// Most rows: their numbers have 32 bits.
const MOST: usize = u32::MAX as usize;
