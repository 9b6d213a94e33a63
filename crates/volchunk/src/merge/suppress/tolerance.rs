//! Points that several chunks found.

use std::cmp::Ordering;

use super::{Rule, by_value, check_axes, check_column, group_of};
use crate::{Error, Result};

/// Points of different chunks that lie within a tolerance are one point, found twice.
///
/// Detectors whose result depends on where a chunk begins (a neural network with strides, a function
/// of the user's) place the same cell a little differently in two chunks that both see it. Of two rows
/// of different chunks, the same group, and at most `tolerance` apart on each axis, the one with the
/// larger value survives; at equal values the one that comes first in raster order, all columns
/// compared. Rows of one chunk never suppress each other.
///
/// ```
/// use volchunk::{Tolerance, suppress_points};
/// // y, x, value, chunk
/// let rows = [5.0, 9.6, 0.8, 0.0, 5.0, 10.2, 0.9, 1.0, 5.0, 30.0, 0.7, 1.0];
/// let rule = Tolerance::new(&[1.0, 1.0], 4)?.with_value(2)?.with_chunk(&[3])?;
/// let kept = suppress_points(&rows, &rule, 2)?.to_vec();
/// assert_eq!(kept, [5.0, 10.2, 0.9, 1.0, 5.0, 30.0, 0.7, 1.0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tolerance {
    reach: Vec<f64>,
    columns: usize,
    value: Option<usize>,
    chunk: Vec<usize>,
    group: Vec<usize>,
}

impl Tolerance {
    /// A rule for rows of `columns` numbers with a tolerance for each axis, in the unit of the
    /// coordinates; 0 for the same coordinate. Every row is of a chunk of its own, until
    /// [`with_chunk`](Self::with_chunk) says otherwise.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if a tolerance is negative or not
    /// finite, or if there are more axes than columns.
    pub fn new(tolerance: &[f64], columns: usize) -> Result<Self> {
        check_axes(tolerance.len(), columns)?;
        for (axis, &t) in tolerance.iter().enumerate() {
            if !(t.is_finite() && t >= 0.0) {
                return Err(Error::argument(format!(
                    "the tolerance on axis {axis} is {t}; legal: finite, 0 or more"
                )));
            }
        }
        let (chunk, group) = (Vec::new(), Vec::new());
        Ok(Self { reach: tolerance.to_vec(), columns, value: None, chunk, group })
    }

    /// Rows with more in column `value` are stronger.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such column.
    pub fn with_value(mut self, value: usize) -> Result<Self> {
        check_column("value", value, self.columns)?;
        self.value = Some(value);
        Ok(self)
    }

    /// The columns that tell the chunk: its number, or its index in the grid, as
    /// [`merge_points`](crate::merge_points) appends it.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such column.
    pub fn with_chunk(mut self, chunk: &[usize]) -> Result<Self> {
        chunk.iter().try_for_each(|&c| check_column("chunk", c, self.columns))?;
        self.chunk = chunk.to_vec();
        Ok(self)
    }

    /// Rows that differ in one of these columns (channel, time) never suppress each other.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if there is no such column.
    pub fn with_group(mut self, group: &[usize]) -> Result<Self> {
        group.iter().try_for_each(|&g| check_column("group", g, self.columns))?;
        self.group = group.to_vec();
        Ok(self)
    }

    /// The columns that tell the chunk.
    pub(super) fn chunk(&self) -> &[usize] {
        &self.chunk
    }

    /// The squared distance of two rows within tolerance, in tolerances.
    pub(super) fn distance(&self, a: &[f64], b: &[f64]) -> f64 {
        let apart = self.reach.iter().zip(a.iter().zip(b)).filter(|(t, _)| **t > 0.0);
        apart.map(|(t, (a, b))| ((a - b) / t) * ((a - b) / t)).sum()
    }

    /// The stronger of two rows, at the mean of their coordinates.
    pub(super) fn mean(&self, a: &[f64], b: &[f64]) -> Vec<f64> {
        let mut mean = if self.order(a, b).is_le() { a } else { b }.to_vec();
        for (mean, (a, b)) in mean.iter_mut().zip(a.iter().zip(b)).take(self.reach.len()) {
            // The sum of finite coordinates may be infinite.
            *mean = a / 2.0 + b / 2.0;
        }
        mean
    }

    /// The same rule where the table tells the chunk.
    pub(super) fn by_table(&self) -> Self {
        Self { chunk: Vec::new(), ..self.clone() }
    }

    /// One more than the largest number that a chunk column may hold.
    fn chunk_limit(&self) -> u64 {
        // Several columns are packed into one number; f64 counts to 2⁵³.
        1 << (63 / self.chunk.len().max(1)).min(53)
    }
}

impl Rule for Tolerance {
    fn columns(&self) -> usize {
        self.columns
    }

    fn reach(&self) -> &[f64] {
        &self.reach
    }

    fn check(&self, row: &[f64]) -> Result<()> {
        if let Some(v) = self.value.filter(|&v| row[v].is_nan()) {
            return Err(Error::argument(format!("the value, column {v}, is NaN; legal: a number")));
        }
        if let Some(g) = self.group.iter().find(|&&g| row[g].is_nan()) {
            return Err(Error::argument(format!("the group, column {g}, is NaN; legal: a number")));
        }
        let limit = self.chunk_limit();
        for &c in &self.chunk {
            let whole = row[c] as u64;
            if whole as f64 != row[c] || whole >= limit {
                return Err(Error::argument(format!(
                    "the chunk, column {c}, is {}; legal: whole numbers from 0 to {}",
                    row[c],
                    limit - 1
                )));
            }
        }
        Ok(())
    }

    fn family(&self, row: &[f64]) -> Option<u64> {
        if self.chunk.is_empty() {
            return None;
        }
        let limit = self.chunk_limit();
        Some(self.chunk.iter().fold(0, |family, &c| family * limit + row[c] as u64))
    }

    fn group(&self, row: &[f64]) -> u64 {
        group_of(row, &self.group)
    }

    fn is_told_by_place(&self) -> bool {
        self.group.len() <= 1
    }

    fn strength(&self, row: &[f64]) -> f64 {
        self.value.map_or(0.0, |v| row[v])
    }

    fn conflict(&self, a: &[f64], b: &[f64]) -> bool {
        self.reach.iter().zip(a.iter().zip(b)).all(|(&t, (a, b))| (a - b).abs() <= t)
            && self.group.iter().all(|&g| a[g] == b[g])
            && (self.chunk.is_empty() || self.chunk.iter().any(|&c| a[c] != b[c]))
    }

    fn order(&self, a: &[f64], b: &[f64]) -> Ordering {
        by_value(self.value, a, b)
    }
}
