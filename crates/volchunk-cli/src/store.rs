//! Where the results of chunks go.

use std::{fs, path::Path, sync::atomic::AtomicBool};

use volchunk::{Error, ErrorKind, Result, Sink, Spool, os};
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
            let (partial, kept) = (partial_path(output), companion_path(output));
            let what = format!(
                "{e}; to write all parts anew, remove {} and {}",
                partial.display(),
                kept.display()
            );
            Err(Error::new(e.kind(), what).caused_by(e))
        }
        (result, _) => result,
    }
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
