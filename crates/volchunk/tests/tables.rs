//! Ops that make tables: the same rows whatever the grid, the workers, the mask's or a kill's doing.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use volchunk::{
    ArraySource, AxisNeed, Block, Boundary, Buffer, ChunkGrid, Control, Dtype, Journal, Mask, Op,
    Pipeline, Plan, PlanRequest, Port, Region, Result, RunOptions, Scratch, Source, Spool,
    StorageRequest, VolumeInfo, plan, run_with, sweep,
};

/// Voxels above both neighbours on every axis, and their value.
#[derive(Debug)]
struct Peaks {
    ports: [Port; 1],
    output: [Port; 1],
    needs: Vec<AxisNeed>,
}

impl Peaks {
    fn new(info: VolumeInfo) -> Self {
        let needs =
            (0..info.ndim()).map(|a| AxisNeed::identity(a).with_halo(1, 1, Boundary::Nearest));
        let output = VolumeInfo { dtype: Dtype::U8, ..info.clone() };
        Self { needs: needs.collect(), ports: [Port::image(info)], output: [Port::image(output)] }
    }
}

impl Op for Peaks {
    fn name(&self) -> &'static str {
        "peaks"
    }
    fn inputs(&self) -> &[Port] {
        &self.ports
    }
    fn outputs(&self) -> &[Port] {
        &self.output
    }
    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }
    fn columns(&self) -> Option<u64> {
        Some(self.needs.len() as u64 + 1)
    }
    fn keeps_constant(&self) -> bool {
        true
    }
    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let shape: Vec<u64> = region.shape().iter().map(|n| n + 2).collect();
        let mut padded = Buffer::zeros(&shape, Dtype::U8);
        inputs[0].copy_padded(padded.view_mut());
        let voxels = padded.as_slice::<u8>();
        let [rows, columns] = [region.shape()[0], region.shape()[1]];
        let mut found = Vec::new();
        for (y, x) in (0..rows).flat_map(|y| (0..columns).map(move |x| (y, x))) {
            let at = |y: u64, x: u64| voxels[(y * shape[1] + x) as usize];
            let own = at(y + 1, x + 1);
            let beside = [at(y, x + 1), at(y + 2, x + 1), at(y + 1, x), at(y + 1, x + 2)];
            if beside.iter().all(|&v| v < own) {
                let place = [y + region.start()[0], x + region.start()[1]];
                found.extend([place[0] as f64, place[1] as f64, f64::from(own)]);
            }
        }
        outputs[0] = Buffer::from_slice(&[found.len() as u64 / 3, 3], &found);
        Ok(())
    }
}

struct Work<'a> {
    source: ArraySource<'a>,
    pipeline: Pipeline,
    plan: Plan,
}

fn work<'a>(
    volume: &'a Buffer,
    chunk: &[u64],
    roi: Option<Region>,
    workers: usize,
    (mask, skip_empty): (Option<&dyn Source>, bool),
) -> Work<'a> {
    let source = ArraySource::new(volume.view());
    let op = Peaks::new(source.info().clone());
    let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _]).unwrap();
    let request = PlanRequest {
        pipeline: &pipeline,
        roi,
        chunk: Some(chunk.iter().copied().collect()),
        storage: StorageRequest::Flat,
        workers: Some(workers),
        memory: None,
        held: 0,
        read_overhead: 0,
        mask,
        skip_empty,
        write_overhead: &|_| Ok(0),
    };
    let plan = plan(&request).unwrap();
    Work { source, pipeline, plan }
}

impl Work<'_> {
    fn spool(&self) -> Spool {
        Spool::temporary(self.plan.output.clone(), &self.plan.grid, 3).unwrap()
    }

    fn run(&self, spool: &Spool, options: &RunOptions<'_>) -> volchunk::Report {
        run_with(&self.plan, &self.pipeline, &[&self.source], spool, options).unwrap()
    }
}

fn all(spool: &Spool) -> Vec<f64> {
    let mut rows = Vec::new();
    sweep(&[spool], 1 << 20, &mut |batch| {
        rows.extend_from_slice(batch);
        Ok(())
    })
    .unwrap();
    rows
}

fn whole(volume: &Buffer) -> Vec<f64> {
    let work = work(volume, volume.shape(), None, 1, (None, false));
    let region = Region::whole(volume.shape());
    let table = work.pipeline.compute(&[&work.source], &region, &mut Scratch::new()).unwrap();
    table.as_slice().to_vec()
}

proptest! {
    /// On any grid, over any region, under any mask: the rows of the whole that count.
    #[test]
    fn tables_do_not_show_the_grid(
        shape in [1u64..30, 1u64..30],
        chunk in [1u64..12, 1u64..12],
        workers in 1usize..4,
        seed: u32,
        masked: bool,
        skip_empty: bool,
        part: bool,
    ) {
        let voxel = |k: u64, n: u32| {
            (k as u32 ^ seed).wrapping_mul(2_654_435_761).rotate_left(9).wrapping_mul(n) >> 28
        };
        let count = shape[0] * shape[1];
        // Much of it empty, so that there are chunks to skip.
        let values: Vec<u8> = (0..count)
            .map(|k| if k % shape[1] < shape[1] / 2 { 0 } else { voxel(k, 7) as u8 })
            .collect();
        let volume = Buffer::from_slice(&shape, &values);
        let inside: Vec<u8> =
            (0..count).map(|k| u8::from(!masked || voxel(k / 17, 13) > 5)).collect();
        let inside = Buffer::from_slice(&shape, &inside);
        let inside_source = ArraySource::new(inside.view());
        let roi = part.then(|| {
            Region::from_ranges(shape.map(|n| n / 3..n))
        });
        let mask_source: Option<&dyn Source> = if masked { Some(&inside_source) } else { None };
        let work = work(&volume, &chunk, roi.clone(), workers, (mask_source, skip_empty));
        let fill = Buffer::zeros(&[], Dtype::U8);
        let mask = mask_source.map(|m| Mask::new(m, fill, work.pipeline.output()).unwrap());
        let zero = Buffer::zeros(&[], Dtype::U8);
        let spool = work.spool();
        let options = RunOptions {
            mask: mask.as_ref(),
            skip_empty: skip_empty.then_some(&zero),
            ..RunOptions::default()
        };
        work.run(&spool, &options);
        let expected: Vec<f64> = whole(&volume)
            .chunks(3)
            .filter(|row| {
                let at = [row[0] as u64, row[1] as u64];
                inside.as_slice::<u8>()[(at[0] * shape[1] + at[1]) as usize] != 0
                    && roi.as_ref().is_none_or(|r| {
                        r.ranges().zip(at).all(|(range, at)| range.contains(&at))
                    })
            })
            .flatten()
            .copied()
            .collect();
        prop_assert_eq!(all(&spool), expected);
    }
}

/// What was done is not done again; what is damaged is.
#[test]
fn tables_are_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let values: Vec<u8> =
        (0..400u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 25) as u8).collect();
    let volume = Buffer::from_slice(&[20, 20], &values);
    let work = work(&volume, &[5, 5], None, 2, (None, false));
    let (grid, info) = (&work.plan.grid, work.plan.output.clone());
    let path = folder.path().join("0.spool");
    let journal = Journal::create(&folder.path().join("0.journal"), "peaks", 0..16, false).unwrap();
    let half = RunOptions { journal: Some(&journal), ..RunOptions::default() };
    let stop = std::sync::atomic::AtomicBool::new(false);
    {
        let spool = Spool::open(&path, info.clone(), grid, Some(3), false).unwrap();
        let progress = |p: volchunk::Progress| {
            stop.store(p.chunks_done >= 6, std::sync::atomic::Ordering::Relaxed);
        };
        let control = Control { cancel: &stop, progress: &progress };
        let options = RunOptions { control, ..half.clone() };
        let stopped = run_with(&work.plan, &work.pipeline, &[&work.source], &spool, &options);
        assert!(stopped.unwrap_err().is_cancelled());
    }
    let done = journal.done();
    assert!((6..16).contains(&done));
    let spool = Spool::open(&path, info.clone(), grid, Some(3), false).unwrap();
    let report = work.run(&spool, &half);
    assert_eq!((report.kept, report.chunks), (done, 16 - done));
    assert_eq!(all(&spool), whole(&volume));
    drop(spool);
    // A row altered behind our back: seen when rows are read back, and mended.
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 64;
    std::fs::write(&path, &bytes).unwrap();
    let spool = Spool::open(&path, info, grid, Some(3), false).unwrap();
    assert!(sweep(&[&spool], 1 << 20, &mut |_| Ok(())).is_err());
    let report = work.run(&spool, &RunOptions { check: true, ..half.clone() });
    assert_eq!((report.damaged, report.kept), (1, 15));
    assert_eq!(all(&spool), whole(&volume));
}

#[test]
fn nothing_follows_a_table() {
    let info = VolumeInfo::new(&[4, 4], Dtype::U8);
    let mut pipeline = Pipeline::new(vec![info.clone()]);
    let table = pipeline.push(Box::new(Peaks::new(info.clone())), &[volchunk::Input::Source(0)]);
    let error = pipeline.push(Box::new(Peaks::new(info)), &[table.unwrap()]).unwrap_err();
    assert!(error.to_string().contains("last op"), "{error}");
    assert_eq!(pipeline.columns(), Some(3));
    let other = ChunkGrid::new(&[4, 4], &[4, 4]).unwrap();
    assert!(Spool::read("no such file".as_ref(), pipeline.output().clone(), &other).is_err());
}
