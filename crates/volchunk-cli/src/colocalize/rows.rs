//! What is needed of a table's rows, read under the cap on memory.

use volchunk::{Error, ErrorKind, Result, os};
use volchunk_io::{TableInfo, TableReader};

use super::{BATCH, Request, stop};
use crate::report::{bytes, grouped};

/// Bytes beside the rows: batches, and what a reader and a writer of tables hold at most.
const BESIDE: u64 = 64 << 20;

/// A table's column, or what stands for it where there is no such column.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Column(usize),
    /// The number of the row, from 0.
    Number,
    Constant(f64),
}

impl From {
    /// The column of this name, else `other`.
    pub(super) fn column_or(info: &TableInfo, name: &str, other: Self) -> Self {
        info.index_of(name).map_or(other, Self::Column)
    }
}

/// What the rows may take.
pub(super) struct Budget<'a> {
    request: &'a Request<'a>,
    /// Bytes that are held without them.
    base: u64,
    cap: u64,
}

impl<'a> Budget<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        let base = os::resident_memory().unwrap_or(0) + BESIDE;
        Self { request, base, cap: request.limits.cap() }
    }

    /// Refuses `rows` rows of which `row_bytes` each are held in the end.
    pub(super) fn check(&self, rows: u64, row_bytes: u64) -> Result<()> {
        let needed = row_bytes.saturating_mul(rows).saturating_add(self.base);
        if needed <= self.cap {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::OverMemory,
            format!(
                "--memory: the first {} rows of {} need {}, the cap is {}; {} of each row are held; \
                 legal: a higher cap, or parts of the table (volchunk points --roi)",
                grouped(rows),
                self.request.input.display(),
                bytes(needed),
                bytes(self.cap),
                bytes(row_bytes)
            ),
        ))
    }

    /// Calls `each` with the number of each row of a table and the values that are wanted of it, as
    /// long as so many rows fit.
    ///
    /// # Errors
    /// What the table reports, and `each`, which is to name the row; as [`check`](Self::check).
    pub(super) fn each_row(
        &self,
        reader: &mut dyn TableReader,
        wanted: &[From],
        row_bytes: u64,
        each: &mut dyn FnMut(u64, &[f64]) -> Result<()>,
    ) -> Result<()> {
        let columns = reader.info().columns.len();
        let (mut rows, mut values, mut number) = (Vec::new(), Vec::new(), 0u64);
        loop {
            stop(self.request.cancel)?;
            let count = reader.read(&mut rows, BATCH)?;
            self.check(number + count as u64, row_bytes)?;
            if count == 0 {
                return Ok(());
            }
            for row in rows.chunks_exact(columns) {
                values.clear();
                values.extend(wanted.iter().map(|from| match *from {
                    From::Column(c) => row[c],
                    From::Number => number as f64,
                    From::Constant(value) => value,
                }));
                each(number, &values).map_err(|e| named(self.request, &e))?;
                number += 1;
            }
        }
    }
}

/// An error about what the table holds.
pub(super) fn named(request: &Request<'_>, error: &Error) -> Error {
    Error::data(format!("{}: {error}", request.input.display()))
}

/// `value` as the whole number that column `name` has in a row.
pub(super) fn whole(value: f64, row: u64, name: &str) -> Result<u64> {
    const LIMIT: f64 = (1u64 << 53) as f64;
    match value.trunc() == value && (0.0..LIMIT).contains(&value) {
        true => Ok(value as u64),
        false => {
            Err(Error::data(format!("row {row}: {name} is {value}; legal: a whole number from 0")))
        }
    }
}
