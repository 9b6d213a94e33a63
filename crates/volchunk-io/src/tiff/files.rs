//! The files behind one volume, few of them open at a time.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use volchunk::{Error, Result};

use super::directory::{Order, UintArray};
use crate::{CountedFile, file::stamp};

/// Files kept open: well below the least limit on file descriptors (256 on macOS), yet as many as
/// a chunk commonly has planes.
const OPEN: usize = 96;

/// The files of a volume by number, opened when needed, the longest unused one closed.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    /// Of each, where there are several, when its pages were looked at.
    stamps: Vec<u64>,
    open: Mutex<VecDeque<(usize, Arc<CountedFile>)>>,
    read: AtomicU64,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, stamps: Vec::new(), open: Mutex::default(), read: AtomicU64::new(0) }
    }

    /// Notes what the next of several files is, as its pages are looked at.
    pub(super) fn note(&mut self, file: &CountedFile) -> Result<()> {
        self.stamps.push(file.stamp()?);
        Ok(())
    }

    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    pub(super) fn path(&self, index: usize) -> &Path {
        &self.paths[index]
    }

    /// File `index`, open. Of several it is the one that was there when all were opened: another that
    /// took its name, or its content, since may hold its voxels elsewhere.
    ///
    /// # Errors
    /// It is another now; I/O.
    pub(super) fn get(&self, index: usize) -> Result<Arc<CountedFile>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let at = open.iter().position(|(i, _)| *i == index);
        let hit = at.and_then(|k| open.remove(k)).map(|hit| hit.1);
        if let Some(file) = &hit {
            open.push_front((index, Arc::clone(file)));
        }
        drop(open);
        if let Some(file) = hit {
            if self.len() > 1 {
                self.stamp(index)?;
            }
            return Ok(file);
        }
        let file = Arc::new(CountedFile::open(&self.paths[index])?);
        if self.len() > 1 {
            self.check(index, file.stamp()?)?;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push_front((index, Arc::clone(&file)));
        open.truncate(OPEN);
        Ok(file)
    }

    /// Size and time of file `index` of several, as a stamp.
    ///
    /// # Errors
    /// They are others now; I/O.
    pub(super) fn stamp(&self, index: usize) -> Result<u64> {
        let now = stamp(&self.paths[index])?;
        self.check(index, now)?;
        Ok(now)
    }

    fn check(&self, index: usize, now: u64) -> Result<()> {
        match self.stamps.get(index) == Some(&now) {
            true => Ok(()),
            false => {
                let place = self.paths[index].display();
                Err(Error::data(format!("{place}: the input changed while it was read")))
            }
        }
    }

    /// Adds `bytes` that were read past [`read_at`](Self::read_at).
    pub(super) fn count(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes read from all files so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Fills `buffer` from `offset` of `file`, and counts it.
    pub(super) fn read_at(&self, file: &CountedFile, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.count(buffer.len() as u64);
        file.read_exact_at(buffer, offset)
    }

    /// Values `start .. start + count` of an array, which ends within the file; appended to `out`.
    pub(super) fn uints(
        &self,
        file: &CountedFile,
        array: UintArray,
        order: Order,
        (start, count): (u64, u64),
        out: &mut Vec<u64>,
    ) -> Result<()> {
        match array {
            UintArray::One(value) => out.extend((0..count).map(|_| value)),
            UintArray::Stored { at, width } => {
                let width = u64::from(width);
                let mut raw = vec![0; (count * width) as usize];
                self.read_at(file, &mut raw, at + start * width)?;
                out.extend(raw.chunks_exact(width as usize).map(|b| order.uint(b)));
            }
        }
        Ok(())
    }
}
