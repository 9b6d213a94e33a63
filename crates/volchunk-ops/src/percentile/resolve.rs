//! The passes that find what ops need to know of the whole volume.

use volchunk::{
    Control, Error, ErrorKind, Pipeline, PlanRequest, Report, Result, Source, StorageRequest, plan,
    run,
};

use super::{
    count::{Counter, Search, table_bytes},
    exact::{between, places},
};
use crate::{OpSpec, bind_chain};

/// What a pass may take, and how it is watched.
#[derive(Clone, Copy)]
pub struct PassOptions<'a> {
    /// Threads; None: as many as there are cores.
    pub workers: Option<usize>,
    /// Bytes; None: half of what is free.
    pub memory: Option<u64>,
    /// Carries out each pass: is given the voxels that it goes through and the pass itself, which
    /// it calls with the control that it wishes.
    pub watch: &'a dyn Fn(u64, &dyn Fn(Control<'_>) -> Result<Report>) -> Result<Report>,
}

impl Default for PassOptions<'_> {
    /// Unwatched.
    fn default() -> Self {
        Self { workers: None, memory: None, watch: &|_, pass| pass(Control::default()) }
    }
}

/// Percentiles of all voxels of a pipeline's result but NaN: exact order statistics, interpolated
/// linearly as NumPy does it, in float64.
///
/// The result is computed chunk by chunk, once for voxels of up to 16 bits, twice for 32, four times
/// for 64, and counted; nothing of it is kept. `percents` lie from 0 to 100.
///
/// ```
/// use volchunk::{ArraySource, Buffer, Pipeline, Source};
/// use volchunk_ops::{PassOptions, percentiles};
/// let volume = Buffer::from_slice(&[5], &[3.0f32, 1.0, f32::NAN, 2.0, 8.0]);
/// let source = ArraySource::new(volume.view());
/// let pipeline = Pipeline::new(vec![source.info().clone()]);
/// let found = percentiles(&pipeline, &source, &[0.0, 50.0, 100.0], &PassOptions::default())?;
/// assert_eq!(found, [1.0, 2.5, 8.0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// Voxels of which every one is NaN; a percentile that is infinite; a cap on memory that is too
/// low; what the source or an op reports.
pub fn percentiles(
    pipeline: &Pipeline,
    source: &dyn Source,
    percents: &[f64],
    options: &PassOptions<'_>,
) -> Result<Vec<f64>> {
    if let Some(percent) = percents.iter().find(|p| !(0.0..=100.0).contains(*p)) {
        return Err(Error::argument(format!("percentile {percent}; legal: 0 to 100")));
    }
    let workers = options
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let plan = plan(&PlanRequest {
        pipeline,
        roi: None,
        chunk: None,
        storage: StorageRequest::Flat,
        workers: options.workers,
        memory: options.memory,
        held: table_bytes(workers, 2 * percents.len()),
        read_overhead: source.read_overhead(),
        mask: None,
        skip_empty: false,
        write_overhead: &|_| Ok(0),
    })?;
    let ranks = |n: u64| {
        let pairs = percents.iter().map(|&percent| places(percent, n.max(1)));
        pairs.flat_map(|(first, second, _)| [first, second]).collect()
    };
    let mut search = Search::new(plan.output.dtype);
    let mut voxels = 0;
    for _ in 0..search.passes() {
        let counter = Counter::new(plan.output.clone(), &search);
        (options.watch)(plan.output.voxels(), &|control| {
            run(&plan, pipeline, &[source], &counter, control)
        })?;
        let table = counter.table();
        voxels = table.numbers();
        search.learn(&table, ranks);
    }
    if voxels == 0 {
        return Err(Error::data("every voxel is NaN: there are no percentiles to find"));
    }
    let values = search.values();
    let found = percents.iter().zip(values.chunks_exact(2)).map(|(&percent, pair)| {
        let value = between(pair[0], pair[1], places(percent, voxels).2);
        match value.is_finite() {
            true => Ok(value),
            false => Err(Error::data(format!(
                "percentile {percent} of the volume is {value}; legal: a finite number"
            ))),
        }
    });
    found.collect()
}

/// The same ops, those of them that need percentiles of the whole volume completed by them, found in
/// passes over the result of the ops before them.
///
/// An op so completed says so in its text, and binds and computes without any pass: the text can be
/// kept.
///
/// ```
/// use volchunk::{ArraySource, Buffer};
/// use volchunk_ops::{OpSpec, PassOptions, resolve};
/// let volume = Buffer::from_slice(&[4], &[0u8, 10, 20, 200]);
/// let ops = [OpSpec::parse("percentile:low=0:high=50")?];
/// let ops = resolve(&ops, &ArraySource::new(volume.view()), &PassOptions::default())?;
/// assert_eq!(ops[0].to_string(), "percentile:low=0:high=50:min=0:max=1:found=0,15");
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// As [`percentiles`] and [`bind_chain`].
pub fn resolve(
    specs: &[OpSpec],
    source: &dyn Source,
    options: &PassOptions<'_>,
) -> Result<Vec<OpSpec>> {
    let mut known: Vec<OpSpec> = Vec::with_capacity(specs.len());
    for spec in specs {
        let percents = spec.missing();
        if percents.is_empty() {
            known.push(spec.clone());
            continue;
        }
        let before = bind_chain(&known, source.info().clone())?;
        let found =
            percentiles(&before, source, &percents, options).map_err(|e| match e.kind() {
                ErrorKind::Cancelled => e,
                _ => e.context(format!("op '{spec}': finding its percentiles")),
            })?;
        known.push(spec.with_found(&found)?);
    }
    Ok(known)
}
