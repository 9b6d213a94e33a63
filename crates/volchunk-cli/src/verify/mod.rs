//! `volchunk verify`: whether an output is what was written, and whether seams can be seen in it.

mod basis;
mod figure;
mod journal;
mod report;
mod table;

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use volchunk::{
    Audit, AxisSeams, Coords, Error, ErrorKind, Reread, Result, SeamRequest, SeamSearch, Source, os,
};
use volchunk_io::{OutputState, open, output_state, same_or_inside};

use self::basis::InputState;
use crate::{
    args::VerifyArgs,
    config::{Lengths, Limits, Target, numbers},
    journals::{Kept, journals, several_divisions},
    output::print,
    picture::is_made_with,
};

/// What the figure says that it was made with.
const SOFTWARE: &str = "volchunk verify";
/// Regions across planes of the grid that are computed anew, of each level, at most.
const SAMPLES: u64 = 24;

/// All that was found.
struct Verdict {
    place: String,
    axis_names: Vec<String>,
    /// Distance of the planes on every axis.
    chunk: Coords,
    /// None where there is no journal to go by.
    journal: Option<OfJournal>,
    /// Of a table, whether its file is as it was written.
    table: Option<bool>,
    /// Or why none were looked for.
    seams: Result<Vec<AxisSeams>, String>,
    figure: Option<PathBuf>,
}

struct OfJournal {
    input: InputState,
    /// By level, what the journals of its parts found together.
    reread: Vec<(usize, Reread)>,
    elapsed: Duration,
    /// By level, or why there was none.
    audit: Result<Vec<(usize, Audit)>, String>,
}

impl OfJournal {
    fn input_changed(&self) -> bool {
        matches!(self.input, InputState::Changed(_))
    }
}

/// What the caller grants.
#[derive(Clone, Copy)]
struct Means<'a> {
    limits: Limits,
    workers: usize,
    /// Bytes for everything.
    cap: u64,
    quiet: bool,
    cancel: &'a AtomicBool,
}

impl Means<'_> {
    /// Bytes beyond what the process holds now.
    fn memory(&self) -> u64 {
        self.cap.saturating_sub(os::resident_memory().unwrap_or(0))
    }
}

/// Verifies an output, tells what was found.
pub(crate) fn verify(args: &VerifyArgs, cancel: &AtomicBool) -> Result<()> {
    let output = &args.output;
    let limits = Limits::from_args(&args.limits)?;
    if let Some(figure) = &args.figure {
        check_figure(figure, output)?;
    }
    let means =
        Means { limits, workers: limits.workers(), cap: limits.cap(), quiet: args.json, cancel };
    if matches!(Target::of_output(output), Ok(Target::Table(_))) {
        return tell(args, &table::verify(args, means)?);
    }
    let kept = match args.grid {
        Some(_) => Vec::new(),
        None => journals_of(output)?,
    };
    let source = open(output)?;
    let info = source.info();
    let (chunk, offset) = match (&args.grid, kept.first()) {
        (Some(grid), _) => {
            (Lengths::parse(grid, "--grid")?.for_axes(info)?, offset(args, &*source)?)
        }
        (None, Some(first)) => {
            (Coords::from_slice(&first.head.chunk), Coords::from_elem(0, info.ndim()))
        }
        (None, None) => return Err(Error::argument("no journal")),
    };
    let search = SeamSearch::new(info, &chunk, &offset)
        .map_err(|e| if args.grid.is_some() { e.context("--grid") } else { e })?;
    let mask = mask_of(kept.first());
    let search = match &mask {
        Ok(None) => Ok(search),
        Ok(Some((mask, start))) => search.within(&**mask, start).map_err(|e| e.to_string()),
        Err(e) => Err(e.to_string()),
    };
    let journal = match kept.first() {
        None => None,
        Some(first) => Some(journal::look(output, (first, &kept), search.as_ref().ok(), means)?),
    };
    let request = SeamRequest {
        chunk: &chunk,
        offset: &offset,
        workers: means.workers,
        memory: means.memory(),
        cancel,
    };
    let seams = match search {
        Ok(_) if matches!((&mask, &journal), (Ok(Some(_)), Some(found)) if found.input_changed()) => {
            Err("the mask may be another now".into())
        }
        Ok(search) => match search.finish(&*source, &request) {
            Err(e) if e.kind() == ErrorKind::OverMemory => return Err(e.context("--memory")),
            // What the journals told stays told.
            Err(e) if !e.is_cancelled() && journal.is_some() => Err(e.to_string()),
            found => Ok(found?),
        },
        Err(e) => Err(format!("nothing tells where the mask was laid: {e}")),
    };
    if let (Some(_), Ok(seams)) = (&args.grid, &seams)
        && seams.iter().all(|axis| axis.skipped.is_some())
    {
        let why = report::skipped(seams, info);
        return Err(Error::argument(format!("--grid: nothing to measure: {why}")));
    }
    let mut verdict = Verdict {
        place: output.display().to_string(),
        axis_names: info.axes.iter().map(|a| a.name.clone()).collect(),
        chunk,
        journal,
        table: None,
        seams,
        figure: None,
    };
    if let Some(path) = &args.figure {
        let seams = verdict.seams.as_deref().unwrap_or_default();
        let drawn = figure::draw(path, &*source, seams, &verdict.axis_names)?;
        verdict.figure = drawn.then(|| path.clone());
    }
    tell(args, &verdict)
}

/// The mask of the job, and where the output begins in it.
fn mask_of(first: Option<&Kept>) -> Result<Option<(Box<dyn Source>, Coords)>> {
    let Some(head) = first.map(|first| &first.head) else { return Ok(None) };
    let Some(path) = head.job.mask()? else { return Ok(None) };
    Ok(Some((open(path)?, Coords::from_slice(head.grid()?.domain().start()))))
}

/// Prints what was found; an error if that is anything.
fn tell(args: &VerifyArgs, verdict: &Verdict) -> Result<()> {
    match args.json {
        true => print(&format!("{:#}\n", verdict.json()))?,
        false => print(&verdict.text())?,
    }
    match verdict.complaint() {
        Some(what) => Err(Error::data(format!("{}: {what}", verdict.place))),
        None => Ok(()),
    }
}

/// Refuses a figure that would replace anything but another such figure.
fn check_figure(figure: &Path, output: &Path) -> Result<()> {
    if same_or_inside(output, figure) {
        return Err(Error::argument(format!(
            "--figure {} is, or lies inside, the volume {}; legal: a place apart from it",
            figure.display(),
            output.display()
        )));
    }
    let folder = figure.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::new(
            ErrorKind::Io,
            format!("--figure {}: there is no folder {}", figure.display(), folder.display()),
        ));
    }
    if figure.symlink_metadata().is_ok() && !is_made_with(figure, SOFTWARE) {
        return Err(Error::new(
            ErrorKind::Exists,
            format!(
                "--figure: {} is there, and volchunk verify did not make it; legal: a new file",
                figure.display()
            ),
        ));
    }
    Ok(())
}

/// The journals of a complete output.
fn journals_of(output: &Path) -> Result<Vec<Kept>> {
    let place = output.display();
    let state = output_state(output)?;
    if state == OutputState::Absent {
        return Err(Error::new(ErrorKind::Io, format!("{place}: there is no such output")));
    }
    let kept = journals(output)?;
    if several_divisions(&kept) {
        return Err(Error::data(format!(
            "{place} has journals of several divisions into parts; legal: those of one, in \
             {place}.volchunk"
        )));
    }
    match state {
        OutputState::Partial if !kept.is_empty() => Err(Error::data(format!(
            "{place} is unfinished; legal: a complete output (run --check goes through an \
             unfinished one)"
        ))),
        _ if kept.is_empty() => Err(Error::argument(format!(
            "{place} has no journal to verify it by; legal: --grid 64,256,256, the distance of the \
             planes on which to look for seams"
        ))),
        _ => Ok(kept),
    }
}

/// The voxels of `--offset`, one per axis.
fn offset(args: &VerifyArgs, source: &dyn Source) -> Result<Coords> {
    let info = source.info();
    let Some(text) = &args.offset else { return Ok(Coords::from_elem(0, info.ndim())) };
    let values: Vec<u64> = numbers(text, "--offset", "voxels from 0, such as 0 or 32,0,0")?;
    match values.len() == info.ndim() {
        true => Ok(Coords::from_vec(values)),
        false => info.per_axis(&values, 0, "--offset").map(Coords::from_vec),
    }
}
