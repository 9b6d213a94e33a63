//! Carrying out a plan.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{
    budget::ByteBudget,
    executor::{Control, Progress, catch, for_each_chunk},
    footprint::visits,
    halo_cache::HaloCache,
    plan::{Plan, stored_span},
};
use crate::{
    Error, ErrorKind, Input, Pipeline, Region, Result, Scratch, Sink, Source, View, ViewMut,
    op::Reader, os,
};

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Chunks computed.
    pub chunks: u64,
    /// Output voxels written.
    pub voxels: u64,
    /// From the first chunk's start to the output's completion.
    pub elapsed: Duration,
    /// Bytes of input that were decoded, a storage chunk as far as it had to be; borrowed memory
    /// does not count.
    pub decoded_bytes: u64,
    /// The process's highest resident memory so far, in bytes.
    pub peak_memory: Option<u64>,
}

/// Computes every chunk of `plan` and writes it to `sink`, then marks the output complete.
///
/// Chunks run on `plan.workers` threads, which end with the call. `sink` must have been made for
/// `plan.output`.
///
/// # Errors
/// The first chunk that failed, by index and region; [`ErrorKind::Cancelled`]. The output is then
/// not marked complete.
pub fn run(
    plan: &Plan,
    pipeline: &Pipeline,
    sources: &[&dyn Source],
    sink: &dyn Sink,
    control: Control<'_>,
) -> Result<Report> {
    check(plan, pipeline, sources, sink)?;
    let started = Instant::now();
    let grid = &plan.grid;
    let caches = caches(plan, pipeline, sources);
    // Holds the cap even for a plan whose number of workers was raised by hand.
    let memory = plan.memory;
    let budget = ByteBudget::new(memory.cap.saturating_sub(memory.base + memory.halo_cache));
    let plain = AtomicU64::new(0);
    let (chunks_done, voxels_done) = (AtomicU64::new(0), AtomicU64::new(0));
    let voxels = grid.domain().voxels();
    for_each_chunk(
        grid.len(),
        plan.workers,
        control.cancel,
        |_| Ok(Scratch::with_limit(plan.memory.per_worker)),
        |scratch, number| {
            let _permit = budget.acquire(plan.memory.per_worker, control.cancel)?;
            let core = grid.core(&grid.index_of(number));
            let reader = ChunkReader { number, sources, caches: &caches, plain: &plain };
            let place = core.relative_to(grid.domain().start());
            catch(|| {
                let buffer = pipeline.compute_from(&reader, &core, scratch)?;
                sink.write(&place, buffer.view(), scratch)?;
                scratch.give(buffer);
                Ok(())
            })
            .unwrap_or_else(|text| Err(Error::data(format!("internal error: {text}"))))
            .map_err(|e| name_chunk(e, &grid.index_of(number), &core))?;
            caches.iter().flatten().for_each(|cache| cache.done(number));
            (control.progress)(Progress {
                chunks_done: chunks_done.fetch_add(1, Ordering::Relaxed) + 1,
                chunks: grid.len(),
                voxels_done: voxels_done.fetch_add(core.voxels(), Ordering::Relaxed)
                    + core.voxels(),
                voxels,
            });
            Ok(())
        },
    )?;
    sink.finish()?;
    let cached: u64 = caches.iter().flatten().map(HaloCache::decoded).sum();
    Ok(Report {
        chunks: grid.len(),
        voxels,
        elapsed: started.elapsed(),
        decoded_bytes: cached + plain.into_inner(),
        peak_memory: os::peak_resident_memory(),
    })
}

/// The failing chunk by index and region; a cancellation is nobody's fault.
fn name_chunk(error: Error, index: &[u64], core: &Region) -> Error {
    if error.is_cancelled() {
        return error;
    }
    let index: Vec<String> = index.iter().map(u64::to_string).collect();
    error.context(format_args!("chunk ({}) at {core}", index.join(", ")))
}

fn check(plan: &Plan, pipeline: &Pipeline, sources: &[&dyn Source], sink: &dyn Sink) -> Result<()> {
    let mismatch = |what: String| Err(Error::new(ErrorKind::InvalidArgument, what));
    if sources.len() != pipeline.sources().len() {
        return mismatch(format!(
            "the pipeline reads {} sources, {} were given",
            pipeline.sources().len(),
            sources.len()
        ));
    }
    for (i, (have, want)) in sources.iter().map(|s| s.info()).zip(pipeline.sources()).enumerate() {
        if have.shape != want.shape || have.dtype != want.dtype {
            return mismatch(format!(
                "source {i} is {:?} {}, the pipeline was made for {:?} {}",
                have.shape, have.dtype, want.shape, want.dtype
            ));
        }
    }
    let (have, want) = (sink.info(), &plan.output);
    if have.shape != want.shape || have.dtype != want.dtype {
        return mismatch(format!(
            "the sink is {:?} {}, the plan writes {:?} {}",
            have.shape, have.dtype, want.shape, want.dtype
        ));
    }
    Ok(())
}

/// A halo cache for each source that gains by one, the budget shared evenly.
fn caches<'a>(
    plan: &'a Plan,
    pipeline: &Pipeline,
    sources: &[&'a dyn Source],
) -> Vec<Option<HaloCache<'a>>> {
    let visits = visits(pipeline, &plan.grid);
    let share = plan.memory.halo_cache / sources.len().max(1) as u64;
    (0..sources.len())
        .map(|i| {
            let mut reads = visits.iter().filter(|v| v.node == Input::Source(i));
            // Two steps that read one source need different regions: that one goes without.
            match (reads.next(), reads.next()) {
                (Some(visit), None) => {
                    HaloCache::new(sources[i], &plan.grid, &visit.footprint, share)
                }
                _ => None,
            }
        })
        .collect()
}

/// Reads for one chunk, through the caches.
struct ChunkReader<'a> {
    number: u64,
    sources: &'a [&'a dyn Source],
    caches: &'a [Option<HaloCache<'a>>],
    plain: &'a AtomicU64,
}

impl Reader for ChunkReader<'_> {
    fn borrow(&self, source: usize, region: &Region) -> Option<View<'_>> {
        self.sources[source].borrow(region)
    }

    fn read(
        &self,
        source: usize,
        region: &Region,
        out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        match &self.caches[source] {
            Some(cache) => cache.read(self.number, region, out, scratch),
            None => {
                let info = self.sources[source].info();
                let voxels = match &info.storage {
                    None => region.voxels(),
                    Some(storage) => (0..region.ndim())
                        .map(|a| stored_span(&region.range(a), storage.chunk[a], info.shape[a]))
                        .product(),
                };
                self.plain.fetch_add(voxels * info.dtype.size() as u64, Ordering::Relaxed);
                self.sources[source].read(region, out, scratch)
            }
        }
    }
}
