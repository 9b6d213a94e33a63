//! Whether a run may begin, go on, or has nothing to do, by what stands at its output.

use std::time::Duration;

use volchunk::{Error, ErrorKind, Result};
use volchunk_io::{OutputLock, OutputState, Part, output_state, remove_output};

use crate::{
    config::Limits,
    job::Job,
    journals::{Head, Kept, journals},
    prepare::Prepared,
};

/// What is to be done.
enum Start {
    /// Nothing stands there, or what does is to be removed.
    Anew,
    /// To go on with what stands there, by these journals.
    Resume(Vec<Kept>),
    /// What stands there is the result.
    AlreadyComplete,
}

/// How the caller wants it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) force: bool,
    /// Whether a complete output is gone through all the same.
    pub(crate) check: bool,
    pub(crate) part: Option<Part>,
}

/// The right to write an output, that nothing but the job's own work stands in.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Of the whole output. While a part runs it is not held, so that others can begin.
    whole: Option<OutputLock>,
    /// Of the part.
    _part: Option<OutputLock>,
    /// What earlier runs recorded of the coarser levels.
    pub(crate) levels: Vec<Head>,
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
/// What stands there is not this job's, and what differs; another process writes it.
pub(crate) fn begin(
    prepared: &mut Prepared,
    limits: Limits,
    wanted: Wanted,
) -> Result<Option<Begun>> {
    let output = prepared.config.output.clone();
    // Looked at first, so that nothing is touched where nothing is to be done.
    if matches!(start(prepared, wanted)?, Start::AlreadyComplete) {
        return Ok(None);
    }
    // A part holds the whole only while it prepares.
    let patience = Duration::from_secs(if wanted.part.is_some() { 10 } else { 0 });
    let whole = OutputLock::take(&output, patience)?;
    // And again: it may have been finished while we came.
    let kept = match start(prepared, wanted)? {
        Start::AlreadyComplete => return Ok(None),
        Start::Anew => {
            remove_output(&output)?;
            Vec::new()
        }
        Start::Resume(kept) => kept,
    };
    let part = wanted.part.map(|part| OutputLock::take_part(&output, part)).transpose()?;
    if let Some(first) = kept.first() {
        prepared.adopt(&first.head.job, limits)?;
    }
    let levels = kept.into_iter().filter(|k| k.part.is_none()).map(|k| k.head).collect();
    Ok(Some(Begun { whole: Some(whole), _part: part, levels }))
}

fn start(prepared: &Prepared, wanted: Wanted) -> Result<Start> {
    let output = &prepared.config.output;
    let state = output_state(output)?;
    // Receipts without the output are receipts of nothing.
    if wanted.force || state == OutputState::Absent {
        return Ok(Start::Anew);
    }
    let refuse = |what: String| {
        let message = format!("the output {} {what}; --force begins anew", output.display());
        Err(Error::new(ErrorKind::Exists, message))
    };
    match state {
        OutputState::Absent => Ok(Start::Anew),
        OutputState::Foreign => refuse("is there, and volchunk did not make it".into()),
        OutputState::Partial => {
            let kept = journals(output)?;
            if kept.is_empty() {
                return refuse("is there, unfinished, and has no journal to go on by".into());
            }
            match hindrance(prepared, &kept, wanted.part)? {
                Some(what) => refuse(what),
                None => Ok(Start::Resume(kept)),
            }
        }
        OutputState::Complete { attributes } => {
            let Some(job) = attributes.as_ref().and_then(Job::from_attributes) else {
                return refuse("is there, and says nothing of the job that made it".into());
            };
            let differs = job.differences(prepared)?;
            if !differs.is_empty() {
                let differs = differs.join("; ");
                return refuse(format!("is there, complete, but another job made it: {differs}"));
            }
            if let Some(what) = job.changed(prepared) {
                return refuse(format!("is there, complete, but {what} changed since it was made"));
            }
            if !wanted.check {
                return Ok(Start::AlreadyComplete);
            }
            let kept = journals(output)?;
            match kept.is_empty() {
                true => refuse("is there, complete, and has no journal to check it by".into()),
                false => match hindrance(prepared, &kept, wanted.part)? {
                    Some(what) => refuse(what),
                    None => Ok(Start::Resume(kept)),
                },
            }
        }
    }
}

/// Why a run of `prepared` cannot go on by the journals `kept`; None if it can.
pub(crate) fn hindrance(
    prepared: &Prepared,
    kept: &[Kept],
    part: Option<Part>,
) -> Result<Option<String>> {
    let of = kept.first().and_then(|k| k.part).map(|part| part.of);
    if kept.iter().any(|k| k.part.map(|part| part.of) != of) {
        return Ok(Some("has journals of several divisions into parts".into()));
    }
    match (of, part) {
        (Some(of), None) => {
            return Ok(Some(format!(
                "is written in {of} parts; legal: --part i/{of}, then volchunk finish"
            )));
        }
        (None, Some(part)) => {
            return Ok(Some(format!(
                "was begun as a whole, and --part {part} would overlap; legal: without --part"
            )));
        }
        (Some(of), Some(part)) if of != part.of => {
            return Ok(Some(format!(
                "is written in {of} parts, which --part {part} would overlap; legal: --part i/{of}"
            )));
        }
        _ => {}
    }
    for Kept { head, .. } in kept {
        let mut differs = head.job.differences(prepared)?;
        differs.extend(head.job.division_differs(prepared)?);
        if head.volchunk != env!("CARGO_PKG_VERSION") {
            differs.push(format!(
                "volchunk: {} there, {} here",
                head.volchunk,
                env!("CARGO_PKG_VERSION")
            ));
        }
        if !differs.is_empty() {
            let differs = differs.join("; ");
            return Ok(Some(format!("is there, unfinished, and another job's: {differs}")));
        }
        if let Some(what) = head.job.changed(prepared) {
            return Ok(Some(format!(
                "is there, unfinished, but {what} changed since it was begun"
            )));
        }
    }
    Ok(None)
}
