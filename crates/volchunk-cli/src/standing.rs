//! Whether a complete output is still what its journals say, by the files' existence, size and time.

use std::{fs, io, path::Path, sync::atomic::AtomicBool};

use volchunk::{
    ChunkGrid, Dtype, Error, ErrorKind, Looked, Origin, Result, Source, VolumeInfo, look,
};
use volchunk_io::open;

use crate::{config::Target, journals::Kept, report::shape, table::has_its_length};

/// What [`standing`] found.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Chunks that have no receipt, or of which files are missing or of another size.
    pub(crate) missing: u64,
    /// Whether what stands there is no more of the shape, or the length, that was written: nothing else
    /// was looked at.
    pub(crate) is_edited: bool,
    /// Whether it is no volume any more.
    pub(crate) is_unreadable: bool,
    /// The first of all these, and where it is.
    pub(crate) first: Option<String>,
}

impl Standing {
    /// Whether nothing is amiss.
    pub(crate) fn is_sound(&self) -> bool {
        self.first.is_none()
    }
}

/// A level of an output, which is a folder in it where there are several.
pub(crate) fn open_level(output: &Path, level: usize, kept: &[Kept]) -> Result<Box<dyn Source>> {
    match kept.iter().any(|k| k.head.level > 0) {
        true => open(&output.join(level.to_string())),
        false => open(output),
    }
}

/// Looks at the files of every chunk of a complete output; at those that the first level is computed
/// from, if there is an `origin`. Of a table these and its length.
///
/// # Errors
/// I/O; [`Cancelled`](volchunk::ErrorKind::Cancelled).
pub(crate) fn standing(
    output: &Path,
    kept: &[Kept],
    origin: Option<Origin<'_>>,
    workers: usize,
    cancel: &AtomicBool,
) -> Result<Standing> {
    let mut all = Standing::default();
    let is_volume = matches!(Target::of_output(output), Ok(Target::Volume(_)));
    if !is_volume && !kept.is_empty() && !has_its_length(output)? {
        all.is_edited = true;
        all.first = Some("the table, which is not as long as it was written".into());
        return Ok(all);
    }
    for parts in kept.chunk_by(|a, b| a.head.level == b.head.level) {
        let level = parts[0].head.level;
        let result = match is_volume.then(|| open_level(output, level, kept)) {
            // That it cannot be opened now says nothing of what it is.
            Some(Err(e)) if e.kind() == ErrorKind::Io && !is_gone(&e) => return Err(e),
            result => result,
        };
        // A coarser level is computed from the one before, which is looked at itself.
        let origin = origin.filter(|_| level == 0);
        for Kept { head, journal, .. } in parts {
            let grid = head.grid()?;
            if let Some(Ok(result)) = &result
                && let Some(what) = edited(result.info(), &grid, origin)
            {
                (all.is_edited, all.first) = (true, Some(what));
                return Ok(all);
            }
            if let Some(Err(e)) = &result
                && is_another(output, e, &grid, origin)
            {
                (all.is_edited, all.first) = (true, Some(format!("the file: {e}")));
                return Ok(all);
            }
            let found = match &result {
                // What cannot be opened is not there.
                Some(Err(_)) => {
                    all.is_unreadable = true;
                    Looked { missing: journal.chunks().collect(), ..Looked::default() }
                }
                Some(Ok(result)) => look(&grid, journal, origin, Some(&**result), workers, cancel)?,
                None => look(&grid, journal, origin, None, workers, cancel)?,
            };
            all.add(&found, level, |n| grid.chunk(n));
        }
    }
    Ok(all)
}

fn is_gone(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

/// Whether a file that cannot be opened, and why, is some other file that took the output's place, not
/// what is left of it: of a kind that is not written, and too short for the voxels of `grid`.
fn is_another(output: &Path, why: &Error, grid: &ChunkGrid, origin: Option<Origin<'_>>) -> bool {
    let size = origin.map_or(1, |origin| origin.pipeline.output().dtype.size() as u64);
    let least = grid.domain().voxels().saturating_mul(size);
    let is_short = |meta: fs::Metadata| meta.is_file() && meta.len() < least;
    why.kind() == ErrorKind::Unsupported && fs::metadata(output).is_ok_and(is_short)
}

/// What a volume has that the one of `grid`, computed from `origin`, had not.
fn edited(info: &VolumeInfo, grid: &ChunkGrid, origin: Option<Origin<'_>>) -> Option<String> {
    let (found, wanted) = (shape(&info.shape), shape(grid.domain().shape()));
    if found != wanted {
        return Some(format!("the volume, which is {found} and was {wanted}"));
    }
    let wanted = origin?.pipeline.output().dtype;
    // TIFF has no bool.
    let same = info.dtype == wanted || (info.dtype, wanted) == (Dtype::U8, Dtype::Bool);
    (!same).then(|| format!("the volume, which is {} and was {wanted}", info.dtype))
}

impl Standing {
    fn add(&mut self, found: &Looked, level: usize, chunk: impl Fn(u64) -> volchunk::Chunk) {
        self.missing += found.missing.len() as u64;
        let first = found.outdated.iter().chain(&found.missing).min();
        if let (Some(&first), None) = (first, &self.first) {
            let level = if level > 0 { format!(" of level {level}") } else { String::new() };
            let chunk = chunk(first);
            self.first = Some(format!("chunk {:?}{level} at {}", &chunk.index[..], chunk.core));
        }
    }
}
