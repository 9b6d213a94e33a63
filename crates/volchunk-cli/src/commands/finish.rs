//! `volchunk finish`.

use std::sync::atomic::AtomicBool;

use volchunk::{Control, Error, ErrorKind, Result, RunOptions};
use volchunk_io::{OutputLock, OutputState, Part, output_state};

use super::run::{before, unfinished};
use crate::{
    args::FinishArgs,
    asked::Asked,
    config::Limits,
    journals::{Kept, journals, open_journal},
    output::print,
    prepare::prepare,
    start::hindrance,
    store::{Store, complete},
};

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
        OutputState::Complete { .. } => return say("already complete"),
        OutputState::Absent => return refuse("does not exist".into()),
        _ => {}
    }
    let Some(of) = kept.first().and_then(|k| k.part).map(|part| part.of) else {
        return refuse(
            "was not written in parts; the command that began it goes on with it".into(),
        );
    };
    let parts = (0..of).map(|index| Part { index, of });
    // Nobody may write while it is gone through.
    let _parts = parts
        .clone()
        .map(|part| OutputLock::take_part(output, part))
        .collect::<Result<Vec<_>>>()?;
    if let Some(missing) = missing(&kept, of)? {
        return refuse(format!("is not whole: {missing}"));
    }
    let head = &kept[0].head;
    let mut config = head.job.clone().config()?;
    config.output = output.clone();
    let prepared = prepare(config, Limits::default())?;
    if let Some(what) = hindrance(&Asked::of(&prepared)?, &kept, Some(Part { index: 0, of })) {
        return refuse(what);
    }
    let mut stores = Vec::new();
    let mut reports = Vec::new();
    for part in parts {
        let journal = open_journal(output, head, Some(part), false)?;
        let store = Store::open(&prepared, Some(part), false)?;
        let mask = prepared.selected.mask(prepared.pipeline.output())?;
        let options = RunOptions {
            mask: mask.as_ref(),
            skip_empty: prepared.selected.skip_empty.as_ref(),
            control: Control { cancel, ..Control::default() },
            journal: Some(&journal),
            part: Some(journal.chunks()),
            ..RunOptions::default()
        };
        let (plan, pipeline) = (&prepared.plan, &prepared.pipeline);
        let report =
            volchunk::run_with(plan, pipeline, &[&*prepared.source], store.sink(), &options)
                .map_err(|e| unfinished(e, prepared.config.target, output))?;
        reports.push(report);
        stores.push(store);
    }
    complete(&prepared, &stores).map_err(|e| unfinished(e, prepared.config.target, output))?;
    drop(whole);
    say(&format!("complete.{}", before(&reports)))
}

/// What of the parts is not there; None if all is.
fn missing(kept: &[Kept], of: u64) -> Result<Option<String>> {
    let mut missing = Vec::new();
    for index in 0..of {
        let part = Part { index, of };
        let Some(Kept { head, journal, .. }) = kept.iter().find(|k| k.part == Some(part)) else {
            missing.push(format!("part {part} was not begun"));
            continue;
        };
        let Some(first) = journal.first_missing() else { continue };
        let grid = head.grid()?;
        let chunks = journal.chunks();
        let chunk = grid.chunk(first);
        missing.push(format!(
            "part {part} lacks {} of {} chunks, the first {:?} at {}, {} failed",
            chunks.end - chunks.start - journal.done(),
            chunks.end - chunks.start,
            &chunk.index[..],
            chunk.core,
            journal.failed().len()
        ));
    }
    Ok((!missing.is_empty()).then(|| missing.join("; ")))
}
