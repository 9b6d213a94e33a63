//! `verify` of a table: what its chunks found, and whether the table is what was made of that.

use std::time::Instant;

use volchunk::{
    Control, Coords, Dtype, Error, ErrorKind, Origin, Reread, Result, Spool, VolumeInfo,
    audit_tables, reread_tables,
};

use super::{
    Means, OfJournal, SAMPLES, Verdict,
    basis::{InputState, check, prepared},
    journals_of,
};
use crate::{
    args::VerifyArgs,
    journals::Kept,
    prepare::Prepared,
    table::{is_as_written, read_spool},
};

/// Verifies a table by the journals beside it.
pub(super) fn verify(args: &VerifyArgs, means: Means<'_>) -> Result<Verdict> {
    let output = &args.output;
    let place = output.display();
    if args.grid.is_some() || args.figure.is_some() {
        return Err(Error::argument(format!(
            "{place} is a table, in which no plane can be looked at; legal: without --grid and \
             --figure"
        )));
    }
    let kept = journals_of(output)?;
    let Some(first) = kept.first() else {
        return Err(Error::argument(format!("{place} has no journal to verify it by")));
    };
    let started = Instant::now();
    let grid = first.head.grid()?;
    let spools =
        kept.iter().map(|k| read_spool(output, k.part, &grid)).collect::<Result<Vec<Spool>>>()?;
    let mut all = Reread::default();
    for (Kept { journal, .. }, spool) in kept.iter().zip(&spools) {
        let control = Control { cancel: means.cancel, ..Control::default() };
        let one = reread_tables(spool, journal, means.workers, control)?;
        all.chunks += one.chunks;
        all.bytes += one.bytes;
        all.altered.extend(one.altered);
    }
    let elapsed = started.elapsed();
    // Damage is told even where the job cannot be repeated.
    let prepared = prepared(output, first, means);
    let input = InputState::of(&prepared, &kept, means)?;
    let axes = match &prepared {
        Ok(prepared) => prepared.source.info().axes.clone(),
        Err(_) => VolumeInfo::new(grid.volume(), Dtype::U8).axes,
    };
    let audit = match prepared.and_then(|prepared| audit(&prepared, &input, &spools, means)) {
        Err(e) if e.is_cancelled() => return Err(e),
        audit => audit.map(|audit| vec![(0, audit)]).map_err(|e| e.to_string()),
    };
    Ok(Verdict {
        place: place.to_string(),
        axis_names: axes.into_iter().map(|a| a.name).collect(),
        chunk: Coords::from_slice(&first.head.chunk),
        journal: Some(OfJournal { input, reread: vec![(0, all)], elapsed, audit }),
        table: Some(is_as_written(output, means.cancel)?),
        seams: Ok(Vec::new()),
        figure: None,
    })
}

fn audit(
    prepared: &Prepared,
    input: &InputState,
    spools: &[Spool],
    means: Means<'_>,
) -> Result<volchunk::Audit> {
    check(input)?;
    let control = Control { cancel: means.cancel, ..Control::default() };
    let spools: Vec<&Spool> = spools.iter().collect();
    let Prepared { plan, pipeline, source, selected, .. } = prepared;
    let mask = selected.mask(pipeline.output())?;
    let origin = Origin { pipeline, sources: &[&**source], mask: mask.as_ref() };
    audit_tables(plan, origin, &spools, SAMPLES, control).map_err(|e| match e.kind() {
        ErrorKind::OverMemory => e.context("--memory"),
        _ => e,
    })
}
