//! Tables in memory, on several threads.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    LAYER_ROWS, Rule, Tolerance, check_row, check_rule,
    clearance::{Clearance, Extent, clearances},
    layer::{Layer, Site, cell_axes},
    order::{Entry, in_raster_order},
    resolve::Resolver,
    rows::Rows,
    threads::on_threads,
    with_cell_axes,
};
use crate::Result;

/// Fewest rows that a thread is started for.
const WORKER_ROWS: usize = 1024;

/// A layer is so many reaches thick, where it has enough rows: few rows see the next, and what is
/// looked at together stays in the cache.
const LAYER_REACHES: f64 = 16.0;

/// Rows of a bucket, on average.
const BUCKET_ROWS: usize = 512;

/// Suppresses points of a table in memory, on at most `workers` threads, the caller's among them.
///
/// `rows` is row-major, in any order. The survivors do not depend on that order, nor on the number of
/// workers. Time is linear in the rows where their density is bounded: each is compared with those
/// within the reach.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument), naming the row, if its coordinates are not
/// finite or the rule refuses it; if `rows` ends within a row, or there are 2³² or more.
pub fn suppress_points<'a, R: Rule + ?Sized>(
    rows: &'a [f64],
    rule: &R,
    workers: usize,
) -> Result<Survivors<'a>> {
    check_rule(rule)?;
    survivors(Rows::of_one(Cow::Borrowed(rows), rule.columns()), rule, workers)
}

/// As [`suppress_points`], of one table for each chunk, with no column for the chunk: rows of one table
/// never suppress each other.
///
/// Of rows that are the same in all columns, that of the first table survives. Most rows of a chunk
/// are out of reach of all others' bounding boxes; those cost no search.
///
/// ```
/// use volchunk::{Tolerance, suppress_tables};
/// // x, value
/// let rule = Tolerance::new(&[1.0], 2)?.with_value(1)?;
/// let kept = suppress_tables(&[&[3.0, 0.5, 9.6, 0.7], &[10.2, 0.8, 11.1, 0.6]], &rule, 1)?;
/// assert_eq!(kept.to_vec(), [3.0, 0.5, 10.2, 0.8, 11.1, 0.6]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// As [`suppress_points`]; the message names the table by its number, and the row within it.
pub fn suppress_tables<'a>(
    tables: &[&'a [f64]],
    rule: &Tolerance,
    workers: usize,
) -> Result<Survivors<'a>> {
    check_rule(rule)?;
    survivors(Rows::of_chunks(tables, rule.columns()), &rule.by_table(), workers)
}

/// The rows that survive, in raster order: by all columns, from the first on.
pub struct Survivors<'a> {
    rows: Arc<Rows<'a>>,
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

    /// Their numbers from 0, counted through all tables that were given.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts.iter().flatten().copied()
    }

    /// The rows, one after the other.
    pub fn to_vec(&self) -> Vec<f64> {
        let mut out = vec![0.0; self.len() * self.rows.columns()];
        self.copy_to(&mut out, self.rows.columns(), 1);
        out
    }

    /// Copies the first `columns` of each row to `out`, on at most `workers` threads.
    ///
    /// # Panics
    /// If `out` does not hold [`len`](Self::len) times `columns` numbers, or rows have fewer columns.
    pub fn copy_to(&self, out: &mut [f64], columns: usize, workers: usize) {
        assert_eq!(out.len(), self.len() * columns, "the output's length");
        assert!(columns <= self.rows.columns(), "{columns} columns of {}", self.rows.columns());
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

/// What one worker found of a stretch of the rows that lies in one bucket along axis 0.
struct Bucket<const D: usize> {
    entries: Vec<Entry>,
    /// Those of the rows that may be in conflict with others.
    sites: Vec<Site<D>>,
    /// The lowest of them on axis 0.
    lowest: f64,
}

impl<const D: usize> Bucket<D> {
    const EMPTY: Self = Self { entries: Vec::new(), sites: Vec::new(), lowest: f64::INFINITY };
}

/// Rows in memory, checked and divided into buckets along axis 0, and these into layers.
pub(super) struct Table<'a, const D: usize> {
    rows: Arc<Rows<'a>>,
    pub(super) workers: usize,
    /// What each worker found, by bucket.
    parts: Vec<Vec<Bucket<D>>>,
    /// Whether what lies clear of all other chunks' rows is left out of the layers.
    is_cleared: bool,
    /// The layers of rows that may be in conflict, as ranges of buckets.
    ranges: Vec<Range<usize>>,
}

impl<'a, const D: usize> Table<'a, D> {
    /// Checks the rows and divides them, for at most `workers` threads. Those that lie clear of all
    /// other chunks' are in no layer.
    fn new<R: Rule + ?Sized>(rows: Rows<'a>, rule: &R, workers: usize) -> Result<Self> {
        Self::divided(rows, rule, workers, clearances)
    }

    /// As [`new`](Self::new); all rows are in layers.
    pub(super) fn whole<R: Rule + ?Sized>(
        rows: Rows<'a>,
        rule: &R,
        workers: usize,
    ) -> Result<Self> {
        Self::divided(rows, rule, workers, |_, _| Vec::new())
    }

    fn divided<R: Rule + ?Sized>(
        rows: Rows<'a>,
        rule: &R,
        workers: usize,
        clear: impl Fn(&[(Extent<D>, usize)], &[f64; D]) -> Vec<Clearance<D>>,
    ) -> Result<Self> {
        let count = rows.count()?;
        let workers = workers.clamp(1, (count / WORKER_ROWS).max(1));
        let stretches: Vec<Range<usize>> =
            (0..workers).map(|w| w * count / workers..(w + 1) * count / workers).collect();
        let looked =
            on_threads(workers, stretches.clone(), |stretch| extents::<R, D>(rule, &rows, stretch));
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut chunks = vec![(Extent::EMPTY, 0); rows.chunks().unwrap_or(0)];
        for found in looked {
            for (table, extent, held) in found? {
                let ends = extent.ends();
                (low, high) = (low.min(ends.0), high.max(ends.1));
                if let Some((whole, count)) = chunks.get_mut(table) {
                    whole.join(&extent);
                    *count += held;
                }
            }
        }
        let axes = cell_axes::<D>(rule.reach().len());
        let clear = clear(&chunks, &axes.map(|a| rule.reach()[a]));
        let buckets = (count / BUCKET_ROWS).max(1);
        // Halves, since the extent of finite coordinates may be infinite.
        let per_unit = buckets as f64 / (high / 2.0 - low / 2.0);
        let per_unit = if per_unit.is_finite() { per_unit } else { 0.0 };
        let bucket_of = |at: f64| (((at / 2.0 - low / 2.0) * per_unit) as usize).min(buckets - 1);
        let parts = on_threads(workers, stretches, |stretch| {
            let room = BUCKET_ROWS.div_ceil(workers);
            divide(rule, &rows, stretch, &clear, (buckets, room), &bucket_of)
        });
        let is_cleared = !clear.is_empty();
        let rows = Arc::new(rows);
        let mut table = Self { rows, workers, parts, is_cleared, ranges: Vec::new() };
        table.cut(LAYER_REACHES * rule.reach()[0], buckets);
        Ok(table)
    }

    /// Makes layers of buckets, thicker than `thickness` each.
    fn cut(&mut self, thickness: f64, buckets: usize) {
        let (mut begin, mut first, mut held) = (0, f64::INFINITY, 0);
        for bucket in 0..buckets {
            let lowest = self.parts.iter().map(|part| part[bucket].lowest);
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
    pub(super) fn layer<R: Rule + ?Sized>(&self, rule: &R, number: usize) -> Layer<'a, D> {
        let range = &self.ranges[number];
        let parts = self.parts.iter().flat_map(|part| &part[range.clone()]);
        let mut sites = Vec::with_capacity(self.held(range));
        parts.for_each(|bucket| sites.extend_from_slice(&bucket.sites));
        Layer::new(rule, self.rows.clone(), &sites, !self.is_cleared)
    }

    /// How many rows that may be in conflict a range of buckets holds.
    fn held(&self, buckets: &Range<usize>) -> usize {
        let parts = self.parts.iter().flat_map(|part| &part[buckets.clone()]);
        parts.map(|bucket| bucket.sites.len()).sum()
    }

    /// The numbers of the rows that are not `dropped`, in raster order, bucket by bucket.
    fn kept(&self, dropped: &[AtomicBool]) -> Vec<Vec<u32>> {
        let buckets = self.parts.first().map_or(0, Vec::len);
        on_threads(self.workers, (0..buckets).collect(), |bucket| {
            let parts = self.parts.iter().flat_map(|part| &part[bucket].entries);
            let is_kept = |entry: &&Entry| !dropped[entry.id as usize].load(Ordering::Relaxed);
            in_raster_order(&self.rows, &parts.filter(is_kept).copied().collect::<Vec<_>>())
        })
    }
}

/// Checks a stretch of the rows: of each table in it, its number, the extent and count of the rows.
fn extents<R: Rule + ?Sized, const D: usize>(
    rule: &R,
    rows: &Rows<'_>,
    stretch: Range<usize>,
) -> Result<Vec<(usize, Extent<D>, usize)>> {
    let axes = cell_axes::<D>(rule.reach().len());
    let tables = rows.stretches(stretch).map(|(table, first, numbers)| {
        let mut extent = Extent::EMPTY;
        for (i, row) in numbers.chunks_exact(rows.columns()).enumerate() {
            check_row(rule, row).map_err(|e| e.context(rows.name(first + i)))?;
            extent.add(&axes.map(|a| row[a]));
        }
        Ok((table, extent, numbers.len() / rows.columns()))
    });
    tables.collect()
}

/// A stretch of the rows, by bucket; `room` is for so many rows in each bucket that has some.
fn divide<R: Rule + ?Sized, const D: usize>(
    rule: &R,
    rows: &Rows<'_>,
    stretch: Range<usize>,
    clear: &[Clearance<D>],
    (buckets, room): (usize, usize),
    bucket_of: &impl Fn(f64) -> usize,
) -> Vec<Bucket<D>> {
    let ndim = rule.reach().len();
    let axes = cell_axes::<D>(ndim);
    let reach = axes.map(|a| rule.reach()[a]);
    let mut parts: Vec<Bucket<D>> = (0..buckets).map(|_| Bucket::EMPTY).collect();
    for (table, first, numbers) in rows.stretches(stretch) {
        let clear = clear.get(table).unwrap_or(&Clearance::NONE);
        let family = rows.chunks().map(|_| table as u64);
        for (row, id) in numbers.chunks_exact(rows.columns()).zip(first as u32..) {
            let bucket = &mut parts[bucket_of(row[0])];
            if bucket.entries.is_empty() {
                bucket.entries.reserve(room);
            }
            bucket.entries.push(Entry::new(row, ndim, id));
            let at = axes.map(|a| row[a]);
            if !clear.is_clear(&at, &reach) {
                bucket.lowest = bucket.lowest.min(at[0]);
                bucket.sites.push(Site::new(rule, row, at, family, id));
            }
        }
    }
    parts
}

/// The rows that survive, of rows that were not checked.
fn survivors<'a, R: Rule + ?Sized>(
    rows: Rows<'a>,
    rule: &R,
    workers: usize,
) -> Result<Survivors<'a>> {
    with_cell_axes!(rule, D => {
        let table = Table::<D>::new(rows, rule, workers)?;
        let parts = table.kept(&dropped(rule, &table));
        Ok(Survivors { rows: table.rows, parts })
    })
}

/// Of each row whether it is dropped, found layer by layer.
fn dropped<R: Rule + ?Sized, const D: usize>(rule: &R, table: &Table<'_, D>) -> Vec<AtomicBool> {
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
        Resolver::new(rule).resolve(&mut layers, run.start as u32, inner);
        layers
    });
    let mut layers: Vec<Layer<'_, D>> = done.into_iter().flatten().collect();
    let resolver = Resolver::new(rule);
    for run in &runs[..runs.len().saturating_sub(1)] {
        resolver.resolve(&mut layers, 0, run.end - 1..run.end + 1);
    }
    let dropped: Vec<AtomicBool> =
        std::iter::repeat_with(|| AtomicBool::new(false)).take(table.rows.len()).collect();
    on_threads(workers, layers, |layer| {
        layer.dropped().for_each(|id| dropped[id as usize].store(true, Ordering::Relaxed));
    });
    dropped
}
