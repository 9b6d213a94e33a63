//! `volchunk finish`.

use std::sync::atomic::AtomicBool;

use volchunk::{Control, Error, ErrorKind, Result, RunOptions};
use volchunk_io::{OutputLock, OutputState, Part, output_state};

use super::run::{before, unfinished, void_parts};
use crate::{
    args::FinishArgs,
    asked::Asked,
    config::{Limits, Target},
    journals::{Kept, journals, open_journal},
    output::print,
    prepare::prepare,
    standing::standing,
    start::hindrance,
    store::{Store, complete, open_or_anew},
};

/// What is to be done next, where finishing failed.
const NEXT: &str = "finish goes on once every part is whole, which each part's own command sees to";

/// Marks an output complete, if every chunk of every part is there.
pub(crate) fn finish(args: &FinishArgs, cancel: &AtomicBool) -> Result<()> {
    let output = &args.output;
    let say = |what: &str| match args.quiet {
        true => Ok(()),
        false => print(&format!("{}: {what}\n", output.display())),
    };
    let refuse = |what: String| {
        Err(Error::new(ErrorKind::InvalidData, format!("{} {what}", output.display())))
    };
    let whole = OutputLock::take(output, Default::default())?;
    let kept = journals(output)?;
    match output_state(output)? {
        OutputState::Complete { attributes: None } if kept.is_empty() => {
            return refuse("was not made by volchunk, or nothing tells of what".into());
        }
        OutputState::Complete { .. } => {
            let workers = Limits::default().workers();
            let found = standing(output, &kept, None, workers, cancel)?;
            let edited = found.is_edited;
            return match found.first {
                None => say("already complete"),
                Some(first) if edited => refuse(format!("is complete, but was altered: {first}")),
                Some(first) => refuse(format!(
                    "is complete, but no more as it was made; lost: {first}, the first; the command \
                     that wrote it writes it anew"
                )),
            };
        }
        OutputState::Absent => return refuse("does not exist".into()),
        _ => {}
    }
    let Some(of) = kept.first().and_then(|k| k.part).map(|part| part.of) else {
        return refuse(
            "was not written in parts; the command that began it goes on with it".into(),
        );
    };
    // Nobody may write while it is gone through: who begins needs the whole, which is held here, and
    // no part's lock is held by who began before. One after the other: files that are open are few.
    for part in kept.iter().filter_map(|kept| kept.part) {
        OutputLock::take_part(output, part)?;
    }
    if let Some(missing) = missing(&kept, of)? {
        return refuse(format!("is not whole: {missing}"));
    }
    let head = &kept[0].head;
    let mut config = head.job.clone().config()?;
    config.output = output.clone();
    let prepared = prepare(config, Limits::default())?;
    if let Some(what) =
        hindrance(&Asked::of(&prepared)?, &kept, Some(Part { index: 0, of }), "unfinished")
    {
        return refuse(what);
    }
    let mut stores = Vec::new();
    let mut reports = Vec::new();
    for part in (0..of).map(|index| Part { index, of }) {
        let journal = open_journal(output, head, Some(part), false)?;
        // Every part of a volume is in the same files, a table's each in its own.
        let is_table = matches!(prepared.config.target, Target::Table(_));
        let store = match stores.pop() {
            Some(store) if !is_table => store,
            before => {
                stores.extend(before);
                open_or_anew(output, Some(part), || Store::open(&prepared, Some(part), false))?
            }
        };
        let mask = prepared.selected.mask(prepared.pipeline.output())?;
        let options = RunOptions {
            mask: mask.as_ref(),
            skip_empty: prepared.selected.skip_empty.as_ref(),
            control: Control { cancel, ..Control::default() },
            journal: Some(&journal),
            part: Some(journal.chunks()),
            last: Some(&|| prepared.check_input()),
            ..RunOptions::default()
        };
        let (plan, pipeline) = (&prepared.plan, &prepared.pipeline);
        let report =
            volchunk::run_with(plan, pipeline, &[&*prepared.source], store.sink(), &options)
                .map_err(|e| {
                    if e.kind() == ErrorKind::Lost {
                        void_parts(output);
                    }
                    unfinished(e, prepared.config.target, output, NEXT)
                })?;
        reports.push(report);
        // Tables are only to be read from here on, and many.
        stores.push(if is_table { Store::read(&prepared, part)? } else { store });
    }
    complete(&prepared, &stores, cancel).map_err(|mut e| {
        for (index, store) in (0..of).zip(&stores) {
            if let Ok(journal) = open_journal(output, head, Some(Part { index, of }), false) {
                e = store.void_damaged(&journal, e);
            }
        }
        unfinished(e, prepared.config.target, output, NEXT)
    })?;
    drop(whole);
    say(&format!("complete.{}", before(&reports)))
}

/// What of the parts, which `kept` holds in order, is not there; None if all is.
fn missing(kept: &[Kept], of: u64) -> Result<Option<String>> {
    const SHOWN: usize = 20;
    let mut missing = Vec::new();
    let mut more = 0;
    for index in 0..of {
        let part = Part { index, of };
        let found = kept.binary_search_by_key(&Some(part), |kept| kept.part);
        let first = found.ok().map(|k| kept[k].journal.first_missing());
        if first == Some(None) {
            continue;
        }
        if missing.len() == SHOWN {
            more += 1;
            continue;
        }
        let (Some(Some(first)), Ok(k)) = (first, found) else {
            missing.push(format!("part {part} was not begun"));
            continue;
        };
        let Kept { head, journal, .. } = &kept[k];
        let (chunks, chunk) = (journal.chunks(), head.grid()?.chunk(first));
        missing.push(format!(
            "part {part} lacks {} of {} chunks, the first {:?} at {}, {} failed",
            chunks.end - chunks.start - journal.done(),
            chunks.end - chunks.start,
            &chunk.index[..],
            chunk.core,
            journal.failed().len()
        ));
    }
    if more > 0 {
        missing.push(format!("and {more} more parts"));
    }
    Ok((!missing.is_empty()).then(|| missing.join("; ")))
}
