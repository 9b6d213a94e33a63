//! What keeping promises costs: the journal beside a run without one, `reread` beside decoding
//! alone, the halo cache beside decoding every neighbour.
//!
//! `cargo bench -p volchunk-cli --bench promises [-- SIZE [verify]]` prints
//! `bench,case,metric,value,unit` lines; a volume of SIZE³ uint16 (512 if not given), Zarr to Zarr, two
//! workers. With `verify`, that alone is measured.

use std::{env, fs, path::Path, process::Command, sync::atomic::AtomicBool, time::Instant};

use volchunk::{
    Buffer, Coords, Dtype, ErrorKind, Journal, Pipeline, Plan, PlanRequest, Receipt, Region,
    Result, RunOptions, Scratch, Source, StorageRequest, VolumeInfo, digest, for_each_chunk, plan,
    reread, run_with,
};
use volchunk_io::{CreateOptions, Format, create, open, write_overhead};
use volchunk_ops::{OpSpec, bind_chain};

const WORKERS: usize = 2;
const ROUNDS: usize = 6;
const STORED: [u64; 3] = [64, 256, 256];

/// Cells are no matter here: noise of six bits on a slope, which compresses as noise does.
fn write_volume(path: &Path, size: u64) -> Result<()> {
    let shape = [size; 3];
    let info = VolumeInfo::new(&shape, Dtype::U16);
    let sink = create(path, &info, &CreateOptions::default())?;
    let mut state = 1u64;
    for z in 0..size {
        let plane: Vec<u16> = (0..size * size)
            .map(|k| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 58) as u16 + (k % size) as u16 / 4
            })
            .collect();
        let plane = Buffer::from_slice(&[1, size, size], &plane);
        let place = Region::from_ranges([z..z + 1, 0..size, 0..size]);
        sink.write(&place, plane.view(), &mut Scratch::new())?;
    }
    sink.finish()
}

fn planned(pipeline: &Pipeline, read_overhead: u64, chunk: &[u64]) -> Result<Plan> {
    plan(&PlanRequest {
        pipeline,
        roi: None,
        chunk: Some(Coords::from_slice(chunk)),
        storage: StorageRequest::Chunked { chunk: None, shard: None },
        workers: Some(WORKERS),
        memory: Some(4 << 30),
        held: 0,
        read_overhead,
        write_overhead: &|info| write_overhead(Format::Zarr, info, &CreateOptions::default()),
        mask: None,
        skip_empty: false,
    })
}

/// A job on the volume at `input`.
struct Job<'a> {
    folder: &'a Path,
    source: &'a dyn Source,
    pipeline: &'a Pipeline,
}

impl Job<'_> {
    /// Runs `plan` into an output that goes afterwards; seconds, and bytes decoded.
    fn run(&self, plan: &Plan, journal: bool) -> Result<(f64, u64)> {
        let (output, kept) = (self.folder.join("run.zarr"), self.folder.join("run.journal"));
        let _ = fs::remove_dir_all(&output);
        let sink = create(&output, &plan.output, &CreateOptions::default())?;
        let journal = journal
            .then(|| Journal::create(&kept, "bench", 0..plan.grid.len(), false))
            .transpose()?;
        let options = RunOptions { journal: journal.as_ref(), ..RunOptions::default() };
        let started = Instant::now();
        let report = run_with(plan, self.pipeline, &[self.source], &*sink, &options)?;
        Ok((started.elapsed().as_secs_f64(), report.decoded_bytes))
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<()> {
    let size = env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(512u64);
    let fail = |e| volchunk::Error::io("a temporary folder", e);
    let folder = tempfile::tempdir().map_err(fail)?;
    let at = |name: &str| folder.path().join(name);
    write_volume(&at("in.npy"), size)?;
    let program = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_volchunk"));
        let done = command.args(args).current_dir(folder.path()).output().map_err(fail)?;
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(volchunk::Error::new(
                ErrorKind::InvalidData,
                String::from_utf8_lossy(&done.stderr),
            )),
        }
    };
    let stored = STORED.map(|n| n.min(size).to_string()).join(",");
    program(&["convert", "in.npy", "in.zarr", "--chunk", &stored, "-q"])?;
    println!("bench,case,metric,value,unit");
    let source = open(&at("in.zarr"))?;
    let pipeline = bind_chain(&[OpSpec::parse("gaussian:sigma=2")?], source.info().clone())?;
    let job = Job { folder: folder.path(), source: &*source, pipeline: &pipeline };
    let all = !env::args().any(|a| a == "verify");
    for chunk in [STORED.map(|n| n.min(size)), [64.min(size); 3]].into_iter().filter(|_| all) {
        let plan = planned(&pipeline, source.read_overhead(), &chunk)?;
        let case = format!("gaussian sigma 2 {size}^3 in {} chunks", plan.grid.len());
        journal_cost(&job, &plan, &case)?;
        halo_decoding(&job, &plan, &case)?;
    }

    let args = ["run", "in.zarr", "out.zarr", "--op", "gaussian:sigma=2", "--workers", "2"];
    program(&[&args[..], &["--chunk", &stored, "-q"]].concat())?;
    reading_back(&folder.path().join("out.zarr"), &|| {
        let started = Instant::now();
        program(&["verify", "out.zarr", "--workers", "2"])?;
        Ok(started.elapsed().as_secs_f64())
    })
}

/// The same run with a journal and without, in turn.
fn journal_cost(job: &Job<'_>, plan: &Plan, case: &str) -> Result<()> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    job.run(plan, true)?;
    for round in 0..2 * ROUNDS {
        // In turn, and each as often first: what one leaves to be written delays the next.
        match [false, true, true, false][round % 4] {
            false => without.push(job.run(plan, false)?.0),
            true => with.push(job.run(plan, true)?.0),
        }
    }
    let (a, b) = (median(&mut without), median(&mut with));
    println!("journal,{case},without median,{a:.4},s");
    println!("journal,{case},with median,{b:.4},s");
    println!("journal,{case},cost of medians,{:.2},%", 100.0 * (b / a - 1.0));
    // Sorted by the medians.
    println!("journal,{case},cost of minima,{:.2},%", 100.0 * (with[0] / without[0] - 1.0));
    // The parts of it, which no busy neighbour hides: every voxel digested, a receipt a chunk.
    let core = Buffer::zeros(plan.grid.chunk_shape(), plan.output.dtype);
    let started = Instant::now();
    for _ in 0..plan.grid.len() {
        std::hint::black_box(digest(std::hint::black_box(&core)));
    }
    let digests = started.elapsed().as_secs_f64();
    let journal = Journal::create(&job.folder.join("alone"), "bench", 0..plan.grid.len(), false)?;
    let started = Instant::now();
    for number in 0..plan.grid.len() {
        journal.commit(Receipt { number, digest: 1, stored: 2, stamp: 3 })?;
    }
    let receipts = started.elapsed().as_secs_f64();
    println!("journal,{case},digests of all chunks on one thread,{digests:.4},s");
    println!("journal,{case},receipts of all chunks,{receipts:.6},s");
    let share = (digests / WORKERS as f64 + receipts) / without[0];
    println!("journal,{case},parts over the least run without,{:.2},%", 100.0 * share);
    Ok(())
}

/// Decoded over needed, without the halo cache and with it.
fn halo_decoding(job: &Job<'_>, plan: &Plan, case: &str) -> Result<()> {
    let mut without = plan.clone();
    without.memory.halo_cache = 0;
    let needed = job.source.info().bytes() as f64;
    for (what, plan) in [("without cache", &without), ("with cache", plan)] {
        let (seconds, decoded) = job.run(plan, true)?;
        println!("halo,{case},decoded {what},{:.3},x", decoded as f64 / needed);
        println!("halo,{case},time {what},{seconds:.3},s");
    }
    Ok(())
}

/// Every chunk read back and held against its digest, beside decoding every chunk.
fn reading_back(output: &Path, verify: &dyn Fn() -> Result<f64>) -> Result<()> {
    let mut name = output.as_os_str().to_owned();
    name.push(".volchunk/0.journal");
    let journal = Journal::read(Path::new(&name))?;
    let result = open(output)?;
    let info = result.info();
    let chunk = STORED.map(|n| n.min(info.shape[0]));
    let grid = volchunk::ChunkGrid::new(&info.shape, &chunk)?;
    let never = AtomicBool::new(false);
    let decode = || {
        let started = Instant::now();
        for_each_chunk(
            grid.len(),
            WORKERS,
            &never,
            |_| Ok(Scratch::new()),
            |scratch, number| {
                let core = grid.core(&grid.index_of(number));
                let mut voxels = scratch.take(core.shape(), info.dtype);
                result.read(&core, voxels.view_mut(), scratch)?;
                scratch.give(voxels);
                Ok(())
            },
        )?;
        Ok(started.elapsed().as_secs_f64())
    };
    let check = || {
        let started = Instant::now();
        let memory = (WORKERS, 4 << 30);
        let found = reread(&grid, &journal, &*result, memory, None, volchunk::Control::default())?;
        assert!(found.altered.is_empty());
        Ok::<f64, volchunk::Error>(started.elapsed().as_secs_f64())
    };
    let (mut decoding, mut checking, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        decoding.push(decode()?);
        checking.push(check()?);
        whole.push(verify()?);
    }
    let mebibytes = info.bytes() as f64 / f64::from(1 << 20);
    let case = format!("{mebibytes:.0} MiB float32 Zarr");
    for (what, seconds) in [
        ("decoding alone", &mut decoding),
        ("digests", &mut checking),
        ("volchunk verify with its audit of seams", &mut whole),
    ] {
        println!("verify,{case},{what} median,{:.0},MiB/s", mebibytes / median(seconds));
    }
    Ok(())
}
