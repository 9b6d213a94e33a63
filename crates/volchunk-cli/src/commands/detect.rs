//! `volchunk detect`: a job that ends in a detector, and pictures of what it found.

use std::{path::Path, sync::atomic::AtomicBool, time::Instant};

use volchunk::Result;

use super::run::{Manner, carry_out, reject_part_with};
use crate::{
    args::DetectArgs,
    cells::{check_writable, show},
    config::{Config, Limits},
    prepare::prepare,
    statistics,
};

/// Finds blobs, writes their table, draws them.
pub(crate) fn detect(args: &DetectArgs, cancel: &AtomicBool) -> Result<()> {
    let started = Instant::now();
    let mut ops = args.ops.list()?;
    ops.push(args.detector.op());
    let config = Config::from_args(
        &args.input,
        &args.output,
        &ops,
        &args.divide,
        &args.describe,
        &args.select,
    )?;
    let limits = Limits::from_args(&args.limits)?;
    let manner = Manner::from_args(&args.manner, cancel)?;
    let pictures = [("--figure", &args.figure), ("--report", &args.report)];
    let given = || pictures.iter().filter_map(|(flag, path)| Some((*flag, path.as_deref()?)));
    // Told before the work, not after.
    for (flag, path) in given() {
        reject_part_with(flag, manner)?;
        let others: Vec<&Path> = [args.input.as_path(), &args.output]
            .into_iter()
            .chain(args.select.mask.as_deref())
            .chain(given().filter(|(other, _)| *other != flag).map(|(_, path)| path))
            .collect();
        check_writable(flag, path, &others)?;
    }
    let mut prepared = prepare(config, limits)?;
    statistics::complete(&mut prepared, limits, manner)?;
    carry_out(&mut prepared, limits, "searching", manner)?;
    if args.figure.is_some() || args.report.is_some() {
        show(&prepared, (args.figure.as_deref(), args.report.as_deref()), started, limits, cancel)?;
    }
    Ok(())
}
