//! What the levels of an output were computed from, to compute some of it anew.

use std::path::Path;

use volchunk::{Error, ErrorKind, Pipeline, Plan, Result, Source};
use volchunk_io::open;
use volchunk_ops::{OpSpec, bind_chain};

use super::Means;
use crate::{
    asked::Asked,
    config::{Config, Lengths, Limits},
    journals::Kept,
    prepare::{plan_for, prepare},
    selection::Selected,
};

/// How a level was computed, and from what.
pub(super) struct Basis {
    pub(super) level: usize,
    pub(super) plan: Plan,
    pub(super) pipeline: Pipeline,
    pub(super) source: Box<dyn Source>,
}

/// A level of an output, which is a folder in it where there are several.
pub(super) fn open_level(output: &Path, level: usize, kept: &[Kept]) -> Result<Box<dyn Source>> {
    match kept.iter().any(|k| k.head.level > 0) {
        true => open(&output.join(level.to_string())),
        false => open(output),
    }
}

/// Of every level; the finest comes last.
///
/// # Errors
/// Why nothing can be computed anew: the input is gone or changed, the memory is too small.
pub(super) fn bases(output: &Path, kept: &[Kept], means: Means<'_>) -> Result<Vec<Basis>> {
    let Some(first) = kept.first() else { return Ok(Vec::new()) };
    let job = &first.head.job;
    let mut config = job.clone().config()?;
    config.output = output.to_owned();
    // The planes of the grid that it was made on.
    config.chunk = Some(Lengths::new(first.head.chunk.clone(), "chunk")?);
    // Fewer threads where not all of them fit.
    let alone = Limits { workers: Some(1), ..means.limits };
    let fits = |e: &Error| e.kind() == ErrorKind::OverMemory && means.limits.workers.is_none();
    let prepared = match prepare(config.clone(), means.limits) {
        Err(e) if fits(&e) => prepare(config, alone)?,
        prepared => prepared?,
    };
    if let Some(what) = job.changed(&Asked::of(&prepared)?) {
        return Err(Error::data(format!("{what} since it was made")));
    }
    if prepared.selected.mask_source().is_some() {
        return Err(Error::unsupported("a mask was laid over what was computed"));
    }
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
        bases.push(Basis { level: head.level, plan, pipeline, source: finer });
    }
    let (plan, pipeline, source) = (prepared.plan, prepared.pipeline, prepared.source);
    bases.push(Basis { level: 0, plan, pipeline, source });
    Ok(bases)
}
