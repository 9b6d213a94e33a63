//! What every chunk reads of every volume of a pipeline, axis by axis.
//!
//! An op's need along an input axis depends on one output axis alone, and so does any composition
//! of ops. A table per axis, as long as the grid is on that axis, therefore tells all there is to
//! know of millions of chunks: sums over chunks are products of sums over axes.

use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use crate::{ChunkGrid, Input, Pipeline, Region};

/// The voxels of one axis that a chunk reads: one range, or several under wrap.
pub(crate) type Ranges = SmallVec<[Range<u64>; 1]>;

/// What the chunks read along one axis of one volume.
#[derive(Debug, Clone)]
pub(crate) struct AxisFootprint {
    /// The grid axis whose chunk index decides; None: the same for every chunk.
    pub(crate) driver: Option<usize>,
    /// One entry per chunk index of the driver; one in all without a driver.
    pub(crate) ranges: Vec<Ranges>,
}

/// What the chunks read of one volume: the product of its axes.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    pub(crate) axes: Vec<AxisFootprint>,
}

/// One evaluation of a node of the pipeline per chunk.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) node: Input,
    pub(crate) footprint: Footprint,
    /// Indices of the visits to its inputs.
    pub(crate) inputs: Vec<usize>,
}

impl AxisFootprint {
    fn lengths(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().map(|r| r.iter().map(|r| r.end - r.start).sum())
    }

    /// The longest that any chunk reads.
    pub(crate) fn longest(&self) -> u64 {
        self.lengths().max().unwrap_or(0)
    }

    /// Sum over the chunks of a grid that has `count` chunks on axis `driver`.
    fn total(&self) -> u128 {
        self.lengths().map(u128::from).sum()
    }

    /// Most separate ranges that any chunk reads.
    fn parts(&self) -> usize {
        self.ranges.iter().map(|r| r.len()).max().unwrap_or(0)
    }
}

impl Footprint {
    /// The cores themselves, on the result of the pipeline.
    pub(crate) fn of_grid(grid: &ChunkGrid) -> Self {
        let axes = (0..grid.ndim())
            .map(|axis| AxisFootprint {
                driver: Some(axis),
                ranges: (0..grid.counts()[axis])
                    .map(|i| smallvec![grid.core_range(axis, i)])
                    .collect(),
            })
            .collect();
        Self { axes }
    }

    /// The largest region that any chunk reads.
    pub(crate) fn largest(&self) -> crate::Coords {
        self.axes.iter().map(AxisFootprint::longest).collect()
    }

    /// The regions that the chunk at `index` of the grid reads.
    pub(crate) fn regions(&self, index: &[u64]) -> Vec<Region> {
        let mut regions: Vec<SmallVec<[Range<u64>; 4]>> = vec![SmallVec::new()];
        for axis in &self.axes {
            let ranges = &axis.ranges[axis.driver.map_or(0, |a| index[a] as usize)];
            regions = regions
                .iter()
                .flat_map(|before| {
                    ranges.iter().map(move |range| {
                        let mut all = before.clone();
                        all.push(range.clone());
                        all
                    })
                })
                .collect();
        }
        regions.into_iter().map(Region::from_ranges).collect()
    }

    /// Whether some chunk reads several separate regions.
    pub(crate) fn is_split(&self) -> bool {
        self.axes.iter().any(|a| a.parts() > 1)
    }

    /// Voxels read, summed over all chunks of a grid with these `counts`.
    pub(crate) fn total_voxels(&self, counts: &[u64]) -> u128 {
        let driven: Vec<usize> = self.axes.iter().filter_map(|a| a.driver).collect();
        let idle = (0..counts.len()).filter(|a| !driven.contains(a)).map(|a| u128::from(counts[a]));
        idle.chain(self.axes.iter().map(AxisFootprint::total)).fold(1, u128::saturating_mul)
    }

    /// Sums over all chunks of `cost` of each axis range, multiplied over the axes.
    pub(crate) fn total_by(
        &self,
        counts: &[u64],
        cost: impl Fn(usize, &Range<u64>) -> u64,
    ) -> u128 {
        let costed = Self {
            axes: (0..self.axes.len())
                .map(|a| AxisFootprint {
                    driver: self.axes[a].driver,
                    ranges: self.axes[a]
                        .ranges
                        .iter()
                        .map(|rs| smallvec![0..rs.iter().map(|r| cost(a, r)).sum::<u64>()])
                        .collect(),
                })
                .collect(),
        };
        costed.total_voxels(counts)
    }
}

/// Every evaluation that computing one chunk of `grid` causes, the result first.
pub(crate) fn visits(pipeline: &Pipeline, grid: &ChunkGrid) -> Vec<Visit> {
    let mut all = Vec::new();
    visit(pipeline, pipeline.result(), Footprint::of_grid(grid), &mut all);
    all
}

fn visit(pipeline: &Pipeline, node: Input, footprint: Footprint, all: &mut Vec<Visit>) -> usize {
    let me = all.len();
    all.push(Visit { node, footprint, inputs: Vec::new() });
    if let Input::Step { step, .. } = node {
        let step = &pipeline.steps()[step];
        for (i, &input) in step.inputs.iter().enumerate() {
            let lengths = &step.op.inputs()[i].info.shape;
            let axes = step
                .op
                .needs(i)
                .iter()
                .zip(lengths)
                .map(|(need, &n)| {
                    let Some(axis) = need.output_axis else {
                        return AxisFootprint { driver: None, ranges: vec![smallvec![0..n]] };
                    };
                    let out = &all[me].footprint.axes[axis];
                    let ranges = out.ranges.iter().map(|parts| {
                        parts
                            .iter()
                            .flat_map(|p| need.ranges(&need.extent(p.clone(), n), n))
                            .collect()
                    });
                    AxisFootprint { driver: out.driver, ranges: ranges.collect() }
                })
                .collect();
            let child = visit(pipeline, input, Footprint { axes }, all);
            all[me].inputs.push(child);
        }
    }
    me
}
