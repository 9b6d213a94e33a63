//! Where the results of chunks go.

use volchunk::{Result, Sink, Spool};
use volchunk_io::{Part, resume};

use crate::{
    config::Target,
    prepare::Prepared,
    table::{self, Written, open_spool},
};

/// The output itself, or what waits to become it.
pub(crate) enum Store {
    Volume(Box<dyn Sink>),
    Table(Box<Spool>),
}

impl Store {
    /// Goes on with the store of an output, or of a part of it, or begins it.
    pub(crate) fn open(prepared: &Prepared, part: Option<Part>, durable: bool) -> Result<Self> {
        Ok(match prepared.config.target {
            Target::Volume(_) => {
                let (output, info) = (&prepared.config.output, &prepared.plan.output);
                Self::Volume(resume(output, info, &prepared.create_options(durable)?)?)
            }
            Target::Table(_) => Self::Table(Box::new(open_spool(prepared, part, durable)?)),
        })
    }

    pub(crate) fn sink(&self) -> &dyn Sink {
        match self {
            Self::Volume(sink) => &**sink,
            Self::Table(spool) => &**spool,
        }
    }
}

/// Makes the output complete of the stores that hold it; None where it is a volume.
pub(crate) fn complete(prepared: &Prepared, stores: &[Store]) -> Result<Option<Written>> {
    let spools: Vec<&Spool> = stores
        .iter()
        .filter_map(|store| match store {
            Store::Table(spool) => Some(&**spool),
            Store::Volume(_) => None,
        })
        .collect();
    match (prepared.config.target, stores.first()) {
        (Target::Table(_), _) => table::write_table(prepared, &spools).map(Some),
        (Target::Volume(_), Some(store)) => store.sink().finish().map(|()| None),
        (Target::Volume(_), None) => Ok(None),
    }
}
