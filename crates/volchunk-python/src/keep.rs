//! What stands for a job in a journal: its volumes, its function, how it is to go on.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
};

use pyo3::prelude::*;
use volchunk::{
    Buffer, Error, Journal, Origin, Plan, Region, Result, RunOptions, Scratch, Source, StorageGrid,
    digest, for_each_chunk,
};
use volchunk_cli::{
    Asked, Content, Fingerprint, Found, FunctionRecord, Given, GivenVolume, Wanted,
};
use volchunk_io::has_journal;
use volchunk_ops::OpSpec;

use crate::{error::to_python, job::parse, object::pieces, volume::VolumeSource, watch::Watch};

/// A volume that a job reads, as a journal knows it again.
#[pyclass(frozen, module = "volchunk._native")]
pub(crate) struct Known {
    volume: GivenVolume,
    source: Arc<dyn Source>,
}

#[pymethods]
impl Known {
    /// `name` is a path, or what it is to be called. It is known again by, `how`: "path", the files
    /// there; "digest", its voxels; "layout", the file at `name` and the place in it that `word`
    /// says; "version", `word`; or "unknown", not at all. `axes` and `voxel_size` are what the user
    /// has replaced; `ops` what is done with it, which may depend on all of it.
    #[new]
    #[pyo3(signature = (source, name, how, word, axes, voxel_size, ops=Vec::new()))]
    #[expect(clippy::too_many_arguments, reason = "names and places of one call from Python")]
    fn new(
        py: Python<'_>,
        source: PyRef<'_, VolumeSource>,
        name: PathBuf,
        how: &str,
        word: Option<String>,
        axes: Option<String>,
        voxel_size: Option<Vec<f64>>,
        ops: Vec<String>,
    ) -> PyResult<Self> {
        let ops = parse(&ops)?;
        let source = source.source.clone();
        let word = word.unwrap_or_default();
        // Watched, for a digest is one of all voxels.
        let fingerprint = Watch::silent().over(py, |control| {
            let info = source.info();
            let of = |content, path: Option<&Path>| Fingerprint::of_content(content, path, info);
            Ok(match how {
                "path" => match Fingerprint::of(&name, info)? {
                    print if ops.iter().any(OpSpec::depends_on_whole) => {
                        print.of_whole(&*source)?
                    }
                    print => print,
                },
                "digest" => of(Content::Digest(digest_of(&*source, control.cancel)?), None)?,
                "layout" => of(Content::Layout(word), Some(&name))?,
                "version" => of(Content::Version(word), None)?,
                _ => of(Content::Unknown, None)?,
            })
        })?;
        Ok(Self { volume: GivenVolume { name, axes, voxel_size, fingerprint }, source })
    }
}

impl Known {
    /// Refuses a volume, called `what`, that is another now.
    fn check(&self, what: &str) -> Result<()> {
        let GivenVolume { name, fingerprint, .. } = &self.volume;
        match fingerprint.content() {
            Some(Content::Digest(was)) => {
                let never = AtomicBool::new(false);
                match digest_of(&*self.source, &never)? == *was {
                    true => Ok(()),
                    false => Err(Error::data(format!("the {what} changed while it was read"))),
                }
            }
            _ => fingerprint.check(what, name, &*self.source),
        }
    }
}

/// One number for all voxels of `source`, which is the same wherever they lie.
fn digest_of(source: &dyn Source, cancel: &AtomicBool) -> Result<u64> {
    let info = source.info();
    // Of a plain volume: how it happens to be stored must not matter.
    let plain = volchunk::VolumeInfo { storage: None, ..info.clone() };
    let all = pieces(&Region::whole(&info.shape), &plain);
    let digests = Mutex::new(vec![0; all.len()]);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let start = |_| Ok(Scratch::new());
    for_each_chunk(all.len() as u64, workers, cancel, start, |scratch, k| {
        let piece = &all[k as usize];
        let mut voxels = scratch.take(piece.shape(), info.dtype);
        source.read(piece, voxels.view_mut(), scratch)?;
        let one = digest(&voxels);
        digests.lock().unwrap_or_else(PoisonError::into_inner)[k as usize] = one;
        scratch.give(voxels);
        Ok(())
    })?;
    let digests = digests.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(digest(&Buffer::from_slice(&[digests.len() as u64], &digests)))
}

/// How a run goes about failures, and about what stands at its output.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Manner {
    force: bool,
    check: bool,
    retries: u32,
    keep_going: bool,
}

impl Manner {
    fn wanted(&self) -> Wanted {
        Wanted { force: self.force, check: self.check, part: None }
    }

    /// `options` with this manner.
    pub(crate) fn with<'a>(&self, options: RunOptions<'a>) -> RunOptions<'a> {
        let Self { check, retries, keep_going, .. } = *self;
        RunOptions { check, retries, keep_going, ..options }
    }
}

/// The arguments of [`FunctionRecord`].
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FunctionArgs {
    name: String,
    version: String,
    depth: Vec<(u64, u64)>,
    boundary: Vec<Option<String>>,
    /// None: not known yet.
    dtype: Option<String>,
    channels: Option<(u64, bool)>,
    /// Voxels on each axis, of points that are to be one; None: all stay.
    dedupe: Option<Vec<f64>>,
}

/// The arguments of [`Given`].
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Record {
    path: PathBuf,
    /// Whether it is a table of points.
    table: bool,
    input: Py<Known>,
    ops: Vec<String>,
    function: Option<FunctionArgs>,
    /// Of a function, its channels do not count here nor in `chunks`.
    roi: Option<Vec<(u64, u64)>>,
    /// None: the plan's, or not known yet.
    chunks: Option<Vec<u64>>,
    /// Whether the user chose the chunk.
    chosen: bool,
    mask: Option<Py<Known>>,
    fill: Option<String>,
    skip_empty: Option<String>,
    manner: Manner,
}

impl Record {
    pub(crate) fn manner(&self) -> &Manner {
        &self.manner
    }

    fn asked(&self, chunks: Option<&[u64]>, storage: Option<&StorageGrid>) -> Result<Asked> {
        let function = self.function.as_ref().map(|f| FunctionRecord {
            name: f.name.clone(),
            version: f.version.clone(),
            depth: f.depth.iter().map(|&(lo, hi)| [lo, hi]).collect(),
            boundary: f.boundary.clone(),
            dtype: f.dtype.clone(),
            channels: f.channels,
            dedupe: f.dedupe.as_ref().map(|d| d.iter().map(f64::to_string).collect()),
        });
        let given = Given {
            input: self.input.get().volume.clone(),
            ops: self.ops.clone(),
            function,
            roi: self.roi.as_ref().map(|r| r.iter().map(|&(lo, hi)| [lo, hi]).collect()),
            chunk: self.chunks.as_deref().or(chunks).map(<[u64]>::to_vec),
            chunk_is_chosen: self.chosen,
            mask: self.mask.as_ref().map(|mask| mask.get().volume.clone()),
            fill: self.fill.clone(),
            skip_empty: self.skip_empty.clone(),
            output: self.path.clone(),
            table: self.table,
            anew: "force=True",
        };
        Asked::by(&given, storage)
    }

    /// Refuses an image, or a mask, that is not what it was when the job was asked for. Of what is in
    /// memory no receipt tells which chunks saw the change: all that are in `journal` become void.
    pub(crate) fn check_input(&self, journal: &Journal) -> Result<()> {
        let volumes = [(Some(&self.input), "image"), (self.mask.as_ref(), "mask")];
        for (known, what) in volumes {
            let Some(known) = known.map(Py::get) else { continue };
            known.check(what).inspect_err(|_| {
                if known.volume.fingerprint.content().is_some() {
                    // Where that cannot be written, the error is told all the same.
                    let _ = journal.void_all();
                }
            })?;
        }
        Ok(())
    }

    /// Whether anything beside the output tells of its chunks.
    pub(crate) fn has_journal(&self) -> bool {
        has_journal(&self.path)
    }

    /// The tolerance of points.
    pub(crate) fn dedupe(&self) -> Option<Vec<f64>> {
        self.function.as_ref().and_then(|f| f.dedupe.clone())
    }

    /// The right to write what `plan` says, described by `info`; None if it is there already.
    pub(crate) fn begin(
        &self,
        plan: &Plan,
        info: &volchunk::VolumeInfo,
        origin: Origin<'_>,
        cancel: &AtomicBool,
    ) -> Result<Option<volchunk_cli::Writing>> {
        let asked = self.asked(Some(plan.grid.chunk_shape()), plan.output.storage.as_ref())?;
        asked.begin(plan, info, origin, self.manner.wanted(), cancel)
    }
}

/// Whether ops of the job, as text, are complete: as `Asked::known_ops` says. None: they need to be
/// told something of the whole volume first.
#[pyfunction]
pub(crate) fn known_ops(py: Python<'_>, record: Record) -> PyResult<Option<Vec<String>>> {
    let look = || record.asked(None, None)?.known_ops(record.manner.wanted());
    py.detach(look).map_err(to_python)
}

/// What an earlier run chose: the chunk, the dtype and the channels; the columns of what it found, 0
/// while that is nothing.
type Settled = (Option<Vec<u64>>, Option<String>, Option<(u64, bool)>, u64);

/// What stands at the output of a job, complete or not: what an earlier run settled; refuses what is
/// another job's. Nothing is touched.
#[pyfunction]
pub(crate) fn found(py: Python<'_>, record: Record) -> PyResult<Option<Settled>> {
    let look = || record.asked(None, None)?.found(record.manner.wanted());
    Ok(match py.detach(look).map_err(to_python)? {
        Found::Nothing => None,
        Found::Something(settled) => {
            let (dtype, channels) =
                settled.function.map_or((None, None), |f| (f.dtype, f.channels));
            Some((settled.chunk, dtype, channels, settled.columns))
        }
    })
}
