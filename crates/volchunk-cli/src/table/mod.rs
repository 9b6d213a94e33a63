//! Tables: what chunks found waits in spools beside the output, until all of it is made one table.

mod blobs;
mod prune;

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

pub use blobs::BlobRows;
use volchunk::{Buffer, Error, Plan, Result, Spool, digest, os};
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
    let rows = writer.finish()?;
    let output = &prepared.config.output;
    let path = digest_path(output);
    fs::write(&path, format!("{:016x}\n", digest_of(output)?))
        .map_err(|e| Error::io(format_args!("writing {}", path.display()), e))?;
    Ok(Written { found, rows })
}

/// Whether the table at `output` is the file that was written.
///
/// # Errors
/// I/O, also where that was not recorded.
pub(crate) fn is_as_written(output: &Path) -> Result<bool> {
    let path = digest_path(output);
    let recorded = fs::read_to_string(&path)
        .map_err(|e| Error::io(format_args!("reading {}", path.display()), e))?;
    Ok(u64::from_str_radix(recorded.trim(), 16).ok() == Some(digest_of(output)?))
}

fn digest_path(output: &Path) -> PathBuf {
    companion_path(output).join("table.xxh3")
}

/// A digest of a file: that of the digests of its pieces.
fn digest_of(path: &Path) -> Result<u64> {
    const PIECE: u64 = 1 << 20;
    let fail = |e| Error::io(format_args!("reading {}", path.display()), e);
    let mut file = File::open(path).map_err(fail)?;
    let mut digests = Vec::new();
    let mut piece = Vec::new();
    loop {
        piece.clear();
        (&mut file).take(PIECE).read_to_end(&mut piece).map_err(fail)?;
        if piece.is_empty() {
            break;
        }
        digests.push(digest(&Buffer::from_slice(&[piece.len() as u64], &piece)));
    }
    Ok(digest(&Buffer::from_slice(&[digests.len() as u64], &digests)))
}
