//! A job as JSON: in a file for `run --job`, and in the output that it made.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use volchunk::{Error, Result};
use volchunk_io::Format;

use crate::{
    config::{Config, Description, Lengths, Roi, parse_ops},
    prepare::Prepared,
};

/// The version of the form below. A change of meaning is a new number; older ones stay readable.
const VERSION: u64 = 1;

/// A job as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// [`VERSION`].
    volchunk_job: u64,
    /// Absolute, or relative to the job file's folder.
    input: PathBuf,
    #[serde(default)]
    axes: Option<String>,
    /// µm.
    #[serde(default)]
    voxel_size: Option<Vec<f64>>,
    ops: Vec<String>,
    /// `[start, stop]` for every axis of the result.
    #[serde(default)]
    roi: Option<Vec<[u64; 2]>>,
    #[serde(default)]
    chunk: Option<Vec<u64>>,
    #[serde(default)]
    storage_chunk: Option<Vec<u64>>,
    #[serde(default)]
    shard: Option<Vec<u64>>,
    /// Whether coarser levels are written too.
    #[serde(default)]
    pyramid: bool,
    /// As `input`.
    output: PathBuf,
}

impl Job {
    /// The job of a plan: what the plan chose is written out, so that it runs alike elsewhere.
    pub(crate) fn of(prepared: &Prepared) -> Result<Self> {
        let (config, grid) = (&prepared.config, &prepared.plan.grid);
        let storage = prepared.plan.output.storage.as_ref();
        let roi = config
            .roi
            .is_some()
            .then(|| grid.domain().ranges().map(|r| [r.start, r.end]).collect());
        Ok(Self {
            volchunk_job: VERSION,
            input: absolute(&config.input)?,
            axes: config.description.axes.clone(),
            voxel_size: config.description.voxel_size.clone(),
            ops: config.ops.iter().map(ToString::to_string).collect(),
            roi,
            chunk: Some(grid.chunk_shape().to_vec()),
            storage_chunk: storage.map(|s| s.chunk.to_vec()),
            shard: storage.and_then(|s| s.shard.as_ref()).map(|s| s.to_vec()),
            pyramid: config.pyramid,
            output: absolute(&config.output)?,
        })
    }

    /// Reads the job file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let text = fs::read(path).map_err(|e| Error::io(format_args!("--job {place}"), e))?;
        let mut job = serde_json::from_slice(&text)
            .map_err(|e| Error::data(format!("{e}")))
            .and_then(Self::from_json)
            .map_err(|e| e.context(format_args!("--job {place}")))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        job.input = folder.join(job.input);
        job.output = folder.join(job.output);
        Ok(job)
    }

    /// The job in `value`, its version first: a newer form may differ in any other field.
    fn from_json(value: Value) -> Result<Self> {
        match value.get("volchunk_job").map(Value::as_u64) {
            None => {
                return Err(Error::data("no volchunk job: the field 'volchunk_job' is missing"));
            }
            Some(Some(VERSION)) => {}
            Some(Some(version)) if version > VERSION => {
                return Err(Error::unsupported(format!(
                    "the job's format is version {version}; this volchunk reads version {VERSION}: \
                     a newer volchunk wrote it"
                )));
            }
            Some(_) => {
                return Err(Error::data(format!(
                    "the job's format version is {}; legal: {VERSION}",
                    value["volchunk_job"]
                )));
            }
        }
        serde_json::from_value(value).map_err(|e| Error::data(e.to_string()))
    }

    /// Writes the job file at `path`.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::argument(format!("--write-job: {e}")))?;
        fs::write(path, text + "\n")
            .map_err(|e| Error::io(format_args!("--write-job {}", path.display()), e))
    }

    /// What the job asks for, checked.
    pub(crate) fn config(self) -> Result<Config> {
        let lengths =
            |values: Option<Vec<u64>>, what| values.map(|v| Lengths::new(v, what)).transpose();
        let config = Config {
            format: Format::of_output(&self.output)?,
            input: self.input,
            output: self.output,
            description: Description { axes: self.axes, voxel_size: self.voxel_size },
            ops: parse_ops(&self.ops)?,
            roi: self.roi.as_deref().map(Roi::from_pairs),
            chunk: lengths(self.chunk, "chunk")?,
            storage_chunk: lengths(self.storage_chunk, "storage_chunk")?,
            shard: lengths(self.shard, "shard")?,
            pyramid: self.pyramid,
        };
        config.check_storage()?;
        Ok(config)
    }

    /// The job as an output keeps it: a Zarr under `job` in its attributes, a file as all of
    /// `OUTPUT.volchunk/job.json`.
    pub(crate) fn attributes(&self, format: Format) -> Result<Value> {
        let job = serde_json::to_value(self)
            .map_err(|e| Error::argument(format!("the job cannot be recorded: {e}")))?;
        Ok(match format {
            Format::Zarr => serde_json::json!({ "job": job }),
            _ => job,
        })
    }

    /// The job that an output's attributes hold, if they hold one that this version knows.
    pub(crate) fn from_attributes(attributes: &Value) -> Option<Self> {
        let job = attributes.get("job").unwrap_or(attributes);
        Self::from_json(job.clone()).ok()
    }

    /// Whether an output of `self` is the output that `config` asks for.
    ///
    /// Its voxels must be the same, and what was asked of its storage. The chunk is left out: no
    /// voxel depends on it, and a plan chooses it anew by the memory that happens to be free.
    pub(crate) fn satisfies(&self, prepared: &Prepared) -> Result<bool> {
        let wanted = Self::of(prepared)?;
        let config = &prepared.config;
        let same =
            |a: &Path, b: &Path| a == b || fs::canonicalize(a).ok() == fs::canonicalize(b).ok();
        Ok(same(&self.input, &wanted.input)
            && self.axes == wanted.axes
            && self.voxel_size == wanted.voxel_size
            && self.ops == wanted.ops
            && self.roi == wanted.roi
            && self.pyramid == wanted.pyramid
            && (config.storage_chunk.is_none() || self.storage_chunk == wanted.storage_chunk)
            && (config.shard.is_none() || self.shard == wanted.shard))
    }
}

/// `path` from the root, dots and all, so that a job does not depend on the working folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format_args!("{}", path.display()), e))
}
