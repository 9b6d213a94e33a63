//! Tables that pass as a stream.

use std::{borrow::Cow, sync::Arc};

use super::{
    LAYER_ROWS, Rule, check_row, check_rule,
    layer::{Layer, Site, cell_axes},
    resolve::Resolver,
    rows::Rows,
    with_cell_axes,
};
use crate::{Error, Result};

/// A layer is so many reaches thick, where it has enough rows: at 1, two others would be looked at from
/// every row; more would be held.
const LAYER_REACHES: f64 = 4.0;

/// Suppresses points of a table that passes in batches, in order of axis 0.
///
/// A row leaves as soon as it is decided. What is held is a few reaches of the table along axis 0, and
/// what lies between a row that is undecided, since it hangs on a chain of conflicts that has not
/// ended, and the newest. The survivors are those of [`suppress_points`](super::suppress_points), in the
/// same order.
///
/// ```
/// use volchunk::{Suppressor, Tolerance};
/// let rule = Tolerance::new(&[1.0], 2)?.with_value(1)?;
/// let mut suppressor = Suppressor::new(&rule)?;
/// let mut kept = Vec::new();
/// suppressor.push(&[3.0, 0.5, 3.5, 0.7], &mut kept)?;
/// suppressor.push(&[8.0, 0.6], &mut kept)?;
/// suppressor.finish(&mut kept);
/// assert_eq!(kept, [3.5, 0.7, 8.0, 0.6]);
/// # Ok::<(), volchunk::Error>(())
/// ```
pub struct Suppressor<'r> {
    columns: usize,
    /// Of a layer along axis 0.
    thickness: f64,
    window: Box<dyn Window + 'r>,
    /// Rows of the layer that is being filled.
    filling: Vec<f64>,
    first: f64,
    last: f64,
    count: u64,
}

impl std::fmt::Debug for Suppressor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suppressor").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<'r> Suppressor<'r> {
    /// An empty table.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the rule has no axis, fewer columns
    /// than axes, or a reach that is negative or not finite.
    pub fn new<R: Rule + ?Sized>(rule: &'r R) -> Result<Self> {
        check_rule(rule)?;
        let window =
            with_cell_axes!(rule, D => Box::new(Layers::<R, D>::new(rule)) as Box<dyn Window>);
        let (first, last) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        let (columns, thickness) = (rule.columns(), LAYER_REACHES * rule.reach()[0]);
        Ok(Self { columns, thickness, window, filling: Vec::new(), first, last, count: 0 })
    }

    /// Takes whole rows, none of which lies before another on axis 0 that was taken earlier, and
    /// appends to `out` the survivors that are decided, in raster order.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the row by its number in the
    /// table, if its coordinates are not finite or not in order, if the rule refuses it, or if `rows`
    /// ends within a row. The rows before it were taken.
    pub fn push(&mut self, rows: &[f64], out: &mut Vec<f64>) -> Result<()> {
        let columns = self.columns;
        if !rows.len().is_multiple_of(columns) {
            return Err(Error::argument(format!(
                "{} numbers are no whole rows; legal: a multiple of {columns} columns",
                rows.len()
            )));
        }
        for row in rows.chunks_exact(columns) {
            let checked = self.window.check(row);
            checked.map_err(|e| e.context(format_args!("row {}", self.count)))?;
            let at = row[0];
            if at < self.last {
                return Err(Error::argument(format!(
                    "row {}: the coordinate on axis 0 is {at}, after {}; legal: ascending",
                    self.count, self.last
                )));
            }
            let full = self.filling.len() >= LAYER_ROWS * columns;
            if full && at - self.first > self.thickness && at > self.last {
                self.window.push(std::mem::take(&mut self.filling), out);
            }
            if self.filling.is_empty() {
                self.first = at;
            }
            self.filling.extend_from_slice(row);
            (self.last, self.count) = (at, self.count + 1);
        }
        Ok(())
    }

    /// Appends to `out` what survives of the rest.
    pub fn finish(mut self, out: &mut Vec<f64>) {
        if !self.filling.is_empty() {
            self.window.push(self.filling, out);
        }
        self.window.finish(out);
    }
}

/// The layers that are held, whatever the number of axes.
trait Window {
    /// Refuses a row that cannot be judged.
    fn check(&self, row: &[f64]) -> Result<()>;

    /// Takes the next layer, and appends what survives of those before it to `out`.
    fn push(&mut self, rows: Vec<f64>, out: &mut Vec<f64>);

    /// Appends what survives of all others.
    fn finish(&mut self, out: &mut Vec<f64>);
}

struct Layers<'r, R: ?Sized, const D: usize> {
    rule: &'r R,
    resolver: Resolver<'r, R, D>,
    layers: Vec<Layer<'static, D>>,
    /// The number in the table of the first layer that is held, modulo 2³².
    base: u32,
    /// How many of them have been appended to the output.
    written: usize,
}

impl<'r, R: Rule + ?Sized, const D: usize> Layers<'r, R, D> {
    fn new(rule: &'r R) -> Self {
        Self { rule, resolver: Resolver::new(rule), layers: Vec::new(), base: 0, written: 0 }
    }

    /// Looks at the rows of layer `which`, whose neighbours are known, and writes what is decided.
    fn advance(&mut self, which: usize, out: &mut Vec<f64>) {
        self.resolver.resolve(&mut self.layers, self.base, which..which + 1);
        while let Some(layer) = self.layers.get(self.written).filter(|l| l.open() == 0) {
            for id in layer.kept(self.rule) {
                out.extend_from_slice(layer.row_of(id));
            }
            self.written += 1;
        }
        // The last one written is still looked at from the next.
        let done = self.written.saturating_sub(1);
        self.layers.drain(..done);
        self.base = self.base.wrapping_add(done as u32);
        self.written -= done;
    }
}

impl<R: Rule + ?Sized, const D: usize> Window for Layers<'_, R, D> {
    fn check(&self, row: &[f64]) -> Result<()> {
        check_row(self.rule, row)
    }

    fn push(&mut self, rows: Vec<f64>, out: &mut Vec<f64>) {
        let columns = self.rule.columns();
        let axes = cell_axes::<D>(self.rule.reach().len());
        let sites: Vec<Site<D>> = (rows.chunks_exact(columns).zip(0..))
            .map(|(row, id)| Site::new(self.rule, row, axes.map(|a| row[a]), None, id))
            .collect();
        let rows = Arc::new(Rows::of_one(Cow::Owned(rows), columns));
        self.layers.push(Layer::new(self.rule, rows, &sites, true));
        if let Some(before) = self.layers.len().checked_sub(2) {
            self.advance(before, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<f64>) {
        if let Some(last) = self.layers.len().checked_sub(1) {
            self.advance(last, out);
        }
    }
}
