//! The engine against a plain oracle: any grid, worker count, cap and storage give the same bits.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use proptest::prelude::*;
use volchunk::{
    ArraySink, ArraySource, AxisNeed, Block, Boundary, Buffer, ChunkGrid, Control, Coords, Dtype,
    ErrorKind, Input, Op, Pipeline, PlanRequest, Port, Region, Result, Scratch, Sink, Source,
    StorageGrid, StorageRequest, View, ViewMut, VolumeInfo, plan, run,
};

/// Sums each input over a lopsided box, every offset weighted differently, so that a voxel taken
/// from the wrong place shows. Exact: small integers in f64.
#[derive(Debug)]
struct BoxSum {
    inputs: Vec<Port>,
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
}

impl BoxSum {
    fn new(info: &VolumeInfo, inputs: usize, sides: &[(u64, u64)], boundary: Boundary) -> Self {
        let needs = sides
            .iter()
            .enumerate()
            .map(|(a, &(lo, hi))| AxisNeed::identity(a).with_halo(lo, hi, boundary))
            .collect();
        let mut out = info.clone();
        out.dtype = Dtype::F64;
        out.storage = None;
        let names = ["a", "b", "c"];
        Self {
            inputs: (0..inputs).map(|i| Port { name: names[i], info: info.clone() }).collect(),
            outputs: [Port::image(out)],
            needs,
        }
    }
}

fn for_each(shape: &[u64], mut f: impl FnMut(&[u64])) {
    let mut index = vec![0; shape.len()];
    if shape.contains(&0) {
        return;
    }
    loop {
        f(&index);
        let Some(a) = (0..shape.len()).rev().find(|&a| index[a] + 1 < shape[a]) else { return };
        index[a] += 1;
        index[a + 1..].fill(0);
    }
}

fn voxel(view: &View<'_>, index: &[u64]) -> f64 {
    let at: u64 = index.iter().zip(view.strides()).map(|(i, s)| i * s).sum();
    let bytes = &view.data()[at as usize..][..view.dtype().size()];
    volchunk::dispatch!(view.dtype(), T => {
        volchunk::Element::to_f64(bytemuck::pod_read_unaligned::<T>(bytes))
    })
}

fn weight(input: usize, offset: &[u64]) -> f64 {
    offset.iter().fold(1.0 + input as f64, |w, &o| w * 3.0 + o as f64) % 17.0 + 1.0
}

impl Op for BoxSum {
    fn name(&self) -> &'static str {
        "box_sum"
    }
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }
    fn outputs(&self) -> &[Port] {
        &self.outputs
    }
    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }
    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let window: Vec<u64> = self.needs.iter().map(|n| n.halo.0 + n.halo.1 + 1).collect();
        let values = outputs[0].as_slice_mut::<f64>();
        let mut at = 0;
        for_each(region.shape(), |out| {
            let mut sum = 0.0;
            for (i, block) in inputs.iter().enumerate() {
                for_each(&window, |offset| {
                    let place: Option<Vec<u64>> = (0..out.len())
                        .map(|a| block.axes[a].get((out[a] + offset[a]) as usize).map(|p| p as u64))
                        .collect();
                    let v = match place {
                        Some(p) => voxel(&block.view, &p),
                        None => constant(&self.needs),
                    };
                    sum += weight(i, offset) * v;
                });
            }
            values[at] = sum;
            at += 1;
        });
        Ok(())
    }
}

fn constant(needs: &[AxisNeed]) -> f64 {
    needs
        .iter()
        .find_map(|n| match n.boundary {
            Boundary::Constant(v) => Some(v),
            _ => None,
        })
        .unwrap()
}

/// The same sum over a whole volume, straight from the definition of the boundary.
fn oracle(inputs: &[&[f64]], shape: &[u64], sides: &[(u64, u64)], boundary: Boundary) -> Vec<f64> {
    let window: Vec<u64> = sides.iter().map(|(lo, hi)| lo + hi + 1).collect();
    let mut values = Vec::new();
    for_each(shape, |out| {
        let mut sum = 0.0;
        for (i, input) in inputs.iter().enumerate() {
            for_each(&window, |offset| {
                let mut flat = Some(0);
                for a in 0..shape.len() {
                    let p = out[a] as i64 + offset[a] as i64 - sides[a].0 as i64;
                    flat = flat.zip(boundary.index(p, shape[a])).map(|(f, i)| f * shape[a] + i);
                }
                let v = match (flat, boundary) {
                    (Some(f), _) => input[f as usize],
                    (None, Boundary::Constant(v)) => v,
                    _ => unreachable!(),
                };
                sum += weight(i, offset) * v;
            });
        }
        values.push(sum);
    });
    values
}

/// An array that pretends to be stored in storage chunks, never lends, and counts what it decodes.
struct Stored<'a> {
    inner: ArraySource<'a>,
    info: VolumeInfo,
    voxels: AtomicU64,
    reads: Mutex<std::collections::HashMap<Region, u64>>,
}

impl<'a> Stored<'a> {
    fn new(view: View<'a>, chunk: &[u64]) -> Self {
        let inner = ArraySource::new(view);
        let mut info = inner.info().clone();
        info.storage = Some(StorageGrid { chunk: Coords::from_slice(chunk), shard: None });
        Self { inner, info, voxels: AtomicU64::new(0), reads: Mutex::default() }
    }
}

impl Source for Stored<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }
    fn read(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        self.voxels.fetch_add(region.voxels(), Ordering::Relaxed);
        *self.reads.lock().unwrap().entry(region.clone()).or_default() += 1;
        self.inner.read(region, out, scratch)
    }
}

fn request<'a>(pipeline: &'a Pipeline, chunk: &[u64], workers: usize) -> PlanRequest<'a> {
    PlanRequest {
        pipeline,
        roi: None,
        chunk: Some(Coords::from_slice(chunk)),
        storage: StorageRequest::Flat,
        workers: Some(workers),
        memory: Some(1 << 33),
        held: 0,
        read_overhead: 0,
        write_overhead: &|_| Ok(0),
        mask: None,
        skip_empty: false,
    }
}

fn pseudo(n: u64, seed: u64) -> Vec<u16> {
    (0..n).map(|i| ((i + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as u16).collect()
}

fn boundary() -> impl Strategy<Value = Boundary> {
    prop_oneof![
        Just(Boundary::Reflect),
        Just(Boundary::Mirror),
        Just(Boundary::Nearest),
        Just(Boundary::Wrap),
        Just(Boundary::Constant(5.0)),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    shape: Vec<u64>,
    chunk: Vec<u64>,
    storage: Vec<u64>,
    first: (Vec<(u64, u64)>, Boundary),
    second: (Vec<(u64, u64)>, Boundary),
    roi: Vec<(u64, u64)>,
    workers: usize,
    cache: u64,
}

fn case() -> impl Strategy<Value = Case> {
    (1usize..=3).prop_flat_map(|ndim| {
        let sides = || prop::collection::vec((0u64..4, 0u64..4), ndim);
        (
            prop::collection::vec(1u64..9, ndim),
            prop::collection::vec(1u64..10, ndim),
            prop::collection::vec(1u64..6, ndim),
            (sides(), boundary()),
            (sides(), boundary()),
            prop::collection::vec((0u64..9, 1u64..9), ndim),
            1usize..5,
            prop_oneof![Just(0u64), 1u64..200, Just(1 << 20)],
        )
            .prop_map(|(shape, chunk, storage, first, second, roi, workers, cache)| {
                let roi = roi
                    .iter()
                    .zip(&shape)
                    .map(|(&(start, len), &n)| {
                        let start = start % n;
                        (start, len.min(n - start))
                    })
                    .collect();
                Case { shape, chunk, storage, first, second, roi, workers, cache }
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Two ops with different boundaries, a region of interest, storage chunks, a cache of any
    /// size: bit-identical to two passes over the whole volume.
    #[test]
    fn chunked_is_whole(case in case()) {
        let voxels: u64 = case.shape.iter().product();
        let image = Buffer::from_slice(&case.shape, &pseudo(voxels, 7));
        let source = Stored::new(image.view(), &case.storage);
        let first = BoxSum::new(source.info(), 1, &case.first.0, case.first.1);
        let second = BoxSum::new(&first.outputs[0].info.clone(), 1, &case.second.0, case.second.1);
        let ops: [Box<dyn Op>; 2] = [Box::new(first), Box::new(second)];
        let pipeline = Pipeline::chain(source.info().clone(), ops).unwrap();

        let input: Vec<f64> = image.as_slice::<u16>().iter().map(|&v| f64::from(v)).collect();
        let once = oracle(&[&input], &case.shape, &case.first.0, case.first.1);
        let twice = oracle(&[&once], &case.shape, &case.second.0, case.second.1);
        let whole = Buffer::from_slice(&case.shape, &twice);
        let roi = Region::new(
            case.roi.iter().map(|r| r.0).collect::<Vec<_>>(),
            case.roi.iter().map(|r| r.1).collect::<Vec<_>>(),
        );
        let mut expected = Buffer::zeros(roi.shape(), Dtype::F64);
        expected.view_mut().copy_from(&whole.view().part(&roi));

        let mut request = request(&pipeline, &case.chunk, case.workers);
        request.roi = Some(roi.clone());
        let mut plan = plan(&request).unwrap();
        plan.memory.halo_cache = case.cache;
        let mut out = Buffer::zeros(roi.shape(), Dtype::F64);
        let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
        let report = run(&plan, &pipeline, &[&source], &sink, Control::default()).unwrap();
        drop(sink);
        prop_assert_eq!(out.as_slice::<f64>(), expected.as_slice::<f64>());
        prop_assert!(report.decoded_bytes >= source.voxels.load(Ordering::Relaxed) * 2);
    }

    /// With room for all of it, no region is decoded twice, and beyond each storage chunk only its
    /// low end, which a chunk before its owner needs.
    #[test]
    fn each_storage_chunk_is_decoded_once(case in case()) {
        let voxels: u64 = case.shape.iter().product();
        let image = Buffer::from_slice(&case.shape, &pseudo(voxels, 3));
        let source = Stored::new(image.view(), &case.storage);
        let op = BoxSum::new(source.info(), 1, &case.first.0, case.first.1);
        let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as Box<dyn Op>]).unwrap();
        // One worker: with several, a chunk may be overtaken, and what it needs is read again.
        let mut plan = plan(&request(&pipeline, &case.chunk, 1)).unwrap();
        plan.memory.halo_cache = 1 << 30;
        let mut out = Buffer::zeros(&case.shape, Dtype::F64);
        let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
        run(&plan, &pipeline, &[&source], &sink, Control::default()).unwrap();
        prop_assert!(source.voxels.load(Ordering::Relaxed) * 4 <= voxels * 5);
        for (region, times) in source.reads.lock().unwrap().iter() {
            prop_assert_eq!(*times, 1, "{}", region);
        }
    }

    /// Projected numbers that are cheap to compute by hand: every chunk walked.
    #[test]
    fn a_plan_counts_what_a_walk_counts(case in case()) {
        let info = VolumeInfo {
            storage: Some(StorageGrid { chunk: Coords::from_slice(&case.storage), shard: None }),
            ..VolumeInfo::new(&case.shape, Dtype::U16)
        };
        let op = BoxSum::new(&info, 1, &case.first.0, Boundary::Reflect);
        let pipeline = Pipeline::chain(info.clone(), [Box::new(op) as Box<dyn Op>]).unwrap();
        let plan = plan(&request(&pipeline, &case.chunk, 1)).unwrap();
        let grid = ChunkGrid::new(&case.shape, &case.chunk).unwrap();
        let (mut read, mut decoded) = (0u64, 0u64);
        for chunk in grid.iter() {
            let mut outer = 1;
            let mut aligned = 1;
            for a in 0..case.shape.len() {
                let (lo, hi) = case.first.0[a];
                let r = Boundary::Reflect.ranges(
                    chunk.core.start()[a] as i64 - lo as i64,
                    chunk.core.stop(a) as i64 + hi as i64,
                    case.shape[a],
                );
                outer *= r[0].end - r[0].start;
                let u = case.storage[a];
                aligned *= (r[0].end.div_ceil(u) * u).min(case.shape[a]) - r[0].start / u * u;
            }
            read += outer;
            decoded += aligned;
        }
        let voxels: u64 = case.shape.iter().product();
        let overhead = read as f64 / voxels as f64;
        prop_assert!((plan.halo_overhead - overhead).abs() < 1e-9, "{} {}", plan.halo_overhead, overhead);
        prop_assert!((plan.amplification_worst - decoded as f64 / voxels as f64).abs() < 1e-9);
    }
}

#[test]
fn an_op_with_two_inputs_from_two_sources() {
    let shape = [5, 7];
    let (a, b) = (pseudo(35, 1), pseudo(35, 2));
    let (image_a, image_b) = (Buffer::from_slice(&shape, &a), Buffer::from_slice(&shape, &b));
    let (source_a, source_b) =
        (ArraySource::new(image_a.view()), Stored::new(image_b.view(), &[2, 3]));
    let sides = [(1, 2), (0, 3)];
    let mut pipeline = Pipeline::new(vec![source_a.info().clone(), source_b.info().clone()]);
    let op = BoxSum::new(source_a.info(), 2, &sides, Boundary::Wrap);
    pipeline.push(Box::new(op), &[Input::Source(0), Input::Source(1)]).unwrap();
    let to_f64 = |v: &[u16]| v.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    let expected = oracle(&[&to_f64(&a), &to_f64(&b)], &shape, &sides, Boundary::Wrap);
    let plan = plan(&request(&pipeline, &[2, 2], 3)).unwrap();
    let mut out = Buffer::zeros(&shape, Dtype::F64);
    let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
    run(&plan, &pipeline, &[&source_a, &source_b], &sink, Control::default()).unwrap();
    drop(sink);
    assert_eq!(out.as_slice::<f64>(), expected);
}

/// A sink that fails on one region, and remembers whether it was finished.
struct Faulty {
    info: VolumeInfo,
    fail_at: u64,
    finished: AtomicBool,
}

impl Sink for Faulty {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }
    fn write(&self, region: &Region, _: View<'_>, _: &mut Scratch) -> Result<()> {
        if region.start()[0] == self.fail_at {
            return Err(volchunk::Error::io("writing out.npy", std::io::Error::other("disk full")));
        }
        Ok(())
    }
    fn finish(&self) -> Result<()> {
        self.finished.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn a_failing_chunk_is_named_and_nothing_is_complete() {
    let image = Buffer::zeros(&[10, 10], Dtype::U8);
    let source = ArraySource::new(image.view());
    let pipeline = Pipeline::new(vec![source.info().clone()]);
    let plan = plan(&request(&pipeline, &[3, 10], 2)).unwrap();
    let sink = Faulty { info: plan.output.clone(), fail_at: 6, finished: AtomicBool::new(false) };
    let error = run(&plan, &pipeline, &[&source], &sink, Control::default()).unwrap_err();
    assert_eq!(error.to_string(), "chunk (2, 0) at [6:9, 0:10]: writing out.npy: disk full");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(!sink.finished.into_inner());

    let sink = Faulty { info: plan.output.clone(), fail_at: 99, finished: AtomicBool::new(false) };
    let cancel = AtomicBool::new(false);
    let progress = |_| cancel.store(true, Ordering::Relaxed);
    let control = Control { cancel: &cancel, progress: &progress };
    assert!(run(&plan, &pipeline, &[&source], &sink, control).unwrap_err().is_cancelled());
    assert!(!sink.finished.into_inner());
}

/// A source that panics, slowly, so that other workers wait for what it reads.
struct Panicky(Stored<'static>);

impl Source for Panicky {
    fn info(&self) -> &VolumeInfo {
        self.0.info()
    }
    fn read(&self, _: &Region, _: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        std::thread::sleep(std::time::Duration::from_millis(30));
        panic!("a codec's bug");
    }
}

#[test]
fn a_panic_in_a_source_ends_the_run_and_nobody_waits_for_ever() {
    static VOXELS: [u8; 64] = [0; 64];
    let source = Panicky(Stored::new(View::contiguous(&[8, 8], Dtype::U8, &VOXELS), &[8, 8]));
    let op = BoxSum::new(source.info(), 1, &[(1, 1); 2], Boundary::Reflect);
    let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as Box<dyn Op>]).unwrap();
    let plan = plan(&request(&pipeline, &[2, 2], 4)).unwrap();
    assert!(plan.memory.halo_cache > 0);
    let mut out = Buffer::zeros(&[8, 8], Dtype::F64);
    let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
    let error = run(&plan, &pipeline, &[&source], &sink, Control::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("chunk (") && text.contains("a codec's bug"), "{text}");
}

#[test]
fn misaligned_storage_is_refused_with_the_nearest_grid() {
    let pipeline = Pipeline::new(vec![VolumeInfo::new(&[100, 100], Dtype::U8)]);
    let mut request = request(&pipeline, &[30, 100], 1);
    request.storage =
        StorageRequest::Chunked { chunk: Some(Coords::from_slice(&[16, 64])), shard: None };
    let error = plan(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned);
    assert!(error.to_string().contains("the nearest chunk that aligns is 32,100"), "{error}");
    request.storage = StorageRequest::Chunked { chunk: None, shard: None };
    let storage = plan(&request).unwrap().output.storage.unwrap();
    assert_eq!(storage.chunk[..], [30, 100]);
}

#[test]
fn above_the_cap_it_refuses_and_says_what_fits() {
    let pipeline = Pipeline::new(vec![VolumeInfo::new(&[2000, 2000, 2000], Dtype::F64)]);
    let mut request = request(&pipeline, &[1000, 1000, 1000], 2);
    request.memory = Some(200 << 20);
    let error = plan(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OverMemory);
    let text = error.to_string();
    let advice = text.split("; chunk ").nth(1).unwrap().trim_end_matches(" would fit");
    request.chunk = Some(advice.split(',').map(|n| n.parse().unwrap()).collect());
    assert!(plan(&request).unwrap().memory.peak <= 200 << 20);
}

#[test]
fn a_plan_for_ten_million_chunks_is_instant() {
    let info = VolumeInfo {
        storage: Some(StorageGrid { chunk: Coords::from_slice(&[64, 256, 256]), shard: None }),
        ..VolumeInfo::new(&[13_760, 55_040, 55_040], Dtype::U16)
    };
    let op = BoxSum::new(&info, 1, &[(8, 8); 3], Boundary::Reflect);
    let pipeline = Pipeline::chain(info, [Box::new(op) as Box<dyn Op>]).unwrap();
    let started = std::time::Instant::now();
    let plan = plan(&request(&pipeline, &[64, 256, 256], 8)).unwrap();
    assert!(plan.grid.len() > 9_900_000);
    assert!(started.elapsed().as_millis() < 100, "{:?}", started.elapsed());
}

#[test]
fn absurd_shapes_are_refused_before_a_table_is_made() {
    let info = VolumeInfo {
        storage: Some(StorageGrid { chunk: Coords::from_slice(&[64]), shard: None }),
        ..VolumeInfo::new(&[1 << 60], Dtype::U8)
    };
    let pipeline = Pipeline::new(vec![info]);
    let mut request = request(&pipeline, &[64], 1);
    let error = plan(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("a chunk of at least 549755813888"), "{error}");
    request.chunk = None;
    plan(&request).unwrap_err();
    request.chunk = Some(Coords::from_slice(&[1 << 40]));
    assert!(plan(&request).unwrap_err().to_string().contains("legal: up to 2147483647"));
    // A crop of it is as good as any other.
    request.roi = Some(Region::new([1 << 50], [1000]));
    request.chunk = None;
    assert_eq!(plan(&request).unwrap().output.shape[..], [1000]);
}

#[test]
fn positions_fit_in_64_bits() {
    for n in [u64::MAX, 1 << 63, 1 << 62] {
        let pipeline = Pipeline::new(vec![VolumeInfo::new(&[2, n], Dtype::U8)]);
        let error = plan(&request(&pipeline, &[1, 1 << 60], 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("axis x of a volume of shape [2, "), "{error}");
    }
}

#[test]
fn storage_chunks_are_not_slivers() {
    let pipeline = Pipeline::new(vec![VolumeInfo::new(&[2110, 2110, 2110], Dtype::U8)]);
    let mut request = request(&pipeline, &[211, 211, 211], 1);
    request.storage = StorageRequest::Chunked { chunk: None, shard: None };
    assert_eq!(plan(&request).unwrap().output.storage.unwrap().chunk[..], [211, 211, 211]);
    request.chunk = Some(Coords::from_slice(&[240, 240, 240]));
    assert_eq!(plan(&request).unwrap().output.storage.unwrap().chunk[..], [120, 120, 240]);
}
