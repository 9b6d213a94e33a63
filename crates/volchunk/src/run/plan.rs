//! What a run will cost, known before any work.

use super::{
    auto_chunk,
    footprint::{Visit, visits},
    halo_need::halo_cache_bytes,
    mask::{check_shape, mask_bytes},
    storage_choice::{self, StorageRequest},
};
use crate::{
    ChunkGrid, Coords, Error, ErrorKind, Input, Pipeline, Region, Result, Source, VolumeInfo,
    geometry::comma, os,
};

/// What a plan is made from.
#[derive(Clone)]
pub struct PlanRequest<'a> {
    /// The ops, bound to their inputs.
    pub pipeline: &'a Pipeline,
    /// The region of the result that is wanted; None: all of it.
    pub roi: Option<Region>,
    /// Shape of a chunk, one length per axis of the result; None: chosen.
    pub chunk: Option<Coords>,
    /// How the output is to be stored.
    pub storage: StorageRequest,
    /// Threads; None: as many as the process may use.
    pub workers: Option<usize>,
    /// Most bytes that the process may hold; None: what it holds, and half of what the machine
    /// leaves.
    pub memory: Option<u64>,
    /// Bytes that the caller will hold beside the run, such as an output array.
    pub held: u64,
    /// [`Source::read_overhead`](crate::Source::read_overhead), the largest of the sources.
    pub read_overhead: u64,
    /// [`Sink::write_overhead`](crate::Sink::write_overhead) of an output of this description.
    pub write_overhead: &'a dyn Fn(&VolumeInfo) -> Result<u64>,
    /// The mask that the run will have, of the whole result's shape.
    pub mask: Option<&'a dyn Source>,
    /// Whether the run will skip empty chunks: what they read is looked at before the ops begin.
    pub skip_empty: bool,
}

impl PlanRequest<'_> {
    /// Threads that are to work, where there are chunks for all of them.
    pub(super) fn workers(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or_else(all).max(1)
    }
}

/// Projected memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// What the process holds before it begins, and what the caller will hold beside the run.
    pub base: u64,
    /// What one worker holds at most.
    pub per_worker: u64,
    /// What decoded neighbours of storage chunks may hold.
    pub halo_cache: u64,
    /// All of it, with every worker busy.
    pub peak: u64,
    /// The cap.
    pub cap: u64,
}

/// What a run will do and cost.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The chunks, over the region of interest, in coordinates of the whole result.
    pub grid: ChunkGrid,
    /// The output: the region of interest, its origin moved accordingly, its storage.
    pub output: VolumeInfo,
    /// Columns of the tables that are made in place of voxels; None: voxels are made.
    pub columns: Option<u64>,
    /// Threads.
    pub workers: usize,
    /// Projected memory.
    pub memory: Memory,
    /// Voxels that the chunks read and compute on the way to the result, halos included, over what
    /// one chunk of the whole would take.
    pub halo_overhead: f64,
    /// Bytes of input that the result depends on.
    pub needed_bytes: u64,
    /// Decoded bytes if each storage chunk is decoded once, over `needed_bytes`.
    pub amplification_best: f64,
    /// Decoded bytes if each chunk decodes its neighbours anew, over `needed_bytes`.
    pub amplification_worst: f64,
}

/// States what a run will cost.
///
/// # Errors
/// [`ErrorKind::OverMemory`] above the cap, with a chunk shape that fits;
/// [`ErrorKind::Misaligned`] where cores would share a storage chunk or shard, with the nearest
/// shape that aligns; a zero-sized result; a region outside of it.
pub fn plan(request: &PlanRequest<'_>) -> Result<Plan> {
    check_positions(request.pipeline)?;
    let out = request.pipeline.output();
    if let Some(axis) = out.shape.iter().position(|&n| n == 0) {
        return Err(Error::argument(format!(
            "axis {axis} ({}) of the result {:?} has no voxels; every axis needs at least 1",
            out.axes[axis].name, out.shape
        )));
    }
    if let Some(roi) = &request.roi {
        roi.check_within(&out.shape, "the region of interest")?;
        if roi.is_empty() {
            return Err(Error::argument(format!("the region of interest {roi} holds no voxel")));
        }
    }
    storage_choice::check(&request.storage, request.pipeline.output().ndim())?;
    if let Some(mask) = request.mask {
        check_shape(mask.info(), out)?;
    }
    // Read once, so that every candidate is held against the same cap.
    let cap = request.memory.unwrap_or_else(|| {
        let free = os::available_memory().map_or(2 << 30, |m| m / 2);
        free.saturating_add(os::resident_memory().unwrap_or(0))
    });
    let request = &PlanRequest { memory: Some(cap), ..request.clone() };
    match &request.chunk {
        Some(chunk) => {
            let plan = plan_for(request, chunk)?;
            if plan.memory.peak <= plan.memory.cap {
                return Ok(plan);
            }
            let advice = match auto_chunk::choose(request) {
                Ok(fits) => format!("chunk {} would fit", comma(fits.grid.chunk_shape())),
                Err(_) => "no chunk shape fits with so many workers".to_owned(),
            };
            Err(over_memory(&plan, &advice))
        }
        None => auto_chunk::choose(request),
    }
}

/// Refuses an axis whose positions, those beyond its ends too, 64 bits would not hold.
fn check_positions(pipeline: &Pipeline) -> Result<()> {
    const END: u64 = 1 << 62;
    let ports = pipeline.steps().iter().flat_map(|step| step.op.outputs());
    for info in pipeline.sources().iter().chain(ports.map(|port| &port.info)) {
        if let Some(a) = info.shape.iter().position(|&n| n >= END) {
            return Err(Error::unsupported(format!(
                "axis {} of a volume of shape {:?} has {} voxels; legal: less than 2^62",
                info.axes[a].name, info.shape, info.shape[a]
            )));
        }
    }
    Ok(())
}

/// The refusal of a plan above its cap.
pub(super) fn over_memory(plan: &Plan, advice: &str) -> Error {
    let m = plan.memory;
    Error::new(
        ErrorKind::OverMemory,
        format!(
            "chunk {} on {} workers needs {} of memory, the cap is {}: {} for the process, {} for \
             each worker, {} for neighbouring storage chunks; {advice}",
            comma(plan.grid.chunk_shape()),
            plan.workers,
            mib(m.peak),
            mib(m.cap),
            mib(m.base),
            mib(m.per_worker),
            mib(m.halo_cache),
        ),
    )
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The plan for one chunk shape, whether or not it fits under the cap.
pub(super) fn plan_for(request: &PlanRequest<'_>, chunk: &[u64]) -> Result<Plan> {
    let out = request.pipeline.output();
    let domain = request.roi.clone().unwrap_or_else(|| Region::whole(&out.shape));
    let grid = ChunkGrid::over(&out.shape, domain, chunk)?;
    let output = VolumeInfo {
        shape: Coords::from_slice(grid.domain().shape()),
        storage: storage_choice::choose(&request.storage, &grid)?,
        axes: out
            .axes
            .iter()
            .zip(grid.domain().start())
            .map(|(axis, &start)| {
                let mut axis = axis.clone();
                axis.origin += start as f64 * axis.scale.unwrap_or(1.0);
                axis
            })
            .collect(),
        dtype: out.dtype,
    };
    check_tables(&grid, request.pipeline)?;
    let visits = visits(request.pipeline, &grid);
    check_lengths(request.pipeline, &visits)?;
    let whole = visits_of_whole(request.pipeline, &grid)?;
    let workers = request.workers().min(usize::try_from(grid.len()).unwrap_or(usize::MAX));
    let cap = request.memory.unwrap_or(u64::MAX);
    let write_overhead = (request.write_overhead)(&output)?;
    let result = bytes(&visits[0].footprint.largest(), out);
    let mut per_worker = peak(request, &visits, 0);
    if request.skip_empty {
        per_worker = per_worker.saturating_add(looked_at(request.pipeline, &visits));
    }
    if let Some(mask) = request.mask {
        let (held, reading) =
            mask_bytes(mask, Region::whole(visits[0].footprint.largest()).voxels());
        per_worker = per_worker.saturating_add(held).max(reading);
    }
    let per_worker = per_worker.max(result.saturating_add(write_overhead));
    let base = os::resident_memory().unwrap_or(0).saturating_add(growth(workers));
    let base = base.saturating_add(request.held);
    let held = base.saturating_add(per_worker.saturating_mul(workers as u64));
    let halo_cache = halo_cache_bytes(request.pipeline, &visits).min(cap.saturating_sub(held));

    // Of the result itself no voxel is computed twice; what feeds it tells.
    let total = |v: &[Visit], counts: &[u64]| -> f64 {
        let feeding = if v.len() > 1 { &v[1..] } else { v };
        feeding.iter().map(|v| v.footprint.total_voxels(counts) as f64).sum()
    };
    let ones = vec![1; grid.ndim()];
    let reads = source_reads(request.pipeline, &visits, grid.counts());
    let once = source_reads(request.pipeline, &whole, &ones);
    let needed = once.needed.max(1.0);
    Ok(Plan {
        halo_overhead: total(&visits, grid.counts()) / total(&whole, &ones),
        needed_bytes: once.needed as u64,
        amplification_best: once.decoded / needed,
        amplification_worst: reads.decoded / needed,
        memory: Memory { base, per_worker, halo_cache, peak: held.saturating_add(halo_cache), cap },
        columns: request.pipeline.columns(),
        grid,
        output,
        workers,
    })
}

/// Rows of the tables that a plan keeps: one for each chunk along each axis of each volume that the ops
/// read or make. About 48 MiB.
const MOST_ROWS: u64 = 1 << 21;

fn check_tables(grid: &ChunkGrid, pipeline: &Pipeline) -> Result<()> {
    let volumes = pipeline.steps().len() as u64 + 1;
    let rows = grid.counts().iter().fold(0, |sum: u64, &n| sum.saturating_add(n));
    if rows.saturating_mul(volumes) <= MOST_ROWS {
        return Ok(());
    }
    let counts = grid.counts();
    let axis = (0..counts.len()).max_by_key(|&a| counts[a]).unwrap_or(0);
    // With as many on each of the others.
    let legal = (MOST_ROWS / volumes).saturating_sub(rows - counts[axis]).max(1);
    Err(Error::unsupported(format!(
        "chunk {} makes {} chunks along axis {axis}; legal: up to {legal}, with a chunk of at least {} \
         there",
        comma(grid.chunk_shape()),
        counts[axis],
        grid.domain().shape()[axis].div_ceil(legal)
    )))
}

/// Refuses chunks that are longer, with their halo, than a block can address.
fn check_lengths(pipeline: &Pipeline, visits: &[Visit]) -> Result<()> {
    const MOST: u64 = u32::MAX as u64 / 2;
    for visit in visits {
        if let Some(axis) = visit.footprint.largest().iter().position(|&n| n > MOST) {
            return Err(Error::unsupported(format!(
                "a chunk needs {} voxels along axis {axis} of {:?}; legal: up to {MOST}",
                visit.footprint.largest()[axis],
                info_of(pipeline, visit.node).shape
            )));
        }
    }
    Ok(())
}

/// What a process grows by beyond what the plan counts: its own code, tables, the allocator's slack; and
/// for each worker its stack and its arena. Of the 256 runs on 1 to 4 workers of benches/peak.py none
/// left less than 2.7 MiB of it.
fn growth(workers: usize) -> u64 {
    (7 << 20) + (workers as u64).saturating_mul(512 << 10)
}

/// The same pipeline with the whole region as one chunk.
fn visits_of_whole(pipeline: &Pipeline, grid: &ChunkGrid) -> Result<Vec<Visit>> {
    let one = ChunkGrid::over(grid.volume(), grid.domain().clone(), grid.domain().shape())?;
    Ok(visits(pipeline, &one))
}

/// Voxels along an axis of `n` that are decoded to read the range `r`, in storage chunks of `unit`.
pub(super) fn stored_span(r: &std::ops::Range<u64>, unit: u64, n: u64) -> u64 {
    r.end.div_ceil(unit).saturating_mul(unit).min(n) - r.start / unit * unit
}

struct Reads {
    needed: f64,
    decoded: f64,
}

/// Bytes of the sources that are needed, and that are decoded for them without any cache.
fn source_reads(pipeline: &Pipeline, visits: &[Visit], counts: &[u64]) -> Reads {
    let (mut needed, mut decoded) = (0.0, 0.0);
    for visit in visits {
        let Input::Source(i) = visit.node else { continue };
        let info = &pipeline.sources()[i];
        let size = info.dtype.size() as f64;
        let voxels = visit.footprint.total_voxels(counts) as f64;
        needed += voxels * size;
        decoded += size
            * match &info.storage {
                None => voxels,
                Some(storage) => visit.footprint.total_by(counts, |axis, r| {
                    stored_span(r, storage.chunk[axis], info.shape[axis])
                }) as f64,
            };
    }
    Reads { needed, decoded }
}

fn bytes(shape: &[u64], info: &VolumeInfo) -> u64 {
    Region::whole(shape).voxels().saturating_mul(info.dtype.size() as u64)
}

fn info_of(pipeline: &Pipeline, node: Input) -> &VolumeInfo {
    match node {
        Input::Source(i) => &pipeline.sources()[i],
        Input::Step { step, output } => &pipeline.steps()[step].op.outputs()[output].info,
    }
}

/// Bytes that evaluating `visits[at]` holds at most, its result included.
fn peak(request: &PlanRequest<'_>, visits: &[Visit], at: usize) -> u64 {
    let visit = &visits[at];
    let largest = visit.footprint.largest();
    let own = bytes(&largest, info_of(request.pipeline, visit.node));
    let Input::Step { step, .. } = visit.node else {
        // A storage chunk is decoded beside the region that it is copied into.
        let info = info_of(request.pipeline, visit.node);
        let decoded = info.storage.as_ref().map_or(0, |s| bytes(&s.chunk, info));
        return own.saturating_add(decoded).saturating_add(request.read_overhead);
    };
    let op = &request.pipeline.steps()[step].op;
    let (mut held, mut most) = (0u64, 0u64);
    for &input in &visit.inputs {
        let child = &visits[input];
        let result = bytes(&child.footprint.largest(), info_of(request.pipeline, child.node));
        let gathered = if child.footprint.is_split() { result } else { 0 };
        // Where each position of an axis lies in the block, and in the kernel's own terms.
        held = held.saturating_add(child.footprint.largest().iter().sum::<u64>() * 32);
        most = most.max(held.saturating_add(gathered).saturating_add(peak(request, visits, input)));
        held = held.saturating_add(result);
    }
    // A table is the op's own, and counted with what else it holds.
    let outputs: u64 = match op.columns() {
        Some(_) => 0,
        None => op.outputs().iter().map(|p| bytes(&largest, &p.info)).sum(),
    };
    most.max(held.saturating_add(outputs).saturating_add(op.scratch_bytes(&largest)))
}

/// Bytes that a chunk reads of all sources, held while the ops run.
fn looked_at(pipeline: &Pipeline, visits: &[Visit]) -> u64 {
    let reads = visits.iter().filter(|visit| matches!(visit.node, Input::Source(_)));
    let bytes = reads.map(|v| bytes(&v.footprint.largest(), info_of(pipeline, v.node)));
    bytes.fold(0, u64::saturating_add)
}
