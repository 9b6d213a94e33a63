//! Doors to what reads files that anybody may have altered, for the fuzz targets: private parsers,
//! without what a command does once they agreed.

use std::path::Path;

use volchunk::Result;

use crate::{asked::Asked, config::Limits, job::Job, journals, prepare::prepare};

/// Reads the job file at `path` and plans it, on the volume `input` in place of its own, for
/// `output` in place of its own. Nothing is run or written.
///
/// # Errors
/// A file that is no job; a job that is not legal for that volume.
pub fn plan_job(path: &Path, input: &Path, output: &Path) -> Result<()> {
    let mut config = Job::read(path)?.config()?;
    config.input = input.into();
    config.output = output.with_extension(config.output.extension().unwrap_or_default());
    config.selection.mask = config.selection.mask.map(|_| input.into());
    let limits = Limits { memory: Some(1 << 30), workers: Some(2) };
    let prepared = prepare(config, limits)?;
    // What a job says of itself is what another one is held against.
    Job::of(&prepared)?.differences(&Asked::of(&prepared)?);
    Ok(())
}

/// Reads the journals that are kept beside `output`, as `status` and a run that goes on do.
///
/// # Errors
/// A journal that is damaged, or not of this program.
pub fn read_journals(output: &Path) -> Result<()> {
    for kept in journals::journals(output)? {
        let grid = kept.head.grid()?;
        for number in kept.journal.failed().into_iter().chain(kept.journal.first_missing()) {
            grid.chunk(number);
        }
    }
    Ok(())
}
