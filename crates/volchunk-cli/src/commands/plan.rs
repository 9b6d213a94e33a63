//! `volchunk plan`.

use std::sync::atomic::AtomicBool;

use volchunk::{Result, chunks_outside};

use crate::{
    args::PlanArgs,
    config::{Config, Limits},
    job::Job,
    output::print,
    prepare::prepare,
    report::{PlanReport, target_name},
};

/// Prints what a run would cost; writes the job file if one is asked for.
pub(crate) fn plan(args: &PlanArgs, cancel: &AtomicBool) -> Result<()> {
    let config = Config::from_args(
        &args.input,
        &args.output,
        &args.ops.list()?,
        &args.divide,
        &args.describe,
        &args.select,
    )?;
    let prepared = prepare(config, Limits::from_args(&args.limits)?)?;
    if let Some(path) = &args.write_job {
        Job::write_plan(&prepared, path).map_err(|e| e.context("--write-job"))?;
    }
    let (config, plan) = (&prepared.config, &prepared.plan);
    let outside = prepared
        .selected
        .mask_source()
        .map(|mask| chunks_outside(mask, &plan.grid, plan.workers, cancel))
        .transpose()?;
    let mask = config.selection.mask.as_ref().map(|mask| mask.display().to_string());
    let skip_empty = config.selection.skip_empty.map(|value| value.to_string());
    let report = PlanReport {
        input: &config.input.display().to_string(),
        source: prepared.source.info(),
        ops: &config.ops.iter().map(ToString::to_string).collect::<Vec<_>>(),
        output: &config.output.display().to_string(),
        format: target_name(config.target, &plan.output),
        roi: config.roi.is_some(),
        mask: mask.as_deref().zip(outside),
        skip_empty: skip_empty.as_deref(),
        plan,
    };
    if args.json {
        return print(&format!("{:#}\n", report.json()));
    }
    let mut text = report.text();
    if let Some(path) = &args.write_job {
        text += &format!("job            written to {}\n", path.display());
    }
    print(&text)
}
