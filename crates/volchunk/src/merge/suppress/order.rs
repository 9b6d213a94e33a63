//! Rows in raster order: by all columns, from the first on.

use std::cmp::Ordering;

use super::{raster, rows::Rows};

/// How many coordinates the order is looked up from; the rest is fetched where these are equal.
pub(super) const PLACES: usize = 3;

/// A row and its first coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    at: [f64; PLACES],
    pub(super) id: u32,
}

impl Entry {
    /// Of a row with so many axes.
    pub(super) fn new(row: &[f64], ndim: usize, id: u32) -> Self {
        let mut at = [0.0; PLACES];
        for (to, &from) in at.iter_mut().zip(row.iter().take(ndim)) {
            *to = from;
        }
        Self { at, id }
    }

    fn order(&self, other: &Self, rows: &Rows<'_>) -> Ordering {
        let first = self.at.iter().zip(&other.at).map(|(a, b)| a.total_cmp(b));
        let first = first.fold(Ordering::Equal, Ordering::then);
        first
            .then_with(|| raster(rows.row(self.id), rows.row(other.id)))
            .then(self.id.cmp(&other.id))
    }
}

/// Moves that an almost sorted table may take for each row, before it is sorted by comparison.
const MOVES: usize = 8;

/// The numbers of rows in raster order; of rows that are the same, the lower number first.
///
/// They are sorted by one integer each, of coordinates on a lattice, which is a few times faster than
/// by comparing rows, and right but for rows of one lattice plane; then these are put right.
pub(super) fn in_raster_order(rows: &Rows<'_>, entries: &[Entry]) -> Vec<u32> {
    let count = entries.len();
    let (mut low, mut high) = ([f64::INFINITY; PLACES], [f64::NEG_INFINITY; PLACES]);
    for entry in entries {
        for a in 0..PLACES {
            (low[a], high[a]) = (low[a].min(entry.at[a]), high[a].max(entry.at[a]));
        }
    }
    let index_bits = usize::BITS - count.leading_zeros();
    let lattice = Lattice::new(&low, &high, u64::BITS - index_bits);
    let mut keys: Vec<u64> = (entries.iter().enumerate())
        .map(|(i, entry)| lattice.key(&entry.at) << index_bits | i as u64)
        .collect();
    keys.sort_unstable();
    let mask = (1 << index_bits) - 1;
    let mut sorted: Vec<&Entry> = keys.iter().map(|key| &entries[(key & mask) as usize]).collect();
    let mut moves = 0;
    for i in 1..count {
        let mut at = i;
        while at > 0 && sorted[at].order(sorted[at - 1], rows).is_lt() {
            sorted.swap(at, at - 1);
            at -= 1;
            moves += 1;
        }
        if moves > MOVES * count {
            sorted.sort_unstable_by(|a, b| a.order(b, rows));
            break;
        }
    }
    sorted.into_iter().map(|entry| entry.id).collect()
}

/// Integers that follow the coordinates, the first above the second above the third.
struct Lattice {
    /// Halves, since the extent of finite coordinates may be infinite.
    low: [f64; PLACES],
    per_half: [f64; PLACES],
    bits: [u32; PLACES],
}

impl Lattice {
    /// Of at most `bits` bits, shared out among the axes on which the coordinates differ.
    fn new(low: &[f64; PLACES], high: &[f64; PLACES], bits: u32) -> Self {
        let halves = low.map(|low| low / 2.0);
        let extent: [f64; PLACES] = std::array::from_fn(|a| high[a] / 2.0 - halves[a]);
        let axes = extent.iter().filter(|e| **e > 0.0).count() as u32;
        // f64 counts to 2⁵³.
        let share = bits.checked_div(axes).unwrap_or(0).min(52);
        let bits = extent.map(|e| if e > 0.0 { share } else { 0 });
        let per_half = std::array::from_fn(|a| {
            let per_half = ((1u64 << bits[a]) - 1) as f64 / extent[a];
            // Where the coordinates are too close for a quotient, the order is found by comparing.
            if per_half.is_finite() { per_half } else { 0.0 }
        });
        Self { low: halves, per_half, bits }
    }

    fn key(&self, at: &[f64; PLACES]) -> u64 {
        (0..PLACES).fold(0, |key, a| {
            let digit = ((at[a] / 2.0 - self.low[a]) * self.per_half[a]) as u64;
            key << self.bits[a] | digit.min((1 << self.bits[a]) - 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn coordinate() -> impl Strategy<Value = f64> {
        let odd = select(vec![-0.0, 0.0, 1e300, -1e300, f64::MAX, f64::MIN, 1e-310, 1.0 + 1e-15]);
        prop_oneof![8 => (-3..3i32).prop_map(f64::from), 8 => -2.0..2.0, 1 => odd]
    }

    proptest! {
        #[test]
        fn rows_are_sorted(
            (columns, numbers) in (1usize..=5).prop_flat_map(|columns| {
                (Just(columns), vec(vec(coordinate(), columns), 0..300).prop_map(|r| r.concat()))
            }),
            axes in 1usize..=5,
        ) {
            let rows = Rows::of_one(Cow::Borrowed(&numbers), columns);
            let table = numbers.chunks_exact(columns).enumerate();
            let entries: Vec<Entry> = table
                .map(|(id, row)| Entry::new(row, axes.min(columns), id as u32))
                .collect();
            let mut expected: Vec<u32> = entries.iter().map(|e| e.id).collect();
            expected.sort_by(|&a, &b| {
                let by = rows.row(a).iter().zip(rows.row(b)).map(|(a, b)| a.total_cmp(b));
                by.fold(Ordering::Equal, Ordering::then)
            });
            prop_assert_eq!(in_raster_order(&rows, &entries), expected);
        }
    }
}
