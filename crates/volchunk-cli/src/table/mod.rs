//! Tables: what chunks found waits in spools beside the output, until all of it is made one table.

mod blobs;
mod points;
mod prune;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

pub use blobs::BlobRows;
pub use points::PointRows;
use volchunk::{
    Buffer, ChunkGrid, Dtype, Error, ErrorKind, Plan, Result, Spool, VolumeInfo, digest,
};
use volchunk_io::{Part, TableInfo, companion_path, create_table, partial_path};

/// What makes the rows of a table of what chunks found.
pub trait TableRows {
    /// Columns, axes and attributes of the table.
    fn info(&self) -> &TableInfo;

    /// Hands all rows of the table of what `spools` hold together to `each`, in order and in pieces.
    /// Takes about `memory` bytes at most, but not less than 16 MiB, and what is not decided yet.
    /// Returns how many points the chunks found.
    ///
    /// # Errors
    /// A chunk without a table; damage; what `each` returns; I/O.
    fn each(
        &self,
        spools: &[&Spool],
        memory: u64,
        each: &mut dyn FnMut(&[f64]) -> Result<()>,
    ) -> Result<u64>;
}

/// What became a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// Points that the chunks found.
    pub(crate) found: u64,
    /// Rows of the table.
    pub(crate) rows: u64,
}

/// Goes on with the spool of an output, or of a part of it, or begins it; without `columns`, the
/// first rows tell them. From then on the output is seen to be unfinished.
pub(crate) fn open_spool(
    output: &Path,
    part: Option<Part>,
    plan: &Plan,
    columns: Option<u64>,
    durable: bool,
) -> Result<Spool> {
    let partial = partial_path(output);
    let fail = |e| Error::io(format_args!("creating {}", partial.display()), e);
    // Looked at before it is opened: opening a pipe would wait, a link leads elsewhere.
    if partial.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
        let what = format!("{} is there, and is not a file", partial.display());
        return Err(Error::new(ErrorKind::Exists, what));
    }
    let path = spool_path(output, part);
    let spool = Spool::open(&path, plan.output.clone(), &plan.grid, columns, durable)?;
    if output.symlink_metadata().is_ok() {
        // A complete one that is gone through again: it stands there until it is made anew.
        fs::rename(output, &partial).map_err(fail)?;
    }
    File::options().create(true).append(true).open(&partial).map_err(fail)?;
    Ok(spool)
}

/// The tables of the chunks of `grid` that a run has left.
pub(crate) fn read_spool(output: &Path, part: Option<Part>, grid: &ChunkGrid) -> Result<Spool> {
    let info = VolumeInfo::new(grid.domain().shape(), Dtype::U8);
    Spool::read(&spool_path(output, part), info, grid)
}

/// Columns of what the chunks of an output found so far; 0 while that is nothing.
pub(crate) fn columns_found(output: &Path) -> Result<u64> {
    Spool::columns_in(&spool_path(output, None))
}

fn spool_path(output: &Path, part: Option<Part>) -> PathBuf {
    let stem = part.map_or_else(|| "0".into(), Part::name);
    companion_path(output).join(format!("{stem}.spool"))
}

/// Makes the output of what the chunks found, in about `memory` bytes.
///
/// # Errors
/// A chunk without a table; damage; I/O; [`ErrorKind::Cancelled`]. The output is then not complete.
pub(crate) fn write_table(
    output: &Path,
    rows: &dyn TableRows,
    spools: &[&Spool],
    memory: u64,
    cancel: &AtomicBool,
) -> Result<Written> {
    // Beside its digest, until both are there; what stands at the output's names is replaced then.
    let staged = companion_path(output).join(output.file_name().unwrap_or_default());
    let fail = |e| Error::io(format_args!("making {}", output.display()), e);
    match fs::remove_file(&staged) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(fail(e)),
        _ => {}
    }
    let mut writer = create_table(&staged, rows.info())?;
    let found = rows.each(spools, memory, &mut |rows| {
        if cancel.load(Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        writer.write(rows)
    })?;
    let rows = writer.finish()?;
    let (path, new) = (digest_path(output), digest_path(output).with_extension("xxh3.new"));
    let length = fs::metadata(&staged).map_err(fail)?.len();
    let text = format!("{:016x} {length}\n", digest_of(&staged, cancel)?);
    // On the disk as the table is: without it that would count as altered.
    File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(fail)?;
    let partial = partial_path(output);
    fs::rename(&staged, &partial).map_err(fail)?;
    if output.symlink_metadata().is_ok() {
        let message = format!("{} appeared while it was being made", output.display());
        return Err(Error::new(ErrorKind::Exists, message));
    }
    fs::rename(&partial, output).map_err(fail)?;
    Ok(Written { found, rows })
}

/// Of what the making of a table may hold, the share of the rows that are swept together; the rest is
/// for those that wait. Not less than is worth reading a chunk's table for.
fn share(memory: u64) -> u64 {
    (memory / 4).max(16 << 20)
}

/// Whether the table at `output` is the file that was written.
///
/// # Errors
/// I/O; [`ErrorKind::Cancelled`].
pub(crate) fn is_as_written(output: &Path, cancel: &AtomicBool) -> Result<bool> {
    let recorded = recorded(output)?;
    let digest = recorded.split_whitespace().next().unwrap_or_default();
    Ok(u64::from_str_radix(digest, 16).ok() == Some(digest_of(output, cancel)?))
}

/// Whether the table at `output` is as long as the file that was written; not where nothing tells.
///
/// # Errors
/// As [`is_as_written`].
pub(crate) fn has_its_length(output: &Path) -> Result<bool> {
    let recorded = recorded(output)?;
    let length = recorded.split_whitespace().nth(1).and_then(|length| length.parse().ok());
    let fail = |e| Error::io(format_args!("looking at {}", output.display()), e);
    Ok(length == Some(fs::metadata(output).map_err(fail)?.len()))
}

/// The digest of a table, and its length; nothing where that is gone or no text.
fn recorded(output: &Path) -> Result<String> {
    let path = digest_path(output);
    match fs::read_to_string(&path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => {
            Ok(String::new())
        }
        read => read.map_err(|e| Error::io(format_args!("reading {}", path.display()), e)),
    }
}

fn digest_path(output: &Path) -> PathBuf {
    companion_path(output).join("table.xxh3")
}

/// A digest of a file: that of the digests of its pieces.
fn digest_of(path: &Path, cancel: &AtomicBool) -> Result<u64> {
    const PIECE: u64 = 1 << 20;
    let fail = |e| Error::io(format_args!("reading {}", path.display()), e);
    let mut file = File::open(path).map_err(fail)?;
    let mut digests = Vec::new();
    let mut piece = Vec::new();
    loop {
        if cancel.load(Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "cancelled"));
        }
        piece.clear();
        (&mut file).take(PIECE).read_to_end(&mut piece).map_err(fail)?;
        if piece.is_empty() {
            break;
        }
        digests.push(digest(&Buffer::from_slice(&[piece.len() as u64], &piece)));
    }
    Ok(digest(&Buffer::from_slice(&[digests.len() as u64], &digests)))
}
