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
    /// How many of these bits are set before each word, and in all.
    before: Vec<u64>,
    all: bool,
}

impl Todo {
    /// The chunks in `range`, of `count` in the grid, that are not in `journal`.
    pub(super) fn new(range: Range<u64>, count: u64, journal: Option<&Journal>) -> Self {
        let done = journal.map(|j| j.done_bits(range.start)).unwrap_or_default();
        Self::of_bits(range, count, done)
    }

    fn of_bits(range: Range<u64>, count: u64, mut done: Vec<u64>) -> Self {
        let length = range.end - range.start;
        done.truncate(usize::try_from(length.div_ceil(64)).unwrap_or(usize::MAX));
        if let Some(last) = done.get_mut((length / 64) as usize) {
            *last &= (1 << (length % 64)) - 1;
        }
        let mut before = vec![0];
        let mut set = 0;
        before.extend(done.iter().map(|word| {
            set += u64::from(word.count_ones());
            set
        }));
        let all = range == (0..count) && set == 0;
        Self { range, done, before, all }
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

    /// The chunk of the run whose turn is number `turn`: those to do and those with a receipt take
    /// turns, both ascending, as long as there are both. So work begins at once, although a million
    /// receipts are to be held against what they speak of.
    pub(super) fn at(&self, turn: u64) -> u64 {
        let kept = self.before[self.done.len()];
        let both = kept.min(self.range.end - self.range.start - kept);
        let (to_do, k) = match turn < 2 * both {
            true => (turn.is_multiple_of(2), turn / 2),
            false => (kept == both, turn - both),
        };
        // Of the words with bits of this sort, the last before which there are not more than k.
        let words_before =
            |w: usize| if to_do { 64 * w as u64 - self.before[w] } else { self.before[w] };
        let (mut low, mut high) = (0, self.done.len());
        while low < high {
            let middle = (low + high).div_ceil(2);
            match words_before(middle) <= k {
                true => low = middle,
                false => high = middle - 1,
            }
        }
        let mut rest = k - words_before(low);
        let start = self.range.start + 64 * low as u64;
        let Some(&word) = self.done.get(low) else { return start + rest };
        let mut bits = if to_do { !word } else { word };
        while rest > 0 {
            bits &= bits - 1;
            rest -= 1;
        }
        start + u64::from(bits.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Every chunk has its turn, those of each sort in order, and the first is one to do.
        #[test]
        fn all_have_their_turn(
            start in 0u64..1000,
            length in 0u64..700,
            mut done in prop::collection::vec(any::<u64>(), 0..14),
            sparse in 0u32..3,
        ) {
            done.iter_mut().for_each(|w| match sparse {
                0 => *w &= w.rotate_left(7) & w.rotate_left(13) & w.rotate_left(29),
                1 => *w |= w.rotate_left(7) | w.rotate_left(13) | w.rotate_left(29),
                _ => {}
            });
            let todo = Todo::of_bits(start..start + length, 2000, done);
            let order: Vec<u64> = (0..length).map(|turn| todo.at(turn)).collect();
            let mut all = order.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (start..start + length).collect::<Vec<_>>());
            let (fresh, kept): (Vec<u64>, Vec<u64>) =
                order.iter().partition(|&&number| todo.contains(number));
            prop_assert!(fresh.is_sorted() && kept.is_sorted());
            prop_assert!(order.first().is_none_or(|&n| fresh.is_empty() || todo.contains(n)));
            let turns = order.chunks_exact(2).take(fresh.len().min(kept.len()));
            for pair in turns {
                prop_assert!(todo.contains(pair[0]) && !todo.contains(pair[1]));
            }
        }
    }
}
