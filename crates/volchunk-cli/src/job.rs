//! A job as JSON: in a file for `run --job`, and in the output that it made.

use std::{
    fmt::Debug,
    fs::{self, File},
    io::{ErrorKind as IoKind, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use volchunk::{Error, ErrorKind, Plan, Region, Result, StorageGrid};
use volchunk_io::{Format, companion_path, same_or_inside};
use volchunk_ops::Number;

use crate::{
    asked::{Asked, Given, GivenVolume},
    config::{Config, Description, Lengths, Roi, Selection, Target, parse_ops},
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
    /// What was done instead of ops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    function: Option<FunctionRecord>,
}

/// A function of a caller's own, instead of ops: what stands for it in a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionRecord {
    /// What its author calls it.
    pub name: String,
    /// Changed by its user whenever it changes: nothing else tells.
    pub version: String,
    /// `[before, behind]` for every axis of the input.
    pub depth: Vec<[u64; 2]>,
    /// For every axis; None: blocks end at the edge.
    pub boundary: Vec<Option<String>>,
    /// Of the result; None, where a job is asked for: any.
    pub dtype: Option<String>,
    /// How many channels the result has, and whether their axis is the first; that axis counts in
    /// no other field.
    pub channels: Option<(u64, bool)>,
    /// Of points: how far apart, on each axis as text, those of several chunks are one; None: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<Vec<String>>,
}

impl Job {
    /// The job of a plan: what the plan chose is written out, so that it runs alike elsewhere.
    ///
    /// What is not Unicode in a path is replaced, for JSON could not hold it.
    pub(crate) fn of(prepared: &Prepared) -> Result<Self> {
        let (config, grid) = (&prepared.config, &prepared.plan.grid);
        let storage = prepared.plan.output.storage.as_ref();
        // All of it is no region.
        let roi = (grid.domain() != &Region::whole(grid.volume()))
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
            function: None,
        })
    }

    /// The job of a caller that makes its own plan; `storage` is that plan's, as far as there is one.
    ///
    /// # Errors
    /// An op or a number that is none; a path that cannot be made absolute.
    pub(crate) fn of_given(given: &Given, storage: Option<&StorageGrid>) -> Result<Self> {
        let number = |text: &Option<String>, what| {
            let parse = |t: &String| Number::parse_voxel(t).map_err(|e| e.context(what));
            text.as_ref().map(parse).transpose().map(|n| n.map(|n| n.to_string()))
        };
        // What no path names is no place either.
        let place = |volume: &GivenVolume| match volume.fingerprint.is_of_path() {
            true => absolute(&volume.name).map(text),
            false => Ok(text(volume.name.clone())),
        };
        Ok(Self {
            volchunk_job: VERSION,
            input: place(&given.input)?,
            axes: given.input.axes.clone(),
            voxel_size: given.input.voxel_size.clone(),
            ops: parse_ops(&given.ops)?.iter().map(ToString::to_string).collect(),
            roi: given.roi.clone(),
            chunk: given.chunk.clone(),
            storage_chunk: storage.map(|s| s.chunk.to_vec()),
            shard: storage.and_then(|s| s.shard.as_ref()).map(|s| s.to_vec()),
            pyramid: false,
            output: text(absolute(&given.output)?),
            mask: given.mask.as_ref().map(place).transpose()?,
            fill: number(&given.fill, "fill")?,
            skip_empty: number(&given.skip_empty, "skip_empty")?,
            input_state: Some(given.input.fingerprint.clone()),
            mask_state: given.mask.as_ref().map(|mask| mask.fingerprint.clone()),
            function: given.function.clone(),
        })
    }

    /// What an earlier run of a job settled that it was free to choose: the chunk, what the function
    /// gives.
    pub(crate) fn settled(&self) -> (Option<Vec<u64>>, Option<FunctionRecord>) {
        (self.chunk.clone(), self.function.clone())
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

    /// Keeps the job beside an output that has no attributes of its own.
    pub(crate) fn record_beside(&self, output: &Path) -> Result<()> {
        if Target::of_output(output)? == Target::Volume(Format::Zarr) {
            return Ok(());
        }
        let folder = companion_path(output);
        fs::create_dir_all(&folder)
            .map_err(|e| Error::io(format_args!("writing {}", folder.display()), e))?;
        self.record(&folder.join("job.json"))
    }

    fn record(&self, path: &Path) -> Result<()> {
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

    /// Whether a function of a caller's does it.
    pub(crate) fn is_of_function(&self) -> bool {
        self.function.is_some()
    }

    /// Where the mask is, if there is one.
    ///
    /// # Errors
    /// A mask that only the program that made it held.
    pub(crate) fn mask(&self) -> Result<Option<&Path>> {
        held(self.mask_state.as_ref(), "mask").map(|()| self.mask.as_deref())
    }

    /// The ops as text.
    pub(crate) fn ops(&self) -> &[String] {
        &self.ops
    }

    /// What the job asks for, checked.
    ///
    /// # Errors
    /// What cannot be; a function of another program, or an input that it held, which are not here.
    pub(crate) fn config(self) -> Result<Config> {
        if let Some(FunctionRecord { name, version, .. }) = &self.function {
            return Err(Error::unsupported(format!(
                "{name}, version {version:?}, computed it, a function that only its own program has"
            )));
        }
        held(self.input_state.as_ref(), "input")?;
        held(self.mask_state.as_ref(), "mask")?;
        let lengths =
            |values: Option<Vec<u64>>, what| values.map(|v| Lengths::new(v, what)).transpose();
        let config = Config {
            target: Target::of_output(&self.output)?,
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
    pub(crate) fn attributes(&self, target: Target) -> Result<Value> {
        let job = serde_json::to_value(self)
            .map_err(|e| Error::argument(format!("the job cannot be recorded: {e}")))?;
        Ok(match target {
            Target::Volume(Format::Zarr) => serde_json::json!({ "job": job }),
            _ => job,
        })
    }

    /// The job that an output's attributes hold, if they hold one that this version knows.
    pub(crate) fn from_attributes(attributes: &Value) -> Option<Self> {
        let job = attributes.get("job").unwrap_or(attributes);
        Self::from_json(job.clone()).ok()
    }

    /// What of an output of `self` is not as is asked for; none, and it is its output.
    ///
    /// Its voxels must be the same, and what was asked of its storage. The chunk is left out: no
    /// voxel depends on it, and a plan chooses it anew by the memory that happens to be free.
    pub(crate) fn differences(&self, asked: &Asked) -> Vec<String> {
        let wanted = &asked.job;
        let same =
            |a: &Path, b: &Path| a == b || fs::canonicalize(a).ok() == fs::canonicalize(b).ok();
        let mut differs = Vec::new();
        let mut compare = |what: &str, same: bool, there: String, here: String| {
            if !same {
                differs.push(format!("{what}: {there} there, {here} here"));
            }
        };
        let path = |job: &Self| job.input.display().to_string();
        compare("input", same(&self.input, &wanted.input), path(self), path(wanted));
        let ops = |job: &Self| match job.ops.is_empty() {
            true => "none".into(),
            false => job.ops.join(" "),
        };
        compare("ops", self.ops == wanted.ops, ops(self), ops(wanted));
        let axes = |job: &Self| shown(&job.axes);
        let function = |job: &Self| shown(&job.function.as_ref().map(|f| &f.name));
        let alike = self.function.is_some() == wanted.function.is_some();
        compare("function", alike, function(self), function(wanted));
        if let (Some(own), Some(other)) = (&self.function, &wanted.function) {
            compare("function", own.name == other.name, own.name.clone(), other.name.clone());
            let version = |f: &FunctionRecord| format!("{:?}", f.version);
            compare("version", own.version == other.version, version(own), version(other));
            let depth = |f: &FunctionRecord| format!("{:?}", f.depth);
            compare("depth", own.depth == other.depth, depth(own), depth(other));
            let boundary = |f: &FunctionRecord| {
                let names = f.boundary.iter().map(|b| b.as_deref().unwrap_or("none"));
                names.collect::<Vec<_>>().join(", ")
            };
            compare("boundary", own.boundary == other.boundary, boundary(own), boundary(other));
            let dtype = |f: &FunctionRecord| f.dtype.clone().unwrap_or_else(|| "any".into());
            let alike = other.dtype.is_none() || own.dtype == other.dtype;
            compare("dtype", alike, dtype(own), dtype(other));
            let dedupe =
                |f: &FunctionRecord| f.dedupe.as_ref().map_or("none".into(), |d| d.join(", "));
            compare("dedupe", own.dedupe == other.dedupe, dedupe(own), dedupe(other));
        }
        compare("axes", self.axes == wanted.axes, axes(self), axes(wanted));
        let size = |job: &Self| shown(&job.voxel_size);
        compare("voxel size", self.voxel_size == wanted.voxel_size, size(self), size(wanted));
        let roi = |job: &Self| shown(&job.roi);
        compare("region", self.roi == wanted.roi, roi(self), roi(wanted));
        let mask =
            |job: &Self| job.mask.as_ref().map_or("none".into(), |m| m.display().to_string());
        let alike = match (&self.mask, &wanted.mask) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a == b,
        };
        compare("mask", alike, mask(self), mask(wanted));
        let fill = |job: &Self| job.fill.clone().unwrap_or_else(|| "0".into());
        compare("fill", fill(self) == fill(wanted), fill(self), fill(wanted));
        let skip = |job: &Self| shown(&job.skip_empty);
        let alike = self.skip_empty == wanted.skip_empty;
        compare("skipped value", alike, skip(self), skip(wanted));
        let levels = |job: &Self| if job.pyramid { "a pyramid" } else { "one" }.to_owned();
        compare("levels", self.pyramid == wanted.pyramid, levels(self), levels(wanted));
        let chunk = |job: &Self| shown(&job.storage_chunk);
        let alike = !asked.storage_chunk || self.storage_chunk == wanted.storage_chunk;
        compare("storage chunk", alike, chunk(self), chunk(wanted));
        let shard = |job: &Self| shown(&job.shard);
        let alike = !asked.shard || self.shard == wanted.shard;
        compare("shard", alike, shard(self), shard(wanted));
        differs
    }

    /// The chunk of `self`, where another one was asked for.
    pub(crate) fn division_differs(&self, asked: &Asked) -> Option<String> {
        let (own, wanted) = (&self.chunk, &asked.job.chunk);
        let differs = asked.chunk && own != wanted;
        differs.then(|| format!("chunk: {} there, {} here", shown(own), shown(wanted)))
    }

    /// Makes `config` ask for the chunk of `self`.
    pub(crate) fn chunk_into(&self, config: &mut Config) -> Result<()> {
        config.chunk = self.chunk.clone().map(|v| Lengths::new(v, "chunk")).transpose()?;
        Ok(())
    }

    /// Makes `config` ask for the storage chunk and the shard of `self`, if those that `plan` has chosen
    /// by the chunk are others; whether they are.
    pub(crate) fn storage_into(&self, config: &mut Config, plan: &Plan) -> Result<bool> {
        let chosen = plan.output.storage.as_ref();
        let chunk = chosen.map(|s| s.chunk.to_vec());
        let shard = chosen.and_then(|s| s.shard.as_ref()).map(|s| s.to_vec());
        if (&chunk, &shard) == (&self.storage_chunk, &self.shard) {
            return Ok(false);
        }
        let lengths =
            |v: &Option<Vec<u64>>, what| v.clone().map(|v| Lengths::new(v, what)).transpose();
        config.storage_chunk = lengths(&self.storage_chunk, "storage_chunk")?;
        config.shard = lengths(&self.shard, "shard")?;
        Ok(true)
    }

    /// What of the input and the mask is known to be another than when the output was made. Where
    /// there are `receipts`, these tell of parts of them that have files of their own.
    pub(crate) fn changed(&self, asked: &Asked, receipts: bool) -> Option<String> {
        let wanted = &asked.job;
        let volumes = [
            ("input", Some(&wanted.input), &self.input_state, &wanted.input_state),
            ("mask", wanted.mask.as_ref(), &self.mask_state, &wanted.mask_state),
        ];
        volumes.into_iter().find_map(|(what, path, was, is)| {
            let (path, was, is) = (path?.display(), was.as_ref()?, is.as_ref());
            if was.is_unknown() {
                return Some(format!("nothing tells whether the {what}, {path}, changed"));
            }
            let same = is.is_some_and(|is| was.agrees(is, receipts));
            (!same).then(|| format!("the {what} {path} changed"))
        })
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

/// Refuses a volume, called `what`, that no path names.
fn held(state: Option<&Fingerprint>, what: &str) -> Result<()> {
    if state.is_none_or(Fingerprint::is_of_path) {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "the {what} is no volume in a file: the program that made it held it"
    )))
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
