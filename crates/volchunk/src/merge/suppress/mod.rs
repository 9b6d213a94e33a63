//! Greedy suppression: of points in conflict, the strongest survive.
//!
//! [`Rule`] says which rows are in conflict, and which of two is the stronger. [`Tolerance`] is that
//! of points which two chunks both found, [`Overlap`] that of blobs which share their volume. The rows
//! are kept that no stronger survivor is in conflict with: going from the strongest row to the
//! weakest, a row is dropped if it is in conflict with one that was kept, and what was dropped drops
//! nothing. There is exactly one such set, whatever the order of the rows.
//!
//! The sweep over all rows by strength that the definition suggests is not made. A row is decided as
//! soon as the stronger rows within its reach are, so that the table may pass as a stream
//! ([`Suppressor`]), or be divided among threads ([`suppress_points`]).

mod cells;
mod clearance;
mod colocalize;
mod layer;
mod order;
mod overlap;
mod pairs;
mod resolve;
mod rows;
mod stream;
mod table;
mod threads;
mod tolerance;

use std::cmp::Ordering;

pub use colocalize::{ChannelPairs, Pair, colocalize};
pub use overlap::Overlap;
pub use pairs::{mean_points, mean_tables};
pub use stream::Suppressor;
pub use table::{Survivors, suppress_points, suppress_tables};
pub use tolerance::Tolerance;

use crate::{Error, Result};

/// Which rows of a table of points are in conflict, and which of two is the stronger.
///
/// A row is `columns` numbers; the first are its coordinates, one for each axis, slowest first.
pub trait Rule: Sync {
    /// Numbers in a row.
    fn columns(&self) -> usize;

    /// For each axis of the volume, how far apart rows can be that are in conflict; finite, not
    /// negative.
    fn reach(&self) -> &[f64];

    /// Whether a row is one that the other methods can judge; its coordinates are finite.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument): which column, what it holds, what
    /// would be legal. The caller puts the row's number in front.
    fn check(&self, row: &[f64]) -> Result<()>;

    /// Rows of one family are never in conflict, which is cheaper to know than to find out: below
    /// `1 << 63`. None for all, or for no row.
    fn family(&self, row: &[f64]) -> Option<u64> {
        let _ = row;
        None
    }

    /// Rows of different groups are never in conflict, either. A group's number may be any, and serve
    /// several.
    fn group(&self, row: &[f64]) -> u64 {
        let _ = row;
        0
    }

    /// Whether rows within the reach on every axis, of one group's number and not of one family, are
    /// always in conflict.
    fn is_told_by_place(&self) -> bool {
        false
    }

    /// Of two rows, the one with more is the stronger by [`order`](Self::order), by
    /// [`total_cmp`](f64::total_cmp): what is cheap to compare. At the same bits, that decides.
    fn strength(&self, row: &[f64]) -> f64 {
        let _ = row;
        0.0
    }

    /// Whether two rows, which lie within the reach on every axis, are in conflict; the same in both
    /// orders.
    fn conflict(&self, a: &[f64], b: &[f64]) -> bool;

    /// A total order of rows, the stronger first; [`Equal`](Ordering::Equal) only for the same bits.
    fn order(&self, a: &[f64], b: &[f64]) -> Ordering;
}

/// Raster order: all columns, from the first on.
fn raster(a: &[f64], b: &[f64]) -> Ordering {
    let differ = a.iter().zip(b).find(|(a, b)| a.to_bits() != b.to_bits());
    differ.map_or(Ordering::Equal, |(a, b)| a.total_cmp(b))
}

/// The larger of two values first, then raster order of their rows.
fn by_value(value: Option<usize>, a: &[f64], b: &[f64]) -> Ordering {
    let by_value = value.map_or(Ordering::Equal, |v| b[v].total_cmp(&a[v]));
    by_value.then_with(|| raster(a, b))
}

/// A number for what a row holds in the columns of the group: of one column, a number of its own.
fn group_of(row: &[f64], group: &[usize]) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    // −0 and 0 are the same group.
    group.iter().fold(0u64, |number, &g| {
        number.wrapping_mul(SPREAD).rotate_left(29) ^ (row[g] + 0.0).to_bits()
    })
}

/// Refuses a column that the table does not have.
fn check_column(what: &str, column: usize, columns: usize) -> Result<()> {
    if column < columns {
        return Ok(());
    }
    Err(Error::argument(format!(
        "the {what} column is {column}; legal: 0 to {}, a row has {columns} columns",
        columns.saturating_sub(1)
    )))
}

/// Refuses a table without a column for each axis, or without an axis.
fn check_axes(ndim: usize, columns: usize) -> Result<()> {
    if (1..=columns).contains(&ndim) {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{ndim} axes and {columns} columns; legal: one axis or more, and a column for each"
    )))
}

/// Refuses a rule without axes, or with fewer columns than axes or no finite reach.
fn check_rule<R: Rule + ?Sized>(rule: &R) -> Result<()> {
    check_axes(rule.reach().len(), rule.columns())?;
    for (axis, &reach) in rule.reach().iter().enumerate() {
        if !(reach.is_finite() && reach >= 0.0) {
            return Err(Error::argument(format!(
                "the reach on axis {axis} is {reach}; legal: finite, 0 or more"
            )));
        }
    }
    Ok(())
}

/// Refuses a coordinate that is not finite, and what the rule refuses. The caller puts the row's number
/// in front.
fn check_row<R: Rule + ?Sized>(rule: &R, row: &[f64]) -> Result<()> {
    for (axis, &at) in row.iter().take(rule.reach().len()).enumerate() {
        if !at.is_finite() {
            return Err(Error::argument(format!(
                "the coordinate on axis {axis} is {at}; legal: finite numbers"
            )));
        }
    }
    rule.check(row)
}

/// Fewest rows of a layer, where the table has so many.
const LAYER_ROWS: usize = 256;

/// Evaluates an expression with the number of axes that make the rule's cells: all, up to 5.
macro_rules! with_cell_axes {
    ($rule:expr, $D:ident => $body:expr) => {
        match $rule.reach().len() {
            1 => {
                const $D: usize = 1;
                $body
            }
            2 => {
                const $D: usize = 2;
                $body
            }
            3 => {
                const $D: usize = 3;
                $body
            }
            4 => {
                const $D: usize = 4;
                $body
            }
            _ => {
                const $D: usize = 5;
                $body
            }
        }
    };
}
use with_cell_axes;
