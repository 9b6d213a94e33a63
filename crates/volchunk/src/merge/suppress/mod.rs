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
mod colocalize;
mod layer;
mod overlap;
mod pairs;
mod resolve;
mod stream;
mod table;
mod tolerance;

use std::{borrow::Cow, cmp::Ordering};

pub use colocalize::{ChannelPairs, Pair, colocalize};
pub use overlap::Overlap;
pub use pairs::mean_points;
pub use stream::Suppressor;
pub use table::{Survivors, suppress_points};
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
fn check_rule(rule: &dyn Rule) -> Result<()> {
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

/// Refuses a coordinate that is not finite, and what the rule refuses; `number` is the row's, from 0.
fn check_row(rule: &dyn Rule, number: u64, row: &[f64]) -> Result<()> {
    for (axis, &at) in row.iter().take(rule.reach().len()).enumerate() {
        if !at.is_finite() {
            return Err(Error::argument(format!(
                "row {number}: the coordinate on axis {axis} is {at}; legal: finite numbers"
            )));
        }
    }
    rule.check(row).map_err(|e| e.context(format_args!("row {number}")))
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

/// Rows in any order, in one piece of memory.
#[derive(Clone)]
struct Rows<'a> {
    data: Cow<'a, [f64]>,
    columns: usize,
}

impl Rows<'_> {
    fn row(&self, number: u32) -> &[f64] {
        let at = number as usize * self.columns;
        &self.data[at..at + self.columns]
    }
}
