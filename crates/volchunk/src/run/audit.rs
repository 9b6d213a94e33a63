//! Whether a result depends on the grid that it was computed on.

use std::sync::{Mutex, PoisonError};

use super::{
    executor::for_each_chunk,
    plan::Plan,
    reread::{fitting, reading_bytes},
    spool::Spool,
    sweep::{raster, rows_in},
};
use crate::{ChunkGrid, Control, Coords, Pipeline, Region, Result, Scratch, Source};

/// A chunk of a shifted grid in which the result is another.
#[derive(Debug, Clone)]
pub struct Differing {
    /// The chunk, in coordinates of the whole result.
    pub region: Region,
    /// Voxels, or rows of a table, that differ in any bit.
    pub voxels: u64,
    /// The first of them, in coordinates of the whole result.
    pub first: Coords,
}

/// What [`audit_seams`] found.
#[derive(Debug, Clone, Default)]
pub struct Audit {
    /// Chunks of a shifted grid that were computed.
    pub chunks: u64,
    /// Their voxels.
    pub voxels: u64,
    /// Those in which `result` holds something else, in order.
    pub differing: Vec<Differing>,
}

/// Computes up to `samples` chunks anew, spread over the volume and half a chunk aside from those of
/// `plan`, so that each spans the corners of several of them, and compares with `result`, bit for
/// bit. Threads: `plan.workers`, as many as fit under the plan's cap.
///
/// # Errors
/// What a source or an op reports; [`OverMemory`](crate::ErrorKind::OverMemory);
/// [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn audit_seams(
    plan: &Plan,
    pipeline: &Pipeline,
    sources: &[&dyn Source],
    result: &dyn Source,
    samples: u64,
    control: Control<'_>,
) -> Result<Audit> {
    let domain = plan.grid.domain().start();
    audit(plan, reading_bytes(result, &plan.grid), samples, control, |region, scratch| {
        let expected = pipeline.compute(sources, region, scratch)?;
        let mut held = scratch.take(region.shape(), result.info().dtype);
        result.read(&region.relative_to(domain), held.view_mut(), scratch)?;
        let size = held.dtype().size();
        let pairs = expected.bytes().chunks(size).zip(held.bytes().chunks(size));
        let mut differ = pairs.enumerate().filter(|(_, (a, b))| a != b).map(|(i, _)| i as u64);
        let first = differ.next();
        let voxels = differ.count() as u64 + 1;
        scratch.give(expected);
        scratch.give(held);
        Ok(first.map(|first| (voxels, position(region, first))))
    })
}

/// As [`audit_seams`], of a pipeline that makes tables, whose rows `spools` hold: the rows of a chunk
/// computed anew are compared, bit for bit, with those that the chunks of the plan have there.
///
/// # Errors
/// As [`audit_seams`]; a chunk without a table.
pub fn audit_tables(
    plan: &Plan,
    pipeline: &Pipeline,
    sources: &[&dyn Source],
    spools: &[&Spool],
    samples: u64,
    control: Control<'_>,
) -> Result<Audit> {
    audit(plan, 0, samples, control, |region, scratch| {
        let table = pipeline.compute(sources, region, scratch)?;
        let columns = table.shape()[1].max(1) as usize;
        let mut expected: Vec<&[f64]> = table.as_slice::<f64>().chunks_exact(columns).collect();
        let held = rows_in(spools, region)?;
        let mut held: Vec<&[f64]> = held.chunks_exact(columns).collect();
        expected.sort_unstable_by(|a, b| raster(a, b));
        held.sort_unstable_by(|a, b| raster(a, b));
        let apart = |a: &[&[f64]], b: &[&[f64]]| -> Vec<Coords> {
            let lone = a.iter().filter(|row| b.binary_search_by(|r| raster(r, row)).is_err());
            lone.map(|row| row[..region.ndim()].iter().map(|&at| at as u64).collect()).collect()
        };
        let mut differ = apart(&expected, &held);
        differ.extend(apart(&held, &expected));
        let first = differ.iter().min().cloned();
        Ok(first.map(|first| (differ.len() as u64, first)))
    })
}

/// Goes through up to `samples` chunks of the shifted grid; `compare` tells how much of one differs,
/// and where that begins. Each worker may take `held` bytes beyond what a run would.
fn audit(
    plan: &Plan,
    held: u64,
    samples: u64,
    control: Control<'_>,
    compare: impl Fn(&Region, &mut Scratch) -> Result<Option<(u64, Coords)>> + Sync,
) -> Result<Audit> {
    let grid = &plan.grid;
    let counts = shifted_counts(grid);
    let total = Region::whole(&counts).voxels();
    let taken = total.min(samples.max(1));
    let memory = plan.memory;
    let each = memory.per_worker.saturating_add(held);
    let workers = fitting(each, plan.workers, memory.cap.saturating_sub(memory.base))?;
    let found: Mutex<(u64, Vec<(u64, Differing)>)> = Mutex::default();
    for_each_chunk(
        taken,
        workers,
        control.cancel,
        |_| Ok(Scratch::with_limit(each)),
        |scratch, k| {
            let number = (2 * u128::from(k) + 1) * u128::from(total) / (2 * u128::from(taken));
            let region = shifted(grid, &counts, number as u64);
            let differs = compare(&region, scratch)?;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.0 += region.voxels();
            if let Some((voxels, first)) = differs {
                found.1.push((k, Differing { region, voxels, first }));
            }
            Ok(())
        },
    )?;
    let (voxels, mut differing) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    differing.sort_by_key(|(k, _)| *k);
    let differing = differing.into_iter().map(|(_, d)| d).collect();
    Ok(Audit { chunks: taken, voxels, differing })
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
