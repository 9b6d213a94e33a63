//! `volchunk demo`: a volume of cells, filtered in chunks, checked against the whole.

#[cfg_attr(not(test), expect(dead_code, reason = "the demo does not seek its cells yet"))]
mod agreement;
mod cells;
mod own;
mod picture;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use volchunk::{
    ArraySink, Buffer, Control, Error, Pipeline, PlanRequest, Region, Result, Scratch, Source,
    StorageRequest, plan,
};
use volchunk_io::{CreateOptions, Format, create, open, remove_output, write_overhead};

use crate::{
    args::{self, DemoArgs},
    commands::{Manner, carry_out},
    config::{Config, Limits},
    output::print,
    prepare::prepare,
    progress::duration,
    report::{grouped, shape},
};
use cells::Cells;

const OP: &str = "gaussian:sigma=4um";
const CHUNK: &str = "16,128,128";

/// Makes the volume, runs the job on it, checks that no seam can be seen, draws a picture.
pub(crate) fn demo(args: &DemoArgs, cancel: &AtomicBool) -> Result<()> {
    let dir = folder(args.dir.as_deref())?;
    let (cells, filtered) = (dir.join("cells.zarr"), dir.join("filtered.zarr"));
    let picture = dir.join("demo.png");
    own::check(&cells, &filtered, OP, &picture)?;
    for output in [&cells, &filtered] {
        remove_output(output)?;
    }
    let volume = Cells::new([64, 512, 512]);
    print(&format!(
        "1. A synthetic volume of cells, {} uint16, voxels of 3 × 2 × 2 µm\n   → {}\n",
        shape(&volume.info().shape),
        cells.display()
    ))?;
    write_cells(&volume, &cells, cancel)?;

    print(&format!(
        "2. A filter, chunk by chunk, as this command does it:\n   volchunk run {} {} --op {OP} \
         --chunk {CHUNK}\n",
        cells.display(),
        filtered.display()
    ))?;
    let divide = args::Divide { chunk: Some(CHUNK.into()), ..Default::default() };
    let config = Config::from_args(
        &cells,
        &filtered,
        &[OP.into()],
        &divide,
        &Default::default(),
        &Default::default(),
    )?;
    let mut prepared = prepare(config, Limits::default())?;
    carry_out(&mut prepared, Limits::default(), "filtering", Manner::plain(false, cancel))?;

    let (whole, seconds) = filter_whole(&prepared.pipeline, &*prepared.source, cancel)?;
    let chunked = open(&filtered)?;
    let differ = count_differing(&*chunked, &whole)?;
    print(&format!(
        "3. The same as one chunk that covers the volume, on one thread: {}. Of {} voxels, {differ} \
         differ in any bit.\n",
        duration(seconds),
        grouped(chunked.info().voxels())
    ))?;
    if differ > 0 {
        return Err(Error::data("the chunked result is not the whole result: please report it"));
    }
    picture::draw(&picture, &volume, &whole, prepared.plan.grid.chunk_shape())?;
    print(&format!(
        "4. A picture: brightest voxels along z, before (with the chunks' borders) and after\n   → {}\n",
        picture.display()
    ))
}

/// The folder to work in.
fn folder(dir: Option<&Path>) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) => dir.to_owned(),
        None => std::env::temp_dir().join(format!("volchunk-demo-{}", std::process::id())),
    };
    match fs::create_dir(&dir) {
        Err(e) if !dir.is_dir() => Err(Error::io(format_args!("--dir {}", dir.display()), e)),
        _ => Ok(dir),
    }
}

/// The volume as OME-Zarr, computed chunk by chunk by the engine itself.
fn write_cells(volume: &Cells, path: &Path, cancel: &AtomicBool) -> Result<()> {
    let pipeline = Pipeline::new(vec![volume.info().clone()]);
    let plan = plan(&PlanRequest {
        pipeline: &pipeline,
        roi: None,
        // As the filter divides it.
        chunk: Some(volchunk::Coords::from_slice(&[16, 128, 128])),
        storage: StorageRequest::Chunked { chunk: None, shard: None },
        workers: None,
        memory: None,
        held: 0,
        read_overhead: volume.read_overhead(),
        write_overhead: &|info| write_overhead(Format::Zarr, info, &CreateOptions::default()),
        mask: None,
        skip_empty: false,
    })?;
    let options = CreateOptions { attributes: Some(own::attributes()), ..CreateOptions::default() };
    let sink = create(path, &plan.output, &options)?;
    let control = Control { cancel, ..Control::default() };
    volchunk::run(&plan, &pipeline, &[volume], &*sink, control).map(|_| ())
}

/// The result computed as one chunk, and the seconds that took.
fn filter_whole(
    pipeline: &Pipeline,
    source: &dyn Source,
    cancel: &AtomicBool,
) -> Result<(Buffer, f64)> {
    let out = pipeline.output();
    let plan = plan(&PlanRequest {
        pipeline,
        roi: None,
        chunk: Some(out.shape.clone()),
        storage: StorageRequest::Flat,
        workers: Some(1),
        // A few hundred megabytes, whatever is free.
        memory: Some(u64::MAX),
        held: 0,
        read_overhead: source.read_overhead(),
        write_overhead: &|_| Ok(0),
        mask: None,
        skip_empty: false,
    })?;
    let mut whole = Buffer::zeros(&out.shape, out.dtype);
    let sink = ArraySink::new(plan.output.clone(), whole.bytes_mut());
    let control = Control { cancel, ..Control::default() };
    let report = volchunk::run(&plan, pipeline, &[source], &sink, control)?;
    drop(sink);
    Ok((whole, report.elapsed.as_secs_f64()))
}

/// Voxels of `volume` that are not, bit for bit, those of `whole`.
fn count_differing(volume: &dyn Source, whole: &Buffer) -> Result<u64> {
    let size = whole.dtype().size();
    let mut differ = 0;
    for_each_plane(volume, |z, plane| {
        let expected = &whole.bytes()[z * plane.bytes().len()..][..plane.bytes().len()];
        let pairs = plane.bytes().chunks(size).zip(expected.chunks(size));
        differ += pairs.filter(|(a, b)| a != b).count() as u64;
    })?;
    Ok(differ)
}

/// Calls `visit` with the number and the voxels of every plane of the first axis.
fn for_each_plane(volume: &dyn Source, mut visit: impl FnMut(usize, &Buffer)) -> Result<()> {
    let info = volume.info();
    let mut shape = info.shape.clone();
    let planes = std::mem::replace(&mut shape[0], 1);
    let mut plane = Buffer::zeros(&shape, info.dtype);
    let mut scratch = Scratch::new();
    let mut start = volchunk::Coords::from_elem(0, shape.len());
    for z in 0..planes {
        start[0] = z;
        volume.read(&Region::new(&start, &shape), plane.view_mut(), &mut scratch)?;
        visit(z as usize, &plane);
    }
    Ok(())
}
