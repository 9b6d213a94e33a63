//! `volchunk run`.

use std::{fs, sync::atomic::AtomicBool};

use volchunk::{Control, Error, Pipeline, Plan, Report, Result, Sink, Source};
use volchunk_io::{Format, OutputLock, companion_path, create, partial_path, remove_output};

use super::convert::pyramid;
use crate::{
    args::{self, RunArgs},
    config::{Config, Limits},
    job::Job,
    output::print,
    prepare::{Prepared, Start, prepare},
    progress::Display,
    report::{self, Done},
};

/// How a command that writes behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub(crate) force: bool,
    pub(crate) quiet: bool,
    /// Set from outside, it stops the run.
    pub(crate) cancel: &'a AtomicBool,
}

impl<'a> Manner<'a> {
    pub(crate) fn from_args(args: &args::Manner, cancel: &'a AtomicBool) -> Self {
        Self { force: args.force, quiet: args.quiet, cancel }
    }
}

/// Runs a job, from flags or from a job file.
pub(crate) fn run(args: &RunArgs, cancel: &AtomicBool) -> Result<()> {
    let config = match (&args.job, &args.input, &args.output) {
        (Some(job), ..) => Job::read(job)?
            .config()
            .map_err(|e| e.context(format_args!("--job {}", job.display())))?,
        (None, Some(input), Some(output)) => {
            Config::from_args(input, output, &args.ops, &args.divide, &args.describe)?
        }
        _ => return Err(Error::argument("INPUT and OUTPUT are missing; legal: both, or --job")),
    };
    let limits = Limits::from_args(&args.limits)?;
    let prepared = prepare(config, limits)?;
    let manner = Manner::from_args(&args.manner, cancel);
    if prepared.config.pyramid {
        return pyramid(&prepared, limits, "filtering", manner);
    }
    carry_out(&prepared, "filtering", manner)
}

/// Carries out a prepared job, and tells what it did.
pub(crate) fn carry_out(prepared: &Prepared, what: &'static str, manner: Manner<'_>) -> Result<()> {
    let Some(_lock) = begin(prepared, manner)? else { return Ok(()) };
    let sink = create(&prepared.config.output, &prepared.plan.output, &prepared.create_options()?)?;
    record_job(prepared)?;
    let running = Running { config: &prepared.config, what, manner };
    let report = running.run(&prepared.plan, &prepared.pipeline, &*prepared.source, &*sink)?;
    if !manner.quiet {
        print(&format!("{}\n", report::summary(prepared, &Done::of(&report, &prepared.plan))))?;
    }
    Ok(())
}

/// Makes room for the output, and takes the right to write it. None: there is nothing to do.
pub(crate) fn begin(prepared: &Prepared, manner: Manner<'_>) -> Result<Option<OutputLock>> {
    let output = &prepared.config.output;
    // Looked at first, so that nothing is touched where nothing is to be done.
    if prepared.start(manner.force)? != Start::AlreadyComplete {
        let lock = OutputLock::take(output)?;
        // And again: it may have been finished while we came.
        match prepared.start(manner.force)? {
            Start::Fresh => return Ok(Some(lock)),
            Start::Replace => {
                remove_output(output)?;
                return Ok(Some(lock));
            }
            Start::AlreadyComplete => {}
        }
    }
    if !manner.quiet {
        print(&format!("{}: already complete\n", output.display()))?;
    }
    Ok(None)
}

/// Keeps the job beside an output that has no attributes of its own.
fn record_job(prepared: &Prepared) -> Result<()> {
    if prepared.config.format == Format::Zarr {
        return Ok(());
    }
    let folder = companion_path(&prepared.config.output);
    let fail = |e| Error::io(format_args!("writing {}", folder.display()), e);
    fs::create_dir_all(&folder).map_err(fail)?;
    Job::of(prepared)?.record(&folder.join("job.json"))
}

/// What the runs of one output have in common.
#[derive(Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) config: &'a Config,
    /// What progress calls it.
    pub(crate) what: &'static str,
    pub(crate) manner: Manner<'a>,
}

impl Running<'_> {
    /// Runs a plan with its progress shown.
    pub(crate) fn run(
        &self,
        plan: &Plan,
        pipeline: &Pipeline,
        source: &dyn Source,
        sink: &dyn Sink,
    ) -> Result<Report> {
        let display = Display::new(self.what, plan.grid.domain().voxels(), self.manner.quiet);
        let control = Control { cancel: self.manner.cancel, progress: &|p| display.update(p) };
        let report = volchunk::run(plan, pipeline, &[source], sink, control);
        display.end();
        report.map_err(|e| self.unfinished(e))
    }

    /// Says of a failed run what it left.
    fn unfinished(&self, error: Error) -> Error {
        let output = &self.config.output;
        let left = match self.config.format {
            Format::Zarr => format!("{} is unfinished, and says so", output.display()),
            _ => format!("{} is unfinished", partial_path(output).display()),
        };
        let message = if error.is_cancelled() { "stopped".into() } else { error.to_string() };
        Error::new(error.kind(), format!("{message}\n{left}; --force begins anew")).caused_by(error)
    }
}
