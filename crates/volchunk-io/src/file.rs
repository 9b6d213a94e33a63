//! Files read and written at positions, from many threads, with the bytes counted.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    ffi::OsString,
    fs::{self, File},
    io::ErrorKind as IoKind,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
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

    /// As the `stamp` of its path, but of what is read: a file that took its name since is another.
    ///
    /// # Errors
    /// I/O; names the file.
    pub(crate) fn stamp(&self) -> Result<u64> {
        let fail = |e| Error::io(format_args!("looking at {}", self.path.display()), e);
        self.file.metadata().map(|meta| stamp_of(&meta)).map_err(fail)
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

/// A number that stays the same as long as the file at `path` keeps its size and time; 0 where there
/// is none.
///
/// # Errors
/// I/O other than that there is no such file.
pub(crate) fn stamp(path: &Path) -> Result<u64> {
    match fs::metadata(path) {
        Ok(meta) => Ok(stamp_of(&meta)),
        Err(e) if is_absent(&e) => Ok(0),
        Err(e) => Err(Error::io(format_args!("looking at {}", path.display()), e)),
    }
}

fn stamp_of(meta: &fs::Metadata) -> u64 {
    // Where a file system keeps no times, sizes have to do.
    let since = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = since.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0);
    mix(mix(1, meta.len()), nanoseconds)
}

/// Adds `value` to a running hash. Method: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) fn mix(hash: u64, value: u64) -> u64 {
    let mut z = hash.rotate_left(23) ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether a name is free.
pub(crate) fn is_absent(e: &std::io::Error) -> bool {
    matches!(e.kind(), IoKind::NotFound | IoKind::NotADirectory)
}

/// A single-file output, written at positions from many threads under `OUTPUT.partial`, that gets
/// its own name when it is complete.
#[derive(Debug)]
pub(crate) struct PartialFile {
    file: File,
    output: PathBuf,
    partial: PathBuf,
    durable: bool,
}

impl PartialFile {
    /// Creates `OUTPUT.partial` with `len` bytes, all zero until they are written; where `begin`
    /// says so, goes on with what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if `output` or its partial file is there already, and must not, or is
    /// longer; [`ErrorKind::Truncated`] if it is shorter; I/O.
    pub(crate) fn open(output: &Path, len: u64, begin: Begin) -> Result<Self> {
        let partial = partial_path(output);
        if fs::symlink_metadata(output).is_ok() {
            if !begin.resume || fs::symlink_metadata(&partial).is_ok() {
                return Err(exists(output, "already exists"));
            }
            let meta = fs::metadata(output);
            check_length(output, meta.map_or(0, |meta| meta.len()), len)?;
            // Complete no more.
            fs::rename(output, &partial).map_err(|e| renaming(output, &partial, e))?;
        }
        let fail = |e| Error::io(format_args!("creating {}", partial.display()), e);
        let mut options = File::options();
        let (file, is_new) = match options.write(true).create_new(true).open(&partial) {
            Ok(file) => (file, true),
            Err(e) if e.kind() != IoKind::AlreadyExists => return Err(fail(e)),
            Err(_) if !begin.resume => {
                return Err(exists(&partial, "is an unfinished output of this name"));
            }
            Err(_) => {
                // Looked at before it is opened: opening a pipe would wait for a reader.
                if !fs::symlink_metadata(&partial).is_ok_and(|meta| meta.is_file()) {
                    return Err(exists(&partial, "is there, and is not a file"));
                }
                (File::options().write(true).open(&partial).map_err(fail)?, false)
            }
        };
        if !is_new {
            check_length(&partial, file.metadata().map_err(fail)?.len(), len)?;
        }
        file.set_len(len).map_err(|e| {
            let what = format!("giving {} its length of {len} bytes", partial.display());
            // Nothing was written yet: an empty file of no use would only block the next try.
            if is_new {
                let _ = fs::remove_file(&partial);
            }
            Error::io(what, e)
        })?;
        if let Some(folder) = output.parent().filter(|_| is_new && begin.durable) {
            os::sync_folder(folder).map_err(|e| {
                Error::io(format_args!("flushing the folder of {}", partial.display()), e)
            })?;
        }
        let output = output.to_owned();
        Ok(Self { file, output, partial, durable: begin.durable })
    }

    /// Where it stands until it is complete.
    pub(crate) fn path(&self) -> &Path {
        &self.partial
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

    /// Waits until what was written is on the disk, where that was asked for.
    ///
    /// # Errors
    /// I/O, such as a full disk; names the file.
    pub(crate) fn flush(&self) -> Result<()> {
        if self.durable {
            self.file.sync_data().map_err(|e| self.flushing(e))?;
        }
        Ok(())
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`]; names the file.
    pub(crate) fn flush_all(&self) -> Result<()> {
        match self.file.sync_all() {
            // There are file systems that cannot; it says nothing of what was written.
            Err(e) if [IoKind::Unsupported, IoKind::InvalidInput].contains(&e.kind()) => Ok(()),
            done => done.map_err(|e| {
                let error = self.flushing(e);
                Error::new(ErrorKind::Lost, error.to_string()).caused_by(error)
            }),
        }
    }

    /// Gives the complete file its name.
    ///
    /// # Errors
    /// I/O; [`ErrorKind::Exists`] if something has taken the name meanwhile.
    pub(crate) fn finish(&self) -> Result<()> {
        // Network file systems report a full disk only here; it must not look complete then.
        self.flush_all()?;
        if fs::symlink_metadata(&self.output).is_ok() {
            return Err(exists(&self.output, "appeared while it was being written"));
        }
        fs::rename(&self.partial, &self.output)
            .map_err(|e| renaming(&self.partial, &self.output, e))?;
        match self.output.parent().filter(|_| self.durable) {
            Some(folder) => os::sync_folder(folder).map_err(|e| self.flushing(e)),
            None => Ok(()),
        }
    }

    fn flushing(&self, e: std::io::Error) -> Error {
        Error::io(format_args!("flushing {}", self.partial.display()), e)
    }
}

/// How an output is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Begin {
    /// Whether to go on with what is there.
    pub(crate) resume: bool,
    /// Whether every chunk is to be on the disk before it counts as written.
    pub(crate) durable: bool,
}

/// Refuses to go on with a file that is not as long as it was made. Made long again, a short one would
/// look whole to whoever comes next.
fn check_length(path: &Path, found: u64, len: u64) -> Result<()> {
    match found.cmp(&len) {
        Less => Err(Error::new(
            ErrorKind::Truncated,
            format!(
                "{} has {found} of {len} bytes: its end was cut off, and what was written there is lost",
                path.display()
            ),
        )),
        Equal => Ok(()),
        Greater => Err(exists(path, &format!("has {found} bytes, this output {len}"))),
    }
}

fn renaming(from: &Path, to: &Path, e: std::io::Error) -> Error {
    Error::io(format_args!("renaming {} to {}", from.display(), to.display()), e)
}

fn exists(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Exists, format!("{} {what}", path.display()))
}
