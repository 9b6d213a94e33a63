//! What the halo cache is worth holding: known before any work.

use super::footprint::{AxisFootprint, Footprint, Visit};
use crate::{Input, Pipeline, Region, StorageGrid};

/// Storage chunks along one axis at most, for the cache has a row for each.
const MOST_ON_AXIS: u64 = 1 << 22;

/// Of the bytes set aside for the halo cache one in so many holds no voxels: the pieces that it keeps and
/// frees are of many lengths, and leave holes in the allocator's memory.
pub(super) const HOLES: u64 = 7;

/// Bytes that the halo cache may hold: what pending chunks can still need, and beyond a bound it is
/// cheaper to decode again than to hold more.
pub(super) fn halo_cache_bytes(pipeline: &Pipeline, visits: &[Visit]) -> u64 {
    const BOUND: u64 = 32 << 20;
    let mut wanted = 0u64;
    for visit in visits {
        let Input::Source(i) = visit.node else { continue };
        let info = &pipeline.sources()[i];
        let Some(storage) = &info.storage else { continue };
        let tables = (0..info.ndim()).all(|a| info.shape[a] / storage.chunk[a] <= MOST_ON_AXIS);
        if !tables || !is_shared(&visit.footprint, storage) {
            continue;
        }
        let decoded =
            Region::whole(&storage.chunk).voxels().saturating_mul(info.dtype.size() as u64);
        let layer = pending(&visit.footprint, &storage.chunk);
        let layer = layer.saturating_mul(decoded);
        wanted = wanted.saturating_add(layer.min(BOUND.max(9 * decoded)));
    }
    wanted.saturating_add(wanted / (HOLES - 1))
}

/// Storage chunks of shape `unit` that some chunk has read, and another one will. Chunks come in C order,
/// so along the slowest axis on which chunks share them it is those about the place that has been
/// reached, along the axes before it those of one chunk, and along the axes behind it all.
fn pending(footprint: &Footprint, unit: &[u64]) -> u64 {
    let mut axes: Vec<usize> = (0..unit.len()).collect();
    axes.sort_by_key(|&a| footprint.axes[a].driver);
    let mut behind = false;
    let counts = axes.into_iter().map(|a| {
        let (axis, unit) = (&footprint.axes[a], unit[a]);
        let span = |r: &std::ops::Range<u64>| r.end.div_ceil(unit) - r.start / unit;
        let of_one = axis.ranges.iter().map(|r| r.iter().map(span).sum::<u64>()).max().unwrap_or(0);
        let ends = axis.ranges.iter().flatten().map(|r| r.end).max().unwrap_or(0);
        let starts = axis.ranges.iter().flatten().map(|r| r.start).min().unwrap_or(0);
        let (all, shares) = (span(&(starts..ends)), shares(axis, unit));
        let some = if shares { of_one + 1 } else { of_one };
        let span = if behind { all } else { some.min(all) };
        behind |= shares;
        span
    });
    counts.fold(1, u64::saturating_mul)
}

/// Whether some storage chunk is read by more than one chunk.
pub(super) fn is_shared(footprint: &Footprint, storage: &StorageGrid) -> bool {
    footprint.axes.iter().zip(&storage.chunk).any(|(axis, &unit)| shares(axis, unit))
}

/// Whether chunks share a storage chunk of that length along an axis.
fn shares(axis: &AxisFootprint, unit: u64) -> bool {
    let mut last = None;
    axis.ranges.iter().any(|ranges| {
        let first = ranges.iter().map(|r| r.start / unit).min();
        let shares = first.is_some() && last >= first;
        last = last.max(ranges.iter().map(|r| (r.end.max(1) - 1) / unit).max());
        shares
    })
}
