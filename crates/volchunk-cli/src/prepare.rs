//! From a config to a plan: everything that is checked before the disk is touched.

use std::{fs, path::Path};

use volchunk::{
    Error, ErrorKind, Pipeline, Plan, PlanRequest, Result, Source, StorageRequest, plan,
};
use volchunk_io::{CreateOptions, Format, describe, open, write_overhead};
use volchunk_ops::{OpSpec, bind_chain, pass_bytes};

use crate::{
    config::{Config, Description, Lengths, Limits, Target},
    fingerprint::Fingerprint,
    job::Job,
    selection::Selected,
};

/// A job that is ready to run.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) source: Box<dyn Source>,
    pub(crate) pipeline: Pipeline,
    pub(crate) selected: Selected,
    pub(crate) plan: Plan,
    /// Of the input, before any of it was read.
    pub(crate) fingerprint: Fingerprint,
}

/// Opens a volume as the user describes it.
pub(crate) fn open_input(path: &Path, description: &Description) -> Result<Box<dyn Source>> {
    let Description { axes, voxel_size } = description;
    let names = ["--axes", "--voxel-size"];
    describe(open(path)?, axes.as_deref(), voxel_size.as_deref(), names)
}

/// Refuses an output that could harm the input, or that has no folder to stand in.
pub(crate) fn check_places(config: &Config) -> Result<()> {
    let (input, output) = (&config.input, &config.output);
    if volchunk_io::same_or_inside(input, output) {
        return Err(Error::argument(format!(
            "the output {} is, holds or lies inside the input {}; legal: a place apart from it",
            output.display(),
            input.display()
        )));
    }
    if let Some(mask) = &config.selection.mask
        && volchunk_io::same_or_inside(mask, output)
    {
        return Err(Error::argument(format!(
            "the output {} is, holds or lies inside the --mask {}; legal: a place apart from it",
            output.display(),
            mask.display()
        )));
    }
    let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(parent) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(
            ErrorKind::Io,
            format!("the output {}: {} is no folder", output.display(), parent.display()),
        )),
        Err(e) => Err(Error::io(
            format_args!("the output {} needs the folder {}", output.display(), parent.display()),
            e,
        )),
    }
}

/// Opens the input, binds the ops, plans.
pub(crate) fn prepare(config: Config, limits: Limits) -> Result<Prepared> {
    check_places(&config)?;
    let source = open_input(&config.input, &config.description)?;
    let mut fingerprint = Fingerprint::of(&config.input, source.info())?;
    if config.ops.iter().any(OpSpec::depends_on_whole) {
        fingerprint = fingerprint.of_whole(&*source)?;
    }
    let pipeline = bind_chain(&config.ops, source.info().clone())?;
    check_target(&config, &pipeline)?;
    let selected = Selected::open(&config.selection, &pipeline)?;
    let plan = plan_for(&config, &pipeline, source.read_overhead(), &selected, limits)?;
    Ok(Prepared { config, source, pipeline, selected, plan, fingerprint })
}

/// Refuses a table where voxels are made, and the other way round.
fn check_target(config: &Config, pipeline: &Pipeline) -> Result<()> {
    let last = pipeline.steps().last().map_or("no op", |step| step.op.name());
    let output = config.output.display();
    match (config.target, pipeline.columns()) {
        (Target::Table(_), None) => Err(Error::argument(format!(
            "the output {output} is a table, and {last} makes voxels; legal: .zarr, .npy, .tif; or \
             an op that makes a table at the end (log, dog)"
        ))),
        (Target::Volume(_), Some(_)) => Err(Error::argument(format!(
            "the output {output} is a volume, and op {last} makes a table; legal: .csv, .parquet, \
             _blobs.npz"
        ))),
        (Target::Table(_), Some(_)) if config.selection.fill.is_some() => Err(Error::argument(
            "--fill: a table has no voxels to fill; legal: --mask alone, and points outside of it \
             are left out",
        )),
        _ => Ok(()),
    }
}

/// The plan of `pipeline`, its result divided and stored as `config` asks.
pub(crate) fn plan_for(
    config: &Config,
    pipeline: &Pipeline,
    read_overhead: u64,
    selected: &Selected,
    limits: Limits,
) -> Result<Plan> {
    let out = pipeline.output();
    let for_axes = |l: &Lengths| l.for_axes(out);
    let storage = match config.target {
        Target::Volume(Format::Zarr) => StorageRequest::Chunked {
            chunk: config.storage_chunk.as_ref().map(for_axes).transpose()?,
            shard: config.shard.as_ref().map(for_axes).transpose()?,
        },
        _ => StorageRequest::Flat,
    };
    let request = PlanRequest {
        pipeline,
        roi: config.roi.as_ref().map(|r| r.region(out)).transpose()?,
        chunk: config.chunk.as_ref().map(for_axes).transpose()?,
        storage,
        workers: limits.workers,
        memory: limits.memory,
        held: pass_bytes(&config.ops, &pipeline.sources()[0], limits.workers)?,
        read_overhead,
        mask: selected.mask_source(),
        skip_empty: selected.skip_empty.is_some(),
        write_overhead: &|info| match config.target {
            Target::Volume(format) => write_overhead(format, info, &CreateOptions::default()),
            Target::Table(_) => Ok(0),
        },
    };
    plan(&request).map_err(|e| match e.kind() {
        ErrorKind::OverMemory => e.context("--memory"),
        ErrorKind::Misaligned if config.shard.is_some() => e.context("--shard"),
        ErrorKind::Misaligned => e.context("--storage-chunk"),
        _ => e,
    })
}

impl Prepared {
    /// Refuses an input, or a mask, that is not what it was when the job was prepared. Of what has files
    /// of its own for its parts, receipts tell.
    pub(crate) fn check_input(&self) -> Result<()> {
        self.fingerprint.check("input", &self.config.input, &*self.source)?;
        let path = self.config.selection.mask.as_deref();
        match path.zip(self.selected.mask_source()).zip(self.selected.fingerprint()) {
            Some(((path, source), print)) => print.check("mask", path, source),
            None => Ok(()),
        }
    }

    /// Divides the result as `job`, an earlier run of the same, did.
    ///
    /// # Errors
    /// That division does not fit under the cap.
    pub(crate) fn adopt(&mut self, job: &Job, limits: Limits) -> Result<()> {
        job.chunk_into(&mut self.config)?;
        self.plan_anew(limits)?;
        if job.storage_into(&mut self.config, &self.plan)? {
            self.plan_anew(limits)?;
        }
        Ok(())
    }

    fn plan_anew(&mut self, limits: Limits) -> Result<()> {
        let read_overhead = self.source.read_overhead();
        self.plan = plan_for(&self.config, &self.pipeline, read_overhead, &self.selected, limits)
            .map_err(|e| e.context("going on with the chunks of the run before"))?;
        Ok(())
    }

    /// The options of the output, its job recorded.
    pub(crate) fn create_options(&self, durable: bool) -> Result<CreateOptions> {
        let attributes = Some(Job::of(self)?.attributes(self.config.target)?);
        Ok(CreateOptions { attributes, durable, ..CreateOptions::default() })
    }
}
