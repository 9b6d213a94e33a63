//! Whether what receipts speak of is still as they say, without reading a voxel.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
};

use twox_hash::XxHash3_64;

use super::{
    executor::for_each_chunk,
    footprint::{Footprint, Visit, visits},
    journal::{Journal, Receipt},
    mask::Mask,
    origin::Origin,
};
use crate::{ChunkGrid, Input, Result, Source};

/// What every chunk reads of every source, and of the mask.
pub(super) struct Reads<'a>(Vec<(&'a dyn Source, Footprint)>);

impl<'a> Reads<'a> {
    pub(super) fn new(
        visits: &[Visit],
        sources: &[&'a dyn Source],
        mask: Option<&Mask<'a>>,
    ) -> Self {
        let reads = visits.iter().filter_map(|visit| match visit.node {
            Input::Source(i) => Some((sources[i], visit.footprint.clone())),
            Input::Step { .. } => None,
        });
        // Of the mask the core, which is the region of the result, the first visit.
        let mask = mask.map(Mask::source).into_iter();
        let mask = mask.zip(visits.iter().map(|visit| visit.footprint.clone()));
        Self(reads.chain(mask).collect())
    }

    /// What tells whether the files that the chunk at `index` is computed from have changed.
    pub(super) fn stamp(&self, index: &[u64]) -> Result<u64> {
        let mut stamp = 0;
        for (source, footprint) in &self.0 {
            for region in footprint.regions(index) {
                let part = source.stamp(&region)?;
                stamp = XxHash3_64::oneshot_with_seed(stamp, &part.to_le_bytes());
            }
        }
        Ok(stamp)
    }
}

/// What [`look`] found, by the numbers of chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Looked {
    /// Chunks whose input is another than it was when they were computed.
    pub outdated: Vec<u64>,
    /// Chunks that have no receipt, or of which files are missing, cut short or longer.
    pub missing: Vec<u64>,
}

/// Holds the files behind every chunk of `journal` against its receipt, by existence, size and time:
/// those that it was computed from, if there is an `origin`, and those that hold the `result`, the
/// volume of `grid`'s domain, if that is given. Cheap: no voxel is read.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use volchunk::{ChunkGrid, Journal, Receipt, look};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("0.journal");
/// let grid = ChunkGrid::new(&[4], &[2])?;
/// let journal = Journal::create(&path, "the job", 0..2, false)?;
/// journal.commit(Receipt { number: 1, digest: 0, stored: 0, stamp: 0 })?;
/// let found = look(&grid, &journal, None, None, 2, &AtomicBool::new(false))?;
/// assert_eq!(found.missing, [0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// A damaged journal; I/O; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled).
pub fn look(
    grid: &ChunkGrid,
    journal: &Journal,
    origin: Option<Origin<'_>>,
    result: Option<&dyn Source>,
    workers: usize,
    cancel: &AtomicBool,
) -> Result<Looked> {
    let reads = origin
        .map(|origin| Reads::new(&visits(origin.pipeline, grid), origin.sources, origin.mask));
    let found: Mutex<Looked> = Mutex::default();
    let lock = || found.lock().unwrap_or_else(PoisonError::into_inner);
    for_each(journal.chunks(), workers, cancel, |number| {
        let index = grid.index_of(number);
        let Some(receipt) = journal.receipt(number)? else {
            lock().missing.push(number);
            return Ok(());
        };
        if let Some(result) = result {
            let place = grid.core(&index).relative_to(grid.domain().start());
            if result.stored_bytes(&place)? != receipt.stored {
                lock().missing.push(number);
            }
        }
        if is_outdated(reads.as_ref(), &index, receipt)? {
            lock().outdated.push(number);
        }
        Ok(())
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.outdated.sort_unstable();
    found.missing.sort_unstable();
    Ok(found)
}

/// The first of `chunks` whose input has changed since its receipt; how many there are.
pub(super) fn outdated(
    grid: &ChunkGrid,
    journal: &Journal,
    reads: &Reads<'_>,
    chunks: Range<u64>,
    (workers, cancel): (usize, &AtomicBool),
) -> Result<Option<(u64, u64)>> {
    let found: Mutex<Option<(u64, u64)>> = Mutex::default();
    for_each(chunks, workers, cancel, |number| {
        let Some(receipt) = journal.receipt(number)? else { return Ok(()) };
        if is_outdated(Some(reads), &grid.index_of(number), receipt)? {
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            let (first, count) = found.unwrap_or((number, 0));
            *found = Some((first.min(number), count + 1));
        }
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn is_outdated(reads: Option<&Reads<'_>>, index: &[u64], receipt: Receipt) -> Result<bool> {
    reads.map_or(Ok(false), |reads| Ok(reads.stamp(index)? != receipt.stamp))
}

/// Calls `each` with the number of every chunk, on threads that end with the call.
fn for_each(
    chunks: Range<u64>,
    workers: usize,
    cancel: &AtomicBool,
    each: impl Fn(u64) -> Result<()> + Sync,
) -> Result<()> {
    let count = chunks.end - chunks.start;
    for_each_chunk(count, workers, cancel, |_| Ok(()), |(), k| each(chunks.start + k)).map(drop)
}
