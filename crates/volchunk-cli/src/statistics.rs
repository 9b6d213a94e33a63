//! What ops need to know of the whole volume, found before the run, or by the run before.

use std::path::Path;

use volchunk::{Control, ErrorKind, Result};
use volchunk_io::{OutputState, output_state};
use volchunk_ops::{OpSpec, PassOptions, bind_chain, resolve};

use crate::{
    commands::Manner,
    config::{Limits, parse_ops},
    job::Job,
    journals::journals,
    output::print,
    prepare::{Prepared, plan_for},
    progress::Display,
};

/// Completes the ops of `prepared` that need to know of the whole volume: as the job has them
/// that stands at the output and is to be gone on with, else by passes over the input.
///
/// Where what stands there is another job's, nothing is done: it will be refused.
///
/// # Errors
/// As [`resolve`]; a plan that no longer fits.
pub(crate) fn complete(prepared: &mut Prepared, limits: Limits, manner: Manner<'_>) -> Result<()> {
    if prepared.config.ops.iter().all(|op| !op.needs_pass()) {
        return Ok(());
    }
    let ops = match known(&prepared.config.ops, &prepared.config.output, manner.wanted.force)? {
        Known::Ops(ops) => ops,
        Known::Nothing => passes(prepared, limits, manner)?,
        Known::Another => return Ok(()),
    };
    prepared.config.ops = ops;
    prepared.pipeline = bind_chain(&prepared.config.ops, prepared.source.info().clone())?;
    let read_overhead = prepared.source.read_overhead();
    let (config, pipeline) = (&prepared.config, &prepared.pipeline);
    let plan = plan_for(config, pipeline, read_overhead, &prepared.selected, limits)?;
    // What was said before covers the passes too.
    let peak = prepared.plan.memory.peak.max(plan.memory.peak);
    prepared.plan = plan;
    prepared.plan.memory.peak = peak;
    Ok(())
}

/// What is known of the whole volume before a run.
pub(crate) enum Known {
    /// The ops, with all that they need to know.
    Ops(Vec<OpSpec>),
    /// Not all that they need.
    Nothing,
    /// What stands at the output is another job's.
    Another,
}

/// What of `wanted`, ops that may need to know of the whole volume, the job tells that stands at the
/// `output`. Whether its input is still the same is asked when the run begins.
pub(crate) fn known(wanted: &[OpSpec], output: &Path, force: bool) -> Result<Known> {
    if wanted.iter().all(|op| !op.needs_pass()) {
        return Ok(Known::Ops(wanted.to_vec()));
    }
    let job = match (force, output_state(output)?) {
        (true, _) | (_, OutputState::Absent) => return Ok(Known::Nothing),
        (_, OutputState::Foreign) => None,
        (_, OutputState::Partial) => journals(output)?.into_iter().next().map(|kept| kept.head.job),
        (_, OutputState::Complete { attributes }) => {
            attributes.as_ref().and_then(Job::from_attributes)
        }
    };
    let ops = job.and_then(|job| parse_ops(job.ops()).ok());
    Ok(match ops.filter(|ops| completes(ops, wanted)) {
        Some(ops) => Known::Ops(ops),
        None => Known::Another,
    })
}

/// Whether `ops` are `wanted` with what was found for them.
fn completes(ops: &[OpSpec], wanted: &[OpSpec]) -> bool {
    let alike = ops.len() == wanted.len() && ops.iter().zip(wanted).all(|(a, b)| a.agrees(b));
    alike && ops.iter().all(|op| !op.needs_pass())
}

fn passes(prepared: &Prepared, limits: Limits, manner: Manner<'_>) -> Result<Vec<OpSpec>> {
    let options = PassOptions {
        workers: limits.workers,
        memory: limits.memory,
        // Then a pass holds no more than the plan says.
        chunk: Some(prepared.plan.grid.chunk_shape()),
        watch: &|voxels, pass| {
            let display = Display::new("looking through", voxels, manner.quiet);
            let progress = |p| display.update(p);
            let report = pass(Control { cancel: manner.cancel, progress: &progress });
            display.end();
            report
        },
    };
    let ops = &prepared.config.ops;
    let known = resolve(ops, &*prepared.source, &options).map_err(|e| match e.kind() {
        ErrorKind::OverMemory => e.context("--memory"),
        _ => e,
    })?;
    for (op, _) in known.iter().zip(ops).filter(|(a, b)| a != b && !manner.quiet) {
        print(&format!("Found in the whole volume: {op}\n"))?;
    }
    Ok(known)
}
