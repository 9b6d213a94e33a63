//! `volchunk colocalize`: which points of a table lie in several channels.
//!
//! The table is read twice. First, of each row, what decides; that is held. Then all of it, which
//! is written with the columns that were found.

mod args;
mod distance;
mod grid;
mod intensity;
mod rows;

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub(crate) use args::{ColocalizeArgs, HELP};
use volchunk::{Error, ErrorKind, Result};
use volchunk_io::{
    Column, OutputLock, TableInfo, create_table, open_table, remove_output, same_or_inside,
};

use crate::{
    commands::check_places,
    config::{Description, Limits},
    output::print,
    report::grouped,
};
use distance::Distance;
use intensity::Intensity;

/// Rows that are read and written at once.
const BATCH: usize = 8192;

/// Most channels: the table gets columns for each.
const CHANNELS: usize = 64;

/// A way to tell in which channels the points of a table lie, which has read of them what it needs.
trait Measure {
    /// The columns that it adds.
    fn columns(&self) -> Vec<Column>;

    /// Does what takes time.
    fn work(&mut self, cancel: &AtomicBool) -> Result<()>;

    /// How many rows it knows.
    fn len(&self) -> usize;

    /// Appends the values of its columns for a row.
    fn push(&self, row: usize, values: &mut Vec<f64>);

    /// What it found, in lines.
    fn summary(&self) -> String;
}

/// What both ways go by.
struct Request<'a> {
    input: &'a Path,
    description: Description,
    limits: Limits,
    quiet: bool,
    cancel: &'a AtomicBool,
}

/// Writes a table with the channels of its points.
pub(crate) fn colocalize(args: &ColocalizeArgs, cancel: &AtomicBool) -> Result<()> {
    let (input, output) = (&args.input, &args.output);
    check_places(input, output)?;
    if let Some(image) = args.image.as_ref().filter(|image| same_or_inside(image, output)) {
        return Err(Error::argument(format!(
            "the output {} is, holds or lies inside the --image {}; legal: a place apart from it",
            output.display(),
            image.display()
        )));
    }
    if !args.force && output.symlink_metadata().is_ok() {
        let message = format!("{} already exists; --force replaces it", output.display());
        return Err(Error::new(ErrorKind::Exists, message));
    }
    let request = Request {
        input,
        description: Description::from_args(&args.describe)?,
        limits: Limits::from_args(&args.limits)?,
        quiet: args.quiet,
        cancel,
    };
    let mut measure: Box<dyn Measure> = match (&args.image, &args.tolerance) {
        (Some(image), _) => {
            let (radius, threshold) = (args.radius.as_deref(), args.threshold.as_str());
            Box::new(Intensity::read(&request, image, radius, threshold)?)
        }
        (None, Some(tolerance)) => Box::new(Distance::read(&request, tolerance)?),
        (None, None) => return Err(Error::argument("legal: --tolerance or --image")),
    };
    let mut reader = open_table(input)?;
    let (info, kept) = table_with(reader.info(), measure.columns());
    let _lock = OutputLock::take(output, Duration::ZERO)?;
    // What is to be replaced stays until the work is done.
    measure.work(cancel)?;
    if args.force {
        remove_output(output)?;
    }
    let mut writer = create_table(output, &info)?;
    let changed = || Error::data(format!("{} has changed since it was read", input.display()));
    let columns = reader.info().columns.len();
    let (mut rows, mut values, mut done) = (Vec::new(), Vec::new(), 0);
    loop {
        stop(cancel)?;
        let count = reader.read(&mut rows, BATCH)?;
        if count == 0 {
            break;
        }
        values.clear();
        for row in rows.chunks_exact(columns) {
            if done == measure.len() {
                return Err(changed());
            }
            values.extend(kept.iter().map(|&c| row[c]));
            measure.push(done, &mut values);
            done += 1;
        }
        writer.write(&values)?;
    }
    if done != measure.len() {
        return Err(changed());
    }
    let rows = writer.finish()?;
    match args.quiet {
        true => Ok(()),
        false => {
            print(&format!("{}: {} points\n{}", output.display(), grouped(rows), measure.summary()))
        }
    }
}

/// A table with `more` columns behind its own, and which of its own it keeps: not those of an earlier
/// call.
fn table_with(info: &TableInfo, more: Vec<Column>) -> (TableInfo, Vec<usize>) {
    let is_ours = |name: &str| {
        let rest = name.strip_prefix("coloc-").or(name.strip_prefix("mean-")).unwrap_or("");
        let number = rest.trim_end_matches("-index").trim_end_matches("-distance");
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    };
    let own = info.columns.iter().enumerate().filter(|(_, column)| !is_ours(&column.name));
    let kept: Vec<usize> = own.map(|(c, _)| c).collect();
    let columns = kept.iter().map(|&c| info.columns[c].clone()).chain(more).collect();
    (TableInfo { columns, ..info.clone() }, kept)
}

/// An error once the caller has asked to stop.
fn stop(cancel: &AtomicBool) -> Result<()> {
    match cancel.load(Ordering::Relaxed) {
        true => Err(Error::new(ErrorKind::Cancelled, "stopped")),
        false => Ok(()),
    }
}
