//! Going on after interruptions: nothing twice, nothing left out, the same voxels.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use proptest::prelude::*;
use volchunk::{
    ArraySource, AxisNeed, Block, Boundary, Buffer, Control, Coords, Dtype, Error, ErrorKind,
    Journal, Op, Pipeline, Plan, PlanRequest, Port, Progress, Receipt, Region, Report, Result,
    RunOptions, Scratch, Sink, Source, StorageGrid, StorageRequest, View, ViewMut, VolumeInfo,
    digest, plan, run, run_with,
};

/// Every voxel plus ten times its next neighbour on each axis.
#[derive(Debug)]
struct Neighbours([Port; 1], [Port; 1], Vec<AxisNeed>);

impl Neighbours {
    fn new(info: &VolumeInfo) -> Self {
        let need = |a| AxisNeed::identity(a).with_halo(0, 1, Boundary::Wrap);
        let mut out = info.clone();
        out.storage = None;
        let input = Port { name: "in", info: info.clone() };
        Self([input], [Port::image(out)], (0..info.ndim()).map(need).collect())
    }
}

impl Op for Neighbours {
    fn name(&self) -> &'static str {
        "neighbours"
    }
    fn inputs(&self) -> &[Port] {
        &self.0
    }
    fn outputs(&self) -> &[Port] {
        &self.1
    }
    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.2
    }
    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let block = &inputs[0];
        let voxel = |y: u64, x: u64| {
            let place = [block.axes[0].get(y as usize), block.axes[1].get(x as usize)];
            let strides = block.view.strides();
            block.view.data()
                [(0..2).map(|a| place[a].unwrap() as u64 * strides[a]).sum::<u64>() as usize]
        };
        let out = outputs[0].as_slice_mut::<u8>();
        let (rows, columns) = (region.shape()[0], region.shape()[1]);
        for (k, voxel_out) in out.iter_mut().enumerate() {
            let (y, x) = (k as u64 / columns, k as u64 % columns);
            let next = voxel(y + 1, x).wrapping_add(voxel(y, x + 1));
            *voxel_out = voxel(y, x).wrapping_add(next.wrapping_mul(10));
            assert!(y < rows);
        }
        Ok(())
    }
}

/// An array in storage chunks, each of which has a stamp.
struct Stored<'a> {
    inner: ArraySource<'a>,
    info: VolumeInfo,
    stamps: Mutex<HashMap<Vec<u64>, u64>>,
    /// Whether its files cannot be looked at.
    hidden: bool,
}

impl<'a> Stored<'a> {
    fn new(view: View<'a>, chunk: &[u64]) -> Self {
        let inner = ArraySource::new(view);
        let mut info = inner.info().clone();
        info.storage = Some(StorageGrid { chunk: Coords::from_slice(chunk), shard: None });
        Self { inner, info, stamps: Mutex::default(), hidden: false }
    }

    fn touch(&self, place: &[u64]) {
        *self.stamps.lock().unwrap().entry(place.to_vec()).or_default() += 1;
    }
}

impl Source for Stored<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }
    fn read(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        self.inner.read(region, out, scratch)
    }
    fn stamp(&self, region: &Region) -> Result<u64> {
        if self.hidden {
            return Err(Error::io("looking at it", std::io::ErrorKind::HostUnreachable.into()));
        }
        let unit = &self.info.storage.as_ref().unwrap().chunk;
        let stamps = self.stamps.lock().unwrap();
        let touches = |place: &[u64]| {
            (0..2).all(|a| {
                let start = place[a] * unit[a];
                start < region.stop(a) && region.start()[a] < start + unit[a]
            })
        };
        Ok(stamps.iter().filter(|(place, _)| touches(place)).map(|(_, n)| n).sum())
    }
}

type Fault = Box<dyn Fn(&Region, u64) -> Option<Error> + Send + Sync>;

/// An output in memory that counts what is written to it, and fails where it is told to.
struct Memory {
    info: VolumeInfo,
    voxels: Mutex<Buffer>,
    /// How often each region was written, and how many bytes of it are there.
    writes: Mutex<HashMap<Region, (u64, u64)>>,
    attempts: AtomicU64,
    fault: Fault,
    /// Attempts that write wrong voxels, the last row of them not at all, and fail.
    torn: BTreeSet<u64>,
    /// Whether the system tells last of all that something was lost.
    loses: bool,
    finished: AtomicU64,
}

impl Memory {
    fn new(info: &VolumeInfo) -> Self {
        Self {
            info: info.clone(),
            voxels: Mutex::new(Buffer::zeros(&info.shape, info.dtype)),
            writes: Mutex::default(),
            attempts: AtomicU64::new(0),
            fault: Box::new(|_, _| None),
            torn: BTreeSet::new(),
            loses: false,
            finished: AtomicU64::new(0),
        }
    }

    fn times(&self) -> Vec<u64> {
        self.writes.lock().unwrap().values().map(|(times, _)| *times).collect()
    }
}

impl Sink for Memory {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }
    fn write(&self, region: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        if let Some(error) = (self.fault)(region, attempt) {
            return Err(error);
        }
        if self.torn.contains(&attempt) {
            let (start, mut shape) = (region.start(), Coords::from_slice(region.shape()));
            shape[0] -= 1;
            let part = Region::from_ranges((0..2).map(|a| start[a]..start[a] + shape[a]));
            let wrong = vec![0xAAu8; part.voxels() as usize];
            let wrong = Buffer::from_slice(&shape, &wrong);
            self.voxels.lock().unwrap().view_mut().part_mut(&part).copy_from(&wrong.view());
            return Err(Error::io("writing out", std::io::ErrorKind::WriteZero.into()));
        }
        self.voxels.lock().unwrap().view_mut().part_mut(region).copy_from(&data);
        let mut writes = self.writes.lock().unwrap();
        let entry = writes.entry(region.clone()).or_default();
        *entry = (entry.0 + 1, region.voxels());
        Ok(())
    }
    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        Ok(self.writes.lock().unwrap().get(region).map_or(0, |w| w.1))
    }
    fn read_back(&self, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        out.copy_from(&self.voxels.lock().unwrap().view().part(region));
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        if self.loses { Err(disk_full()) } else { Ok(()) }
    }
    fn finish(&self) -> Result<()> {
        self.finished.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

const SHAPE: [u64; 2] = [23, 31];

fn voxels() -> Vec<u8> {
    (0..SHAPE[0] * SHAPE[1]).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

/// A job of 8 × 7 chunks on storage chunks of 5 × 6.
struct Bench {
    dir: tempfile::TempDir,
    pipeline: Pipeline,
    plan: Plan,
    whole: Buffer,
}

impl Bench {
    fn new(workers: usize) -> Self {
        let image = Buffer::from_slice(&SHAPE, &voxels());
        let source = Stored::new(image.view(), &[5, 6]);
        let op: Box<dyn Op> = Box::new(Neighbours::new(source.info()));
        let pipeline = Pipeline::chain(source.info().clone(), [op]).unwrap();
        let request = PlanRequest {
            pipeline: &pipeline,
            roi: None,
            chunk: Some(Coords::from_slice(&[3, 5])),
            storage: StorageRequest::Flat,
            workers: Some(workers),
            memory: Some(1 << 33),
            held: 0,
            read_overhead: 0,
            write_overhead: &|_| Ok(0),
            mask: None,
            skip_empty: false,
        };
        let plan = plan(&request).unwrap();
        assert!(plan.memory.halo_cache > 0);
        let sink = Memory::new(&plan.output);
        run(&plan, &pipeline, &[&source], &sink, Control::default()).unwrap();
        let whole = sink.voxels.into_inner().unwrap();
        Self { dir: tempfile::tempdir().unwrap(), pipeline, plan, whole }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("0.journal")
    }

    fn begin(&self) -> Journal {
        Journal::create(&self.path(), "job", 0..self.plan.grid.len(), false).unwrap()
    }

    fn run(&self, source: &dyn Source, sink: &Memory, options: &RunOptions<'_>) -> Result<Report> {
        run_with(&self.plan, &self.pipeline, &[source], sink, options)
    }

    fn is_whole(&self, sink: &Memory) -> bool {
        sink.voxels.lock().unwrap().bytes() == self.whole.bytes()
    }
}

fn disk_full() -> Error {
    Error::io("writing out", std::io::Error::other("disk full"))
}

proptest! {
    /// Runs that fail at random writes, until one gets through: each chunk was written once.
    #[test]
    fn every_chunk_is_written_once(
        workers in 1usize..4,
        fails in prop::collection::vec(0u64..30, 0..4),
    ) {
        let bench = Bench::new(workers);
        let image = Buffer::from_slice(&SHAPE, &voxels());
        let source = Stored::new(image.view(), &[5, 6]);
        let mut sink = Memory::new(&bench.plan.output);
        drop(bench.begin());
        for at in fails {
            let from = sink.attempts.load(Ordering::Relaxed);
            sink.fault = Box::new(move |_, n| (n >= from + at).then(disk_full));
            let journal = Journal::open(&bench.path(), false).unwrap();
            let options = RunOptions { journal: Some(&journal), ..Default::default() };
            let failed = bench.run(&source, &sink, &options).is_err();
            prop_assert_eq!(failed, sink.finished.load(Ordering::Relaxed) == 0);
            if !failed {
                break;
            }
        }
        sink.fault = Box::new(|_, _| None);
        let journal = Journal::open(&bench.path(), false).unwrap();
        let before = journal.done();
        let options = RunOptions { journal: Some(&journal), check: workers == 2, ..Default::default() };
        let report = bench.run(&source, &sink, &options).unwrap();
        prop_assert_eq!((report.kept, report.chunks), (before, 56 - before));
        prop_assert!(sink.times().iter().all(|&times| times == 1));
        prop_assert_eq!(sink.times().len(), 56);
        prop_assert!(bench.is_whole(&sink));
        prop_assert_eq!((journal.done(), journal.first_missing(), journal.failed()), (56, None, vec![]));
    }

    /// What is torn off, or flipped, anywhere behind the header costs its own chunks, no others.
    #[test]
    fn a_damaged_journal_loses_what_was_damaged(cut in 0u64..200, flip in 0u64..3000) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.journal");
        let journal = Journal::create(&path, "job", 10..70, false).unwrap();
        let receipt = |n| Receipt { number: n, digest: n * 7, stored: n, stamp: 1 };
        for n in (10..70).rev() {
            journal.commit(receipt(n)).unwrap();
        }
        drop(journal);
        let mut bytes = fs::read(&path).unwrap();
        let head = bytes.len() - 60 * 48;
        bytes.truncate(bytes.len() - cut as usize);
        let whole = (bytes.len() - head) / 48;
        let flip = (flip as usize) % (bytes.len() - head);
        bytes[head + flip] ^= 64;
        fs::write(&path, &bytes).unwrap();
        let journal = Journal::open(&path, false).unwrap();
        for k in 0..60usize {
            let n = 69 - k as u64;
            let expected = (k < whole && k != flip / 48).then(|| receipt(n));
            prop_assert_eq!(journal.receipt(n).unwrap(), expected);
        }
        // What comes next is written behind what is whole.
        for n in 10..70 {
            if journal.receipt(n).unwrap().is_none() {
                journal.commit(receipt(n)).unwrap();
            }
        }
        let again = Journal::read(&path).unwrap();
        prop_assert_eq!((again.done(), again.first_missing()), (60, None));
    }

    /// Bytes that are no journal are refused, whatever they are.
    #[test]
    fn no_journal_is_trusted(mut bytes in prop::collection::vec(any::<u8>(), 0..200), plausible: bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.journal");
        if plausible {
            bytes.splice(0..0, *b"volchunk\x01\0\0\0\x03\0\0\0");
        }
        fs::write(&path, &bytes).unwrap();
        let error = Journal::open(&path, false).unwrap_err();
        prop_assert!(error.to_string().contains("0.journal"), "{}", error);
        prop_assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_million_receipts_load_in_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.journal");
    let journal = Journal::create(&path, "job", 0..2_000_000, false).unwrap();
    for number in 0..1_000_000 {
        journal.commit(Receipt { number, digest: number, stored: 1, stamp: 2 }).unwrap();
    }
    drop(journal);
    let started = Instant::now();
    let journal = Journal::open(&path, false).unwrap();
    assert!(started.elapsed().as_millis() < 1000, "{:?}", started.elapsed());
    assert_eq!((journal.done(), journal.first_missing()), (1_000_000, Some(1_000_000)));
    assert_eq!(journal.receipt(765_432).unwrap().unwrap().digest, 765_432);
}

/// A changed input, a vanished storage chunk and altered voxels are each noticed and mended.
#[test]
fn what_changed_is_computed_again() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let sink = Memory::new(&bench.plan.output);
    let journal = bench.begin();
    let options = RunOptions { journal: Some(&journal), ..Default::default() };
    bench.run(&source, &sink, &options).unwrap();
    let again = |options: &RunOptions<'_>| {
        let report = bench.run(&source, &sink, options).unwrap();
        assert!(bench.is_whole(&sink));
        (report.kept, report.input_changed, report.damaged)
    };
    assert_eq!(again(&options), (56, 0, 0));
    // Rows 5 to 9, columns 6 to 11: the chunks in rows 3 to 11, columns 5 to 14 read of it.
    source.touch(&[1, 1]);
    assert_eq!(again(&options), (56 - 6, 6, 0));
    assert_eq!(again(&options), (56, 0, 0));
    sink.writes.lock().unwrap().values_mut().take(4).for_each(|w| w.1 = 0);
    assert_eq!(again(&options), (52, 0, 4));
    sink.voxels.lock().unwrap().bytes_mut()[100] ^= 1;
    let unchecked = bench.run(&source, &sink, &options).unwrap();
    assert_eq!(unchecked.kept, 56);
    assert_eq!(again(&RunOptions { check: true, ..options.clone() }), (55, 0, 1));
}

/// Killed as it replaces a chunk whose input changed; then the input is put back as it was. The receipt
/// of the earlier chunk must not stand for what is there now.
#[test]
fn what_was_being_replaced_is_not_believed() {
    let bench = Bench::new(1);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let mut sink = Memory::new(&bench.plan.output);
    bench
        .run(&source, &sink, &RunOptions { journal: Some(&bench.begin()), ..Default::default() })
        .unwrap();

    let (journal, killed) = (bench.path(), bench.dir.path().join("killed"));
    sink.torn = BTreeSet::from([56]);
    sink.fault = Box::new(move |_, _| {
        std::fs::copy(&journal, &killed).unwrap();
        None
    });
    source.touch(&[1, 1]);
    let run = |sink: &Memory| {
        let journal = Journal::open(&bench.path(), false).unwrap();
        bench.run(&source, sink, &RunOptions { journal: Some(&journal), ..Default::default() })
    };
    run(&sink).unwrap_err();
    // As the kill left it.
    std::fs::rename(bench.dir.path().join("killed"), bench.path()).unwrap();
    source.stamps.lock().unwrap().clear();
    sink.fault = Box::new(|_, _| None);
    assert!(!bench.is_whole(&sink));
    assert_eq!(run(&sink).unwrap().chunks, 1);
    assert!(bench.is_whole(&sink));
}

/// What the system loses of late may be of any chunk.
#[test]
fn a_flush_that_fails_voids_all() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let mut sink = Memory::new(&bench.plan.output);
    sink.loses = true;
    let journal = bench.begin();
    for part in [None, Some(0..56)] {
        let options = RunOptions { journal: Some(&journal), part, ..Default::default() };
        assert!(bench.run(&source, &sink, &options).unwrap_err().to_string().contains("disk full"));
        assert_eq!((journal.done(), sink.finished.load(Ordering::Relaxed)), (0, 0));
    }
    // Also where a chunk failed, whose error is told with it.
    sink.fault = Box::new(|_, n| (n == 56 * 2 + 50).then(|| Error::data("a bad storage chunk")));
    for keep_going in [false, true] {
        let options = RunOptions { journal: Some(&journal), keep_going, ..Default::default() };
        let error = bench.run(&source, &sink, &options).unwrap_err().to_string();
        let failed = error.contains("a bad storage chunk") || keep_going;
        assert!(failed && error.contains("disk full"), "{error}");
        assert_eq!(journal.done(), 0);
    }
    sink.fault = Box::new(|_, _| None);
    sink.loses = false;
    let options = RunOptions { journal: Some(&journal), ..Default::default() };
    assert_eq!(bench.run(&source, &sink, &options).unwrap().chunks, 56);
}

/// That a file cannot be looked at now says nothing of what was committed.
#[test]
fn a_look_in_vain_voids_nothing() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let mut source = Stored::new(image.view(), &[5, 6]);
    let sink = Memory::new(&bench.plan.output);
    let journal = bench.begin();
    let options = RunOptions { journal: Some(&journal), keep_going: true, ..Default::default() };
    bench.run(&source, &sink, &options).unwrap();
    source.hidden = true;
    assert!(bench.run(&source, &sink, &options).unwrap_err().to_string().contains("56 of 56"));
    assert_eq!((journal.done(), journal.failed()), (56, vec![]));
    source.hidden = false;
    assert_eq!(bench.run(&source, &sink, &options).unwrap().kept, 56);
}

#[test]
fn receipts_hold_the_digests_of_what_was_written() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let sink = Memory::new(&bench.plan.output);
    let journal = bench.begin();
    let options = RunOptions { journal: Some(&journal), ..Default::default() };
    bench.run(&source, &sink, &options).unwrap();
    for chunk in bench.plan.grid.iter() {
        let mut core = Buffer::zeros(chunk.core.shape(), Dtype::U8);
        core.view_mut().copy_from(&bench.whole.view().part(&chunk.core));
        let number = bench.plan.grid.number_of(&chunk.index);
        assert_eq!(journal.receipt(number).unwrap().unwrap().digest, digest(&core));
    }
}

#[test]
fn io_errors_are_retried_others_are_not() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let mut sink = Memory::new(&bench.plan.output);
    sink.fault = Box::new(|_, n| (n == 5 || n == 6).then(disk_full));
    let journal = bench.begin();
    let options = RunOptions { journal: Some(&journal), retries: 2, ..Default::default() };
    let report = bench.run(&source, &sink, &options).unwrap();
    assert_eq!((report.chunks, sink.times().len()), (56, 56));
    assert!(bench.is_whole(&sink));

    let mut sink = Memory::new(&bench.plan.output);
    sink.fault = Box::new(|_, n| (n == 5).then(|| Error::data("a bad storage chunk")));
    let started = Instant::now();
    let error = bench.run(&source, &sink, &RunOptions { retries: 9, ..Default::default() });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidData);
    assert!(started.elapsed().as_millis() < 150);
}

proptest! {
    /// Writes that end half-way, with an error: what they left is covered, whatever it was.
    #[test]
    fn half_writes_are_covered(
        workers in 1usize..4,
        torn in prop::collection::btree_set(0u64..70, 0..12),
    ) {
        let bench = Bench::new(workers);
        let image = Buffer::from_slice(&SHAPE, &voxels());
        let source = Stored::new(image.view(), &[5, 6]);
        let mut sink = Memory::new(&bench.plan.output);
        sink.torn = torn;
        drop(bench.begin());
        let mut runs = 0;
        loop {
            let journal = Journal::open(&bench.path(), false).unwrap();
            let options = RunOptions { journal: Some(&journal), ..Default::default() };
            runs += 1;
            prop_assert!(runs < 20);
            match bench.run(&source, &sink, &options) {
                Ok(_) => break,
                Err(e) => prop_assert_eq!(e.kind(), ErrorKind::Io),
            }
            prop_assert_eq!(sink.finished.load(Ordering::Relaxed), 0);
        }
        prop_assert!(sink.times().iter().all(|&times| times == 1));
        prop_assert!(bench.is_whole(&sink));
    }
}

#[test]
fn the_others_go_on_and_the_failed_are_listed() {
    let bench = Bench::new(3);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let mut sink = Memory::new(&bench.plan.output);
    sink.fault = Box::new(|region, _| {
        (region.start()[..] == [6, 10] || region.start()[..] == [0, 30]).then(disk_full)
    });
    let journal = bench.begin();
    let options = RunOptions { journal: Some(&journal), keep_going: true, ..Default::default() };
    let error = bench.run(&source, &sink, &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 of 56 chunks failed:\n  \
         chunk (0, 6) at [0:3, 30:31]: writing out: disk full\n  \
         chunk (2, 2) at [6:9, 10:15]: writing out: disk full"
    );
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!((journal.done(), journal.failed()), (54, vec![6, 16]));
    assert_eq!(sink.finished.load(Ordering::Relaxed), 0);
    drop(journal);
    // The same again runs only those.
    sink.fault = Box::new(|_, _| None);
    let journal = Journal::open(&bench.path(), false).unwrap();
    assert_eq!(journal.failed(), [6, 16]);
    let options = RunOptions { journal: Some(&journal), ..Default::default() };
    assert_eq!(bench.run(&source, &sink, &options).unwrap().chunks, 2);
    assert!(bench.is_whole(&sink) && journal.failed().is_empty());
}

#[test]
fn parts_are_disjoint_and_leave_the_output_unfinished() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let source = Stored::new(image.view(), &[5, 6]);
    let sink = Memory::new(&bench.plan.output);
    let path = |k: u64| bench.dir.path().join(format!("{k}.journal"));
    for (k, range) in [(2, 37..56), (0, 0..18), (1, 18..37)] {
        let journal = Journal::create(&path(k), "part", range.clone(), false).unwrap();
        let options =
            RunOptions { journal: Some(&journal), part: Some(range.clone()), ..Default::default() };
        let report = bench.run(&source, &sink, &options).unwrap();
        assert_eq!(report.chunks, range.end - range.start);
        assert_eq!(journal.first_missing(), None);
        let other = RunOptions { part: Some(0..3), ..options };
        assert_eq!(
            bench.run(&source, &sink, &other).unwrap_err().kind(),
            ErrorKind::InvalidArgument
        );
    }
    assert!(bench.is_whole(&sink) && sink.times().iter().all(|&times| times == 1));
    assert_eq!(sink.finished.load(Ordering::Relaxed), 0);
    let options = RunOptions { part: Some(50..57), ..Default::default() };
    let error = bench.run(&source, &sink, &options).unwrap_err().to_string();
    assert!(error.contains("50..57") && error.contains("0..56"), "{error}");
}

#[test]
fn a_rate_is_that_of_the_latest_run() {
    let dir = tempfile::tempdir().unwrap();
    let path: &Path = &dir.path().join("0.journal");
    let journal = Journal::create(path, "job", 0..9, true).unwrap();
    assert_eq!(journal.rate(), None);
    journal.begin().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    journal.commit(Receipt { number: 4, digest: 0, stored: 0, stamp: 0 }).unwrap();
    let rate = journal.rate().unwrap();
    assert!(rate > 0.1 && rate <= 10.0, "{rate}");
    journal.begin().unwrap();
    assert_eq!(journal.rate(), None);
    assert!(journal.commit(Receipt { number: 9, digest: 0, stored: 0, stamp: 0 }).is_err());
    assert_eq!(Journal::open(path, false).unwrap().done(), 1);
}

/// What was read before a change and what was read behind it must not become one output.
#[test]
fn an_input_that_changes_under_a_run_is_refused() {
    let bench = Bench::new(1);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let cancel = AtomicBool::new(false);
    // The storage chunk that changes once so many chunks are done; what is said; chunks that have to
    // be computed again. In the first case none of it is held any more, in the second the next chunk
    // would take it from the cache.
    let cases = [
        ([1, 1], 30, "of 6 chunks, the first at [3:6, 5:10]", 6),
        ([1, 1], 9, "at [5:10, 6:12]", 1),
    ];
    for (place, done, says, again) in cases {
        let source = Stored::new(image.view(), &[5, 6]);
        let sink = Memory::new(&bench.plan.output);
        let journal = bench.begin();
        let progress = |p: Progress| {
            if p.chunks_done == done {
                source.touch(&place);
            }
        };
        let control = Control { cancel: &cancel, progress: &progress };
        let options = RunOptions { control, journal: Some(&journal), ..Default::default() };
        let error = bench.run(&source, &sink, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let error = error.to_string();
        assert!(error.contains("changed while it was read") && error.contains(says), "{error}");
        assert_eq!(sink.finished.load(Ordering::Relaxed), 0);
        let options = RunOptions { journal: Some(&journal), ..Default::default() };
        let report = bench.run(&source, &sink, &options).unwrap();
        assert_eq!(report.input_changed, again);
        assert_eq!(sink.finished.load(Ordering::Relaxed), 1);
        let again = bench.run(&source, &sink, &options).unwrap();
        assert_eq!((again.kept, again.chunks), (56, 0));
    }
}

/// The last word before an output is complete.
#[test]
fn what_the_caller_finds_at_last_keeps_it_from_being_complete() {
    let bench = Bench::new(2);
    let image = Buffer::from_slice(&SHAPE, &voxels());
    let (source, sink) = (Stored::new(image.view(), &[5, 6]), Memory::new(&bench.plan.output));
    let refuse = || Err(Error::data("the last word"));
    let options = RunOptions { last: Some(&refuse), ..Default::default() };
    let error = bench.run(&source, &sink, &options).unwrap_err();
    assert_eq!(error.to_string(), "the last word");
    assert_eq!((sink.finished.load(Ordering::Relaxed), sink.times().len()), (0, 56));
}
