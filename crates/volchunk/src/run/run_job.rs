//! Carrying out a plan.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    budget::ByteBudget,
    empty::{AtHand, Empty, Found},
    executor::{Control, Progress, catch, for_each_chunk},
    footprint::visits,
    halo_cache::HaloCache,
    journal::Journal,
    keeper::{Keeper, Standing},
    look::Reads,
    mask::{Mask, over},
    plan::Plan,
    reader::{ChunkReader, caches},
    todo::Todo,
};
use crate::{Buffer, Error, ErrorKind, Pipeline, Region, Result, Scratch, Sink, Source, os};

/// How a run is watched, and what it does about interruptions and failures.
#[derive(Clone, Default)]
pub struct RunOptions<'a> {
    /// How it is watched and stopped.
    pub control: Control<'a>,
    /// Receipts of an earlier run of the same job, whose chunks are not computed again, and the
    /// place for new ones. The sink must then hold what they say: one that was re-opened.
    pub journal: Option<&'a Journal>,
    /// The chunks, by number, that this run is responsible for. The output is then not marked
    /// complete. None: all of them, and then it is.
    pub part: Option<Range<u64>>,
    /// Whether to read back what was committed. In any case its existence and size are looked at.
    pub check: bool,
    /// How often a chunk that met an I/O error is tried again, after a while that doubles from
    /// 0.2 s up to 30 s.
    pub retries: u32,
    /// Whether the other chunks are computed although one failed.
    pub keep_going: bool,
    /// Where the result counts; the plan must have been made for it.
    pub mask: Option<&'a Mask<'a>>,
    /// One voxel of the pipeline's one source, never NaN: a chunk that reads nothing but these bits
    /// gets the ops' result on that constant, without the ops being run on it, wherever that is
    /// exact. The plan must have been made for it.
    pub skip_empty: Option<&'a Buffer>,
    /// Called when every chunk of the run, or of its part, is written; an error fails the run, and the
    /// output is not marked complete.
    pub last: Option<&'a (dyn Fn() -> Result<()> + Sync)>,
}

impl fmt::Debug for RunOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("control", &self.control)
            .field("journal", &self.journal)
            .field("part", &self.part)
            .field("check", &self.check)
            .field("retries", &self.retries)
            .field("keep_going", &self.keep_going)
            .finish_non_exhaustive()
    }
}

/// What a run did.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// Chunks written.
    pub chunks: u64,
    /// Of the chunks written, those that were not computed because they lie outside of the mask.
    pub outside: u64,
    /// Of the chunks written, those that were not computed because they are empty.
    pub empty: u64,
    /// Output voxels written.
    pub voxels: u64,
    /// Chunks that an earlier run had committed, and that were left as they were.
    pub kept: u64,
    /// Of the chunks computed, those that an earlier run had committed, but whose input has changed
    /// since.
    pub input_changed: u64,
    /// Of the chunks computed, those that an earlier run had committed, but of which something was
    /// missing or altered.
    pub damaged: u64,
    /// From the first chunk's start to the output's completion.
    pub elapsed: Duration,
    /// Bytes of input that were decoded, a storage chunk as far as it had to be; borrowed memory
    /// does not count.
    pub decoded_bytes: u64,
    /// The process's highest resident memory so far, in bytes.
    pub peak_memory: Option<u64>,
}

/// Computes every chunk of `plan` and writes it to `sink`, then marks the output complete.
///
/// Chunks run on `plan.workers` threads, which end with the call. `sink` must have been made for
/// `plan.output`.
///
/// # Errors
/// The first chunk that failed, by index and region; [`ErrorKind::Cancelled`]. The output is then
/// not marked complete.
pub fn run(
    plan: &Plan,
    pipeline: &Pipeline,
    sources: &[&dyn Source],
    sink: &dyn Sink,
    control: Control<'_>,
) -> Result<Report> {
    run_with(plan, pipeline, sources, sink, &RunOptions { control, ..RunOptions::default() })
}

/// As [`run`], with a journal to go on with after an interruption, for a part of the chunks, or with
/// patience for failures.
///
/// A chunk is committed in this order: a receipt that stands for it no more is void, [`Sink::write`], then
/// its receipt. One that is interrupted before its receipt is computed again, and gives the same voxels.
/// With the last chunk comes [`Sink::flush`]; if that fails, all receipts are void.
///
/// # Errors
/// As [`run`]; where the run keeps going, every chunk that failed; a `part` outside of the grid or
/// of the journal; an input that changed while it was read, as far as a journal or the halo cache tells.
pub fn run_with(
    plan: &Plan,
    pipeline: &Pipeline,
    sources: &[&dyn Source],
    sink: &dyn Sink,
    options: &RunOptions<'_>,
) -> Result<Report> {
    check(plan, pipeline, sources, sink)?;
    if let Some(mask) = options.mask {
        mask.check(pipeline.output())?;
    }
    let grid = &plan.grid;
    let range = options.part.clone().unwrap_or(0..grid.len());
    check_part(&range, grid.len(), options.journal)?;
    let started = Instant::now();
    let todo = Todo::new(range, grid.len(), options.journal);
    let visits = visits(pipeline, grid);
    // Holds the cap even for a plan whose number of workers was raised by hand.
    let memory = plan.memory;
    let job = Job {
        plan,
        pipeline,
        sources,
        sink,
        options,
        caches: caches(plan, &todo, &visits, sources),
        todo: &todo,
        keeper: options.journal.map(|journal| {
            let reads = Reads::new(&visits, sources, options.mask);
            Keeper::new(journal, reads, sink, (options.check, pipeline.columns().is_some()))
        }),
        empty: options
            .skip_empty
            .map(|value| Empty::new(pipeline, sources, grid, &visits, value))
            .transpose()?,
        budget: ByteBudget::new(memory.cap.saturating_sub(memory.base + memory.halo_cache)),
        counts: Counts::default(),
        failures: Mutex::default(),
        voxels: match &options.part {
            None => grid.domain().voxels(),
            Some(part) => part.clone().map(|n| grid.core(&grid.index_of(n)).voxels()).sum(),
        },
    };
    if let Some(journal) = options.journal {
        journal.begin()?;
    }
    let ended = for_each_chunk(
        todo.range().end - todo.range().start,
        plan.workers,
        options.control.cancel,
        |_| Ok(job.scratch()),
        |scratch, turn| job.chunk(scratch, todo.at(turn)),
    );
    job.flushed(ended.and_then(|_| job.failed()))?;
    if let Some(keeper) = &job.keeper {
        let means = (plan.workers, options.control.cancel);
        keeper.settled(grid, todo.range().clone(), means)?;
    }
    options.last.map_or(Ok(()), |last| last())?;
    debug_assert!(job.caches.iter().flatten().all(HaloCache::is_empty));
    if options.part.is_none() {
        sink.finish()?;
    }
    Ok(job.report(started))
}

/// A run under way.
struct Job<'a> {
    plan: &'a Plan,
    pipeline: &'a Pipeline,
    sources: &'a [&'a dyn Source],
    sink: &'a dyn Sink,
    options: &'a RunOptions<'a>,
    caches: Vec<Option<HaloCache<'a>>>,
    todo: &'a Todo,
    keeper: Option<Keeper<'a>>,
    empty: Option<Empty<'a>>,
    budget: ByteBudget,
    counts: Counts,
    /// Chunks that failed, where the others go on.
    failures: Mutex<Failures>,
    /// Voxels of all chunks that the run is responsible for.
    voxels: u64,
}

/// How many chunks failed, and the first of them by number.
#[derive(Default)]
struct Failures {
    count: u64,
    first: BTreeMap<u64, Error>,
}

impl Failures {
    /// That are told; all errors of a million chunks would be a load of their own.
    const SHOWN: usize = 20;

    fn add(&mut self, number: u64, error: Error) {
        self.count += 1;
        self.first.insert(number, error);
        if self.first.len() > Self::SHOWN {
            self.first.pop_last();
        }
    }
}

/// What was done so far.
#[derive(Default)]
struct Counts {
    /// Chunks that are committed, by this run or before it.
    chunks: AtomicU64,
    voxels: AtomicU64,
    /// Of these, those that were before.
    kept: AtomicU64,
    kept_voxels: AtomicU64,
    input_changed: AtomicU64,
    damaged: AtomicU64,
    outside: AtomicU64,
    empty: AtomicU64,
    /// Decoded without a cache.
    plain: AtomicU64,
}

/// Adds to a counter; its new value.
fn add(counter: &AtomicU64, n: u64) -> u64 {
    counter.fetch_add(n, Ordering::Relaxed) + n
}

impl Job<'_> {
    fn scratch(&self) -> Scratch {
        Scratch::with_limit(self.plan.memory.per_worker)
    }

    /// Sees to it that chunk `number` is committed, or known to have failed.
    fn chunk(&self, scratch: &mut Scratch, number: u64) -> Result<()> {
        let grid = &self.plan.grid;
        let index = grid.index_of(number);
        let core = grid.core(&index);
        let place = core.relative_to(grid.domain().start());
        let cancel = self.options.control.cancel;
        let _permit = self.budget.acquire(self.plan.memory.per_worker, cancel)?;
        let at = ChunkAt { number, index: &index, core: &core, place: &place };
        let result = self.patiently(scratch, |scratch| self.attempt(scratch, &at));
        // Whatever became of it, nothing is kept for it any more.
        if self.todo.contains(number) {
            self.caches.iter().flatten().for_each(|cache| cache.done(number));
        }
        if let Err(e) = result {
            let error = name_chunk(e, &index, &core);
            if error.is_cancelled() {
                return Err(error);
            }
            if let Some(keeper) = &self.keeper {
                keeper.fail(number);
            }
            if !self.options.keep_going {
                return Err(error);
            }
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.add(number, error);
            return Ok(());
        }
        let range = self.todo.range();
        (self.options.control.progress)(Progress {
            chunks_done: add(&self.counts.chunks, 1),
            chunks: range.end - range.start,
            voxels_done: add(&self.counts.voxels, core.voxels()),
            voxels: self.voxels,
            voxels_kept: self.counts.kept_voxels.load(Ordering::Relaxed),
        });
        Ok(())
    }

    /// Calls `work` again after an I/O error, as often as the run has patience for.
    fn patiently(
        &self,
        scratch: &mut Scratch,
        work: impl Fn(&mut Scratch) -> Result<()>,
    ) -> Result<()> {
        const FIRST: Duration = Duration::from_millis(200);
        const LONGEST: Duration = Duration::from_secs(30);
        let mut pause = FIRST;
        let mut left = self.options.retries;
        loop {
            let error = match work(scratch) {
                Ok(()) => return Ok(()),
                Err(e) => e,
            };
            // Buffers that were on the way are lost to it.
            *scratch = self.scratch();
            if left == 0 || error.kind() != ErrorKind::Io {
                return Err(error);
            }
            left -= 1;
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if self.options.control.cancel.load(Ordering::Relaxed) {
                    return Err(error);
                }
                std::thread::sleep(pause.min(Duration::from_millis(50)));
            }
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Commits a chunk, unless it is and stands.
    fn attempt(&self, scratch: &mut Scratch, at: &ChunkAt<'_>) -> Result<()> {
        let standing = match &self.keeper {
            Some(keeper) => keeper.standing(at.number, at.index, at.place, scratch)?,
            None => Standing::Missing,
        };
        if standing == Standing::Stands {
            add(&self.counts.kept, 1);
            add(&self.counts.kept_voxels, at.core.voxels());
            return Ok(());
        }
        if let Some(keeper) = &self.keeper {
            keeper.void(at.number)?;
        }
        catch(|| self.compute(scratch, at))
            .unwrap_or_else(|text| Err(Error::data(format!("internal error: {text}"))))?;
        match standing {
            Standing::InputChanged => add(&self.counts.input_changed, 1),
            Standing::Damaged => add(&self.counts.damaged, 1),
            Standing::Missing | Standing::Stands => 0,
        };
        Ok(())
    }

    fn compute(&self, scratch: &mut Scratch, at: &ChunkAt<'_>) -> Result<()> {
        let stamp = self.keeper.as_ref().map(|keeper| keeper.stamp(at.index)).transpose()?;
        // The caches count on those alone that were to do from the start.
        let caches = if self.todo.contains(at.number) { &self.caches[..] } else { &[] };
        let (sources, plain) = (self.sources, &self.counts.plain);
        let reader = ChunkReader { number: at.number, sources, caches, plain };
        let (buffer, skipped) = self.result(&reader, scratch, at)?;
        self.sink.write(at.place, buffer.view(), scratch)?;
        if let (Some(keeper), Some(stamp)) = (&self.keeper, stamp) {
            keeper.commit(at.number, at.place, stamp, &buffer)?;
        }
        scratch.give(buffer);
        if let Some(counter) = skipped {
            add(counter, 1);
        }
        Ok(())
    }

    /// The voxels of a chunk; where they were known without computing, what counts such chunks.
    fn result(
        &self,
        reader: &ChunkReader<'_>,
        scratch: &mut Scratch,
        at: &ChunkAt<'_>,
    ) -> Result<(Buffer, Option<&AtomicU64>)> {
        let columns = self.pipeline.columns();
        let (buffer, computed) = over(self.options.mask, at.core, columns, scratch, |scratch| {
            let found = match &self.empty {
                Some(empty) => empty.look(reader, at.index, at.core, scratch)?,
                None => Found::Something(Vec::new()),
            };
            Ok(match found {
                Found::Empty(buffer) => (buffer, Some(&self.counts.empty)),
                Found::Something(kept) => {
                    let at_hand = AtHand { kept: &kept, reader };
                    let buffer = self.pipeline.compute_from(&at_hand, at.core, scratch)?;
                    kept.into_iter().for_each(|k| k.give_back(scratch));
                    (buffer, None)
                }
            })
        })?;
        Ok((buffer, computed.unwrap_or(Some(&self.counts.outside))))
    }

    /// Flushes after a run that has `ended`, unless it was stopped: also one that failed may have written
    /// what is lost.
    fn flushed(&self, ended: Result<()>) -> Result<()> {
        if ended.as_ref().is_err_and(Error::is_cancelled) {
            return ended;
        }
        let flushed = match &self.keeper {
            Some(keeper) => keeper.flush(),
            None => self.sink.flush(),
        };
        match (ended, flushed) {
            (Err(e), Err(f)) => Err(Error::new(f.kind(), format!("{e}\n{f}")).caused_by(f)),
            (ended, flushed) => ended.and(flushed),
        }
    }

    /// The error that tells all chunks that failed, if any did.
    fn failed(&self) -> Result<()> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = failures.first.values().next() else { return Ok(()) };
        let range = self.todo.range();
        let mut text = format!("{} of {} chunks failed:", failures.count, range.end - range.start);
        for error in failures.first.values() {
            text += &format!("\n  {error}");
        }
        let more = failures.count - failures.first.len() as u64;
        if more > 0 {
            text += &format!("\n  and {more} more");
        }
        Err(Error::new(first.kind(), text))
    }

    fn report(&self, started: Instant) -> Report {
        let counts = &self.counts;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let cached: u64 = self.caches.iter().flatten().map(HaloCache::decoded).sum();
        Report {
            chunks: get(&counts.chunks) - get(&counts.kept),
            voxels: get(&counts.voxels) - get(&counts.kept_voxels),
            kept: get(&counts.kept),
            input_changed: get(&counts.input_changed),
            damaged: get(&counts.damaged),
            outside: get(&counts.outside),
            empty: get(&counts.empty),
            elapsed: started.elapsed(),
            decoded_bytes: cached + get(&counts.plain),
            peak_memory: os::peak_resident_memory(),
        }
    }
}

/// One chunk: its number, its index in the grid, its core in the result, its place in the output.
struct ChunkAt<'a> {
    number: u64,
    index: &'a [u64],
    core: &'a Region,
    place: &'a Region,
}

/// The failing chunk by index and region; a cancellation is nobody's fault.
fn name_chunk(error: Error, index: &[u64], core: &Region) -> Error {
    if error.is_cancelled() {
        return error;
    }
    let index: Vec<String> = index.iter().map(u64::to_string).collect();
    error.context(format_args!("chunk ({}) at {core}", index.join(", ")))
}

fn check(plan: &Plan, pipeline: &Pipeline, sources: &[&dyn Source], sink: &dyn Sink) -> Result<()> {
    let mismatch = |what: String| Err(Error::new(ErrorKind::InvalidArgument, what));
    if sources.len() != pipeline.sources().len() {
        return mismatch(format!(
            "the pipeline reads {} sources, {} were given",
            pipeline.sources().len(),
            sources.len()
        ));
    }
    for (i, (have, want)) in sources.iter().map(|s| s.info()).zip(pipeline.sources()).enumerate() {
        if have.shape != want.shape || have.dtype != want.dtype {
            return mismatch(format!(
                "source {i} is {:?} {}, the pipeline was made for {:?} {}",
                have.shape, have.dtype, want.shape, want.dtype
            ));
        }
    }
    let (have, want) = (sink.info(), &plan.output);
    if have.shape != want.shape || have.dtype != want.dtype {
        return mismatch(format!(
            "the sink is {:?} {}, the plan writes {:?} {}",
            have.shape, have.dtype, want.shape, want.dtype
        ));
    }
    Ok(())
}

/// Refuses a part that is not one of the grid, or not the journal's.
fn check_part(range: &Range<u64>, count: u64, journal: Option<&Journal>) -> Result<()> {
    if range.start > range.end || range.end > count {
        return Err(Error::argument(format!(
            "the part is chunks {range:?} of a grid of {count}; legal: a range within 0..{count}"
        )));
    }
    match journal.map(Journal::chunks) {
        Some(own) if own != *range => Err(Error::argument(format!(
            "the journal is that of chunks {own:?}, the run of chunks {range:?}; legal: the same"
        ))),
        _ => Ok(()),
    }
}
