//! Which chunks a run has before it.

use std::ops::Range;

use super::journal::Journal;

/// The chunks of a run that no receipt stands for when it begins. One more may be computed, where a
/// receipt turns out to be void.
#[derive(Debug)]
pub(super) struct Todo {
    range: Range<u64>,
    /// One bit for each chunk from `range.start` on that has a receipt; as long as there are any.
    done: Vec<u64>,
    all: bool,
}

impl Todo {
    /// The chunks in `range`, of `count` in the grid, that are not in `journal`.
    pub(super) fn new(range: Range<u64>, count: u64, journal: Option<&Journal>) -> Self {
        let done = journal.map(|j| j.done_bits(range.start)).unwrap_or_default();
        let all = range == (0..count) && done.iter().all(|&word| word == 0);
        Self { range, done, all }
    }

    /// The chunks that the run is responsible for, done or not.
    pub(super) fn range(&self) -> &Range<u64> {
        &self.range
    }

    /// Whether it is every chunk of the grid.
    pub(super) fn is_all(&self) -> bool {
        self.all
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        let bit = number.wrapping_sub(self.range.start);
        let word = self.done.get((bit / 64) as usize).copied().unwrap_or(0);
        self.range.contains(&number) && word >> (bit % 64) & 1 == 0
    }
}
