//! Histograms of numbers that stream by, whose range is not known beforehand.

use std::collections::BTreeMap;

/// Bins on each side of zero.
const BINS: i64 = 4096;
/// Distinct numbers that are counted one by one.
const DISTINCT: usize = 40;

/// Counts in bins of 2ᵏ, the smallest such that all fit: the same for any order of the numbers.
/// As long as few are distinct, these are counted as they are.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    distinct: Option<BTreeMap<i64, (f64, u64)>>,
    /// Bins by their number; the first begins at 0.
    bins: BTreeMap<i64, u64>,
    exponent: i32,
    count: u64,
    least: f64,
    most: f64,
    /// How many were no numbers.
    pub(crate) skipped: u64,
}

/// One bar: from, to, how many.
pub(crate) type Bar = (f64, f64, f64);

impl Default for Histogram {
    fn default() -> Self {
        Self {
            distinct: Some(BTreeMap::new()),
            bins: BTreeMap::new(),
            exponent: -60,
            count: 0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            skipped: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, value: f64) {
        // Beyond f32, no width of a bin would leave room for the rest.
        if !value.is_finite() || value.abs() > f64::from(f32::MAX) {
            self.skipped += 1;
            return;
        }
        self.count += 1;
        (self.least, self.most) = (self.least.min(value), self.most.max(value));
        while value.abs() >= BINS as f64 * self.width() {
            self.exponent += 1;
            let halved = std::mem::take(&mut self.bins);
            for (bin, n) in halved {
                *self.bins.entry(bin.div_euclid(2)).or_default() += n;
            }
        }
        *self.bins.entry((value / self.width()).floor() as i64).or_default() += 1;
        if let Some(distinct) = &mut self.distinct {
            distinct.entry(ordered(value)).or_insert((value, 0)).1 += 1;
            if distinct.len() > DISTINCT {
                self.distinct = None;
            }
        }
    }

    fn width(&self) -> f64 {
        2f64.powi(self.exponent)
    }

    /// Least and most; None where there is nothing.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        (self.count > 0).then_some((self.least, self.most))
    }

    /// The numbers and their counts, ascending, as long as there are few.
    pub(crate) fn distinct(&self) -> Option<Vec<(f64, u64)>> {
        self.distinct.as_ref().map(|d| d.values().copied().collect())
    }

    /// The median, to the width of a bin.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut seen = 0;
        self.bins.iter().find_map(|(bin, n)| {
            seen += n;
            (2 * seen >= self.count).then(|| (*bin as f64 + 0.5) * self.width())
        })
    }

    /// At most `wanted` bars of one width, from the least to the most.
    pub(crate) fn bars(&self, wanted: usize) -> Vec<Bar> {
        let (Some((first, _)), Some((last, _))) =
            (self.bins.first_key_value(), self.bins.last_key_value())
        else {
            return Vec::new();
        };
        let per_bar = (last - first + 1).div_euclid(wanted as i64).max(0) + 1;
        let bars = (last - first) / per_bar + 1;
        let width = self.width();
        let mut heights = vec![0f64; bars as usize];
        for (bin, n) in &self.bins {
            heights[((bin - first) / per_bar) as usize] += *n as f64;
        }
        let edge = |k: usize| (first + k as i64 * per_bar) as f64 * width;
        heights.into_iter().enumerate().map(|(k, n)| (edge(k), edge(k + 1), n)).collect()
    }
}

/// Integers that are ordered as the floats are.
fn ordered(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_does_not_matter_and_nothing_is_lost(
            mut values in prop::collection::vec(prop_oneof![-1e6..1e6f64, -1e-3..1e-3f64, Just(0.0)], 1..300),
            wanted in 1..60usize,
        ) {
            let of = |values: &[f64]| {
                let mut h = Histogram::default();
                values.iter().for_each(|&v| h.add(v));
                h
            };
            let one = of(&values);
            let bars = one.bars(wanted);
            prop_assert!(bars.len() <= wanted);
            prop_assert_eq!(bars.iter().map(|b| b.2).sum::<f64>(), values.len() as f64);
            for (from, to, n) in &bars {
                prop_assert_eq!(values.iter().filter(|&&v| v >= *from && v < *to).count() as f64, *n);
            }
            values.sort_by(f64::total_cmp);
            let two = of(&values);
            prop_assert_eq!(bars, two.bars(wanted));
            prop_assert_eq!(one.distinct(), two.distinct());
            prop_assert_eq!(two.range(), Some((values[0], values[values.len() - 1])));
            if let Some(distinct) = two.distinct() {
                prop_assert!(distinct.windows(2).all(|w| w[0].0 < w[1].0));
            }
        }
    }

    #[test]
    fn what_is_no_number_is_told_apart() {
        let mut h = Histogram::default();
        assert!(h.bars(10).is_empty() && h.range().is_none() && h.median().is_none());
        h.add(f64::NAN);
        h.add(f64::INFINITY);
        h.add(3.0);
        assert_eq!((h.skipped, h.bars(10).len()), (2, 1));
        assert!((h.median().unwrap() - 3.0).abs() < 0.01);
    }
}
