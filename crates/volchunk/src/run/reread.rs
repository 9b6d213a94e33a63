//! Whether an output still holds what was written.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::{
    digest::digest,
    executor::{Control, Progress, for_each_chunk},
    gather::Gather,
    journal::Journal,
    spool::Spool,
};
use crate::{Chunk, ChunkGrid, Error, ErrorKind, Region, Result, Scratch, Source};

/// A chunk that is not what its receipt says.
#[derive(Debug, Clone)]
pub struct Altered {
    /// The chunk; its core is in coordinates of the whole result.
    pub chunk: Chunk,
    /// What is wrong with it.
    pub what: String,
}

/// What [`reread`] found.
#[derive(Debug, Clone, Default)]
pub struct Reread {
    /// Chunks that have a receipt, and were read.
    pub chunks: u64,
    /// Their voxels, in bytes.
    pub bytes: u64,
    /// Those that are not what was written, and chunks without a receipt; by number.
    pub altered: Vec<Altered>,
}

/// Reads every chunk of `journal` back from `result`, the volume of `grid`'s domain, and holds it
/// against its receipt. Threads: up to `workers`, as many as `memory` bytes allow. What `gather` wants
/// is taken from what is read, as far as the memory allows.
///
/// ```
/// use volchunk::{ArraySource, Buffer, ChunkGrid, Control, Journal, Receipt, digest, reread};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("0.journal");
/// let grid = ChunkGrid::new(&[4], &[2])?;
/// let journal = Journal::create(&path, "the job", 0..2, false)?;
/// for (number, core) in [[1u8, 2], [3, 4]].iter().enumerate() {
///     let digest = digest(&Buffer::from_slice(&[2], core));
///     journal.commit(Receipt { number: number as u64, digest, stored: 2, stamp: 0 })?;
/// }
/// let now = Buffer::from_slice(&[4], &[1u8, 2, 3, 5]);
/// let result = ArraySource::new(now.view());
/// let found = reread(&grid, &journal, &result, (1, 1 << 20), None, Control::default())?;
/// assert_eq!((found.chunks, found.altered.len()), (2, 1));
/// assert_eq!(found.altered[0].chunk.core.to_string(), "[2:4]");
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::OverMemory`] where one chunk does not fit; a damaged journal;
/// [`ErrorKind::Cancelled`]. A chunk that cannot be read is no error, but altered.
pub fn reread(
    grid: &ChunkGrid,
    journal: &Journal,
    result: &dyn Source,
    (workers, memory): (usize, u64),
    gather: Option<&Gather<'_>>,
    control: Control<'_>,
) -> Result<Reread> {
    let info = result.info();
    if info.shape[..] != *grid.domain().shape() {
        return Err(Error::data(format!(
            "the journal is that of a volume of shape {:?}, the output has {:?}",
            grid.domain().shape(),
            info.shape
        )));
    }
    let reading = reading_bytes(result, grid);
    let gather =
        gather.filter(|g| reading.saturating_add(g.bytes()).saturating_add(g.held()) <= memory);
    let memory = memory - gather.map_or(0, Gather::held);
    let each = reading.saturating_add(gather.map_or(0, Gather::bytes));
    let workers = fitting(each, workers, memory)?;
    let pieces = gather.map_or(0, |gather| {
        gather.grant(memory.saturating_sub(each.saturating_mul(workers as u64)));
        gather.begin()
    });
    let range = journal.chunks();
    let altered: Mutex<Vec<(u64, Altered)>> = Mutex::default();
    let (chunks, voxels) = (AtomicU64::new(0), AtomicU64::new(0));
    for_each_chunk(
        pieces + range.end - range.start,
        workers,
        control.cancel,
        |_| Ok(Scratch::with_limit(each)),
        |scratch, k| {
            let Some(k) = k.checked_sub(pieces) else {
                gather.into_iter().for_each(|gather| gather.work(k, scratch));
                return Ok(());
            };
            let chunk = grid.chunk(range.start + k);
            let what = match journal.receipt(range.start + k)? {
                None => Some("it has no receipt".to_owned()),
                Some(receipt) => {
                    chunks.fetch_add(1, Ordering::Relaxed);
                    let place = chunk.core.relative_to(grid.domain().start());
                    let mut buffer = scratch.take(place.shape(), info.dtype);
                    let read = result.read(&place, buffer.view_mut(), scratch);
                    let read = read.and_then(|()| result.stored_bytes(&place));
                    let same = digest(&buffer) == receipt.digest;
                    if let (Ok(_), Some(gather)) = (&read, gather) {
                        gather.offer(&place, &buffer, scratch);
                    }
                    scratch.give(buffer);
                    match read {
                        // Other readers may take a tail for what it is not.
                        Ok(stored) if same && stored != receipt.stored => Some(format!(
                            "its files have {stored} bytes, {} were written",
                            receipt.stored
                        )),
                        Ok(_) if same => None,
                        Ok(_) => Some("it is not what was written".to_owned()),
                        Err(e) => Some(format!("it cannot be read: {e}")),
                    }
                }
            };
            let done = voxels.fetch_add(chunk.core.voxels(), Ordering::Relaxed);
            if let Some(what) = what {
                let found = (range.start + k, Altered { chunk: chunk.clone(), what });
                altered.lock().unwrap_or_else(PoisonError::into_inner).push(found);
            }
            (control.progress)(Progress {
                chunks_done: chunks.load(Ordering::Relaxed),
                chunks: range.end - range.start,
                voxels_done: done + chunk.core.voxels(),
                voxels: grid.domain().voxels(),
                voxels_kept: 0,
            });
            Ok(())
        },
    )?;
    // What is kept for other regions would count twice: whoever is next looks at what is left.
    gather.into_iter().for_each(|gather| gather.grant(0));
    Ok(Reread {
        chunks: chunks.into_inner(),
        bytes: voxels.into_inner().saturating_mul(info.dtype.size() as u64),
        altered: by_number(altered),
    })
}

/// As [`reread`], of the tables that `spool` holds, each of up to `workers` threads with one of them.
///
/// # Errors
/// A damaged journal; [`ErrorKind::Cancelled`]. A table that cannot be read is no error, but altered.
pub fn reread_tables(
    spool: &Spool,
    journal: &Journal,
    workers: usize,
    control: Control<'_>,
) -> Result<Reread> {
    let range = journal.chunks();
    let altered: Mutex<Vec<(u64, Altered)>> = Mutex::default();
    let (chunks, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let look = |number: u64| {
        let Some(receipt) = journal.receipt(number)? else {
            return Ok(Some("it has no receipt".to_owned()));
        };
        chunks.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>(match spool.table(number) {
            Ok(Some(table)) if digest(&table) == receipt.digest => {
                bytes.fetch_add(table.bytes().len() as u64, Ordering::Relaxed);
                None
            }
            Ok(Some(_)) => Some("it is not what was written".to_owned()),
            Ok(None) => Some("its table is gone".to_owned()),
            Err(e) => Some(format!("it cannot be read: {e}")),
        })
    };
    for_each_chunk(
        range.end - range.start,
        workers,
        control.cancel,
        |_| Ok(()),
        |(), k| {
            let number = range.start + k;
            if let Some(what) = look(number)? {
                let found = (number, Altered { chunk: spool.grid().chunk(number), what });
                altered.lock().unwrap_or_else(PoisonError::into_inner).push(found);
            }
            Ok(())
        },
    )?;
    Ok(Reread {
        chunks: chunks.into_inner(),
        bytes: bytes.into_inner(),
        altered: by_number(altered),
    })
}

fn by_number(altered: Mutex<Vec<(u64, Altered)>>) -> Vec<Altered> {
    let mut altered = altered.into_inner().unwrap_or_else(PoisonError::into_inner);
    altered.sort_by_key(|(number, _)| *number);
    altered.into_iter().map(|(_, altered)| altered).collect()
}

/// Bytes that reading a chunk of `grid` from `volume` holds.
pub(super) fn reading_bytes(volume: &dyn Source, grid: &ChunkGrid) -> u64 {
    let info = volume.info();
    let size = info.dtype.size() as u64;
    let core = Region::from_ranges((0..grid.ndim()).map(|a| grid.core_range(a, 0)));
    let stored = info.storage.as_ref().map_or(0, |s| Region::whole(&s.chunk).voxels());
    core.voxels().saturating_add(stored).saturating_mul(size).saturating_add(volume.read_overhead())
}

/// As many of `workers` as may hold `bytes` each.
pub(super) fn fitting(bytes: u64, workers: usize, memory: u64) -> Result<usize> {
    let fit = usize::try_from(memory / bytes.max(1)).unwrap_or(usize::MAX).min(workers);
    if fit == 0 {
        return Err(Error::new(
            ErrorKind::OverMemory,
            format!("one chunk needs {bytes} bytes of memory, {memory} are granted"),
        ));
    }
    Ok(fit)
}
