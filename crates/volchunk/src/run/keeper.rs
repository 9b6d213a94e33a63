//! What a run keeps of its chunks: whether an earlier run's work still stands, and receipts.

use std::{ops::Range, sync::atomic::AtomicBool};

use super::{
    digest::digest,
    journal::{Journal, Receipt},
    look::{Reads, outdated},
};
use crate::{Buffer, ChunkGrid, Error, ErrorKind, Region, Result, Scratch, Sink};

/// Whether what was committed of a chunk still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing was committed.
    Missing,
    /// It was, and is what it was.
    Stands,
    /// The chunk's input is another than it was.
    InputChanged,
    /// What was stored is gone, or is another than what was written.
    Damaged,
}

/// A journal, and what its receipts speak of.
pub(super) struct Keeper<'a> {
    journal: &'a Journal,
    sink: &'a dyn Sink,
    reads: Reads<'a>,
    /// Whether what was written is read back.
    check: bool,
    /// Whether that is tables.
    tables: bool,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        journal: &'a Journal,
        reads: Reads<'a>,
        sink: &'a dyn Sink,
        (check, tables): (bool, bool),
    ) -> Self {
        Self { journal, sink, reads, check, tables }
    }

    /// What its input is before a chunk reads it.
    pub(super) fn stamp(&self, index: &[u64]) -> Result<u64> {
        self.reads.stamp(index)
    }

    /// Refuses an input that changed while it was read: what was made of it, by the run or those
    /// before it, would be of no one volume.
    pub(super) fn settled(
        &self,
        grid: &ChunkGrid,
        chunks: Range<u64>,
        means: (usize, &AtomicBool),
    ) -> Result<()> {
        match outdated(grid, self.journal, &self.reads, chunks, means)? {
            None => Ok(()),
            Some((first, count)) => Err(Error::data(format!(
                "the input changed while it was read: of {count} chunks, the first at {}",
                grid.core(&grid.index_of(first))
            ))),
        }
    }

    /// Whether chunk `number`, at `index` of the grid and `place` of the output, needs no work.
    pub(super) fn standing(
        &self,
        number: u64,
        index: &[u64],
        place: &Region,
        scratch: &mut Scratch,
    ) -> Result<Standing> {
        let Some(receipt) = self.journal.receipt(number)? else { return Ok(Standing::Missing) };
        if self.stamp(index)? != receipt.stamp {
            return Ok(Standing::InputChanged);
        }
        if self.sink.stored_bytes(place)? != receipt.stored {
            return Ok(Standing::Damaged);
        }
        if !self.check {
            return Ok(Standing::Stands);
        }
        match self.found(place, scratch) {
            Ok(found) if found == receipt.digest => Ok(Standing::Stands),
            // What cannot be decoded is not what was written.
            Err(e) if e.kind() != ErrorKind::InvalidData => Err(e),
            _ => Ok(Standing::Damaged),
        }
    }

    /// The digest of what is written at `place`.
    fn found(&self, place: &Region, scratch: &mut Scratch) -> Result<u64> {
        if self.tables {
            return Ok(digest(&self.sink.read_table(place)?));
        }
        let mut voxels = scratch.take(place.shape(), self.sink.info().dtype);
        let read = self.sink.read_back(place, voxels.view_mut(), scratch);
        let found = digest(&voxels);
        scratch.give(voxels);
        read.map(|()| found)
    }

    /// Writes the receipt of a chunk that was just written.
    pub(super) fn commit(
        &self,
        number: u64,
        place: &Region,
        stamp: u64,
        voxels: &Buffer,
    ) -> Result<()> {
        let stored = self.sink.stored_bytes(place)?;
        self.journal.commit(Receipt { number, digest: digest(voxels), stored, stamp })
    }

    /// Notes that a chunk failed. Where its receipt stands it was looked at in vain, and what it speaks
    /// of was not touched. Where not even that can be written, the run's own error tells it.
    pub(super) fn fail(&self, number: u64) {
        if !self.journal.has(number) {
            let _ = self.journal.fail(number);
        }
    }

    /// Notes that what was committed of a chunk is about to be replaced: whatever becomes of that, the
    /// receipt is no longer one of what is there.
    pub(super) fn void(&self, number: u64) -> Result<()> {
        self.journal.void(number)
    }

    /// Brings all that was written where the output promises that it is. If that fails, nobody knows of
    /// which chunks something was lost.
    pub(super) fn flush(&self) -> Result<()> {
        self.sink.flush().inspect_err(|_| {
            // Where not even that can be written, the next run believes what it should not: there is
            // no other place to leave word.
            let _ = self.journal.void_all();
        })
    }
}
