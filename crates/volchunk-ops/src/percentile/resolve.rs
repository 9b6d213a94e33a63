//! The passes that find what ops need to know of the whole volume.

use volchunk::{
    Control, Coords, Error, ErrorKind, Pipeline, Plan, PlanRequest, Report, Result, Source,
    StorageRequest, VolumeInfo, plan, run,
};

use super::{
    count::{Counter, Search, table_bytes},
    exact::{between, places},
};
use crate::{OpSpec, bind_chain, blobs::largest_response};

/// A pass over a volume, to be carried out with a control.
pub type Pass<'a> = dyn Fn(Control<'_>) -> Result<Report> + 'a;

/// What a pass may take, and how it is watched.
#[derive(Clone, Copy)]
pub struct PassOptions<'a> {
    /// Threads; None: as many as there are cores.
    pub workers: Option<usize>,
    /// Bytes; None: half of what is free.
    pub memory: Option<u64>,
    /// The chunk to go by, one length per axis; None: chosen by the plan, as it is for a volume of
    /// another number of axes.
    pub chunk: Option<&'a [u64]>,
    /// Carries out each pass: is given the voxels that it goes through and the pass itself, which
    /// it calls with the control that it wishes.
    pub watch: &'a dyn Fn(u64, &Pass<'_>) -> Result<Report>,
}

impl Default for PassOptions<'_> {
    /// Unwatched.
    fn default() -> Self {
        Self {
            workers: None,
            memory: None,
            chunk: None,
            watch: &|_, pass| pass(Control::default()),
        }
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
    let workers = options.workers.unwrap_or_else(cores);
    let plan = pass_plan(pipeline, source, tables(pipeline, percents, workers), options)?;
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

/// The plan of a pass over all of a pipeline's result, beside which `held` bytes are held.
pub(crate) fn pass_plan(
    pipeline: &Pipeline,
    source: &dyn Source,
    held: u64,
    options: &PassOptions<'_>,
) -> Result<Plan> {
    plan(&PlanRequest {
        pipeline,
        roi: None,
        chunk: options
            .chunk
            .filter(|chunk| chunk.len() == pipeline.output().ndim())
            .map(Coords::from_slice),
        storage: StorageRequest::Flat,
        workers: options.workers,
        memory: options.memory,
        held,
        read_overhead: source.read_overhead(),
        mask: None,
        skip_empty: false,
        write_overhead: &|_| Ok(0),
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of the tables that finding `percents` of a pipeline's result fills.
fn tables(pipeline: &Pipeline, percents: &[f64], workers: usize) -> u64 {
    // Only wider voxels have several beginnings to go on with.
    let narrow = pipeline.output().dtype.size() <= 2;
    table_bytes(workers, if narrow { 1 } else { 2 * percents.len() })
}

/// Bytes that [`resolve`] holds at most beyond what a run of the ops by the same chunk does; 0 where
/// it has nothing to find.
///
/// # Errors
/// As [`bind_chain`].
pub fn pass_bytes(specs: &[OpSpec], input: &VolumeInfo, workers: Option<usize>) -> Result<u64> {
    let workers = workers.unwrap_or_else(cores);
    let mut most = 0;
    for (k, spec) in specs.iter().enumerate() {
        let percents = spec.missing();
        if !percents.is_empty() {
            let before = bind_chain(&specs[..k], input.clone())?;
            most = most.max(tables(&before, &percents, workers));
        }
    }
    Ok(most)
}

/// The same ops, those of them that need percentiles of the whole volume, or the largest response in
/// it, completed by them, found in passes over the result of the ops before them.
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
        if !spec.needs_pass() {
            known.push(spec.clone());
            continue;
        }
        let before = bind_chain(&known, source.info().clone())?;
        let found = match spec.detector(before.output())? {
            // Nothing is above the threshold where there is no response.
            Some(detector) => largest_response(before, detector.maximum, source, options)
                .map(|largest| vec![largest.unwrap_or(0.0)]),
            None => percentiles(&before, source, &spec.missing(), options),
        };
        let found = found.map_err(|e| match e.kind() {
            ErrorKind::Cancelled => e,
            _ => e.context(format!("op '{spec}': finding what it needs of the whole volume")),
        })?;
        known.push(spec.with_found(&found)?);
    }
    Ok(known)
}
