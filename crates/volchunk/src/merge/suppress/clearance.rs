//! Rows that lie out of reach of every other chunk's, told by the chunks' bounding boxes.

/// The bounding box of a chunk's rows, on the axes that make the cells; empty if it has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent<const D: usize> {
    low: [f64; D],
    high: [f64; D],
}

impl<const D: usize> Extent<D> {
    pub(super) const EMPTY: Self = Self { low: [f64::INFINITY; D], high: [f64::NEG_INFINITY; D] };

    /// Adds a row.
    pub(super) fn add(&mut self, site: &[f64; D]) {
        self.low = std::array::from_fn(|a| self.low[a].min(site[a]));
        self.high = std::array::from_fn(|a| self.high[a].max(site[a]));
    }

    /// Adds another's rows.
    pub(super) fn join(&mut self, other: &Self) {
        // The corners of nothing lie at infinity.
        if !other.is_empty() {
            self.add(&other.low);
            self.add(&other.high);
        }
    }

    /// The lowest and the highest coordinate on the first axis.
    pub(super) fn ends(&self) -> (f64, f64) {
        (self.low[0], self.high[0])
    }

    fn is_empty(&self) -> bool {
        self.low[0] > self.high[0]
    }
}

/// Between what the rows of a chunk are out of reach of all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clearance<const D: usize> {
    /// The nearest rows of others: below, and above.
    below: [f64; D],
    above: [f64; D],
}

/// Boxes that a chunk is compared with at most, and more for each of its rows: that no grid of chunks
/// makes it slow.
const COMPARED: usize = 256;
const COMPARED_PER_ROW: usize = 2;

impl<const D: usize> Clearance<D> {
    /// Nothing is out of reach.
    pub(super) const NONE: Self = Self { below: [f64::INFINITY; D], above: [f64::NEG_INFINITY; D] };

    /// Whether no row of another chunk lies within `reach` of a row of this chunk. Not all such rows
    /// are told.
    pub(super) fn is_clear(&self, site: &[f64; D], reach: &[f64; D]) -> bool {
        // The differences are those that are taken between rows, or closer: rounding keeps the order.
        (0..D).fold(true, |clear, a| {
            let (under, over) = (site[a] - self.below[a], self.above[a] - site[a]);
            clear & (under > reach[a]) & (over > reach[a])
        })
    }

    /// Shrinks from a box that is within reach, on the side where that costs least of `own`.
    fn shrink(&mut self, own: &Extent<D>, other: &Extent<D>, reach: &[f64; D]) {
        // Out of reach already, of what is left.
        if (0..D).any(|a| other.low[a] >= self.above[a] || other.high[a] <= self.below[a]) {
            return;
        }
        let mut best = (f64::INFINITY, 0, false);
        for (a, reach) in reach.iter().enumerate() {
            let extent = (own.high[a] - own.low[a]).max(f64::MIN_POSITIVE);
            let loss_above = (own.high[a] - (other.low[a] - reach)) / extent;
            let loss_below = (other.high[a] + reach - own.low[a]) / extent;
            for (loss, above) in [(loss_above, true), (loss_below, false)] {
                if loss < best.0 {
                    best = (loss, a, above);
                }
            }
        }
        let (_, a, above) = best;
        if above {
            self.above[a] = other.low[a];
        } else {
            self.below[a] = other.high[a];
        }
    }
}

/// Of each chunk, by its box and its number of rows, between what its rows are clear of all others.
pub(super) fn clearances<const D: usize>(
    chunks: &[(Extent<D>, usize)],
    reach: &[f64; D],
) -> Vec<Clearance<D>> {
    let mut order: Vec<usize> = (0..chunks.len()).filter(|&i| !chunks[i].0.is_empty()).collect();
    order.sort_by(|&a, &b| chunks[a].0.low[0].total_cmp(&chunks[b].0.low[0]));
    // The highest end of all boxes up to each.
    let mut end = f64::NEG_INFINITY;
    let ends: Vec<f64> = (order.iter())
        .map(|&i| {
            end = end.max(chunks[i].0.high[0]);
            end
        })
        .collect();
    let clearance = |(i, (own, rows)): (usize, &(Extent<D>, usize))| {
        let from = ends.partition_point(|&end| own.low[0] - end > reach[0]);
        let to = order.partition_point(|&j| {
            let apart = chunks[j].0.low[0] - own.high[0];
            apart.is_nan() || apart <= reach[0]
        });
        let near = order.get(from..to).unwrap_or_default();
        if near.len() > COMPARED + COMPARED_PER_ROW * rows {
            return Clearance::NONE;
        }
        let mut clear = Clearance { below: [f64::NEG_INFINITY; D], above: [f64::INFINITY; D] };
        for &j in near.iter().filter(|&&j| j != i) {
            let other = &chunks[j].0;
            let apart = (0..D).any(|a| {
                other.low[a] - own.high[a] > reach[a] || own.low[a] - other.high[a] > reach[a]
            });
            if !apart {
                clear.shrink(own, other, reach);
            }
        }
        clear
    };
    chunks.iter().enumerate().map(clearance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chunk that found nothing has no box that others would be near to.
    #[test]
    fn empty_chunks_are_near_to_none() {
        let (mut own, mut empty) = (Extent::EMPTY, Extent::EMPTY);
        own.add(&[0.0, 0.0]);
        own.add(&[9.0, 9.0]);
        empty.join(&Extent::EMPTY);
        let clear = clearances(&[(own, 2), (empty, 0)], &[1.0, 1.0]);
        assert!(clear[0].is_clear(&[5.0, 0.0], &[1.0, 1.0]));
    }
}
