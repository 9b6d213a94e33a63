//! `volchunk run`.

use std::{path::Path, sync::atomic::AtomicBool};

use volchunk::{
    Control, Error, ErrorKind, Journal, Pipeline, Plan, Report, Result, RunOptions, Sink, Source,
};
use volchunk_io::{Format, OutputLock, Part, partial_path};

use super::convert::pyramid;
use crate::{
    args::{self, RunArgs},
    config::{Config, Limits, Target},
    job::Job,
    journals::{Head, Kept, journals, open_journal},
    output::print,
    prepare::{Prepared, prepare},
    progress::Display,
    report::{self, Done, grouped},
    selection::Selected,
    start::{Wanted, begin},
    statistics,
    store::{Store, all_parts_anew, complete, open_or_anew},
};

/// How a command that writes behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub(crate) wanted: Wanted,
    pub(crate) quiet: bool,
    pub(crate) retries: u32,
    pub(crate) keep_going: bool,
    pub(crate) durable: bool,
    /// Set from outside, it stops the run.
    pub(crate) cancel: &'a AtomicBool,
}

impl<'a> Manner<'a> {
    pub(crate) fn from_args(args: &args::Manner, cancel: &'a AtomicBool) -> Result<Self> {
        let part = args.part.as_deref().map(parse_part).transpose()?;
        Ok(Self {
            wanted: Wanted { force: args.force, check: args.check, part },
            quiet: args.quiet,
            retries: args.retries.parse().map_err(|_| {
                let most = u32::MAX;
                Error::argument(format!("--retries {}: legal: a number to {most}", args.retries))
            })?,
            keep_going: args.keep_going,
            durable: args.durable == "chunk",
            cancel,
        })
    }
}

fn parse_part(text: &str) -> Result<Part> {
    let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match numbers {
        Some((index, of)) if index < of && of <= Part::MOST => Ok(Part { index, of }),
        _ => Err(Error::argument(format!(
            "--part {text}: legal: i/n with 0 <= i < n <= {}, such as 0/4 for the first of four",
            Part::MOST
        ))),
    }
}

/// Refuses a flag that is about a complete output where a part is written.
pub(super) fn reject_part_with(flag: &str, manner: Manner<'_>) -> Result<()> {
    match manner.wanted.part {
        Some(part) => Err(Error::argument(format!(
            "{flag}: part {part} is not all that is found; legal: without --part"
        ))),
        None => Ok(()),
    }
}

/// Runs a job, from flags or from a job file.
pub(crate) fn run(args: &RunArgs, cancel: &AtomicBool) -> Result<()> {
    let config = match (&args.job, &args.input, &args.output) {
        (Some(job), ..) => Job::read(job)?
            .config()
            .map_err(|e| e.context(format_args!("--job {}", job.display())))?,
        (None, Some(input), Some(output)) => Config::from_args(
            input,
            output,
            &args.ops.list()?,
            &args.divide,
            &args.describe,
            &args.select,
        )?,
        _ => return Err(Error::argument("INPUT and OUTPUT are missing; legal: both, or --job")),
    };
    let limits = Limits::from_args(&args.limits)?;
    let manner = Manner::from_args(&args.manner, cancel)?;
    let mut prepared = prepare(config, limits)?;
    statistics::complete(&mut prepared, limits, manner)?;
    if prepared.config.pyramid {
        return pyramid(&mut prepared, limits, "filtering", manner);
    }
    carry_out(&mut prepared, limits, "filtering", manner)
}

/// Carries out a prepared job, or what is left of it, and tells what it did.
pub(crate) fn carry_out(
    prepared: &mut Prepared,
    limits: Limits,
    what: &'static str,
    manner: Manner<'_>,
) -> Result<()> {
    let part = manner.wanted.part;
    let Some(mut begun) = begin(prepared, limits, manner.wanted, manner.cancel)? else {
        return already_complete(prepared, manner);
    };
    let output = &prepared.config.output;
    // The journal first: an output without one could not be gone on with.
    let job = Job::of(prepared)?;
    let head = Head::of(job.clone(), 0, &prepared.plan);
    let (journal, store) = open_or_anew(output, part, || {
        let journal = open_journal(output, &head, part, manner.durable)?;
        job.record_beside(output)?;
        Ok((journal, Store::open(prepared, part, manner.durable)?))
    })?;
    begun.settled(part);
    let wanted = Wanted { check: manner.wanted.check || begun.check, ..manner.wanted };
    let manner = Manner { wanted, ..manner };
    let running = Running {
        config: &prepared.config,
        selected: &prepared.selected,
        what,
        manner,
        unchanged: Some(&|| prepared.check_input()),
    };
    let (plan, pipeline) = (&prepared.plan, &prepared.pipeline);
    let report = running.run(plan, pipeline, &*prepared.source, store.sink(), &journal)?;
    let written = match (part, prepared.config.target) {
        (None, Target::Table(_)) => complete(prepared, std::slice::from_ref(&store), manner.cancel)
            .map_err(|e| {
                let e = store.void_damaged(&journal, e);
                unfinished(e, prepared.config.target, output, GOES_ON)
            })?,
        _ => None,
    };
    if manner.quiet {
        return Ok(());
    }
    let before = before(&[report]);
    match part {
        None if report.chunks == 0 => print(&format!("{}: complete.{before}\n", output.display())),
        None => {
            let summary = report::summary(prepared, &Done::of(&report, plan), written);
            print(&format!("{summary}{before}\n"))
        }
        Some(part) => print(&format!(
            "Part {part} of {} is done: {} chunks.{before} When all parts are: volchunk finish {}\n",
            output.display(),
            grouped(report.chunks + report.kept),
            output.display()
        )),
    }
}

pub(super) fn already_complete(prepared: &Prepared, manner: Manner<'_>) -> Result<()> {
    match manner.quiet {
        true => Ok(()),
        false => {
            let output = &prepared.config.output;
            let how = match journals(output)?.is_empty() {
                true => " (its journal is gone: nothing tells whether its files are as written)",
                false => "",
            };
            print(&format!("{}: already complete{how}\n", output.display()))
        }
    }
}

/// What runs left out, and found of the runs before them, as sentences behind others.
pub(super) fn before(reports: &[Report]) -> String {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let mut text = String::new();
    for (n, why) in
        [(sum(|r| r.outside), "lie outside of the mask"), (sum(|r| r.empty), "are empty")]
    {
        if n > 0 {
            text += &format!(" {} chunks {why}, and were not computed.", grouped(n));
        }
    }
    let kept = sum(|r| r.kept);
    if kept > 0 {
        text += &format!(" {} chunks were done before, and stand.", grouped(kept));
    }
    for (n, why) in [
        (sum(|r| r.input_changed), "their input has changed"),
        (sum(|r| r.damaged), "what was written of them is gone or altered"),
    ] {
        if n > 0 {
            text += &format!(" {} that were done were computed anew: {why}.", grouped(n));
        }
    }
    text
}

/// What the runs of one output have in common.
#[derive(Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) config: &'a Config,
    pub(crate) selected: &'a Selected,
    /// What progress calls it.
    pub(crate) what: &'static str,
    pub(crate) manner: Manner<'a>,
    /// Refuses an input that changed; None where nothing but the output is read.
    pub(crate) unchanged: Option<&'a (dyn Fn() -> Result<()> + Sync)>,
}

impl Running<'_> {
    /// Runs a plan with its progress shown.
    pub(crate) fn run(
        &self,
        plan: &Plan,
        pipeline: &Pipeline,
        source: &dyn Source,
        sink: &dyn Sink,
        journal: &Journal,
    ) -> Result<Report> {
        let manner = &self.manner;
        let display = Display::new(self.what, plan.grid.domain().voxels(), manner.quiet);
        let control = Control { cancel: manner.cancel, progress: &|p| display.update(p) };
        let mask = self.selected.mask(pipeline.output())?;
        let options = RunOptions {
            control,
            journal: Some(journal),
            part: manner.wanted.part.map(|part| part.range(plan.grid.len())),
            check: manner.wanted.check,
            retries: manner.retries,
            keep_going: manner.keep_going,
            mask: mask.as_ref(),
            skip_empty: self.selected.skip_empty.as_ref(),
            last: self.unchanged,
        };
        let report = volchunk::run_with(plan, pipeline, &[source], sink, &options);
        display.end();
        report.map_err(|e| {
            if e.kind() == ErrorKind::Lost && manner.wanted.part.is_some() {
                void_parts(&self.config.output);
            }
            let next = match (self.unchanged.is_none_or(|same| same().is_ok()), manner.wanted.part)
            {
                (true, None) => GOES_ON.to_owned(),
                (true, Some(_)) => "the same command goes on".to_owned(),
                (false, None) => "--force begins anew".to_owned(),
                (false, Some(_)) => all_parts_anew(&self.config.output),
            };
            unfinished(e, self.config.target, &self.config.output, &next)
        })
    }
}

/// Of a file that lost something, whoever wrote it: what other parts committed counts no more, but for
/// those that are being written, which hear of it themselves.
pub(super) fn void_parts(output: &Path) {
    for Kept { head, part, .. } in journals(output).unwrap_or_default() {
        // Who cannot be reached is told by the error, and by verify.
        if let Some(part) = part
            && let Ok(_lock) = OutputLock::take_part(output, part)
            && let Ok(journal) = open_journal(output, &head, Some(part), false)
        {
            let _ = journal.void_all();
        }
    }
}

/// What is to be done next, where nothing is in the way.
const GOES_ON: &str = "the same command goes on, --force begins anew";

/// Says of a failed run what it left, and what is to be done next.
pub(super) fn unfinished(error: Error, target: Target, output: &Path, next: &str) -> Error {
    let left = match target {
        Target::Volume(Format::Zarr) => format!("{} is unfinished, and says so", output.display()),
        _ => format!("{} is unfinished", partial_path(output).display()),
    };
    let message = if error.is_cancelled() { "stopped".into() } else { error.to_string() };
    Error::new(error.kind(), format!("{message}\n{left}; {next}")).caused_by(error)
}
