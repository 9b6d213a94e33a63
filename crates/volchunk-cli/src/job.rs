//! A job as JSON: in a file for `run --job`, and in the output that it made.

use std::{
    fmt::Debug,
    fs::{self, File},
    io::{ErrorKind as IoKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use volchunk::{Error, ErrorKind, Result};
use volchunk_io::{Format, same_or_inside};

use crate::{
    config::{Config, Description, Lengths, Roi, Selection, parse_ops},
    fingerprint::Fingerprint,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask: Option<PathBuf>,
    /// A number as text, since a float may not survive JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fill: Option<String>,
    /// As `fill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skip_empty: Option<String>,
    /// As `input`.
    output: PathBuf,
    /// What the input was when the output was made of it; only an output's own job has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_state: Option<Fingerprint>,
    /// The same of the mask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask_state: Option<Fingerprint>,
}

impl Job {
    /// The job of a plan: what the plan chose is written out, so that it runs alike elsewhere.
    ///
    /// What is not Unicode in a path is replaced, for JSON could not hold it.
    pub(crate) fn of(prepared: &Prepared) -> Result<Self> {
        let (config, grid) = (&prepared.config, &prepared.plan.grid);
        let storage = prepared.plan.output.storage.as_ref();
        let roi = config
            .roi
            .is_some()
            .then(|| grid.domain().ranges().map(|r| [r.start, r.end]).collect());
        Ok(Self {
            volchunk_job: VERSION,
            input: text(absolute(&config.input)?),
            axes: config.description.axes.clone(),
            voxel_size: config.description.voxel_size.clone(),
            ops: config.ops.iter().map(ToString::to_string).collect(),
            roi,
            chunk: Some(grid.chunk_shape().to_vec()),
            storage_chunk: storage.map(|s| s.chunk.to_vec()),
            shard: storage.and_then(|s| s.shard.as_ref()).map(|s| s.to_vec()),
            pyramid: config.pyramid,
            output: text(absolute(&config.output)?),
            mask: config.selection.mask.as_deref().map(absolute).transpose()?.map(text),
            fill: config.selection.fill.map(|number| number.to_string()),
            skip_empty: config.selection.skip_empty.map(|number| number.to_string()),
            input_state: Some(prepared.fingerprint.clone()),
            mask_state: prepared.selected.fingerprint().cloned(),
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
        job.mask = job.mask.map(|mask| folder.join(mask));
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

    /// Writes the job of a plan at `path`, for [`read`](Self::read) anywhere.
    ///
    /// # Errors
    /// A place in the input or output; a file there that is no job; a path that is not Unicode;
    /// I/O.
    pub(crate) fn write_plan(prepared: &Prepared, path: &Path) -> Result<()> {
        let config = &prepared.config;
        let place = path.display();
        let mask = config.selection.mask.iter().map(|path| ("mask", path));
        let volumes = [("input", &config.input), ("output", &config.output)];
        for (what, volume) in volumes.into_iter().chain(mask) {
            if same_or_inside(volume, path) || same_or_inside(path, volume) {
                return Err(Error::argument(format!(
                    "{place} is, or lies inside, the {what} {}; legal: a place apart from it",
                    volume.display()
                )));
            }
            if volume.to_str().is_none() {
                return Err(Error::argument(format!(
                    "the path of the {what} {} is not Unicode, and a job file cannot name it",
                    volume.display()
                )));
            }
        }
        // Where it runs, the input may be a copy.
        let job = Self { input_state: None, mask_state: None, ..Self::of(prepared)? };
        let fail = |e| Error::io(format_args!("writing {place}"), e);
        match File::create_new(path) {
            Ok(mut file) => file.write_all(job.text()?.as_bytes()).map_err(fail),
            Err(e) if e.kind() == IoKind::AlreadyExists && is_job(path) => {
                fs::write(path, job.text()?).map_err(fail)
            }
            Err(e) if e.kind() == IoKind::AlreadyExists => Err(Error::new(
                ErrorKind::Exists,
                format!("{place} is there, and is no volchunk job; legal: a new file, or a job's"),
            )),
            Err(e) => Err(fail(e)),
        }
    }

    /// Writes the job of an output, at `path` in the folder that is kept beside it.
    pub(crate) fn record(&self, path: &Path) -> Result<()> {
        // Under another name until it is whole: a complete output must not lose its job to a kill.
        let new = path.with_extension("json.new");
        fs::write(&new, self.text()?)
            .and_then(|()| fs::rename(&new, path))
            .map_err(|e| Error::io(format_args!("writing {}", path.display()), e))
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|e| Error::argument(format!("the job cannot be recorded: {e}")))
    }

    /// The ops as text.
    pub(crate) fn ops(&self) -> &[String] {
        &self.ops
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
            selection: Selection::new(self.mask, self.fill.as_deref(), self.skip_empty.as_deref())?,
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

    /// What of an output of `self` is not as `prepared` asks for; none, and it is its output.
    ///
    /// Its voxels must be the same, and what was asked of its storage. The chunk is left out: no
    /// voxel depends on it, and a plan chooses it anew by the memory that happens to be free.
    pub(crate) fn differences(&self, prepared: &Prepared) -> Result<Vec<String>> {
        let wanted = Self::of(prepared)?;
        let config = &prepared.config;
        let same =
            |a: &Path, b: &Path| a == b || fs::canonicalize(a).ok() == fs::canonicalize(b).ok();
        let mut differs = Vec::new();
        let mut compare = |what: &str, same: bool, there: String, here: String| {
            if !same {
                differs.push(format!("{what}: {there} there, {here} here"));
            }
        };
        let path = |job: &Self| job.input.display().to_string();
        compare("input", same(&self.input, &wanted.input), path(self), path(&wanted));
        let ops = |job: &Self| match job.ops.is_empty() {
            true => "none".into(),
            false => job.ops.join(" "),
        };
        compare("ops", self.ops == wanted.ops, ops(self), ops(&wanted));
        let axes = |job: &Self| shown(&job.axes);
        compare("axes", self.axes == wanted.axes, axes(self), axes(&wanted));
        let size = |job: &Self| shown(&job.voxel_size);
        compare("voxel size", self.voxel_size == wanted.voxel_size, size(self), size(&wanted));
        let roi = |job: &Self| shown(&job.roi);
        compare("region", self.roi == wanted.roi, roi(self), roi(&wanted));
        let mask =
            |job: &Self| job.mask.as_ref().map_or("none".into(), |m| m.display().to_string());
        let alike = match (&self.mask, &wanted.mask) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a == b,
        };
        compare("mask", alike, mask(self), mask(&wanted));
        let fill = |job: &Self| job.fill.clone().unwrap_or_else(|| "0".into());
        compare("fill", fill(self) == fill(&wanted), fill(self), fill(&wanted));
        let skip = |job: &Self| shown(&job.skip_empty);
        let alike = self.skip_empty == wanted.skip_empty;
        compare("skipped value", alike, skip(self), skip(&wanted));
        let levels = |job: &Self| if job.pyramid { "a pyramid" } else { "one" }.to_owned();
        compare("levels", self.pyramid == wanted.pyramid, levels(self), levels(&wanted));
        let chunk = |job: &Self| shown(&job.storage_chunk);
        let alike = config.storage_chunk.is_none() || self.storage_chunk == wanted.storage_chunk;
        compare("storage chunk", alike, chunk(self), chunk(&wanted));
        let shard = |job: &Self| shown(&job.shard);
        let alike = config.shard.is_none() || self.shard == wanted.shard;
        compare("shard", alike, shard(self), shard(&wanted));
        Ok(differs)
    }

    /// The chunk of `self`, where `prepared` was asked for another one.
    pub(crate) fn division_differs(&self, prepared: &Prepared) -> Result<Option<String>> {
        let wanted = Self::of(prepared)?;
        let asked = prepared.config.chunk.is_some() && self.chunk != wanted.chunk;
        Ok(asked
            .then(|| format!("chunk: {} there, {} here", shown(&self.chunk), shown(&wanted.chunk))))
    }

    /// Makes `config` ask for the chunk of `self`, from which the storage chunks follow.
    pub(crate) fn chunk_into(&self, config: &mut Config) -> Result<()> {
        config.chunk = self.chunk.clone().map(|v| Lengths::new(v, "chunk")).transpose()?;
        Ok(())
    }

    /// What of the input and the mask is known to be another than when the output was made.
    pub(crate) fn changed(&self, prepared: &Prepared) -> Option<String> {
        let config = &prepared.config;
        if self.input_state.as_ref().is_some_and(|state| *state != prepared.fingerprint) {
            return Some(format!("the input {}", config.input.display()));
        }
        let other = |state: &Fingerprint| Some(state) != prepared.selected.fingerprint();
        let mask = config.selection.mask.as_ref();
        mask.filter(|_| self.mask_state.as_ref().is_some_and(other))
            .map(|mask| format!("the mask {}", mask.display()))
    }

    /// Whether an output of `self` is `input` filtered by `op` alone.
    pub(crate) fn is_plainly(&self, input: &Path, op: &str) -> bool {
        let wanted = fs::canonicalize(input).ok();
        let ops = parse_ops(&[op.to_owned()]).ok();
        wanted.is_some()
            && self.mask.is_none()
            && fs::canonicalize(&self.input).ok() == wanted
            && parse_ops(&self.ops).ok() == ops
    }
}

/// A value of a job in a message.
fn shown<T: Debug>(value: &Option<T>) -> String {
    value.as_ref().map_or("not given".into(), |v| format!("{v:?}"))
}

/// Whether the file at `path` is a job.
fn is_job(path: &Path) -> bool {
    /// No job is as long.
    const LIMIT: u64 = 1 << 20;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= LIMIT)
        && Job::read(path).is_ok()
}

/// `path` as text; what is not Unicode in it replaced.
fn text(path: PathBuf) -> PathBuf {
    match path.to_str() {
        Some(_) => path,
        None => path.to_string_lossy().into_owned().into(),
    }
}

/// `path` from the root, dots and all, so that a job does not depend on the working folder.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format_args!("{}", path.display()), e))
}
