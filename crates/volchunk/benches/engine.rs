//! What the engine itself costs: a million chunks with no work, and a plan for 100 TB.
//!
//! `cargo bench -p volchunk --bench engine` prints `bench,case,metric,value,unit` lines.

use std::{sync::atomic::AtomicBool, time::Instant};

use volchunk::{
    ArraySource, Buffer, Control, Coords, Dtype, Pipeline, PlanRequest, Region, Result, Scratch,
    Sink, Source, StorageGrid, StorageRequest, View, VolumeInfo, for_each_chunk, os, plan, run,
};

/// Takes everything, keeps nothing.
struct Nowhere(VolumeInfo);

impl Sink for Nowhere {
    fn info(&self) -> &VolumeInfo {
        &self.0
    }
    fn write(&self, _: &Region, _: View<'_>, _: &mut Scratch) -> Result<()> {
        Ok(())
    }
    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

fn request<'a>(pipeline: &'a Pipeline, chunk: &[u64]) -> PlanRequest<'a> {
    PlanRequest {
        pipeline,
        roi: None,
        chunk: Some(Coords::from_slice(chunk)),
        storage: StorageRequest::Flat,
        workers: Some(2),
        memory: Some(8 << 30),
        held: 0,
        read_overhead: 0,
        write_overhead: &|_| Ok(0),
        mask: None,
        skip_empty: false,
    }
}

/// Median of five, in seconds.
fn median(mut once: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut seconds = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        once()?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[2])
}

fn main() -> Result<()> {
    println!("bench,case,metric,value,unit");
    let chunks = 1_000_000;
    let before = os::peak_resident_memory().unwrap_or(0);
    let never = AtomicBool::new(false);
    let bare =
        median(|| for_each_chunk(chunks, 2, &never, |_| Ok(()), |(), _| Ok(())).map(|_| ()))?;
    println!("engine,dispatch only,per_chunk,{:.3},us", bare * 1e6 / chunks as f64);

    for side in [10, 100] {
        let shape = [side; 3];
        let image = Buffer::zeros(&shape, Dtype::U8);
        let source = ArraySource::new(image.view());
        let pipeline = Pipeline::new(vec![source.info().clone()]);
        let plan = plan(&request(&pipeline, &[1, 1, 1]))?;
        let sink = Nowhere(plan.output.clone());
        let seconds =
            median(|| run(&plan, &pipeline, &[&source], &sink, Control::default()).map(|_| ()))?;
        let chunks = plan.grid.len();
        let case = format!("read and write {chunks} chunks of 1 voxel");
        println!("engine,{case},per_chunk,{:.3},us", seconds * 1e6 / chunks as f64);
        let grown = os::peak_resident_memory().unwrap_or(0) - before;
        println!("engine,{case},peak_growth,{:.2},MiB", grown as f64 / f64::from(1 << 20));
    }

    let info = VolumeInfo {
        storage: Some(StorageGrid { chunk: Coords::from_slice(&[64, 256, 256]), shard: None }),
        ..VolumeInfo::new(&[13_760, 55_040, 55_040], Dtype::U16)
    };
    let pipeline = Pipeline::new(vec![info]);
    for (case, chunk) in [("given chunk", Some(&[64u64, 256, 256][..])), ("chosen chunk", None)] {
        let mut request = request(&pipeline, &[1, 1, 1]);
        request.chunk = chunk.map(Coords::from_slice);
        let mut count = 0;
        let seconds = median(|| plan(&request).map(|p| count = p.grid.len()))?;
        println!("plan,83 TB {count} chunks {case},seconds,{seconds:.4},s");
    }
    Ok(())
}
