//! Jobs that end in a detector: their table in memory.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;
use volchunk::{Error, ErrorKind, RunOptions, Spool, os};
use volchunk_cli::{BlobRows, TableRows};
use volchunk_io::{ColumnKind, TableInfo};

use crate::{
    error::to_python,
    job::{Job, parse},
    keep::Manner,
    points::filled,
    watch::Watch,
};

/// Names of columns, and their dtypes as NumPy has them.
type Columns = Vec<(String, &'static str)>;

/// Runs a job that ends in a detector: the names of the table's columns with their dtypes, and what
/// `allocate` returns for a number of float64, filled with the rows.
#[pyfunction]
pub(crate) fn detect<'py>(
    py: Python<'py>,
    job: PyRef<'py, Job>,
    manner: Manner,
    watch: Watch,
    allocate: &Bound<'py, PyAny>,
) -> PyResult<(Columns, Bound<'py, PyAny>)> {
    let plan = &job.plan;
    let blobs = BlobRows::new(&parse(&job.ops)?, &job.pipeline).map_err(to_python)?;
    let columns = columns(blobs.info());
    let peaks = plan.columns.unwrap_or_default();
    let spool = py
        .detach(|| Spool::temporary(plan.output.clone(), &plan.grid, peaks))
        .map_err(to_python)?;
    let mut table = Vec::new();
    let free = plan.memory.cap.saturating_sub(os::resident_memory().unwrap_or(0));
    job.carry_out_and(py, &spool, manner.with(RunOptions::default()), &watch, |stop| {
        blobs.each(&[&spool], free, &mut |rows| {
            table.extend_from_slice(rows);
            match stop.load(Ordering::Relaxed) {
                true => Err(Error::new(ErrorKind::Cancelled, "cancelled")),
                false => Ok(()),
            }
        })?;
        Ok(())
    })?;
    let out = filled(py, allocate, table.len(), |out| out.copy_from_slice(&table))?;
    Ok((columns, out))
}

fn columns(info: &TableInfo) -> Vec<(String, &'static str)> {
    let dtype = |kind| match kind {
        ColumnKind::Integer => "int64",
        ColumnKind::F32 => "float32",
        ColumnKind::F64 => "float64",
    };
    info.columns.iter().map(|c| (c.name.clone(), dtype(c.kind))).collect()
}
