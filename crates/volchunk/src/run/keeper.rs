//! What a run keeps of its chunks: whether an earlier run's work still stands, and receipts.

use super::{
    digest::digest,
    footprint::{Footprint, Visit},
    journal::{Journal, Receipt},
};
use crate::{Buffer, ErrorKind, Input, Region, Result, Scratch, Sink, Source};

use twox_hash::XxHash3_64;

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
    /// What every chunk reads of each source, and of the mask.
    reads: Vec<(&'a dyn Source, Footprint)>,
    /// Whether what was written is read back.
    check: bool,
    /// Whether that is tables.
    tables: bool,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        journal: &'a Journal,
        sources: &[&'a dyn Source],
        mask: Option<&'a dyn Source>,
        sink: &'a dyn Sink,
        visits: &[Visit],
        (check, tables): (bool, bool),
    ) -> Self {
        let reads = visits.iter().filter_map(|visit| match visit.node {
            Input::Source(i) => Some((sources[i], visit.footprint.clone())),
            Input::Step { .. } => None,
        });
        // Of the mask the core, which is the region of the result, the first visit.
        let mask = mask.into_iter().zip(visits.iter().map(|visit| visit.footprint.clone()));
        Self { journal, sink, reads: reads.chain(mask).collect(), check, tables }
    }

    /// What its input is before a chunk reads it.
    pub(super) fn stamp(&self, index: &[u64]) -> Result<u64> {
        let mut stamp = 0;
        for (source, footprint) in &self.reads {
            for region in footprint.regions(index) {
                let part = source.stamp(&region)?;
                stamp = XxHash3_64::oneshot_with_seed(stamp, &part.to_le_bytes());
            }
        }
        Ok(stamp)
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

    /// Notes that a chunk failed. Where not even that can be written, the run's own error tells it.
    pub(super) fn fail(&self, number: u64) {
        let _ = self.journal.fail(number);
    }
}
