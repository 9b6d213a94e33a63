//! `volchunk plan`.

use std::sync::atomic::AtomicBool;

use volchunk::{Result, chunks_outside};

use crate::{
    args::PlanArgs,
    config::{Config, Limits},
    job::Job,
    output::print,
    prepare::prepare,
    report,
};

/// Prints what a run would cost; writes the job file if one is asked for.
pub(crate) fn plan(args: &PlanArgs, cancel: &AtomicBool) -> Result<()> {
    let config = Config::from_args(
        &args.input,
        &args.output,
        &args.ops,
        &args.divide,
        &args.describe,
        &args.select,
    )?;
    let prepared = prepare(config, Limits::from_args(&args.limits)?)?;
    if let Some(path) = &args.write_job {
        Job::write_plan(&prepared, path).map_err(|e| e.context("--write-job"))?;
    }
    let (grid, workers) = (&prepared.plan.grid, prepared.plan.workers);
    let outside = prepared
        .selected
        .mask_source()
        .map(|mask| chunks_outside(mask, grid, workers, cancel))
        .transpose()?;
    if args.json {
        return print(&format!("{:#}\n", report::plan_json(&prepared, outside)));
    }
    let mut text = report::plan_text(&prepared, outside);
    if let Some(path) = &args.write_job {
        text += &format!("job            written to {}\n", path.display());
    }
    print(&text)
}
