//! Whether a table depends on the grid that it was found on.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{
    executor::{Control, for_each_chunk},
    origin::Origin,
    plan::Plan,
    reread::fitting,
    shifted::{Audit, shifted_regions},
    spool::Spool,
    sweep::{raster, rows_in},
};
use crate::{Coords, Error, Region, Result, Scratch};

/// Computes up to `samples` chunks anew, spread over the volume and half a chunk aside from those of
/// `plan`, so that each spans the corners of several of them, and compares their rows, bit for bit,
/// with those that the chunks of the plan have there, which `spools` hold. Threads: `plan.workers`, as
/// many as fit under the plan's cap.
///
/// # Errors
/// [`OverMemory`](crate::ErrorKind::OverMemory); [`Cancelled`](crate::ErrorKind::Cancelled). Where
/// nothing differs, what a source or an op reports, and a chunk without a table.
pub fn audit_tables(
    plan: &Plan,
    origin: Origin<'_>,
    spools: &[&Spool],
    samples: u64,
    control: Control<'_>,
) -> Result<Audit> {
    let regions = shifted_regions(&plan.grid, samples);
    let each = plan.memory.per_worker;
    let workers = fitting(each, plan.workers, plan.memory.cap.saturating_sub(plan.memory.base))?;
    // By the number of its region.
    let found: Mutex<BTreeMap<u64, Result<_>>> = Mutex::default();
    let compare = |region: &Region, scratch: &mut Scratch| {
        let table = origin.compute(region, scratch)?;
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
        Ok::<_, Error>(first.map(|first| (differ.len() as u64, first)))
    };
    let ended = for_each_chunk(
        regions.len() as u64,
        workers,
        control.cancel,
        |_| Ok(Scratch::with_limit(each)),
        |scratch, k| {
            let differ = compare(&regions[k as usize], scratch);
            found.lock().unwrap_or_else(PoisonError::into_inner).insert(k, differ);
            Ok(())
        },
    );
    let (mut audit, mut failed) = (Audit::default(), ended.err());
    for (k, compared) in found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match compared {
            Ok(differ) => audit.note(&regions[k as usize], differ),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    audit.unless(failed)
}
