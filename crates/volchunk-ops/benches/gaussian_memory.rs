//! A Gaussian over a whole volume in memory, through the engine: uint16 to float32.
//!
//! `cargo bench -p volchunk-ops --bench gaussian_memory -- SIZE SIGMA CHUNK WORKERS REPEATS` prints
//! a line `seconds=…` for each repeat. `benches/gaussian_memory.py` runs it beside SciPy.

use std::time::Instant;

use volchunk::{
    ArraySink, ArraySource, Buffer, Control, Coords, Dtype, Error, Pipeline, PlanRequest, Result,
    Source, StorageRequest, os, plan, run,
};
use volchunk_ops::{Gaussian, GaussianAxis};

fn main() -> Result<()> {
    // Cargo itself adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let arg = |i: usize, default: &str| args.get(i).map_or(default, String::as_str).to_owned();
    let bad = |_| Error::argument("arguments: SIZE SIGMA CHUNK WORKERS REPEATS");
    let size: u64 = arg(0, "512").parse().map_err(|_| bad(()))?;
    let sigma: f64 = arg(1, "2").parse().map_err(|_| bad(()))?;
    let chunk: Vec<u64> = arg(2, "64,256,256")
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| bad(()))?;
    let workers: usize = arg(3, "2").parse().map_err(|_| bad(()))?;
    let repeats: usize = arg(4, "3").parse().map_err(|_| bad(()))?;

    let shape = [size; 3];
    let mut image = Buffer::zeros(&shape, Dtype::U16);
    let mut state = 1u64;
    for voxel in image.as_slice_mut::<u16>() {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *voxel = (state >> 52) as u16;
    }
    let source = ArraySource::new(image.view());
    let op = Gaussian::new(source.info().clone(), &[GaussianAxis::smooth(sigma); 3], None)?;
    let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _])?;
    for repeat in 0..=repeats {
        let started = Instant::now();
        let plan = plan(&PlanRequest {
            pipeline: &pipeline,
            roi: None,
            chunk: Some(Coords::from_slice(&chunk)),
            storage: StorageRequest::Flat,
            workers: Some(workers),
            memory: None,
            held: 0,
            read_overhead: 0,
            write_overhead: &|_| Ok(0),
            mask: None,
            skip_empty: false,
        })?;
        // The result's memory is fresh each time, as the peer's is.
        let mut out = Buffer::zeros(&shape, Dtype::F32);
        os::advise_huge_pages(out.bytes_mut());
        let sink = ArraySink::new(plan.output.clone(), out.bytes_mut());
        run(&plan, &pipeline, &[&source], &sink, Control::default())?;
        let seconds = started.elapsed().as_secs_f64();
        // The first warms up.
        if repeat > 0 {
            println!("seconds={seconds:.4}");
        }
    }
    Ok(())
}
