//! A table's file while it is written, from its beginning to its end.

use std::{
    fs::{self, File},
    io::{BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use volchunk::{Error, ErrorKind, Result};

use crate::file::partial_path;

/// Bytes that are gathered before they are written.
const GATHERED: usize = 256 << 10;

/// `OUTPUT.partial`, written in order, that gets its own name when it is complete.
#[derive(Debug)]
pub(super) struct TableOutput {
    file: BufWriter<File>,
    output: PathBuf,
    partial: PathBuf,
    written: u64,
}

impl TableOutput {
    /// Creates `OUTPUT.partial`, or begins it anew.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if `output` is there, or something at the partial's name that is no
    /// file; I/O.
    pub(super) fn create(output: &Path) -> Result<Self> {
        let partial = partial_path(output);
        let exists =
            |path: &Path, what| Error::new(ErrorKind::Exists, format!("{} {what}", path.display()));
        if fs::symlink_metadata(output).is_ok() {
            return Err(exists(output, "already exists"));
        }
        // Looked at before it is opened: opening a pipe would wait, a link leads elsewhere.
        if fs::symlink_metadata(&partial).is_ok_and(|meta| !meta.is_file()) {
            return Err(exists(&partial, "is there, and is not a file"));
        }
        let mut options = File::options();
        let file = options
            .write(true)
            .create(true)
            .truncate(true)
            .open(&partial)
            .map_err(|e| Error::io(format_args!("creating {}", partial.display()), e))?;
        let file = BufWriter::with_capacity(GATHERED, file);
        Ok(Self { file, output: output.to_owned(), partial, written: 0 })
    }

    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// I/O, such as a full disk; names the file.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| self.failed("writing", e))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Replaces bytes that were written, at `offset`; what is written next goes on at the end.
    ///
    /// # Errors
    /// I/O; names the file.
    pub(super) fn replace(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        // Seeking a buffered writer writes out what it gathered first.
        self.file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(bytes))
            .and_then(|()| self.file.seek(SeekFrom::End(0)))
            .map(drop)
            .map_err(|e| self.failed("writing", e))
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// I/O; [`ErrorKind::Exists`] if something has taken the name meanwhile.
    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|e| self.failed("writing", e))?;
        // Network file systems report a full disk only here; it must not look complete then.
        self.file.get_ref().sync_all().map_err(|e| self.failed("flushing", e))?;
        if fs::symlink_metadata(&self.output).is_ok() {
            let message = format!("{} appeared while it was being written", self.output.display());
            return Err(Error::new(ErrorKind::Exists, message));
        }
        fs::rename(&self.partial, &self.output).map_err(|e| {
            let (from, to) = (self.partial.display(), self.output.display());
            Error::io(format_args!("renaming {from} to {to}"), e)
        })
    }

    fn failed(&self, doing: &str, e: std::io::Error) -> Error {
        Error::io(format_args!("{doing} {}", self.partial.display()), e)
    }
}
