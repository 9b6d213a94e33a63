//! Points of different channels that lie at one place.

use std::{borrow::Cow, collections::BTreeMap, sync::atomic::AtomicBool};

use super::{Rule, Tolerance, check_row, pairs::Nearest, rows::Rows, table::Table, with_cell_axes};
use crate::{Error, Result};

/// Two rows of different channels that are each other's nearest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Their numbers in the table, from 0: that of the lower channel first.
    pub rows: [u32; 2],
    /// How far they lie apart, in tolerances: 0 to 1.
    pub distance: f64,
}

/// What two channels have in common.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelPairs {
    /// The lower one first.
    pub channels: [u64; 2],
    /// By the number of the first row; a row is in one pair at most.
    pub pairs: Vec<Pair>,
}

/// Pairs the points of every two channels of a table, on at most `workers` threads, the caller's among
/// them.
///
/// `rows` is row-major, in any order; the rule's one column of the chunk tells the channel, a whole
/// number from 0. Two points of different channels and the same group are a pair if they lie within
/// tolerance, and each is the other's nearest of its channel. Both is by Euclidean distance, in
/// tolerances on each axis: within an ellipsoid whose semi-axes are the tolerances. At equal distances
/// the first in raster order is nearer, all columns compared. What pairs does not depend on the order
/// of the rows, nor on the number of workers. The result has every two channels that the table has,
/// ascending. Time is linear in the rows where their density is bounded: each is compared with those
/// within the tolerance.
///
/// ```
/// use std::sync::atomic::AtomicBool;
///
/// use volchunk::{ChannelPairs, Pair, Tolerance, colocalize};
/// // y, x, channel
/// let rows = [5.0, 9.0, 0.0, 5.0, 10.0, 1.0, 5.0, 11.5, 1.0, 40.0, 40.0, 0.0];
/// let rule = Tolerance::new(&[2.0, 2.0], 3)?.with_chunk(&[2])?;
/// let pairs = vec![Pair { rows: [0, 1], distance: 0.5 }];
/// let found = colocalize(&rows, &rule, 1, &AtomicBool::new(false))?;
/// assert_eq!(found, [ChannelPairs { channels: [0, 1], pairs }]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// As [`suppress_points`](super::suppress_points); a rule whose chunk is not told by one column;
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) soon after `cancel` is set.
pub fn colocalize(
    rows: &[f64],
    rule: &Tolerance,
    workers: usize,
    cancel: &AtomicBool,
) -> Result<Vec<ChannelPairs>> {
    let &[channel] = rule.chunk() else {
        return Err(Error::argument(format!(
            "the channel is told by {} columns; legal: one, by Tolerance::with_chunk",
            rule.chunk().len()
        )));
    };
    let columns = rule.columns();
    Rows::of_one(Cow::Borrowed(rows), columns).count()?;
    let mut numbers: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (number, row) in rows.chunks_exact(columns).enumerate() {
        check_row(rule, row).map_err(|e| e.context(format_args!("row {number}")))?;
        numbers.entry(row[channel] as u64).or_default().push(number as u32);
    }
    let mut found = Vec::new();
    for (&a, first) in &numbers {
        for (&b, second) in numbers.range(a + 1..) {
            let both: Vec<u32> = first.iter().chain(second).copied().collect();
            let row = |&n: &u32| &rows[n as usize * columns..(n as usize + 1) * columns];
            let table: Vec<f64> = both.iter().flat_map(row).copied().collect();
            let table = Rows::of_one(Cow::Borrowed(&table), columns);
            let mut pairs = with_cell_axes!(rule, D => paired(rule, &Table::<D>::whole(table, rule, workers)?, cancel)?);
            for pair in &mut pairs {
                // Rows of the first channel have the lower numbers in the table of both.
                pair.rows.sort_unstable();
                pair.rows = pair.rows.map(|k| both[k as usize]);
            }
            pairs.sort_unstable_by_key(|pair| pair.rows[0]);
            found.push(ChannelPairs { channels: [a, b], pairs });
        }
    }
    Ok(found)
}

/// The pairs of a table of two channels, each once.
fn paired<const D: usize>(
    rule: &Tolerance,
    table: &Table<'_, D>,
    cancel: &AtomicBool,
) -> Result<Vec<Pair>> {
    let found = Nearest::<D>::new(rule, table, cancel)?;
    let mut pairs = Vec::new();
    for (at, layer) in found.layers.iter().enumerate() {
        for slot in 0..layer.len() {
            let Some(other) = found.partner((at, slot)).filter(|&other| (at, slot) < other) else {
                continue;
            };
            let other_layer = &found.layers[other.0];
            let square = rule.distance(layer.row(slot), other_layer.row(other.1));
            // What the rule takes for one point lies in a box; the nearest there is the nearest in
            // the ellipsoid within, if any is.
            if square <= 1.0 {
                let rows = [layer.key(slot).id, other_layer.key(other.1).id];
                pairs.push(Pair { rows, distance: square.sqrt() });
            }
        }
    }
    Ok(pairs)
}
