//! Tables in memory, on several threads.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Mutex, PoisonError},
    thread,
};

use super::{
    LAYER_ROWS, Rows, Rule, check_row, check_rule, layer::Layer, resolve::Resolver, with_cell_axes,
};
use crate::{Error, Result};

/// Fewest rows that a thread is started for.
const WORKER_ROWS: usize = 1024;

/// A layer is so many reaches thick, where it has enough rows: few rows see the next, and what is
/// looked at together stays in the cache.
const LAYER_REACHES: f64 = 16.0;

/// Rows of a bucket, on average.
const BUCKET_ROWS: usize = 128;

/// Suppresses points of a table in memory, on at most `workers` threads, the caller's among them.
///
/// `rows` is row-major, in any order. The survivors do not depend on that order, nor on the number of
/// workers. Time is linear in the rows where their density is bounded: each is compared with those
/// within the reach.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the row, if its coordinates are not
/// finite or the rule refuses it; if `rows` ends within a row, or there are 2³² or more.
pub fn suppress_points<'a>(
    rows: &'a [f64],
    rule: &dyn Rule,
    workers: usize,
) -> Result<Survivors<'a>> {
    let table = Table::new(rows, rule, workers)?;
    let parts = with_cell_axes!(rule, D => survivors::<D>(rule, &table));
    Ok(Survivors { rows: table.rows, parts })
}

/// The rows that survive, in raster order: by all columns, from the first on.
pub struct Survivors<'a> {
    rows: Rows<'a>,
    /// Numbers of rows, in their order.
    parts: Vec<Vec<u32>>,
}

impl std::fmt::Debug for Survivors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survivors").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Survivors<'_> {
    /// How many rows survive.
    pub fn len(&self) -> usize {
        self.parts.iter().map(Vec::len).sum()
    }

    /// Whether none does; only of a table without rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their numbers in the table that was given, from 0.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts.iter().flatten().copied()
    }

    /// The rows, one after the other.
    pub fn to_vec(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.len() * self.rows.columns];
        self.copy_to(&mut out, self.rows.columns, 1);
        out
    }

    /// Copies the first `columns` of each row to `out`, on at most `workers` threads.
    ///
    /// # Panics
    /// If `out` does not hold [`len`](Self::len) times `columns` numbers, or rows have fewer columns.
    pub fn copy_to(&self, out: &mut [f64], columns: usize, workers: usize) {
        assert_eq!(out.len(), self.len() * columns, "the output's length");
        assert!(columns <= self.rows.columns, "{columns} columns of {}", self.rows.columns);
        let mut rest = out;
        let pieces: Vec<(&[u32], &mut [f64])> = (self.parts.iter())
            .map(|part| {
                let (out, after) = std::mem::take(&mut rest).split_at_mut(part.len() * columns);
                rest = after;
                (&part[..], out)
            })
            .collect();
        on_threads(workers, pieces, |(part, out)| {
            for (&id, to) in part.iter().zip(out.chunks_exact_mut(columns.max(1))) {
                to.copy_from_slice(&self.rows.row(id)[..columns]);
            }
        });
    }
}

/// A stretch of the table's rows, sorted into buckets along axis 0.
struct Sorted {
    /// The rows of a bucket begin where those of the one before end.
    starts: Vec<u32>,
    ids: Vec<u32>,
    /// Lowest coordinate of each bucket.
    lowest: Vec<f64>,
}

/// Rows in memory, checked and divided into layers.
pub(super) struct Table<'a> {
    rows: Rows<'a>,
    pub(super) workers: usize,
    /// The stretches that the workers sorted.
    sorted: Vec<Sorted>,
    /// The layers, as ranges of buckets.
    ranges: Vec<Range<usize>>,
}

impl<'a> Table<'a> {
    /// Checks the rows and divides them, for at most `workers` threads.
    pub(super) fn new(rows: &'a [f64], rule: &dyn Rule, workers: usize) -> Result<Self> {
        check_rule(rule)?;
        let columns = rule.columns();
        let count = count_rows(rows, columns)?;
        let rows = Rows { data: Cow::Borrowed(rows), columns };
        let workers = workers.clamp(1, (count / WORKER_ROWS).max(1));
        let stretches: Vec<Range<usize>> =
            (0..workers).map(|w| w * count / workers..(w + 1) * count / workers).collect();
        let extents = on_threads(workers, stretches.clone(), |stretch| {
            let mut extent = (f64::INFINITY, f64::NEG_INFINITY);
            for number in stretch {
                let row = rows.row(number as u32);
                check_row(rule, number as u64, row)?;
                extent = (extent.0.min(row[0]), extent.1.max(row[0]));
            }
            Ok(extent)
        });
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for extent in extents {
            let (l, h) = extent?;
            (low, high) = (low.min(l), high.max(h));
        }
        let buckets = (count / BUCKET_ROWS).max(1);
        // Halves, since the extent of finite coordinates may be infinite.
        let per_unit = buckets as f64 / (high / 2.0 - low / 2.0);
        let per_unit = if per_unit.is_finite() { per_unit } else { 0.0 };
        let bucket_of = |at: f64| (((at / 2.0 - low / 2.0) * per_unit) as usize).min(buckets - 1);
        let sorted =
            on_threads(workers, stretches, |stretch| sort(&rows, stretch, buckets, &bucket_of));
        let mut table = Self { rows, workers, sorted, ranges: Vec::new() };
        table.cut(LAYER_REACHES * rule.reach()[0], buckets);
        Ok(table)
    }

    /// Makes layers of buckets, thicker than `thickness` each.
    fn cut(&mut self, thickness: f64, buckets: usize) {
        let (mut begin, mut first, mut held) = (0, f64::INFINITY, 0);
        for bucket in 0..buckets {
            let lowest = self.sorted.iter().map(|s| s.lowest[bucket]);
            let lowest = lowest.fold(f64::INFINITY, f64::min);
            if held >= LAYER_ROWS && lowest - first > thickness && lowest.is_finite() {
                self.ranges.push(begin..bucket);
                (begin, first, held) = (bucket, f64::INFINITY, 0);
            }
            first = first.min(lowest);
            held += self.held(&(bucket..bucket + 1));
        }
        if held > 0 {
            self.ranges.push(begin..buckets);
        }
    }

    /// How many layers there are.
    pub(super) fn layers(&self) -> usize {
        self.ranges.len()
    }

    /// A layer by its number.
    pub(super) fn layer<const D: usize>(&self, rule: &dyn Rule, number: usize) -> Layer<'a, D> {
        let range = &self.ranges[number];
        let parts = self.sorted.iter();
        let ids: Vec<u32> = parts
            .flat_map(|s| &s.ids[s.starts[range.start] as usize..s.starts[range.end] as usize])
            .copied()
            .collect();
        Layer::new(rule, self.rows.clone(), &ids)
    }

    /// How many rows a range of buckets holds.
    fn held(&self, buckets: &Range<usize>) -> usize {
        let parts = self.sorted.iter();
        parts.map(|s| (s.starts[buckets.end] - s.starts[buckets.start]) as usize).sum()
    }
}

/// How many rows there are: whole ones, and not more than have numbers.
pub(super) fn count_rows(rows: &[f64], columns: usize) -> Result<usize> {
    let count = rows.len() / columns;
    if !rows.len().is_multiple_of(columns) || count > u32::MAX as usize {
        return Err(Error::argument(format!(
            "{} numbers; legal: a multiple of {columns} columns, fewer than 2³² rows",
            rows.len()
        )));
    }
    Ok(count)
}

/// A counting sort by bucket.
fn sort(
    rows: &Rows<'_>,
    stretch: Range<usize>,
    buckets: usize,
    bucket_of: &impl Fn(f64) -> usize,
) -> Sorted {
    let mut starts = vec![0u32; buckets + 1];
    let mut lowest = vec![f64::INFINITY; buckets];
    let places: Vec<u32> = (stretch.clone())
        .map(|number| {
            let at = rows.row(number as u32)[0];
            let bucket = bucket_of(at);
            starts[bucket + 1] += 1;
            lowest[bucket] = lowest[bucket].min(at);
            bucket as u32
        })
        .collect();
    for bucket in 0..buckets {
        starts[bucket + 1] += starts[bucket];
    }
    let mut next = starts.clone();
    let mut ids = vec![0; stretch.len()];
    for (number, &bucket) in stretch.zip(&places) {
        ids[next[bucket as usize] as usize] = number as u32;
        next[bucket as usize] += 1;
    }
    Sorted { starts, ids, lowest }
}

/// The rows that survive, layer by layer.
fn survivors<const D: usize>(rule: &dyn Rule, table: &Table<'_>) -> Vec<Vec<u32>> {
    let (count, workers) = (table.layers(), table.workers);
    // Each worker has a run of layers to itself. What hangs on rows in the next run stays open there.
    let total: usize = table.ranges.iter().map(|l| table.held(l)).sum();
    let mut runs: Vec<Range<usize>> = Vec::new();
    let (mut begin, mut held) = (0, 0);
    for (i, layer) in table.ranges.iter().enumerate() {
        held += table.held(layer);
        if held * workers >= total * (runs.len() + 1) {
            runs.push(begin..i + 1);
            begin = i + 1;
        }
    }
    let done = on_threads(workers, runs.clone(), |run| {
        let mut layers: Vec<Layer<'_, D>> = run.clone().map(|i| table.layer(rule, i)).collect();
        let inner = usize::from(run.start > 0)..layers.len() - usize::from(run.end < count);
        let mut resolver = Resolver::new(rule);
        resolver.resolve(&mut layers, run.start as u64, inner);
        (layers, resolver)
    });
    let mut resolver = Resolver::new(rule);
    let mut layers = Vec::with_capacity(count);
    for (run, waiting) in done {
        layers.extend(run);
        resolver.join(waiting);
    }
    for run in &runs[..runs.len().saturating_sub(1)] {
        resolver.resolve(&mut layers, 0, run.end - 1..run.end + 1);
    }
    on_threads(workers, layers, |layer| layer.kept())
}

/// What `work` makes of each item, on at most `workers` threads, the caller's among them.
pub(super) fn on_threads<T: Send, R: Send>(
    workers: usize,
    items: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let count = items.len();
    if workers <= 1 || count <= 1 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(count));
    let body = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((i, item)) = next else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
        }
    };
    thread::scope(|scope| {
        for _ in 1..workers.min(count) {
            // A thread that the system refuses is not missed: the caller's works off the queue.
            let _ = thread::Builder::new().spawn_scoped(scope, body);
        }
        body();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|&(i, _)| i);
    done.into_iter().map(|(_, result)| result).collect()
}
