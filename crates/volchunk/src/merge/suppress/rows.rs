//! Rows by their numbers: of one table, or of one table for each chunk.

use std::{borrow::Cow, ops::Range};

use crate::{Error, Result};

/// Rows are found from the first of so many.
const BLOCK: usize = 64;

/// Rows in any order, numbered through all tables.
pub(super) struct Rows<'a> {
    tables: Vec<Cow<'a, [f64]>>,
    columns: usize,
    /// Of each table, the number of its first row; behind them, how many rows there are.
    starts: Vec<usize>,
    /// The table of each row whose number is a multiple of `BLOCK`.
    blocks: Vec<u32>,
    /// Whether the tables are those of chunks, a family each.
    by_chunk: bool,
}

impl<'a> Rows<'a> {
    /// Rows of one table, which may hold the number of their chunk.
    pub(super) fn of_one(table: Cow<'a, [f64]>, columns: usize) -> Self {
        Self::new(vec![table], columns, false)
    }

    /// Rows of one table for each chunk.
    pub(super) fn of_chunks(tables: &[&'a [f64]], columns: usize) -> Self {
        Self::new(tables.iter().map(|&t| Cow::Borrowed(t)).collect(), columns, true)
    }

    fn new(tables: Vec<Cow<'a, [f64]>>, columns: usize, by_chunk: bool) -> Self {
        let mut starts = vec![0];
        let mut blocks = Vec::new();
        let mut count = 0;
        for (number, table) in tables.iter().enumerate() {
            count += table.len() / columns;
            starts.push(count);
            blocks.resize(count.div_ceil(BLOCK), number as u32);
        }
        Self { tables, columns, starts, blocks, by_chunk }
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.starts[self.tables.len()]
    }

    /// The same, of whole rows, and of not more than have numbers.
    pub(super) fn count(&self) -> Result<usize> {
        let columns = self.columns;
        let whole = self.tables.iter().all(|table| table.len().is_multiple_of(columns));
        if whole && self.len() <= u32::MAX as usize {
            return Ok(self.len());
        }
        Err(Error::argument(format!(
            "{} numbers; legal: a multiple of {columns} columns, fewer than 2³² rows",
            self.tables.iter().map(|table| table.len()).sum::<usize>()
        )))
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// How many chunks there are, if rows are of that which their table is of.
    pub(super) fn chunks(&self) -> Option<usize> {
        self.by_chunk.then_some(self.tables.len())
    }

    /// The number of a row, in words.
    pub(super) fn name(&self, number: usize) -> String {
        if !self.by_chunk {
            return format!("row {number}");
        }
        let table = self.table_of(number);
        format!("table {table}, row {}", number - self.starts[table])
    }

    pub(super) fn row(&self, number: u32) -> &[f64] {
        let table = self.table_of(number as usize);
        let at = (number as usize - self.starts[table]) * self.columns;
        &self.tables[table][at..at + self.columns]
    }

    /// The stretches of tables that a range of rows lies in: which table, the first row's number, the
    /// rows.
    pub(super) fn stretches(
        &self,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, usize, &[f64])> {
        let first = if range.is_empty() { self.tables.len() } else { self.table_of(range.start) };
        let last = self.starts.partition_point(|&start| start < range.end).min(self.tables.len());
        (first..last).map(move |table| {
            let start = self.starts[table];
            let (from, to) = (range.start.max(start), range.end.min(self.starts[table + 1]));
            let rows = (from - start) * self.columns..(to - start) * self.columns;
            (table, from, &self.tables[table][rows])
        })
    }

    fn table_of(&self, number: usize) -> usize {
        let mut table = self.blocks[number / BLOCK] as usize;
        while self.starts[table + 1] <= number {
            table += 1;
        }
        table
    }
}
