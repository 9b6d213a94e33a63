//! `volchunk convert`.

use std::sync::atomic::AtomicBool;

use volchunk::{Error, Pipeline, Plan, Result, VolumeInfo};
use volchunk_io::Pyramid;
use volchunk_ops::{OpSpec, bind_chain};

use super::run::{Manner, Running, begin, carry_out};
use crate::{
    args::ConvertArgs,
    config::{Config, Limits},
    output::print,
    prepare::{Prepared, plan_for, prepare},
    report::{self, Done},
};

/// A level whose spatial axes are no longer than this is coarse enough to be the last.
const COARSEST: u64 = 256;

/// Writes a volume in another format or storage.
pub(crate) fn convert(args: &ConvertArgs, cancel: &AtomicBool) -> Result<()> {
    let mut config =
        Config::from_args(&args.input, &args.output, &[], &args.divide, &args.describe)?;
    config.pyramid = args.pyramid;
    config.check_storage()?;
    let limits = Limits::from_args(&args.limits)?;
    let prepared = prepare(config, limits)?;
    let manner = Manner::from_args(&args.manner, cancel);
    if args.pyramid {
        pyramid(&prepared, limits, "converting", manner)
    } else {
        carry_out(&prepared, "converting", manner)
    }
}

/// A level coarser than the first: how it is made of the one before.
struct Level {
    pipeline: Pipeline,
    plan: Plan,
}

/// Writes all levels: each is the one before at half the sampling, so that none is read twice.
pub(super) fn pyramid(
    base: &Prepared,
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
    let mut coarser: Vec<Level> = Vec::new();
    loop {
        let before = coarser.last().map_or(&base.plan, |level| &level.plan);
        match next_level(&base.config, &before.output, limits)? {
            Some(level) => coarser.push(level),
            None => break,
        }
    }
    let Some(_lock) = begin(base, manner)? else { return Ok(()) };
    let infos: Vec<VolumeInfo> = std::iter::once(&base.plan)
        .chain(coarser.iter().map(|level| &level.plan))
        .map(|plan| plan.output.clone())
        .collect();
    let output = Pyramid::create(&base.config.output, &infos, &base.create_options()?)?;
    let job = Running { config: &base.config, what, manner };
    let report = job.run(&base.plan, &base.pipeline, &*base.source, &*output.sink(0)?)?;
    let mut done = Done::of(&report, &base.plan);
    for (k, level) in coarser.iter().enumerate() {
        let job = Running { what: "halving", ..job };
        let (source, sink) = (output.source(k)?, output.sink(k + 1)?);
        let report = job.run(&level.plan, &level.pipeline, &*source, &*sink)?;
        done.add(&Done::of(&report, &level.plan));
    }
    output.finish()?;
    if !manner.quiet {
        let coarsest = infos.last().map_or(String::new(), |i| report::shape(&i.shape));
        let summary = report::summary(base, &done);
        print(&format!("{summary} It has {} levels, the coarsest {coarsest}.\n", infos.len()))?;
    }
    Ok(())
}

/// The level behind one of `info`, planned before that one is written; None behind the last.
fn next_level(config: &Config, info: &VolumeInfo, limits: Limits) -> Result<Option<Level>> {
    if info.spatial_axes().iter().all(|&a| info.shape[a] <= COARSEST) {
        return Ok(None);
    }
    let pipeline = bind_chain(&[OpSpec::parse("downsample:factor=2")?], info.clone())?;
    // The region was cut out for the finest level; chunks are chosen for each.
    let config = Config { roi: None, chunk: None, ..config.clone() };
    // A reader holds an encoded storage chunk, which is no longer than the decoded one but for a
    // few bytes, and its decoder.
    let stored = info
        .storage
        .as_ref()
        .map_or(0, |s| s.chunk.iter().fold(info.dtype.size() as u64, |n, &c| n.saturating_mul(c)));
    let plan = plan_for(&config, &pipeline, stored.saturating_add(1 << 20), limits)?;
    Ok(Some(Level { pipeline, plan }))
}
