//! What is left out is never seen: a masked run is the whole result with the fill value outside of
//! the mask, and a run that skips empty chunks is the run that does not, bit for bit.

#![allow(clippy::unwrap_used)]

mod util;

use std::path::Path;

use proptest::prelude::*;
use util::{Dir, voxels};
use volchunk::{
    ArraySink, ArraySource, Buffer, ChunkGrid, Coords, Dtype, Element, Mask, Pipeline, PlanRequest,
    Region, Report, RunOptions, Scratch, Source, StorageGrid, StorageRequest, VolumeInfo, dispatch,
    plan, run_with,
};
use volchunk_io::{CreateOptions, create, open};
use volchunk_ops::{OpSpec, bind_chain};

/// One job; every length is one per axis.
#[derive(Debug, Clone)]
struct Case {
    shape: Vec<u64>,
    dtype: Dtype,
    chunk: Vec<u64>,
    /// Of the input and the mask, where they are read from a Zarr.
    stored: Vec<u64>,
    workers: usize,
    ops: Vec<String>,
    /// What most of the volume is, and boxes of something else.
    value: f64,
    boxes: Vec<Vec<(u64, u64)>>,
    /// Boxes that are inside of the mask, and its dtype.
    inside: Vec<Vec<(u64, u64)>>,
    mask: Dtype,
    fill: f64,
    roi: Vec<(u64, u64)>,
    seed: u64,
}

fn op(ndim: usize) -> impl Strategy<Value = String> {
    let boundary = prop::sample::select(vec![
        "reflect",
        "mirror",
        "nearest",
        "wrap",
        "constant(3.1)",
        "constant(0.1)",
        "constant",
    ]);
    let factors = prop::collection::vec(prop::sample::select(vec!["0.5", "0.7", "1", "1.3"]), ndim);
    prop_oneof![
        3 => (prop::collection::vec(1..=12u32, ndim), boundary).prop_map(|(tenths, boundary)| {
            let sigma: Vec<String> = tenths.iter().map(|&t| format!("{}", f64::from(t) / 10.0)).collect();
            format!("gaussian:sigma={}:boundary={boundary}", sigma.join(","))
        }),
        2 => prop::collection::vec(1..=3u32, ndim).prop_map(|f| {
            let f: Vec<String> = f.iter().map(u32::to_string).collect();
            format!("downsample:factor={}", f.join(","))
        }),
        2 => (factors, 0..=1).prop_map(|(f, order)| format!("rescale:factor={}:order={order}", f.join(","))),
        1 => Just(format!("transpose:axes={}", ["", "x", "xy", "xyz"][ndim])),
        1 => Just("multiply:value=-1.7".to_owned()),
        1 => Just("subtract:value=0.3".to_owned()),
        1 => Just("threshold:value=0.5".to_owned()),
        1 => prop::sample::select(vec!["cast:dtype=uint8", "cast:dtype=float32", "cast:dtype=float64"]).prop_map(str::to_owned),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (1..=3usize).prop_flat_map(|ndim| {
        let longest = [0, 200, 40, 20][ndim];
        let lengths = |n: u64| prop::collection::vec(1..=n, ndim);
        let boxes = |most| {
            let one = prop::collection::vec((0..longest, 1..=longest / 2), ndim);
            prop::collection::vec(one, 0..=most)
        };
        let values = vec![0.0, 0.1, -0.0, 1.0, 7.0, 1e-3, f64::INFINITY, f64::MAX];
        (
            (lengths(longest), prop::sample::select(Dtype::ALL.to_vec())),
            (lengths(longest / 2), lengths(longest / 2), 1..=4usize),
            prop::collection::vec(op(ndim), 0..=3),
            (prop::sample::select(values), boxes(1)),
            (
                boxes(3),
                prop::sample::select(Dtype::ALL.to_vec()),
                prop::sample::select(vec![0.0, 3.0]),
            ),
            prop::collection::vec((0..longest, 1..=longest), ndim),
            any::<u64>(),
        )
            .prop_map(
                |(
                    (shape, dtype),
                    (chunk, stored, workers),
                    ops,
                    (value, boxes),
                    rest,
                    roi,
                    seed,
                )| {
                    let (inside, mask, fill) = rest;
                    Case {
                        shape,
                        dtype,
                        chunk,
                        stored,
                        workers,
                        ops,
                        value,
                        boxes,
                        inside,
                        mask,
                        fill,
                        roi,
                        seed,
                    }
                },
            )
    })
}

/// `value` everywhere but in `boxes`, whose voxels differ.
fn volume(shape: &[u64], dtype: Dtype, value: f64, boxes: &[Vec<(u64, u64)>], seed: u64) -> Buffer {
    let mut all = Buffer::zeros(shape, dtype);
    dispatch!(dtype, T => {
        for (k, voxel) in all.as_slice_mut::<T>().iter_mut().enumerate() {
            let within = boxes.iter().any(|b| {
                let mut rest = k as u64;
                (0..shape.len()).rev().all(|a| {
                    let at = rest % shape[a];
                    rest /= shape[a];
                    let start = b[a].0 % shape[a];
                    (start..start + b[a].1).contains(&at)
                })
            });
            let noise = (k as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
            *voxel = T::from_f64(if within { noise as f64 / 2.0 + 1.0 } else { value });
        }
    });
    all
}

fn one(dtype: Dtype, value: f64) -> Buffer {
    dispatch!(dtype, T => Buffer::from_slice(&[], &[T::from_f64(value)]))
}

/// What is left out.
#[derive(Default)]
struct Left<'a> {
    mask: Option<(&'a dyn Source, &'a Buffer)>,
    skip: Option<&'a Buffer>,
}

fn result(
    pipeline: &Pipeline,
    source: &dyn Source,
    roi: Option<&Region>,
    chunk: &[u64],
    workers: usize,
    left: &Left<'_>,
) -> (Buffer, Report) {
    let plan = plan(&PlanRequest {
        pipeline,
        roi: roi.cloned(),
        chunk: Some(Coords::from_slice(chunk)),
        storage: StorageRequest::Flat,
        workers: Some(workers),
        memory: Some(u64::MAX),
        held: 0,
        read_overhead: source.read_overhead(),
        write_overhead: &|_| Ok(0),
        mask: left.mask.map(|(mask, _)| mask),
        skip_empty: left.skip.is_some(),
    })
    .unwrap();
    let new = |(mask, fill): (_, &Buffer)| Mask::new(mask, fill.clone(), pipeline.output());
    let mask = left.mask.map(new).transpose().unwrap();
    let mut all = Buffer::zeros(&plan.output.shape, plan.output.dtype);
    let sink = ArraySink::new(plan.output.clone(), all.bytes_mut());
    let options =
        RunOptions { mask: mask.as_ref(), skip_empty: left.skip, ..RunOptions::default() };
    let report = run_with(&plan, pipeline, &[source], &sink, &options).unwrap();
    drop(sink);
    (all, report)
}

/// `voxels` as a Zarr of storage chunks `stored`.
fn stored(path: &Path, voxels: &Buffer, stored: &[u64]) -> Box<dyn Source> {
    let storage = StorageGrid { chunk: Coords::from_slice(stored), shard: None };
    let info =
        VolumeInfo { storage: Some(storage), ..VolumeInfo::new(voxels.shape(), voxels.dtype()) };
    let sink = create(path, &info, &CreateOptions::default()).unwrap();
    for chunk in ChunkGrid::new(voxels.shape(), stored).unwrap().iter() {
        let part = voxels.view().part(&chunk.core);
        sink.write(&chunk.core, part, &mut Scratch::new()).unwrap();
    }
    sink.finish().unwrap();
    open(path).unwrap()
}

/// `whole` where `mask` is not zero, else `fill`: np.where.
fn chosen(mask: &Buffer, whole: &Buffer, fill: &Buffer) -> Buffer {
    let mut all = whole.clone();
    let size = whole.dtype().size();
    let inside: Vec<bool> = dispatch!(mask.dtype(), T => mask.as_slice::<T>().iter().map(|v| v.to_f64() != 0.0).collect());
    for (voxel, inside) in all.bytes_mut().chunks_mut(size).zip(inside) {
        if !inside {
            voxel.copy_from_slice(fill.bytes());
        }
    }
    all
}

/// The bits, every NaN alike.
fn bits(voxels: &Buffer) -> Vec<u64> {
    let size = voxels.dtype().size();
    let nan: Vec<bool> = dispatch!(voxels.dtype(), T => {
        voxels.as_slice::<T>().iter().map(|v| v.to_f64().is_nan()).collect()
    });
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b));
    let voxels = voxels.bytes().chunks(size).zip(nan);
    voxels.map(|(bytes, nan)| if nan { u64::MAX } else { word(bytes) }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_left_out_is_not_seen(case in case()) {
        let specs: Vec<OpSpec> = case.ops.iter().map(|op| OpSpec::parse(op).unwrap()).collect();
        let image = volume(&case.shape, case.dtype, case.value, &case.boxes, case.seed);
        let array = ArraySource::new(image.view());
        let Ok(pipeline) = bind_chain(&specs, array.info().clone()) else {
            return Err(TestCaseError::reject("the ops do not fit the shape"));
        };
        prop_assume!(!pipeline.output().shape.contains(&0));
        let shape = pipeline.output().shape.clone();
        let whole = result(&pipeline, &array, None, &shape, 1, &Left::default()).0;

        let inside = volume(&shape, case.mask, 0.0, &case.inside, case.seed);
        let (fill, value) = (one(whole.dtype(), case.fill), one(case.dtype, case.value));
        let folder = tempfile::tempdir().unwrap();
        let image_zarr = stored(&folder.path().join("in.zarr"), &image, &case.stored);
        let mask_zarr = stored(&folder.path().join("mask.zarr"), &inside, &case.stored);
        let mask_array = ArraySource::new(inside.view());
        let from_zarr = bind_chain(&specs, image_zarr.info().clone()).unwrap();

        let masked = chosen(&inside, &whole, &fill);
        let roi = Region::from_ranges(case.roi.iter().zip(&shape).map(|(&(start, len), &n)| {
            let start = start % n;
            start..(start + len).min(n)
        }));
        let mut crop = Buffer::zeros(roi.shape(), masked.dtype());
        crop.view_mut().copy_from(&masked.view().part(&roi));

        let (chunk, workers) = (&case.chunk[..], case.workers);
        let (array_mask, zarr_mask): (&dyn Source, &dyn Source) = (&mask_array, &*mask_zarr);
        for (source, pipeline, mask) in
            [(&array as &dyn Source, &pipeline, array_mask), (&*image_zarr, &from_zarr, zarr_mask)]
        {
            let get = |roi, left: &Left<'_>| bits(&result(pipeline, source, roi, chunk, workers, left).0);
            let skip = Some(&value);
            prop_assert!(get(None, &Left { mask: None, skip }) == bits(&whole), "skipped");
            let mask = Some((mask, &fill));
            prop_assert!(get(None, &Left { mask, skip: None }) == bits(&masked), "masked");
            prop_assert!(get(None, &Left { mask, skip }) == bits(&masked), "both");
            prop_assert!(get(Some(&roi), &Left { mask, skip }) == bits(&crop), "a crop of both");
        }
    }
}

/// How many chunks are left out is what a walk over them counts.
#[test]
fn chunks_are_left_out() {
    let image = volume(&[40, 40], Dtype::U16, 100.0, &[vec![(0, 4), (0, 4)]], 1);
    let source = ArraySource::new(image.view());
    let skip = |ops: &[&str], value: f64| {
        let specs: Vec<OpSpec> = ops.iter().map(|op| OpSpec::parse(op).unwrap()).collect();
        let pipeline = bind_chain(&specs, source.info().clone()).unwrap();
        let value = one(Dtype::U16, value);
        let left = Left { mask: None, skip: Some(&value) };
        result(&pipeline, &source, None, &[8, 8], 2, &left).1.empty
    };
    // A radius of 4: of 5 × 5 chunks those at (0, 0) read the box, and their neighbours do not.
    assert_eq!(skip(&["gaussian:sigma=1"], 100.0), 24);
    // One of 8 reaches it from the next chunks.
    assert_eq!(skip(&["gaussian:sigma=2"], 100.0), 21);
    assert_eq!(skip(&["gaussian:sigma=1"], 0.0), 0);
    assert_eq!(skip(&["gaussian:sigma=1:boundary=wrap"], 100.0), 21);
    // The constant is seen by chunks at the true edge alone.
    assert_eq!(skip(&["gaussian:sigma=1:boundary=constant"], 100.0), 9);
    assert_eq!(skip(&["downsample:factor=3"], 100.0), 3);
    assert_eq!(skip(&["cast:dtype=float64", "downsample:factor=3"], 100.0), 0);
    assert_eq!(skip(&["cast:dtype=float64", "downsample:factor=2"], 100.0), 8);
    assert_eq!(skip(&["multiply:value=2", "rescale:factor=1.4"], 100.0), 48);
    assert_eq!(skip(&[], 100.0), 24);
}

#[test]
fn the_program_masks() {
    let dir = Dir::new();
    let input = dir.volume("in.npy", &[20, 30]);
    let inside = volume(&[20, 30], Dtype::U8, 0.0, &[vec![(3, 9), (2, 11)]], 5);
    stored(&dir.path("mask.zarr"), &inside, &[7, 9]);
    let op = ["--op", "gaussian:sigma=1", "--op", "cast:dtype=uint16"];
    let run = |more: &[&str]| dir.call(&[&["run", "in.npy"], more, &op[..]].concat());
    run(&["whole.npy", "-q"]).done();
    let masked = ["--mask", "mask.zarr", "--fill", "9", "--chunk", "5"];
    let text = run(&[&["out.npy"], &masked[..]].concat()).done().stdout;
    assert!(text.contains("15 chunks lie outside of the mask, and were not computed."), "{text}");
    let fill = Buffer::from_slice(&[], &[9u16]);
    let expected = chosen(&inside, &voxels(&dir.path("whole.npy")), &fill);
    assert_eq!(voxels(&dir.path("out.npy")).bytes(), expected.bytes());

    // The plan counts them.
    let plan = [&["plan", "in.npy", "new.npy"], &masked[..], &op[..]].concat();
    let text = dir.call(&plan).done().stdout;
    assert!(text.contains("15 of 24 chunks lie wholly outside"), "{text}");
    let json = dir.call(&[&plan[..], &["--json"]].concat()).done().stdout;
    assert!(json.contains("\"chunks_outside_mask\": 15"), "{json}");
    // A job file has them too.
    dir.call(&[&plan[..], &["--write-job", "job.json"]].concat()).done();
    dir.call(&["run", "--job", "job.json", "-q"]).done();
    assert_eq!(voxels(&dir.path("new.npy")).bytes(), expected.bytes());

    // In parts, and by finish.
    for part in ["0/2", "1/2"] {
        run(&[&["parts.zarr", "--part", part, "-q"], &masked[..]].concat()).done();
    }
    dir.call(&["finish", "parts.zarr"]).done();
    assert_eq!(voxels(&dir.path("parts.zarr")).bytes(), expected.bytes());

    // Of another job it is not.
    run(&["out.npy", "--chunk", "5"]).refused(1, &["mask", "none"]);
    run(&[&["out.npy"], &masked[..2]].concat()).refused(1, &["fill: 9 there, 0 here"]);
    run(&[&["out.npy"], &masked[..]].concat()).done();
    run(&[&["out.npy", "--skip-empty", "0"], &masked[..]].concat()).refused(1, &["skipped value"]);
    let other = volume(&[20, 30], Dtype::U8, 0.0, &[vec![(0, 9), (2, 11)]], 5);
    std::fs::remove_dir_all(dir.path("mask.zarr")).unwrap();
    stored(&dir.path("mask.zarr"), &other, &[7, 9]);
    run(&[&["out.npy"], &masked[..]].concat()).refused(1, &["mask.zarr changed since it was made"]);
    drop(input);
}

#[test]
fn the_program_skips() {
    let dir = Dir::new();
    let image = volume(&[20, 30], Dtype::F32, 0.1, &[vec![(3, 9), (2, 11)]], 5);
    stored(&dir.path("in.zarr"), &image, &[7, 9]);
    let run = |more: &[&str]| {
        dir.call(&[&["run", "in.zarr", "--op", "gaussian:sigma=1", "--chunk", "5"], more].concat())
    };
    run(&["whole.npy", "-q"]).done();
    let text = run(&["out.npy", "--skip-empty", "0.1"]).done().stdout;
    assert!(text.contains("chunks are empty, and were not computed."), "{text}");
    assert_eq!(voxels(&dir.path("out.npy")).bytes(), voxels(&dir.path("whole.npy")).bytes());
    let plan = ["plan", "in.zarr", "new.npy", "--skip-empty", "0.1"];
    let text = dir.call(&plan).done().stdout;
    assert!(text.contains("is known when they are read"), "{text}");
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = Dir::new();
    dir.volume("in.npy", &[20, 30]);
    dir.volume("small.npy", &[20, 29]);
    let run = |more: &[&str]| dir.call(&[&["run", "in.npy", "out.npy"], more].concat());
    run(&["--mask", "small.npy"]).refused(2, &["[20, 29]", "[20, 30]", "legal"]);
    run(&["--mask", "none.npy"]).refused(1, &["--mask", "none.npy"]);
    run(&["--mask", "in.npy", "--op", "downsample:factor=2"]).refused(2, &["[10, 15]"]);
    run(&["--mask", "in.npy", "--fill", "-1"]).refused(2, &["--fill -1", "uint16"]);
    run(&["--mask", "in.npy", "--fill", "x"]).refused(2, &["--fill", "'x'"]);
    run(&["--fill", "1"]).refused(2, &["--mask"]);
    run(&["--skip-empty", "0.5"]).refused(2, &["--skip-empty 0.5", "uint16"]);
    run(&["--skip-empty", "nan"]).refused(2, &["--skip-empty", "NaN"]);
    dir.call(&["run", "in.npy", "small.npy", "--mask", "small.npy"]).refused(2, &["--mask"]);
    assert_eq!(dir.names(), ["in.npy", "small.npy"]);
}
