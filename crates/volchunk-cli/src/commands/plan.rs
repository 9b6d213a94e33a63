//! `volchunk plan`.

use volchunk::Result;

use crate::{
    args::PlanArgs,
    config::{Config, Limits},
    job::Job,
    output::print,
    prepare::prepare,
    report::{PlanReport, format_name},
};

/// Prints what a run would cost; writes the job file if one is asked for.
pub(crate) fn plan(args: &PlanArgs) -> Result<()> {
    let config =
        Config::from_args(&args.input, &args.output, &args.ops, &args.divide, &args.describe)?;
    let prepared = prepare(config, Limits::from_args(&args.limits)?)?;
    if let Some(path) = &args.write_job {
        Job::write_plan(&prepared, path).map_err(|e| e.context("--write-job"))?;
    }
    let (config, plan) = (&prepared.config, &prepared.plan);
    let report = PlanReport {
        input: &config.input.display().to_string(),
        source: prepared.source.info(),
        ops: &config.ops.iter().map(ToString::to_string).collect::<Vec<_>>(),
        output: &config.output.display().to_string(),
        format: format_name(config.format, &plan.output),
        roi: config.roi.is_some(),
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
