//! What the levels of an output were computed from, to compute some of it anew.

use std::path::Path;

use volchunk::{Error, ErrorKind, Origin, Pipeline, Plan, Result, Source, look};
use volchunk_ops::{OpSpec, bind_chain};

use super::Means;
use crate::{
    asked::Asked,
    config::{Config, Lengths, Limits},
    journals::Kept,
    prepare::{Prepared, plan_for, prepare},
    selection::Selected,
    standing::open_level,
};

/// How a level was computed, and from what.
pub(super) struct Basis {
    pub(super) level: usize,
    pub(super) plan: Plan,
    pub(super) pipeline: Pipeline,
    pub(super) source: Box<dyn Source>,
    pub(super) selected: Selected,
}

/// What became of the input, and of the mask, since the output was made of them.
pub(super) enum InputState {
    AsItWas,
    /// What changed.
    Changed(String),
    /// Why nobody can tell.
    Unknown(String),
}

impl InputState {
    /// By what the journals say of it.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`].
    pub(super) fn of(
        prepared: &Result<Prepared>,
        kept: &[Kept],
        means: Means<'_>,
    ) -> Result<InputState> {
        let changed = match prepared {
            Ok(prepared) => changed(prepared, kept, means),
            Err(e) => return Ok(Self::Unknown(e.to_string())),
        };
        match changed {
            Err(e) if e.is_cancelled() => Err(e),
            Err(e) => Ok(Self::Unknown(e.to_string())),
            Ok(Some(what)) => Ok(Self::Changed(what)),
            Ok(None) => Ok(Self::AsItWas),
        }
    }
}

fn changed(prepared: &Prepared, kept: &[Kept], means: Means<'_>) -> Result<Option<String>> {
    let asked = Asked::of(prepared)?;
    if let Some(what) = kept.first().and_then(|first| first.head.job.changed(&asked, true)) {
        return Ok(Some(what));
    }
    let mask = prepared.selected.mask(prepared.pipeline.output())?;
    let origin =
        Origin { pipeline: &prepared.pipeline, sources: &[&*prepared.source], mask: mask.as_ref() };
    let (mut chunks, mut first) = (0, None);
    for Kept { head, journal, .. } in kept.iter().filter(|k| k.head.level == 0) {
        let grid = head.grid()?;
        let found = look(&grid, journal, Some(origin), None, means.workers, means.cancel)?;
        chunks += found.outdated.len();
        first = first.or_else(|| found.outdated.first().map(|&number| grid.chunk(number)));
    }
    Ok(first.map(|first| {
        let (index, core) = (&first.index[..], &first.core);
        format!("the input of {chunks} chunks changed, the first {index:?} at {core}")
    }))
}

/// The job of `first`, to be repeated on the grid that it was made on.
///
/// # Errors
/// Why it cannot be: a function of another program, an input that is gone, too little memory.
pub(super) fn prepared(output: &Path, first: &Kept, means: Means<'_>) -> Result<Prepared> {
    let mut config = first.head.job.clone().config()?;
    config.output = output.to_owned();
    // The planes of the grid that it was made on.
    config.chunk = Some(Lengths::new(first.head.chunk.clone(), "chunk")?);
    // Fewer threads where not all of them fit.
    let alone = Limits { workers: Some(1), ..means.limits };
    let fits = |e: &Error| e.kind() == ErrorKind::OverMemory && means.limits.workers.is_none();
    match prepare(config.clone(), means.limits) {
        Err(e) if fits(&e) => prepare(config, alone),
        prepared => prepared,
    }
}

/// Refuses what cannot be held against a result that was computed.
pub(super) fn check(input: &InputState) -> Result<()> {
    match input {
        InputState::Changed(what) => Err(Error::data(format!("{what} since it was made"))),
        _ => Ok(()),
    }
}

/// Of every level; the finest comes last.
///
/// # Errors
/// As [`check`]; too little memory.
pub(super) fn bases(
    output: &Path,
    prepared: Prepared,
    input: &InputState,
    kept: &[Kept],
    means: Means<'_>,
) -> Result<Vec<Basis>> {
    check(input)?;
    let alone = Limits { workers: Some(1), ..means.limits };
    let mut bases = Vec::new();
    for head in kept.iter().map(|k| &k.head).filter(|head| head.level > 0) {
        let finer = open_level(output, head.level - 1, kept)?;
        let pipeline = bind_chain(&[OpSpec::parse("downsample:factor=2")?], finer.info().clone())?;
        let chunk = Some(Lengths::new(head.chunk.clone(), "chunk")?);
        // How it is stored was asked for the finest level, and nothing is stored here.
        let (storage_chunk, shard) = (None, None);
        let config = Config { roi: None, chunk, storage_chunk, shard, ..prepared.config.clone() };
        let plan = |limits| {
            plan_for(&config, &pipeline, finer.read_overhead(), &Selected::default(), limits)
        };
        let plan = plan(means.limits).or_else(|_| plan(alone))?;
        // Of the finest level alone the mask was asked.
        let selected = Selected::default();
        bases.push(Basis { level: head.level, plan, pipeline, source: finer, selected });
    }
    let Prepared { plan, pipeline, source, selected, .. } = prepared;
    bases.push(Basis { level: 0, plan, pipeline, source, selected });
    Ok(bases)
}
