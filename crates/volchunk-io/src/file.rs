//! Files read and written at positions, from many threads, with the bytes counted.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::ErrorKind as IoKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use volchunk::{Error, ErrorKind, Result, os};

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
        // Looked at before it is opened: opening a pipe would wait for a writer.
        let meta = fs::metadata(path).map_err(fail)?;
        if !meta.is_file() {
            let what = if meta.is_dir() { "a folder" } else { "a pipe or device" };
            return Err(Error::argument(format!("{} is {what}, not a file", path.display())));
        }
        let file = File::open(path).map_err(fail)?;
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

/// `path` with `suffix` behind its last component: `out.npy` becomes `out.npy.partial`.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    // Components drop a trailing slash, behind which the suffix would be a name of its own.
    let mut name: OsString = path.components().collect::<PathBuf>().into_os_string();
    name.push(suffix);
    name.into()
}

/// Where a single-file output stands until it is complete: `OUTPUT.partial`.
pub fn partial_path(output: &Path) -> PathBuf {
    with_suffix(output, ".partial")
}

/// Where anything that is kept beside an output lives: the folder `OUTPUT.volchunk`.
pub fn companion_path(output: &Path) -> PathBuf {
    with_suffix(output, ".volchunk")
}

/// A single-file output, written at positions from many threads under `OUTPUT.partial`, that gets
/// its own name when it is complete.
#[derive(Debug)]
pub(crate) struct PartialFile {
    file: File,
    output: PathBuf,
    partial: PathBuf,
}

impl PartialFile {
    /// Creates `OUTPUT.partial` with `len` bytes, all zero until they are written.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if `output` or its partial file is there already; I/O.
    pub(crate) fn create(output: &Path, len: u64) -> Result<Self> {
        if fs::symlink_metadata(output).is_ok() {
            return Err(exists(output, "already exists"));
        }
        let partial = partial_path(output);
        let file =
            File::options().write(true).create_new(true).open(&partial).map_err(|e| {
                match e.kind() {
                    IoKind::AlreadyExists => {
                        exists(&partial, "is an unfinished output of this name")
                    }
                    _ => Error::io(format_args!("creating {}", partial.display()), e),
                }
            })?;
        file.set_len(len).map_err(|e| {
            let what = format!("giving {} its length of {len} bytes", partial.display());
            // Nothing was written yet: an empty file of no use would only block the next try.
            let _ = fs::remove_file(&partial);
            Error::io(what, e)
        })?;
        Ok(Self { file, output: output.to_owned(), partial })
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// I/O, such as a full disk; names the file.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        os::write_all_at(&self.file, bytes, offset).map_err(|e| {
            Error::io(format_args!("writing {} at offset {offset}", self.partial.display()), e)
        })
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// I/O; [`ErrorKind::Exists`] if something has taken the name meanwhile.
    pub(crate) fn finish(&self) -> Result<()> {
        // Network file systems report a full disk only here; it must not look complete then.
        self.file
            .sync_all()
            .map_err(|e| Error::io(format_args!("flushing {}", self.partial.display()), e))?;
        if fs::symlink_metadata(&self.output).is_ok() {
            return Err(exists(&self.output, "appeared while it was being written"));
        }
        fs::rename(&self.partial, &self.output).map_err(|e| {
            let (from, to) = (self.partial.display(), self.output.display());
            Error::io(format_args!("renaming {from} to {to}"), e)
        })
    }
}

fn exists(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Exists, format!("{} {what}", path.display()))
}
