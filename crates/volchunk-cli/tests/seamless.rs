//! Whatever the chunk, the workers and the storage: the result is, bit for bit, that of one chunk
//! that covers the volume. Through the engine, for pipelines of ops and files read from storage
//! chunks.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use volchunk::{
    ArraySink, ArraySource, Buffer, ChunkGrid, Control, Coords, Dtype, Pipeline, PlanRequest,
    Scratch, Source, StorageGrid, StorageRequest, VolumeInfo, dispatch, plan, run,
};
use volchunk_io::{CreateOptions, create, open};
use volchunk_ops::{OpSpec, bind_chain};

const DTYPES: [Dtype; 11] = [
    Dtype::Bool,
    Dtype::U8,
    Dtype::I8,
    Dtype::U16,
    Dtype::I16,
    Dtype::U32,
    Dtype::I32,
    Dtype::U64,
    Dtype::I64,
    Dtype::F32,
    Dtype::F64,
];

/// One job; every length is one per axis.
#[derive(Debug, Clone)]
struct Case {
    shape: Vec<u64>,
    dtype: Dtype,
    chunk: Vec<u64>,
    /// Of the input, where it is read from a Zarr.
    stored: Vec<u64>,
    workers: usize,
    ops: Vec<String>,
    seed: u64,
}

fn boundary() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["reflect", "mirror", "nearest", "wrap", "constant(3.1)"])
}

fn gaussian(ndim: usize) -> impl Strategy<Value = String> {
    // Up to a halo of 12 voxels, longer than some volumes.
    let other = prop::sample::select(vec!["", ":order=1", ":dtype=int16", ":order=2:radius=3"]);
    (prop::collection::vec(0..=30u32, ndim), boundary(), other).prop_map(
        |(tenths, boundary, other)| {
            let sigma: Vec<String> =
                tenths.iter().map(|&t| format!("{}", f64::from(t) / 10.0)).collect();
            format!("gaussian:sigma={}:boundary={boundary}{other}", sigma.join(","))
        },
    )
}

fn other(ndim: usize) -> impl Strategy<Value = String> {
    let factors = prop::collection::vec(prop::sample::select(vec!["0.5", "0.7", "1", "1.3"]), ndim);
    prop_oneof![
        gaussian(ndim),
        prop::collection::vec(1..=3u32, ndim).prop_map(|f| {
            let f: Vec<String> = f.iter().map(u32::to_string).collect();
            format!("downsample:factor={}", f.join(","))
        }),
        (factors, 0..=1)
            .prop_map(|(f, order)| format!("rescale:factor={}:order={order}", f.join(","))),
        Just(format!("transpose:axes={}", ["", "x", "xy", "xyz"][ndim])),
        Just("multiply:value=-1.7".to_owned()),
        prepared(),
        Just("cast:dtype=uint8".to_owned()),
    ]
}

/// The ops that prepare an image for detection.
fn prepared() -> impl Strategy<Value = String> {
    let shaped = ["erode", "dilate", "open", "close", "tophat"];
    let shapes = ["octahedron", "ball", "cube"];
    prop_oneof![
        (prop::sample::select(shaped.to_vec()), prop::sample::select(shapes.to_vec()), 1..=3u32)
            .prop_map(|(op, shape, radius)| format!("{op}:footprint={shape}:radius={radius}")),
        (0..=2u32).prop_map(|radius| format!("median:radius={radius}")),
        (1..=20u32, boundary())
            .prop_map(|(s, b)| format!("highpass:sigma={}:boundary={b}", f64::from(s) / 10.0)),
        (1..=20u32, boundary())
            .prop_map(|(s, b)| format!("unsharp:radius={}:boundary={b}", f64::from(s) / 10.0)),
        (1..=6u32).prop_map(|n| format!("tv:weight=10:iterations={n}")),
        (1..=9u32).prop_map(|n| format!("local-percentile:block={n}:low=10:high=90")),
        Just("erode:radius=1:above=40:sigma=1".to_owned()),
        Just("percentile:found=10,80".to_owned()),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (1..=3usize).prop_flat_map(|ndim| {
        let longest = [0, 200, 40, 20][ndim];
        let lengths = |n: u64| prop::collection::vec(1..=n, ndim);
        // One, two or three ops, the first a gaussian.
        let ops = (gaussian(ndim), prop::collection::vec(other(ndim), 0..=2));
        (
            lengths(longest),
            prop::sample::select(DTYPES.to_vec()),
            lengths(longest + 3),
            lengths(longest / 2),
            1..=4usize,
            ops,
            any::<u64>(),
        )
            .prop_map(|(shape, dtype, chunk, stored, workers, (first, more), seed)| {
                let ops = std::iter::once(first).chain(more).collect();
                Case { shape, dtype, chunk, stored, workers, ops, seed }
            })
    })
}

/// Voxels from a linear congruential generator (Knuth's MMIX).
fn synthetic(case: &Case) -> Buffer {
    let mut state = case.seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut buffer = Buffer::zeros(&case.shape, case.dtype);
    dispatch!(case.dtype, T => for v in buffer.as_slice_mut::<T>() {
        *v = volchunk::Element::from_f64(match case.dtype {
            Dtype::Bool => next().round(),
            Dtype::F32 | Dtype::F64 => next() * 1e4 - 1e3,
            _ => (next() * 100.0).round(),
        });
    });
    buffer
}

/// The result in chunks of `chunk`.
fn result(pipeline: &Pipeline, source: &dyn Source, chunk: &[u64], workers: usize) -> Buffer {
    let plan = plan(&PlanRequest {
        pipeline,
        roi: None,
        chunk: Some(Coords::from_slice(chunk)),
        storage: StorageRequest::Flat,
        workers: Some(workers),
        memory: Some(u64::MAX),
        held: 0,
        read_overhead: source.read_overhead(),
        write_overhead: &|_| Ok(0),
        mask: None,
        skip_empty: false,
    })
    .unwrap();
    let mut all = Buffer::zeros(&plan.output.shape, plan.output.dtype);
    let sink = ArraySink::new(plan.output.clone(), all.bytes_mut());
    run(&plan, pipeline, &[source], &sink, Control::default()).unwrap();
    drop(sink);
    all
}

/// `voxels` as a Zarr of storage chunks `stored` in `folder`.
fn stored(folder: &std::path::Path, voxels: &Buffer, stored: &[u64]) -> Box<dyn Source> {
    let path = folder.join("in.zarr");
    let storage = StorageGrid { chunk: Coords::from_slice(stored), shard: None };
    let info =
        VolumeInfo { storage: Some(storage), ..VolumeInfo::new(voxels.shape(), voxels.dtype()) };
    let sink = create(&path, &info, &CreateOptions::default()).unwrap();
    for chunk in ChunkGrid::new(voxels.shape(), stored).unwrap().iter() {
        let part = voxels.view().part(&chunk.core);
        sink.write(&chunk.core, part, &mut Scratch::new()).unwrap();
    }
    sink.finish().unwrap();
    open(&path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn chunked_is_whole(case in case()) {
        let specs: Vec<OpSpec> = case.ops.iter().map(|op| OpSpec::parse(op).unwrap()).collect();
        let voxels = synthetic(&case);
        let array = ArraySource::new(voxels.view());
        // A factor may leave no voxel, or be no legal one for so short an axis.
        let Ok(pipeline) = bind_chain(&specs, array.info().clone()) else {
            return Err(TestCaseError::reject("the ops do not fit the shape"));
        };
        prop_assume!(!pipeline.output().shape.contains(&0));
        let whole = result(&pipeline, &array, &pipeline.output().shape, 1);
        let from_array = result(&pipeline, &array, &case.chunk, case.workers);
        prop_assert!(from_array.bytes() == whole.bytes(), "from an array");
        let folder = tempfile::tempdir().unwrap();
        let zarr = stored(folder.path(), &voxels, &case.stored);
        let pipeline = bind_chain(&specs, zarr.info().clone()).unwrap();
        let from_zarr = result(&pipeline, &*zarr, &case.chunk, case.workers);
        prop_assert!(from_zarr.bytes() == whole.bytes(), "from storage chunks");
    }
}
