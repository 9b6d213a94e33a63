//! What the journals of an output tell, of every chunk and of the job.

use std::{path::Path, time::Instant};

use volchunk::{
    Altered, Audit, Control, Error, ErrorKind, Gather, Origin, Reread, Result, SeamSearch,
    ShiftedAudit, Source, Wants, reread,
};

use super::{
    Means, OfJournal, SAMPLES,
    basis::{Basis, InputState, bases, prepared},
};
use crate::{journals::Kept, progress::Display, standing::open_level};

/// Reads every chunk back. On the way `search`, if there is one, takes its patches, and regions
/// computed anew are compared.
pub(super) fn look(
    output: &Path,
    (first, kept): (&Kept, &[Kept]),
    search: Option<&SeamSearch<'_>>,
    means: Means<'_>,
) -> Result<OfJournal> {
    let started = Instant::now();
    let mut found: Vec<(usize, Reread)> = Vec::new();
    let (mut audits, mut failed) = (Vec::new(), None);
    // Damage and seams are told even where the job cannot be repeated.
    let prepared = prepared(output, first, means);
    let input = InputState::of(&prepared, kept, means)?;
    let bases = prepared.and_then(|prepared| bases(output, prepared, &input, kept, means));
    for parts in kept.chunk_by(|a, b| a.head.level == b.head.level) {
        let level = parts[0].head.level;
        let result = match open_level(output, level, kept) {
            Ok(result) => result,
            // The finest is what was opened before anything was looked at.
            Err(e) if level > 0 && !e.is_cancelled() => {
                found.push((level, unopened(parts, &e)?));
                continue;
            }
            Err(e) => return Err(e),
        };
        let basis = bases.as_ref().map(|bases| bases.iter().find(|basis| basis.level == level));
        let (one, audit) = look_at_level(&*result, parts, basis.ok().flatten(), search, means)?;
        found.push((level, one));
        match audit {
            Some(Ok(audit)) => audits.push((level, audit)),
            Some(Err(e)) => failed = failed.or(Some(e)),
            None => {}
        }
    }
    let elapsed = started.elapsed();
    // What differs on one level is told whatever failed on another.
    let differs = audits.iter().any(|(_, audit)| !audit.differing.is_empty());
    let audit = match bases.err().or(failed) {
        Some(e) if !differs => Err(e.to_string()),
        _ => Ok(audits),
    };
    Ok(OfJournal { input, reread: found, elapsed, audit })
}

/// What is found of a level that cannot be opened, and why: every chunk is altered.
fn unopened(parts: &[Kept], why: &Error) -> Result<Reread> {
    let mut all = Reread::default();
    for Kept { head, journal, .. } in parts {
        let (grid, what) = (head.grid()?, format!("it cannot be opened: {why}"));
        let altered = |number| Altered { chunk: grid.chunk(number), what: what.clone() };
        all.altered.extend(journal.chunks().map(altered));
    }
    Ok(all)
}

/// What the journals of one level's parts found together, and computing anew, which may fail by
/// itself.
fn look_at_level(
    result: &dyn Source,
    parts: &[Kept],
    basis: Option<&Basis>,
    search: Option<&SeamSearch<'_>>,
    means: Means<'_>,
) -> Result<(Reread, Option<Result<Audit>>)> {
    let sources: Vec<&dyn Source> = basis.iter().map(|basis| &*basis.source).collect();
    let mask = basis.map_or(Ok(None), |basis| basis.selected.mask(basis.pipeline.output()))?;
    let audit = basis.map(|Basis { plan, pipeline, .. }| {
        let origin = Origin { pipeline, sources: &sources, mask: mask.as_ref() };
        ShiftedAudit::new(plan, origin, SAMPLES)
    });
    let mut wants: Vec<&dyn Wants> = Vec::new();
    wants.extend(audit.iter().flatten().map(|audit| audit as &dyn Wants));
    if parts[0].head.level == 0 {
        wants.extend(search.map(|search| search as &dyn Wants));
    }
    let gather = Gather::new(&wants, result.info().dtype);
    let mut all = Reread::default();
    for Kept { head, journal, .. } in parts {
        let grid = head.grid()?;
        let display = Display::new("reading back", grid.domain().voxels(), means.quiet);
        let control = Control { cancel: means.cancel, progress: &|p| display.update(p) };
        let memory = (means.workers, means.memory());
        let one = reread(&grid, journal, result, memory, Some(&gather), control);
        display.end();
        let one = one.map_err(|e| match e.kind() {
            ErrorKind::OverMemory => e.context("--memory"),
            _ => e,
        })?;
        all.chunks += one.chunks;
        all.bytes += one.bytes;
        all.altered.extend(one.altered);
    }
    // Regions that are not whole would be held beside what is read anew.
    drop(gather);
    let control = Control { cancel: means.cancel, ..Control::default() };
    let audit = match audit.map(|audit| audit.and_then(|audit| audit.finish(result, control))) {
        Some(Err(e)) if e.is_cancelled() => return Err(e),
        audit => audit,
    };
    Ok((all, audit))
}
