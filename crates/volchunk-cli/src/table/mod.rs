//! Tables: what chunks found waits in spools beside the output, until all of it is made one table.

mod blobs;
mod prune;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

pub use blobs::BlobRows;
use volchunk::{Error, Plan, Result, Spool, os};
use volchunk_io::{Part, companion_path, create_table, partial_path};

use crate::prepare::Prepared;

/// What became a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Peaks that the chunks found.
    pub(crate) found: u64,
    /// Rows of the table.
    pub(crate) rows: u64,
}

/// Goes on with the spool of an output, or of a part of it, or begins it. From then on the output is
/// seen to be unfinished.
pub(crate) fn open_spool(prepared: &Prepared, part: Option<Part>, durable: bool) -> Result<Spool> {
    let output = &prepared.config.output;
    let (path, plan) = (spool_path(output, part), &prepared.plan);
    let partial = partial_path(output);
    File::options()
        .create(true)
        .append(true)
        .open(&partial)
        .map_err(|e| Error::io(format_args!("creating {}", partial.display()), e))?;
    Spool::open(&path, plan.output.clone(), &plan.grid, columns(plan)?, durable)
}

/// The tables that a run has left.
pub(crate) fn read_spool(output: &Path, part: Option<Part>, plan: &Plan) -> Result<Spool> {
    Spool::read(&spool_path(output, part), plan.output.clone(), &plan.grid, columns(plan)?)
}

fn spool_path(output: &Path, part: Option<Part>) -> PathBuf {
    let stem = part.map_or_else(|| "0".into(), Part::name);
    companion_path(output).join(format!("{stem}.spool"))
}

fn columns(plan: &Plan) -> Result<u64> {
    plan.columns.ok_or_else(|| Error::argument("the plan makes no tables"))
}

/// Makes the output of what the chunks found.
///
/// # Errors
/// A chunk without a table; damage; I/O. The output is then not complete.
pub(crate) fn write_table(prepared: &Prepared, spools: &[&Spool]) -> Result<Written> {
    let blobs = BlobRows::new(&prepared.config.ops, &prepared.pipeline)?;
    let volume = prepared.pipeline.output();
    let mut info = blobs.info().clone();
    // The archive of blobs tells the volume's size.
    let lengths: Vec<u64> = volume.spatial_axes().iter().map(|&a| volume.shape[a]).collect();
    info.attributes = Some(serde_json::json!({ "shape": lengths }));
    let mut writer = create_table(&prepared.config.output, &info)?;
    let free = prepared.plan.memory.cap.saturating_sub(os::resident_memory().unwrap_or(0));
    let found = blobs.each(spools, free, &mut |rows| writer.write(rows))?;
    Ok(Written { found, rows: writer.finish()? })
}
