//! Whether a run may begin, go on, or has nothing to do, by what stands at its output.

use std::{sync::atomic::AtomicBool, time::Duration};

use volchunk::{Error, ErrorKind, Origin, Result};
use volchunk_io::{Format, OutputLock, OutputState, Part, output_state, remove_output};

use crate::{
    asked::Asked,
    config::{Limits, Target},
    job::Job,
    journals::{Head, Kept, journals, several_divisions},
    prepare::Prepared,
    standing::standing,
    store::all_parts_anew,
};

/// What is to be done.
pub(crate) enum Start {
    /// Nothing stands there, or what does is to be removed.
    Anew,
    /// To go on with what stands there, by these journals.
    Resume(Vec<Kept>),
    /// The same, but nothing is believed that is not read.
    Repair(Vec<Kept>),
    /// What stands there is the result, of this job, with these journals; whether it still is what
    /// they say is not known.
    Complete(Box<Job>, Vec<Kept>),
}

/// How the caller wants it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Whether what stands there is removed first.
    pub force: bool,
    /// Whether a complete output is gone through all the same.
    pub check: bool,
    /// The part that is to be written; None: all.
    pub part: Option<Part>,
}

/// The right to write an output, that nothing but the job's own work stands in.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Of the whole output. While a part runs it is not held, so that others can begin.
    whole: Option<OutputLock>,
    /// Of the part.
    _part: Option<OutputLock>,
    /// What the earlier run that is gone on with recorded of the job.
    pub(crate) job: Option<Job>,
    /// What earlier runs recorded of the coarser levels.
    pub(crate) levels: Vec<Head>,
    /// Whether what they wrote is to be read back.
    pub(crate) check: bool,
}

impl Begun {
    /// Lets other parts begin, once the output and the journal are there.
    pub(crate) fn settled(&mut self, part: Option<Part>) {
        if part.is_some() {
            self.whole = None;
        }
    }
}

/// Takes the right to write the output of `prepared`, and makes room for it. Where an earlier run is
/// gone on with, its division into chunks becomes that of `prepared`. None: there is nothing to do.
///
/// # Errors
/// What stands there is not this job's, and what differs; another process writes it;
/// [`ErrorKind::Cancelled`].
pub(crate) fn begin(
    prepared: &mut Prepared,
    limits: Limits,
    wanted: Wanted,
    cancel: &AtomicBool,
) -> Result<Option<Begun>> {
    let asked = Asked::of(prepared)?;
    let mask = prepared.selected.mask(prepared.pipeline.output())?;
    let origin =
        Origin { pipeline: &prepared.pipeline, sources: &[&*prepared.source], mask: mask.as_ref() };
    let begun = begin_asked(&asked, wanted, (origin, prepared.plan.workers), cancel)?;
    if let Some(job) = begun.as_ref().and_then(|begun| begun.job.as_ref()) {
        prepared.adopt(job, limits)?;
    }
    Ok(begun)
}

/// As [`begin`], and leaves the division to the caller. Where the output is complete, the files of its
/// chunks, and those that `origin` reads, are looked at by so many workers.
///
/// # Errors
/// As `begin`.
pub(crate) fn begin_asked(
    asked: &Asked,
    wanted: Wanted,
    (origin, workers): (Origin<'_>, usize),
    cancel: &AtomicBool,
) -> Result<Option<Begun>> {
    let output = &asked.output;
    // What is complete, and is no more what its journals say, is gone on with.
    let to_do = || match start(asked, wanted)? {
        Start::Complete(job, kept) => {
            let found = standing(output, &kept, Some(origin), workers, cancel)?;
            let target = Target::of_output(output)?;
            // Who edited it does not want it back as it was.
            if let Some(what) = found.first.as_ref().filter(|_| found.is_edited) {
                let check = match target {
                    Target::Table(_) => "; a check makes it anew of what the chunks found",
                    Target::Volume(_) => "",
                };
                let what = format!("is there, complete, but was altered: {what}{check}");
                return Err(refusal(asked, wanted.part, &what));
            }
            if found.is_sound() {
                return Ok(Start::Complete(job, kept));
            }
            let state = "complete, but no more as it was made";
            match hindrance(asked, &kept, wanted.part, state) {
                Some(what) => Err(refusal(asked, wanted.part, &what)),
                // Of one file only its voxels tell which of them are left.
                None if found.is_unreadable && target != Target::Volume(Format::Zarr) => {
                    Ok(Start::Repair(kept))
                }
                None => Ok(Start::Resume(kept)),
            }
        }
        start => Ok(start),
    };
    // Looked at first, so that nothing is touched where nothing is to be done.
    if matches!(to_do()?, Start::Complete(..)) {
        return Ok(None);
    }
    // A part holds the whole only while it prepares.
    let patience = Duration::from_secs(if wanted.part.is_some() { 10 } else { 0 });
    let whole = OutputLock::take(output, patience)?;
    // And again: it may have been finished while we came.
    let (kept, check) = match to_do()? {
        Start::Complete(..) => return Ok(None),
        Start::Anew => {
            remove_output(output)?;
            (Vec::new(), false)
        }
        Start::Resume(kept) => (kept, false),
        Start::Repair(kept) => (kept, true),
    };
    let part = wanted.part.map(|part| OutputLock::take_part(output, part)).transpose()?;
    let job = kept.first().map(|first| first.head.job.clone());
    let levels = kept.into_iter().filter(|k| k.part.is_none()).map(|k| k.head).collect();
    Ok(Some(Begun { whole: Some(whole), _part: part, job, levels, check }))
}

/// What is to be done for what is asked for; nothing is touched.
///
/// # Errors
/// As [`begin`].
pub(crate) fn start(asked: &Asked, wanted: Wanted) -> Result<Start> {
    let output = &asked.output;
    let state = output_state(output)?;
    // Receipts without the output are receipts of nothing.
    if wanted.force || state == OutputState::Absent {
        return Ok(Start::Anew);
    }
    let refuse = |what: String| Err(refusal(asked, wanted.part, &what));
    // One that cannot be read is no dead end.
    let journals = || {
        journals(output).map_err(|e| {
            Error::new(e.kind(), format!("{e}; {}", anew(asked, wanted.part))).caused_by(e)
        })
    };
    match state {
        OutputState::Absent => Ok(Start::Anew),
        OutputState::Foreign => refuse("is there, and volchunk did not make it".into()),
        OutputState::Partial => {
            let kept = journals()?;
            if kept.is_empty() {
                return refuse("is there, unfinished, and has no journal to go on by".into());
            }
            match hindrance(asked, &kept, wanted.part, "unfinished") {
                Some(what) => refuse(what),
                None => Ok(Start::Resume(kept)),
            }
        }
        OutputState::Complete { attributes } => {
            let own = attributes.as_ref().and_then(Job::from_attributes);
            let of_journal = || journals().map(|kept| kept.into_iter().next().map(|k| k.head.job));
            let Some(job) = own.map_or_else(of_journal, |own| Ok(Some(own)))? else {
                return refuse("is there, and says nothing of the job that made it".into());
            };
            let differs = job.differences(asked);
            if !differs.is_empty() {
                let differs = differs.join("; ");
                return refuse(format!("is there, complete, but another job made it: {differs}"));
            }
            let kept = journals()?;
            if let Some(what) = job.changed(asked, covers(&kept)?) {
                return refuse(format!("is there, complete, but {what} since it was made"));
            }
            if !wanted.check {
                return Ok(Start::Complete(Box::new(job), kept));
            }
            match kept.is_empty() {
                true => refuse("is there, complete, and has no journal to check it by".into()),
                false => match hindrance(asked, &kept, wanted.part, "complete") {
                    Some(what) => refuse(what),
                    None => Ok(Start::Resume(kept)),
                },
            }
        }
    }
}

/// The error that says what keeps a job from its output.
fn refusal(asked: &Asked, part: Option<Part>, what: &str) -> Error {
    let message = format!("the output {} {what}; {}", asked.output.display(), anew(asked, part));
    Error::new(ErrorKind::Exists, message)
}

/// What begins anew.
fn anew(asked: &Asked, part: Option<Part>) -> String {
    match part {
        None => format!("{} begins anew", asked.anew),
        Some(_) => all_parts_anew(&asked.output),
    }
}

/// Whether there are journals of all chunks of the finest level.
fn covers(kept: &[Kept]) -> Result<bool> {
    let Some(first) = kept.first() else { return Ok(false) };
    let finest = kept.iter().filter(|k| k.head.level == 0).map(|k| k.journal.chunks());
    Ok(finest.map(|chunks| chunks.end - chunks.start).sum::<u64>() == first.head.grid()?.len())
}

/// Why a run of what is asked for cannot go on by the journals `kept` of an output in this `state`; None
/// if it can.
pub(crate) fn hindrance(
    asked: &Asked,
    kept: &[Kept],
    part: Option<Part>,
    state: &str,
) -> Option<String> {
    let of = kept.first().and_then(|k| k.part).map(|part| part.of);
    if several_divisions(kept) {
        return Some("has journals of several divisions into parts".into());
    }
    match (of, part) {
        (Some(of), None) => {
            return Some(format!(
                "is written in {of} parts; legal: --part i/{of}, then volchunk finish"
            ));
        }
        (None, Some(part)) => {
            return Some(format!(
                "was begun as a whole, and --part {part} would overlap; legal: without --part"
            ));
        }
        (Some(of), Some(part)) if of != part.of => {
            return Some(format!(
                "is written in {of} parts, which --part {part} would overlap; legal: --part i/{of}"
            ));
        }
        _ => {}
    }
    for Kept { head, .. } in kept {
        let mut differs = head.job.differences(asked);
        differs.extend(head.job.division_differs(asked));
        if head.volchunk != env!("CARGO_PKG_VERSION") {
            differs.push(format!(
                "volchunk: {} there, {} here",
                head.volchunk,
                env!("CARGO_PKG_VERSION")
            ));
        }
        if !differs.is_empty() {
            let differs = differs.join("; ");
            return Some(format!("is there, {state}, and another job's: {differs}"));
        }
        if let Some(what) = head.job.changed(asked, true) {
            return Some(format!("is there, {state}, and {what} since it was begun"));
        }
    }
    None
}
