//! Which chunks read which storage chunks.

use std::ops::Range;

use super::footprint::AxisFootprint;
use crate::Coords;

/// Which chunks touch which storage chunks along one source axis.
pub(super) struct AxisTouch {
    pub(super) driver: usize,
    /// The first storage chunk that any chunk reads.
    first: u64,
    /// Per storage chunk from there: every chunk index that reads it, and the voxels it reads.
    by_storage: Vec<Vec<(u64, Range<u64>)>>,
    /// Per chunk index: the storage chunks it reads, ascending.
    pub(super) by_chunk: Vec<Vec<u64>>,
}

impl AxisTouch {
    /// Of an axis on whose storage chunks of `unit` voxels the chunks along grid axis `driver` read.
    pub(super) fn of(axis: &AxisFootprint, driver: usize, unit: u64) -> Self {
        let all = || axis.ranges.iter().flatten();
        let first = all().map(|r| r.start / unit).min().unwrap_or(0);
        let stop = all().map(|r| r.end.div_ceil(unit)).max().unwrap_or(0);
        let mut by_storage = vec![Vec::new(); stop.saturating_sub(first) as usize];
        let mut by_chunk = vec![Vec::new(); axis.ranges.len()];
        for (i, ranges) in axis.ranges.iter().enumerate() {
            let touched: &mut Vec<u64> = &mut by_chunk[i];
            for r in ranges {
                touched.extend(r.start / unit..r.end.div_ceil(unit));
            }
            touched.sort_unstable();
            touched.dedup();
            for &s in touched.iter() {
                let (lo, hi) = (s * unit, (s + 1) * unit);
                let clipped = ranges.iter().map(|r| r.start.max(lo)..r.end.min(hi));
                let inside: Vec<_> = clipped.filter(|r| r.start < r.end).collect();
                let start = inside.iter().map(|r| r.start).min().unwrap_or(lo);
                let stop = inside.iter().map(|r| r.end).max().unwrap_or(lo);
                by_storage[(s - first) as usize].push((i as u64, start..stop));
            }
        }
        AxisTouch { driver, first, by_storage, by_chunk }
    }

    /// The chunk indices that read storage chunk `s`, and the voxels they read there.
    pub(super) fn touching(&self, s: u64) -> &[(u64, Range<u64>)] {
        &self.by_storage[(s - self.first) as usize]
    }
}

/// Calls `each` with every index of the product of `spans`, in C order.
pub(super) fn product(spans: &[Range<u64>], each: &mut impl FnMut(&[u64])) {
    if spans.iter().any(|s| s.is_empty()) {
        return;
    }
    let mut index: Coords = spans.iter().map(|s| s.start).collect();
    loop {
        each(&index);
        let Some(axis) = (0..spans.len()).rev().find(|&a| index[a] + 1 < spans[a].end) else {
            return;
        };
        index[axis] += 1;
        for a in axis + 1..spans.len() {
            index[a] = spans[a].start;
        }
    }
}
