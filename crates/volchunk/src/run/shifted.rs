//! Whether a result depends on the grid that it was computed on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    executor::{Control, for_each_chunk},
    footprint::visits,
    gather::Wants,
    origin::Origin,
    plan::{Plan, stored_span},
    reread::{fitting, reading_bytes},
};
use crate::{Buffer, ChunkGrid, Coords, Error, Input, Pipeline, Region, Result, Scratch, Source};

/// A region across planes of a grid in which the result is another.
#[derive(Debug, Clone)]
pub struct Differing {
    /// The region, in coordinates of the whole result.
    pub region: Region,
    /// Voxels, or rows of a table, that differ in any bit.
    pub voxels: u64,
    /// The first of them, in coordinates of the whole result.
    pub first: Coords,
}

/// What was found by computing anew.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Regions that were compared.
    pub chunks: u64,
    /// Their voxels.
    pub voxels: u64,
    /// Those in which the result holds something else, in order.
    pub differing: Vec<Differing>,
}

impl Audit {
    /// Adds a region that was compared: how many of its voxels differ and the first, if any do.
    pub(super) fn note(&mut self, region: &Region, differ: Option<(u64, Coords)>) {
        self.chunks += 1;
        self.voxels += region.voxels();
        let differing =
            differ.map(|(voxels, first)| Differing { region: region.clone(), voxels, first });
        self.differing.extend(differing);
    }

    /// What was found, whatever failed beside it; the error where nothing was.
    pub(super) fn unless(self, failed: Option<Error>) -> Result<Self> {
        match failed {
            Some(error) if error.is_cancelled() || self.differing.is_empty() => Err(error),
            _ => Ok(self),
        }
    }
}

/// Voxels of a region at most: a result that depends on its grid does so beside the planes.
const REGION: u64 = 1 << 15;
/// Share of the result's bytes that may be decoded or computed anew.
const SHARE: u64 = 8;
/// Bytes that may be in any case.
const LEAST: u64 = 64 << 20;
/// What computing a byte costs, in bytes decoded.
const COMPUTING: u64 = 6;

/// Regions about the corners of a plan's chunks, computed anew and compared with the result, bit for
/// bit.
///
/// They are spread over the volume, each of up to 32,768 voxels, in the middle of a chunk that lies
/// half a chunk aside from those of the plan. They are as many as cost an eighth of reading the result
/// back, at least one. The computing is [work](Wants::work) of [`reread`](super::reread()), which then
/// brings the result's voxels; [`finish`](Self::finish) does what is left.
pub struct ShiftedAudit<'a> {
    plan: &'a Plan,
    origin: Origin<'a>,
    /// In coordinates of the whole result.
    regions: Vec<Region>,
    meetings: Vec<Mutex<Meeting>>,
}

/// The voxels of a region, from both sides.
#[derive(Default)]
struct Meeting {
    computed: Option<Buffer>,
    held: Option<Buffer>,
    /// Once they have met: how many differ, and the number of the first.
    differ: Option<Option<(u64, u64)>>,
}

impl std::fmt::Debug for ShiftedAudit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ShiftedAudit").field("regions", &self.regions).finish_non_exhaustive()
    }
}

impl<'a> ShiftedAudit<'a> {
    /// Up to `samples` regions of the result of `plan`, which was computed from `origin`.
    ///
    /// # Errors
    /// A region that no grid can be made of.
    pub fn new(plan: &'a Plan, origin: Origin<'a>, samples: u64) -> Result<Self> {
        let (grid, pipeline) = (&plan.grid, origin.pipeline);
        let one = shifted_regions(grid, 1);
        let cost =
            one.first().map_or(Ok(0), |region| cost(pipeline, grid, &middle(grid, region)))?;
        let bytes = grid.domain().voxels().saturating_mul(plan.output.dtype.size() as u64);
        let affordable = (bytes / SHARE).max(LEAST) / cost.max(1);
        let regions = shifted_regions(grid, samples.min(affordable));
        let regions: Vec<Region> = regions.iter().map(|region| middle(grid, region)).collect();
        let meetings = regions.iter().map(|_| Mutex::default()).collect();
        Ok(Self { plan, origin, regions, meetings })
    }

    /// Computes, reads and compares what has not met yet, and tries again what failed. Threads:
    /// `plan.workers`, as many as fit under the plan's cap.
    ///
    /// # Errors
    /// [`Cancelled`](crate::ErrorKind::Cancelled). Where nothing differs, what a source or an op
    /// reports, and [`OverMemory`](crate::ErrorKind::OverMemory).
    pub fn finish(self, result: &dyn Source, control: Control<'_>) -> Result<Audit> {
        let memory = self.plan.memory;
        let each = memory.per_worker.saturating_add(reading_bytes(result, &self.plan.grid));
        let left: Vec<usize> =
            (0..self.regions.len()).filter(|&k| self.meeting(k).differ.is_none()).collect();
        let failed: Mutex<Option<Error>> = Mutex::default();
        let complete = |scratch: &mut Scratch, k: u64| {
            if let Err(error) = self.complete(left[k as usize], result, scratch) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
            Ok(())
        };
        let start = |_| Ok(Scratch::with_limit(each));
        let ended = match left.is_empty() {
            true => Ok(Vec::new()),
            false => fitting(each, self.plan.workers, memory.cap.saturating_sub(memory.base))
                .and_then(|workers| {
                    for_each_chunk(left.len() as u64, workers, control.cancel, start, complete)
                }),
        };
        let mut audit = Audit::default();
        for (k, region) in self.regions.iter().enumerate() {
            if let Some(differ) = self.meeting(k).differ {
                let first = differ.map(|(voxels, first)| (voxels, position(region, first)));
                audit.note(region, first);
            }
        }
        audit.unless(ended.err().or(failed.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Brings what is missing of a meeting.
    fn complete(&self, k: usize, result: &dyn Source, scratch: &mut Scratch) -> Result<()> {
        if self.meeting(k).computed.is_none() {
            self.compute(k, scratch)?;
        }
        if self.meeting(k).differ.is_none() {
            let place = self.place(k);
            let mut held = Buffer::zeros(place.shape(), result.info().dtype);
            result.read(&place, held.view_mut(), scratch)?;
            self.meeting(k).bring(|meeting| meeting.held = Some(held));
        }
        Ok(())
    }

    fn compute(&self, k: usize, scratch: &mut Scratch) -> Result<()> {
        let computed = self.origin.compute(&self.regions[k], scratch)?;
        scratch.forget(&computed);
        self.meeting(k).bring(|meeting| meeting.computed = Some(computed));
        Ok(())
    }

    /// A region in coordinates of the output, which may be a part of the whole result.
    fn place(&self, k: usize) -> Region {
        self.regions[k].relative_to(self.plan.grid.domain().start())
    }

    fn meeting(&self, k: usize) -> MutexGuard<'_, Meeting> {
        self.meetings[k].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wants for ShiftedAudit<'_> {
    fn regions(&self) -> Vec<Region> {
        (0..self.regions.len()).map(|k| self.place(k)).collect()
    }

    fn take(&self, number: usize, voxels: &Buffer, _: &mut Scratch) {
        self.meeting(number).bring(|meeting| meeting.held = Some(voxels.clone()));
    }

    fn bytes(&self) -> u64 {
        self.plan.memory.per_worker
    }

    fn held(&self) -> u64 {
        // All regions from both sides.
        let voxels: u64 = self.regions.iter().map(Region::voxels).sum();
        voxels.saturating_mul(2 * self.plan.output.dtype.size() as u64)
    }

    fn pieces(&self) -> u64 {
        self.regions.len() as u64
    }

    fn work(&self, piece: u64, scratch: &mut Scratch) {
        // What fails here is tried again by `finish`, which tells it.
        let _ = self.compute(piece as usize, scratch);
    }
}

impl Meeting {
    /// Notes what one side brings; with both there, they are compared.
    fn bring(&mut self, note: impl FnOnce(&mut Self)) {
        note(self);
        if let (Some(a), Some(b)) = (&self.computed, &self.held) {
            let size = a.dtype().size();
            let pairs = a.bytes().chunks(size).zip(b.bytes().chunks(size));
            let mut differ = pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i as u64);
            self.differ = Some(differ.next().map(|first| (differ.count() as u64 + 1, first)));
            (self.computed, self.held) = (None, None);
        }
    }
}

/// Bytes that computing `region` decodes and computes, the latter weighed.
fn cost(pipeline: &Pipeline, grid: &ChunkGrid, region: &Region) -> Result<u64> {
    let one = ChunkGrid::over(grid.volume(), region.clone(), region.shape())?;
    let mut sum = 0u64;
    for visit in visits(pipeline, &one) {
        let largest = Region::whole(visit.footprint.largest()).voxels();
        let bytes = match visit.node {
            Input::Source(i) => {
                let info = &pipeline.sources()[i];
                let span = |axis: usize, range: &std::ops::Range<u64>| match &info.storage {
                    Some(s) => stored_span(range, s.chunk[axis], info.shape[axis]),
                    None => range.end - range.start,
                };
                let voxels = visit.footprint.total_by(one.counts(), span);
                let voxels = u64::try_from(voxels).unwrap_or(u64::MAX);
                voxels.saturating_mul(info.dtype.size() as u64)
            }
            Input::Step { step, output } => {
                let info = &pipeline.steps()[step].op.outputs()[output].info;
                largest.saturating_mul(COMPUTING * info.dtype.size() as u64)
            }
        };
        sum = sum.saturating_add(bytes);
    }
    Ok(sum)
}

/// Up to [`REGION`] voxels of a chunk of the shifted grid, about where chunks of the grid meet.
fn middle(grid: &ChunkGrid, shifted: &Region) -> Region {
    let mut shape = Coords::from_slice(shifted.shape());
    while Region::whole(&shape).voxels() > REGION {
        let Some(longest) = shape.iter_mut().max() else { break };
        *longest = longest.div_ceil(2);
    }
    Region::from_ranges((0..grid.ndim()).map(|a| {
        let (range, c) = (shifted.range(a), grid.chunk_shape()[a]);
        let first = grid.domain().start()[a];
        let plane = first + (range.start - first).next_multiple_of(c);
        let about = match range.start < plane && plane < range.end {
            true => plane,
            false => range.start + (range.end - range.start) / 2,
        };
        let start = about.saturating_sub(shape[a] / 2).max(range.start);
        start..(start + shape[a]).min(range.end)
    }))
}

/// Up to `samples` chunks of the shifted grid, at least one, spread evenly.
pub(super) fn shifted_regions(grid: &ChunkGrid, samples: u64) -> Vec<Region> {
    let counts = shifted_counts(grid);
    let total = Region::whole(&counts).voxels();
    let taken = total.min(samples.max(1));
    let number = |k| (2 * u128::from(k) + 1) * u128::from(total) / (2 * u128::from(taken));
    (0..taken).map(|k| shifted(grid, &counts, number(k) as u64)).collect()
}

/// Chunks of the shifted grid along each axis: one fewer, since each lies across a plane.
fn shifted_counts(grid: &ChunkGrid) -> Coords {
    (0..grid.ndim())
        .map(|a| match (grid.counts()[a], grid.chunk_shape()[a]) {
            // Chunks of one voxel cannot be shifted.
            (count, 1) => count,
            (count, _) => count.saturating_sub(1).max(1),
        })
        .collect()
}

/// The chunk with this number of the shifted grid. Along an axis of one chunk, half of it.
fn shifted(grid: &ChunkGrid, counts: &[u64], mut number: u64) -> Region {
    let mut ranges = vec![0..0; grid.ndim()];
    for a in (0..grid.ndim()).rev() {
        let (domain, c) = (grid.domain().range(a), grid.chunk_shape()[a]);
        let (k, n) = (number % counts[a], domain.end - domain.start);
        number /= counts[a];
        let start = match grid.counts()[a] {
            1 => n / 4,
            _ => c / 2 + k * c,
        };
        let length = if grid.counts()[a] == 1 { n.div_ceil(2) } else { c };
        ranges[a] = domain.start + start..(domain.start + start + length).min(domain.end);
    }
    Region::from_ranges(ranges)
}

/// Where voxel `number` of `region`, in C order, lies.
fn position(region: &Region, mut number: u64) -> Coords {
    let mut at = Coords::from_slice(region.start());
    for (at, &n) in at.iter_mut().zip(region.shape()).rev() {
        *at += number % n;
        number /= n;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArraySource, Dtype, PlanRequest, StorageRequest, ViewMut, VolumeInfo};

    /// Chunks of a grid meet in the middle of every region, however little of it is left.
    #[test]
    fn regions_lie_across_the_planes() {
        for (shape, chunk) in [
            ([512, 512, 512], [64, 256, 256]),
            ([40, 700, 90], [7, 300, 45]),
            ([1, 90, 9], [1, 40, 1]),
        ] {
            let grid = ChunkGrid::new(&shape, &chunk).unwrap();
            let chunks = shifted_regions(&grid, 24);
            assert!(!chunks.is_empty() && chunks.len() <= 24);
            for region in chunks.iter().map(|chunk| middle(&grid, chunk)) {
                assert!((7..=REGION).contains(&region.voxels()));
                for a in (0..3).filter(|&a| grid.counts()[a] > 1 && chunk[a] > 1) {
                    let plane = (region.stop(a).div_ceil(chunk[a]) - 1) * chunk[a];
                    let inside = region.start()[a] < plane && plane < region.stop(a);
                    assert!(inside, "{region}, {shape:?}, {chunk:?}");
                }
            }
        }
    }

    /// A volume that cannot be read in its first half.
    struct Half(VolumeInfo);

    impl Source for Half {
        fn info(&self) -> &VolumeInfo {
            &self.0
        }

        fn read(&self, region: &Region, _: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
            match region.start()[0] < self.0.shape[0] / 2 {
                true => Err(Error::data("unreadable")),
                false => Ok(()),
            }
        }
    }

    /// What differs is told though another region cannot be computed; else the error is.
    #[test]
    fn an_error_hides_no_difference() {
        let half = Half(VolumeInfo::new(&[64, 9], Dtype::U8));
        let pipeline = Pipeline::new(vec![half.0.clone()]);
        let plan = crate::plan(&PlanRequest {
            pipeline: &pipeline,
            roi: None,
            chunk: Some(Coords::from_slice(&[8, 9])),
            storage: StorageRequest::Flat,
            workers: Some(1),
            memory: None,
            held: 0,
            read_overhead: 0,
            write_overhead: &|_| Ok(0),
            mask: None,
            skip_empty: false,
        })
        .unwrap();
        let sources: [&dyn Source; 1] = [&half];
        let origin = Origin { pipeline: &pipeline, sources: &sources, mask: None };
        let finish = |value: u8| {
            let audit = ShiftedAudit::new(&plan, origin, 24).unwrap();
            audit.work(0, &mut Scratch::new());
            let result = Buffer::from_slice(&[64, 9], &[value; 64 * 9]);
            audit.finish(&ArraySource::new(result.view()), Control::default())
        };
        assert!(finish(0).unwrap_err().to_string().contains("unreadable"));
        let audit = finish(1).unwrap();
        assert_eq!((audit.chunks, audit.differing.len()), (3, 3));
        assert_eq!(audit.differing[0].first[..], [36, 2]);
    }
}
