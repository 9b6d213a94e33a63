//! What is left out is not computed, not read, and has receipts all the same.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use volchunk::{
    ArraySink, ArraySource, AxisNeed, Block, Buffer, Coords, Dtype, ErrorKind, Journal, Mask, Op,
    Pipeline, Plan, PlanRequest, Port, Region, Report, Result, RunOptions, Scratch, Source,
    StorageRequest, View, ViewMut, VolumeInfo, chunks_outside, plan, run_with,
};

/// Copies, and counts its calls.
#[derive(Debug)]
struct Copy {
    input: [Port; 1],
    needs: Vec<AxisNeed>,
    keeps: bool,
    calls: Arc<AtomicU64>,
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        "copy"
    }
    fn inputs(&self) -> &[Port] {
        &self.input
    }
    fn outputs(&self) -> &[Port] {
        &self.input
    }
    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }
    fn keeps_constant(&self) -> bool {
        self.keeps
    }
    fn compute(
        &self,
        inputs: &[Block<'_>],
        _: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        outputs[0].view_mut().copy_from(&inputs[0].view);
        Ok(())
    }
}

/// An array that lends nothing, counts what is read of it, and has a stamp.
struct Counted<'a> {
    inner: ArraySource<'a>,
    voxels: AtomicU64,
    stamp: AtomicU64,
}

impl<'a> Counted<'a> {
    fn new(voxels: &'a Buffer) -> Self {
        let inner = ArraySource::new(voxels.view());
        Self { inner, voxels: AtomicU64::new(0), stamp: AtomicU64::new(0) }
    }
}

impl Source for Counted<'_> {
    fn info(&self) -> &VolumeInfo {
        self.inner.info()
    }
    fn read(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        self.voxels.fetch_add(region.voxels(), Ordering::Relaxed);
        self.inner.read(region, out, scratch)
    }
    fn stamp(&self, region: &Region) -> Result<u64> {
        // Of the last column alone.
        let touched = region.stop(1) == self.info().shape[1];
        Ok(if touched { self.stamp.load(Ordering::Relaxed) } else { 0 })
    }
    fn borrow(&self, _: &Region) -> Option<View<'_>> {
        None
    }
}

const SHAPE: [u64; 2] = [4, 12];

/// Chunks of 4 × 4: outside, partly, inside.
fn inside() -> Buffer {
    let columns = [0, 0, 0, 0, 0, 0, 3, 3, 9, 9, 9, 9u8];
    Buffer::from_slice(&SHAPE, &columns.repeat(4))
}

fn planned(pipeline: &Pipeline, mask: Option<&dyn Source>, skip_empty: bool) -> Result<Plan> {
    plan(&PlanRequest {
        pipeline,
        roi: None,
        chunk: Some(Coords::from_slice(&[4, 4])),
        storage: StorageRequest::Flat,
        workers: Some(2),
        memory: Some(1 << 33),
        held: 0,
        read_overhead: 0,
        write_overhead: &|_| Ok(0),
        mask,
        skip_empty,
    })
}

fn copying(info: &VolumeInfo, keeps: bool) -> (Pipeline, Arc<AtomicU64>) {
    let calls = Arc::new(AtomicU64::new(0));
    let needs = (0..info.ndim()).map(AxisNeed::identity).collect();
    let input = [Port::image(info.clone())];
    let op = Copy { input, needs, keeps, calls: Arc::clone(&calls) };
    (Pipeline::chain(info.clone(), [Box::new(op) as Box<dyn Op>]).unwrap(), calls)
}

#[test]
fn outside_nothing_is_read_and_receipts_stand() {
    let image = Buffer::from_slice(&SHAPE, &(0..48u16).collect::<Vec<_>>());
    let (source, inside) = (Counted::new(&image), inside());
    let mask_source = Counted::new(&inside);
    let (pipeline, calls) = copying(source.info(), false);
    let mask = Mask::new(&mask_source, Buffer::from_slice(&[], &[777u16]), source.info()).unwrap();
    let plan = planned(&pipeline, Some(&mask_source), false).unwrap();
    let never = AtomicBool::new(false);
    assert_eq!(chunks_outside(&mask_source, &plan.grid, 2, &never).unwrap(), 1);
    mask_source.voxels.store(0, Ordering::Relaxed);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.journal");
    drop(Journal::create(&path, "job", 0..3, false).unwrap());
    let mut out = Buffer::zeros(&SHAPE, Dtype::U16);
    let mut go = || -> Report {
        let journal = Journal::open(&path, false).unwrap();
        let options =
            RunOptions { journal: Some(&journal), mask: Some(&mask), ..RunOptions::default() };
        let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
        run_with(&plan, &pipeline, &[&source], &sink, &options).unwrap()
    };
    let report = go();
    assert_eq!((report.chunks, report.outside, report.empty), (3, 1, 0));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(source.voxels.load(Ordering::Relaxed), 32);
    assert_eq!(mask_source.voxels.load(Ordering::Relaxed), 48);
    let report = go();
    assert_eq!((report.chunks, report.kept, report.outside), (0, 3, 0));
    // Where the mask's files changed, and there alone, it is done anew.
    mask_source.stamp.store(1, Ordering::Relaxed);
    let report = go();
    assert_eq!((report.chunks, report.kept, report.input_changed), (1, 2, 1));
    let expected: Vec<u16> = (0..48).map(|i| if i % 12 < 6 { 777 } else { i }).collect();
    assert_eq!(out.as_slice::<u16>(), expected);
}

#[test]
fn the_op_runs_once_for_all_empty_chunks_if_it_says_so() {
    let image = Buffer::from_slice(&SHAPE, &[5u16; 48]);
    for (keeps, calls_expected, empty) in [(true, 1, 3), (false, 3, 0)] {
        let source = Counted::new(&image);
        let (pipeline, calls) = copying(source.info(), keeps);
        // One worker, or two may come first.
        let plan = Plan { workers: 1, ..planned(&pipeline, None, true).unwrap() };
        let value = Buffer::from_slice(&[], &[5u16]);
        let options = RunOptions { skip_empty: Some(&value), ..RunOptions::default() };
        let mut out = Buffer::zeros(&SHAPE, Dtype::U16);
        let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
        let report = run_with(&plan, &pipeline, &[&source], &sink, &options).unwrap();
        drop(sink);
        assert_eq!((calls.load(Ordering::Relaxed), report.empty), (calls_expected, empty));
        assert_eq!(out.as_slice::<u16>(), image.as_slice::<u16>());
        assert_eq!(source.voxels.load(Ordering::Relaxed), 48);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let image = Buffer::from_slice(&SHAPE, &[f32::NAN; 48]);
    let source = ArraySource::new(image.view());
    let pipeline = Pipeline::new(vec![source.info().clone()]);
    let small = Buffer::zeros(&[4, 11], Dtype::U8);
    let small = ArraySource::new(small.view());
    let error = planned(&pipeline, Some(&small), false).unwrap_err();
    assert!(error.to_string().contains("[4, 11], the result is [4, 12]"), "{error}");
    let plan = planned(&pipeline, None, true).unwrap();
    for value in [Buffer::from_slice(&[], &[f32::NAN]), Buffer::from_slice(&[], &[1u8])] {
        let options = RunOptions { skip_empty: Some(&value), ..RunOptions::default() };
        let mut out = Buffer::zeros(&SHAPE, Dtype::F32);
        let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
        let error = run_with(&plan, &pipeline, &[&source], &sink, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
