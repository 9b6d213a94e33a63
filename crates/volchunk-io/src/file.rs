//! Files read and written at positions, from many threads, with the bytes counted.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use volchunk::{Error, Result, os};

/// A file without a shared cursor, that counts what is read.
#[derive(Debug)]
pub struct CountedFile {
    file: File,
    path: PathBuf,
    len: u64,
    read: AtomicU64,
}

impl CountedFile {
    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// I/O; names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let fail = |e| Error::io(format_args!("opening {}", path.display()), e);
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        if meta.is_dir() {
            return Err(Error::argument(format!("{} is a folder, not a file", path.display())));
        }
        Ok(Self { file, path: path.to_owned(), len: meta.len(), read: AtomicU64::new(0) })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length in bytes when it was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it held nothing when it was opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// I/O; a file that ends before: it says where and how many bytes were expected.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let wanted = buffer.len() as u64;
        if offset.checked_add(wanted).is_none_or(|stop| stop > self.len) {
            return Err(Error::data(format!(
                "{} is truncated: {wanted} bytes are expected at offset {offset}, the file has {}",
                self.path.display(),
                self.len
            )));
        }
        self.read.fetch_add(wanted, Ordering::Relaxed);
        os::read_exact_at(&self.file, buffer, offset).map_err(|e| {
            Error::io(format_args!("reading {} at offset {offset}", self.path.display()), e)
        })
    }
}
