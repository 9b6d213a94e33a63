//! `volchunk plan`.

use volchunk::Result;

use crate::{
    args::PlanArgs,
    config::{Config, Limits},
    job::Job,
    output::print,
    prepare::prepare,
    report,
};

/// Prints what a run would cost; writes the job file if one is asked for.
pub(crate) fn plan(args: &PlanArgs) -> Result<()> {
    let config =
        Config::from_args(&args.input, &args.output, &args.ops, &args.divide, &args.describe)?;
    let prepared = prepare(config, Limits::from_args(&args.limits)?)?;
    if let Some(path) = &args.write_job {
        Job::write_plan(&prepared, path).map_err(|e| e.context("--write-job"))?;
    }
    if args.json {
        return print(&format!("{:#}\n", report::plan_json(&prepared)));
    }
    let mut text = report::plan_text(&prepared);
    if let Some(path) = &args.write_job {
        text += &format!("job            written to {}\n", path.display());
    }
    print(&text)
}
