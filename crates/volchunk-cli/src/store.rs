//! Where the results of chunks go.

use std::{fs, path::Path, sync::atomic::AtomicBool};

use volchunk::{Control, Error, ErrorKind, Journal, Result, Sink, Spool, os, reread_tables};
use volchunk_io::{Part, companion_path, partial_path, remove_output, resume};

use crate::{
    config::Target,
    journals::journals,
    prepare::Prepared,
    table::{self, BlobRows, Written, open_spool, read_spool},
};

/// Calls `open`, which goes on with an output and its journal or begins them. A file that lost its end, and
/// with it what receipts speak of, is begun anew; where it is written in parts, that is for the user to
/// say.
pub(crate) fn open_or_anew<T>(
    output: &Path,
    part: Option<Part>,
    open: impl Fn() -> Result<T>,
) -> Result<T> {
    match (open(), part) {
        (Err(e), None) if e.kind() == ErrorKind::Truncated => {
            remove_output(output)?;
            open()
        }
        (Err(e), Some(_)) if e.kind() == ErrorKind::Truncated => {
            // Nothing was written yet: a part that was killed as it made the file.
            if journals(output)?.iter().all(|kept| kept.journal.done() == 0) {
                let partial = partial_path(output);
                fs::remove_file(&partial)
                    .map_err(|e| Error::io(format_args!("removing {}", partial.display()), e))?;
                return open();
            }
            Err(Error::new(e.kind(), format!("{e}; {}", all_parts_anew(output))).caused_by(e))
        }
        (result, _) => result,
    }
}

/// What the user is to do, to have all parts written anew.
pub(crate) fn all_parts_anew(output: &Path) -> String {
    let partial = partial_path(output);
    let stands = if partial.exists() { &partial } else { output };
    let kept = companion_path(output);
    format!("to write all parts anew, remove {} and {}", stands.display(), kept.display())
}

/// The output itself, or what waits to become it.
pub(crate) enum Store {
    Volume(Box<dyn Sink>),
    Table(Box<Spool>),
}

impl Store {
    /// Goes on with the store of an output, or of a part of it, or begins it.
    pub(crate) fn open(prepared: &Prepared, part: Option<Part>, durable: bool) -> Result<Self> {
        let (output, plan) = (&prepared.config.output, &prepared.plan);
        Ok(match prepared.config.target {
            Target::Volume(_) => {
                let options = prepared.create_options(durable)?;
                Self::Volume(resume(output, &plan.output, &options)?)
            }
            Target::Table(_) => {
                Self::Table(Box::new(open_spool(output, part, plan, plan.columns, durable)?))
            }
        })
    }

    /// What a part of a table found, not to be written any more.
    pub(crate) fn read(prepared: &Prepared, part: Part) -> Result<Self> {
        let spool = read_spool(&prepared.config.output, Some(part), &prepared.plan.grid)?;
        Ok(Self::Table(Box::new(spool)))
    }

    /// Looks for tables that are not what was written, after making one of them met such an `error`: their
    /// receipts in `journal` become void, so that they are found again. The error, with their number.
    pub(crate) fn void_damaged(&self, journal: &Journal, error: Error) -> Error {
        let Self::Table(spool) = self else { return error };
        if error.kind() != ErrorKind::InvalidData {
            return error;
        }
        // What cannot be looked at is told by the error itself.
        let altered = reread_tables(spool, journal, 1, Control::default())
            .map(|found| found.altered)
            .unwrap_or_default();
        let void = |index: &[u64]| journal.void(spool.grid().number_of(index)).is_ok();
        match altered.iter().filter(|altered| void(&altered.chunk.index)).count() {
            0 => error,
            n => error.context(format_args!(
                "what {n} chunks found is damaged, and is to be found again"
            )),
        }
    }

    pub(crate) fn sink(&self) -> &dyn Sink {
        match self {
            Self::Volume(sink) => &**sink,
            Self::Table(spool) => &**spool,
        }
    }
}

/// Makes the output complete of the stores that hold it; None where it is a volume.
pub(crate) fn complete(
    prepared: &Prepared,
    stores: &[Store],
    cancel: &AtomicBool,
) -> Result<Option<Written>> {
    let spools: Vec<&Spool> = stores
        .iter()
        .filter_map(|store| match store {
            Store::Table(spool) => Some(&**spool),
            Store::Volume(_) => None,
        })
        .collect();
    let config = &prepared.config;
    match (config.target, stores.first()) {
        (Target::Table(_), _) => {
            let blobs = BlobRows::new(&config.ops, &prepared.pipeline)?;
            let memory = free(prepared.plan.memory.cap);
            table::write_table(&config.output, &blobs, &spools, memory, cancel).map(Some)
        }
        (Target::Volume(_), Some(store)) => store.sink().finish().map(|()| None),
        (Target::Volume(_), None) => Ok(None),
    }
}

/// Bytes that are left now under a `cap`.
pub(crate) fn free(cap: u64) -> u64 {
    cap.saturating_sub(os::resident_memory().unwrap_or(0))
}
