//! A job as it is asked for: what the outputs and journals of earlier runs are measured against.
//! Callers that make their own sources and plans have their outputs kept by it as the program does.

use std::{fs, path::PathBuf, sync::atomic::AtomicBool};

use volchunk::{
    Error, ErrorKind, Journal, Origin, Plan, Result, Sink, Spool, StorageGrid, VolumeInfo,
};
use volchunk_io::{CreateOptions, TableFormat, resume, same_or_inside};

use crate::{
    config::{Target, parse_ops},
    fingerprint::Fingerprint,
    job::{FunctionRecord, Job},
    journals::{Head, open_journal},
    prepare::Prepared,
    start::{Begun, Start, Wanted, begin_asked, start},
    statistics::{Known, known},
    store::{Store, free, open_or_anew},
    table::{TableRows, columns_found, open_spool, write_table},
};

/// A volume that a caller opened or holds.
#[derive(Debug, Clone)]
pub struct GivenVolume {
    /// Its path; of what no path names, what it is to be called.
    pub name: PathBuf,
    /// A letter for each axis, where the caller has replaced the file's.
    pub axes: Option<String>,
    /// µm, likewise.
    pub voxel_size: Option<Vec<f64>>,
    /// What it is, taken before any of it was read.
    pub fingerprint: Fingerprint,
}

/// A job that a caller carries out itself.
#[derive(Debug, Clone)]
pub struct Given {
    /// What is read.
    pub input: GivenVolume,
    /// As text; none where there is a `function`.
    pub ops: Vec<String>,
    /// What is called instead of ops.
    pub function: Option<FunctionRecord>,
    /// Start and stop on every axis of the result; None: all of it.
    pub roi: Option<Vec<[u64; 2]>>,
    /// Shape of a chunk, once it is known.
    pub chunk: Option<Vec<u64>>,
    /// Whether the user chose it.
    pub chunk_is_chosen: bool,
    /// Where the result counts.
    pub mask: Option<GivenVolume>,
    /// A number as text.
    pub fill: Option<String>,
    /// A number as text.
    pub skip_empty: Option<String>,
    /// Where the result goes.
    pub output: PathBuf,
    /// Whether it is a table of points, not a volume.
    pub table: bool,
    /// What begins anew, in the caller's words: `--force`.
    pub anew: &'static str,
}

/// What an earlier run settled that was left to it.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Shape of a chunk.
    pub chunk: Option<Vec<u64>>,
    /// With the dtype and the channels that it turned out to give.
    pub function: Option<FunctionRecord>,
    /// Of what chunks found for a table; 0 while that is nothing.
    pub columns: u64,
}

/// What stands at the output of a job.
#[derive(Debug, Clone)]
pub enum Found {
    /// Nothing, or what is to be removed.
    Nothing,
    /// The beginning of it, or all; [`Asked::begin`] tells whether something is to be done.
    Something(Settled),
}

/// A job as it is asked for, and what of it was left to the plan.
#[derive(Debug)]
pub struct Asked {
    pub(crate) job: Job,
    pub(crate) output: PathBuf,
    /// Whether the user chose the chunk.
    pub(crate) chunk: bool,
    /// The same of the storage chunk.
    pub(crate) storage_chunk: bool,
    /// The same of the shard.
    pub(crate) shard: bool,
    /// What begins anew.
    pub(crate) anew: &'static str,
}

impl Asked {
    /// By flags, or by a job file.
    pub(crate) fn of(prepared: &Prepared) -> Result<Self> {
        let config = &prepared.config;
        Ok(Self {
            job: Job::of(prepared)?,
            output: config.output.clone(),
            chunk: config.chunk.is_some(),
            storage_chunk: config.storage_chunk.is_some(),
            shard: config.shard.is_some(),
            anew: "--force",
        })
    }

    /// By a caller, whose plan stores the result as `storage` says, as far as there is a plan.
    ///
    /// ```
    /// use volchunk::{Dtype, VolumeInfo};
    /// use volchunk_cli::{Asked, Content, Fingerprint, Found, Given, GivenVolume, Wanted};
    /// # let folder = tempfile::tempdir().unwrap();
    /// let info = VolumeInfo::new(&[8, 8], Dtype::U8);
    /// let fingerprint = Fingerprint::of_content(Content::Digest(7), None, &info)?;
    /// let given = Given {
    ///     input: GivenVolume { name: "an array".into(), axes: None, voxel_size: None, fingerprint },
    ///     ops: vec!["threshold:value=3".into()],
    ///     function: None,
    ///     roi: None,
    ///     chunk: Some(vec![4, 8]),
    ///     chunk_is_chosen: false,
    ///     mask: None,
    ///     fill: None,
    ///     skip_empty: None,
    ///     output: folder.path().join("bright.npy"),
    ///     table: false,
    ///     anew: "--force",
    /// };
    /// let asked = Asked::by(&given, None)?;
    /// assert!(matches!(asked.found(Wanted::default())?, Found::Nothing));
    /// # Ok::<(), volchunk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Ops or numbers that are none; an output that is, holds or lies inside of a file that is read,
    /// whose ending names no format of what is made, or that has no folder to stand in.
    pub fn by(given: &Given, storage: Option<&StorageGrid>) -> Result<Self> {
        check_target(given)?;
        let output = given.output.display();
        let folder = given.output.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::metadata(folder).map_err(|e| {
                Error::io(format_args!("{output} needs the folder {}", folder.display()), e)
            })?;
        }
        for volume in std::iter::once(&given.input).chain(&given.mask) {
            if volume.name.exists() && same_or_inside(&volume.name, &given.output) {
                return Err(Error::argument(format!(
                    "the output {output} is, holds or lies inside {}, which is read; legal: a place \
                     apart from it",
                    volume.name.display()
                )));
            }
        }
        Ok(Self {
            job: Job::of_given(given, storage)?,
            output: given.output.clone(),
            chunk: given.chunk_is_chosen,
            storage_chunk: false,
            shard: false,
            anew: given.anew,
        })
    }

    /// What stands at the output; nothing is touched, and the chunk is not compared.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`]: what stands there is not this job's, with what differs.
    pub fn found(&self, wanted: Wanted) -> Result<Found> {
        let any =
            Self { job: self.job.clone(), output: self.output.clone(), chunk: false, ..*self };
        let job = match start(&any, wanted)? {
            Start::Anew => None,
            Start::Complete(job, _) => Some(*job),
            Start::Resume(kept) | Start::Repair(kept) => {
                kept.into_iter().next().map(|first| first.head.job)
            }
        };
        let Some(job) = job else { return Ok(Found::Nothing) };
        let (chunk, function) = job.settled();
        let columns = match Target::of_output(&self.output)? {
            Target::Table(_) => columns_found(&self.output)?,
            Target::Volume(_) => 0,
        };
        Ok(Found::Something(Settled { chunk, function, columns }))
    }

    /// Takes the right to write the output, divided as `plan` says, described by `info` and computed
    /// from `origin`, and goes on with what stands there or makes room for it. None: it is complete,
    /// and no file behind it has changed.
    ///
    /// # Errors
    /// As [`found`](Self::found); another process writes it; it was begun with another division than
    /// `plan`'s; I/O; [`ErrorKind::Cancelled`], while the files of a complete output are looked at.
    pub fn begin(
        &self,
        plan: &Plan,
        info: &VolumeInfo,
        origin: Origin<'_>,
        wanted: Wanted,
        cancel: &AtomicBool,
    ) -> Result<Option<Writing>> {
        let begun = begin_asked(self, wanted, (origin, plan.workers), cancel)?;
        let Some(begun) = begun else { return Ok(None) };
        // The plan was made for what was found: it can be another only if it was begun since.
        if begun.job.as_ref().is_some_and(|job| job.settled().0 != self.job.settled().0) {
            return Err(Error::new(
                ErrorKind::Exists,
                format!(
                    "the output {} was begun meanwhile, in other chunks; the same call goes on with \
                     it, {} begins anew",
                    self.output.display(),
                    self.anew
                ),
            ));
        }
        // The journal first: an output without one could not be gone on with.
        let head = Head::of(self.job.clone(), 0, plan);
        let (output, target) = (self.output.clone(), Target::of_output(&self.output)?);
        let (journal, store) = open_or_anew(&output, None, || {
            let journal = open_journal(&output, &head, None, false)?;
            self.job.record_beside(&output)?;
            let store = match target {
                Target::Volume(_) => {
                    let attributes = Some(self.job.attributes(target)?);
                    let options = CreateOptions { attributes, ..CreateOptions::default() };
                    Store::Volume(resume(&output, info, &options)?)
                }
                Target::Table(_) => {
                    // How many columns a function's tables have, its first rows tell.
                    let columns = plan.columns.filter(|_| !self.job.is_of_function());
                    Store::Table(Box::new(open_spool(&output, None, plan, columns, false)?))
                }
            };
            Ok((journal, store))
        })?;
        let check = begun.check;
        Ok(Some(Writing { journal, check, output, cap: plan.memory.cap, store, _begun: begun }))
    }

    /// The ops as text, with what those of them that need to know of the whole volume were told when
    /// the output was begun. None: they are to be told by passes over the input.
    ///
    /// # Errors
    /// A damaged journal; I/O.
    pub fn known_ops(&self, wanted: Wanted) -> Result<Option<Vec<String>>> {
        let ops = parse_ops(self.job.ops())?;
        Ok(match known(&ops, &self.output, wanted.force)? {
            Known::Ops(ops) => Some(ops.iter().map(ToString::to_string).collect()),
            Known::Nothing => None,
            // It will be refused.
            Known::Another => Some(self.job.ops().to_vec()),
        })
    }
}

/// Refuses a table where voxels are made, and the other way round.
fn check_target(given: &Given) -> Result<()> {
    let output = given.output.display();
    if !given.table {
        return match Target::of_output(&given.output)? {
            Target::Volume(_) => Ok(()),
            Target::Table(_) => Err(Error::argument(format!(
                "the output {output} is a table, and voxels are made; legal: .zarr, .npy, .tif"
            ))),
        };
    }
    let legal = if given.function.is_some() { "" } else { ", _blobs.npz" };
    match TableFormat::of_path(&given.output) {
        Err(_) => Err(Error::argument(format!(
            "the output {output} is to be a table of points; legal: .csv, .parquet{legal}"
        ))),
        Ok(TableFormat::Blobs) if given.function.is_some() => Err(Error::argument(format!(
            "the output {output} is an archive of blobs, which have a radius, and nothing tells that \
             of a function's points; legal: .csv, .parquet"
        ))),
        Ok(_) => Ok(()),
    }
}

/// The right to write an output, as long as this lives, and what it is written through.
pub struct Writing {
    /// Of all its chunks.
    pub journal: Journal,
    /// Whether what earlier runs wrote is to be read back, asked for or not.
    pub check: bool,
    output: PathBuf,
    /// Bytes that the process may hold.
    cap: u64,
    /// What earlier runs wrote is in it.
    store: Store,
    _begun: Begun,
}

impl Writing {
    /// What chunks are written to.
    pub fn sink(&self) -> &dyn Sink {
        self.store.sink()
    }

    /// Makes the output of the tables of all chunks, in the `rows` that these make; a volume was
    /// complete with the last one.
    ///
    /// # Errors
    /// A chunk without a table; what `rows` refuses; I/O; [`ErrorKind::Cancelled`].
    pub fn finish(
        &self,
        rows: impl FnOnce(&[&Spool]) -> Result<Box<dyn TableRows>>,
        cancel: &AtomicBool,
    ) -> Result<()> {
        let Store::Table(spool) = &self.store else { return Ok(()) };
        let spools = [&**spool];
        write_table(&self.output, &*rows(&spools)?, &spools, free(self.cap), cancel)
            .map(drop)
            .map_err(|e| self.store.void_damaged(&self.journal, e))
    }
}
