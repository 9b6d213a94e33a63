//! `volchunk convert`.

use std::sync::atomic::AtomicBool;

use volchunk::{Error, Pipeline, Plan, Result, VolumeInfo};
use volchunk_io::Pyramid;
use volchunk_ops::{OpSpec, bind_chain};

use super::run::{Manner, Running, already_complete, before, carry_out};
use crate::{
    args::{ConvertArgs, Select},
    config::{Config, Lengths, Limits, Selection},
    job::Job,
    journals::{Head, open_journal},
    output::print,
    prepare::{Prepared, plan_for, prepare},
    report::{self, Done},
    selection::Selected,
    start::begin,
};

/// A level whose spatial axes are no longer than this is coarse enough to be the last.
const COARSEST: u64 = 256;

/// Writes a volume in another format or storage.
pub(crate) fn convert(args: &ConvertArgs, cancel: &AtomicBool) -> Result<()> {
    let none = Select::default();
    let mut config =
        Config::from_args(&args.input, &args.output, &[], &args.divide, &args.describe, &none)?;
    config.pyramid = args.pyramid;
    config.check_storage()?;
    let limits = Limits::from_args(&args.limits)?;
    let manner = Manner::from_args(&args.manner, cancel)?;
    let mut prepared = prepare(config, limits)?;
    if args.pyramid {
        pyramid(&mut prepared, limits, "converting", manner)
    } else {
        carry_out(&mut prepared, limits, "converting", manner)
    }
}

/// A level coarser than the first: how it is made of the one before.
struct Level {
    pipeline: Pipeline,
    plan: Plan,
}

/// Writes all levels: each is the one before at half the sampling, so that none is read twice.
pub(super) fn pyramid(
    base: &mut Prepared,
    limits: Limits,
    what: &'static str,
    manner: Manner<'_>,
) -> Result<()> {
    if !volchunk_io::ome_describable(&base.plan.output) {
        return Err(Error::argument(format!(
            "--pyramid: OME-Zarr cannot describe the axes {}; legal: t, c and two or three of \
             space, in this order (--axes names them)",
            base.plan.output.axis_names()
        )));
    }
    if let Some(part) = manner.wanted.part {
        return Err(Error::argument(format!(
            "--part {part}: a level of a pyramid needs all of the one before; legal: --part for \
             one level, or --pyramid without --part"
        )));
    }
    // Planned before anything is touched, and again where an earlier run is gone on with.
    coarser(base, limits, &[])?;
    let Some(begun) = begin(base, limits, manner.wanted, manner.cancel)? else {
        return already_complete(base, manner);
    };
    let coarser = coarser(base, limits, &begun.levels)?;
    let base = &*base;
    let plans = || std::iter::once(&base.plan).chain(coarser.iter().map(|level| &level.plan));
    let output = &base.config.output;
    let mut journals = Vec::new();
    for (k, plan) in plans().enumerate() {
        journals.push(open_journal(
            output,
            &Head::of(Job::of(base)?, k, plan),
            None,
            manner.durable,
        )?);
    }
    let infos: Vec<VolumeInfo> = plans().map(|plan| plan.output.clone()).collect();
    let output = Pyramid::resume(output, &infos, &base.create_options(manner.durable)?)?;
    let job = Running {
        config: &base.config,
        selected: &base.selected,
        what,
        manner,
        unchanged: Some(&|| base.check_input()),
    };
    let sink = output.sink(0)?;
    let report = job.run(&base.plan, &base.pipeline, &*base.source, &*sink, &journals[0])?;
    let mut done = Done::of(&report, &base.plan);
    let mut reports = vec![report];
    // What was left out shows in the finest level already.
    let all = Selected::default();
    for (k, level) in coarser.iter().enumerate() {
        let job = Running { what: "halving", selected: &all, unchanged: None, ..job };
        let (source, sink) = (output.source(k)?, output.sink(k + 1)?);
        let journal = &journals[k + 1];
        let report = job.run(&level.plan, &level.pipeline, &*source, &*sink, journal)?;
        done.add(&Done::of(&report, &level.plan));
        reports.push(report);
    }
    output.finish()?;
    if !manner.quiet {
        let coarsest = infos.last().map_or(String::new(), |i| report::shape(&i.shape));
        let summary = report::summary(base, &done, None);
        let levels = infos.len();
        let before = before(&reports);
        print(&format!("{summary} It has {levels} levels, the coarsest {coarsest}.{before}\n"))?;
    }
    Ok(())
}

/// The levels above `base`, as `recorded` by an earlier run divided into chunks.
fn coarser(base: &Prepared, limits: Limits, recorded: &[Head]) -> Result<Vec<Level>> {
    let mut coarser: Vec<Level> = Vec::new();
    loop {
        let before = coarser.last().map_or(&base.plan, |level| &level.plan);
        let chunk = recorded.iter().find(|head| head.level == coarser.len() + 1);
        let chunk = chunk.map(|head| Lengths::new(head.chunk.clone(), "chunk")).transpose()?;
        match next_level(&base.config, &before.output, chunk, limits)? {
            Some(level) => coarser.push(level),
            None => return Ok(coarser),
        }
    }
}

/// The level behind one of `info`, planned before that one is written; None behind the last.
fn next_level(
    config: &Config,
    info: &VolumeInfo,
    chunk: Option<Lengths>,
    limits: Limits,
) -> Result<Option<Level>> {
    if info.spatial_axes().iter().all(|&a| info.shape[a] <= COARSEST) {
        return Ok(None);
    }
    let pipeline = bind_chain(&[OpSpec::parse("downsample:factor=2")?], info.clone())?;
    // The region was cut out for the finest level; chunks are chosen for each.
    let selection = Selection::default();
    let config = Config { roi: None, chunk, selection, ..config.clone() };
    // A reader holds an encoded storage chunk, which is no longer than the decoded one but for a
    // few bytes, and its decoder.
    let stored = info
        .storage
        .as_ref()
        .map_or(0, |s| s.chunk.iter().fold(info.dtype.size() as u64, |n, &c| n.saturating_mul(c)));
    let plan =
        plan_for(&config, &pipeline, stored.saturating_add(1 << 20), &Selected::default(), limits)?;
    Ok(Some(Level { pipeline, plan }))
}
