//! The journals in `OUTPUT.volchunk`: one for each level of an output, or for each part of it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use volchunk::{ChunkGrid, Error, ErrorKind, Journal, Plan, Region, Result, os};
use volchunk_io::{Part, companion_path};

use crate::job::Job;

/// What a journal says, in its text, of the chunks that it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    /// The version of volchunk that began it: another one's kernels may round otherwise.
    pub(crate) volchunk: String,
    pub(crate) job: Job,
    /// 0 but for the coarser levels of a pyramid.
    pub(crate) level: usize,
    /// Shape of the result that the region was cut out of.
    volume: Vec<u64>,
    /// `[start, stop]` for every axis.
    region: Vec<[u64; 2]>,
    pub(crate) chunk: Vec<u64>,
}

/// A journal as it stands in a file.
pub(crate) struct Kept {
    pub(crate) head: Head,
    pub(crate) part: Option<Part>,
    pub(crate) journal: Journal,
}

impl Head {
    pub(crate) fn of(job: Job, level: usize, plan: &Plan) -> Self {
        let grid = &plan.grid;
        Self {
            volchunk: env!("CARGO_PKG_VERSION").into(),
            job,
            level,
            volume: grid.volume().to_vec(),
            region: grid.domain().ranges().map(|r| [r.start, r.end]).collect(),
            chunk: grid.chunk_shape().to_vec(),
        }
    }

    /// The chunks that its numbers mean.
    pub(crate) fn grid(&self) -> Result<ChunkGrid> {
        let backwards = |[start, stop]: &[u64; 2]| start > stop;
        if self.region.iter().any(backwards) || self.region.len() != self.volume.len() {
            return Err(Error::data(format!("the region {:?} of a journal", self.region)));
        }
        let region = Region::from_ranges(self.region.iter().map(|&[start, stop]| start..stop));
        ChunkGrid::over(&self.volume, region, &self.chunk)
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::argument(format!("the job cannot be recorded: {e}")))
    }
}

/// Where the journal of a level, or of a part, is.
pub(crate) fn journal_path(output: &Path, level: usize, part: Option<Part>) -> PathBuf {
    let stem = part.map_or_else(|| level.to_string(), Part::name);
    companion_path(output).join(format!("{stem}.journal"))
}

/// Goes on with the journal of a level, or of a part, or begins it.
pub(crate) fn open_journal(
    output: &Path,
    head: &Head,
    part: Option<Part>,
    durable: bool,
) -> Result<Journal> {
    let path = journal_path(output, head.level, part);
    if path.symlink_metadata().is_ok() {
        let journal = Journal::open(&path, durable)?;
        let found: Option<Head> = serde_json::from_str(journal.job()).ok();
        return match found.map(|found| found.grid()).transpose()? {
            Some(grid) if grid == head.grid()? => Ok(journal),
            _ => Err(Error::new(
                ErrorKind::Exists,
                format!("{} is that of other chunks; --force begins anew", path.display()),
            )),
        };
    }
    let folder = companion_path(output);
    fs::create_dir_all(&folder)
        .map_err(|e| Error::io(format_args!("creating {}", folder.display()), e))?;
    if let Some(above) = folder.parent().filter(|_| durable) {
        os::sync_folder(above)
            .map_err(|e| Error::io(format_args!("flushing {}", above.display()), e))?;
    }
    let count = head.grid()?.len();
    let chunks = part.map_or(0..count, |part| part.range(count));
    Journal::create(&path, &head.text()?, chunks, durable)
}

/// Whether chunks are divided among the journals in more than one way.
pub(crate) fn several_divisions(kept: &[Kept]) -> bool {
    let of = |kept: &Kept| kept.part.map(|part| part.of);
    kept.windows(2).any(|two| of(&two[0]) != of(&two[1]))
}

/// All journals of an output, by level or part; one that is damaged is an error.
pub(crate) fn journals(output: &Path) -> Result<Vec<Kept>> {
    let folder = companion_path(output);
    let fail = |e| Error::io(format_args!("looking at {}", folder.display()), e);
    let entries = match fs::read_dir(&folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(stem) = name.strip_suffix(".journal") else { continue };
        let part = Part::of_name(stem);
        if part.is_none() && stem.parse::<usize>().is_err() {
            continue;
        }
        let journal = Journal::read(&path)?;
        let head: Head = serde_json::from_str(journal.job()).map_err(|e| {
            Error::data(format!("{} is not a journal of this program: {e}", path.display()))
        })?;
        let count = head.grid().map_err(|e| e.context(path.display()))?.len();
        if journal.chunks() != part.map_or(0..count, |part| part.range(count)) {
            return Err(Error::data(format!(
                "{} is that of chunks {:?} of {count}, which is not what its name says",
                path.display(),
                journal.chunks()
            )));
        }
        all.push(Kept { head, part, journal });
    }
    all.sort_by_key(|kept| (kept.part, kept.head.level));
    Ok(all)
}
