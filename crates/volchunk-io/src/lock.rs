//! One writer for one output, or for one part of it.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use volchunk::{Error, ErrorKind, Result};

use crate::file::{companion_path, is_absent};

/// Name of the lock on a whole output.
pub(crate) const LOCK: &str = "lock";

/// Who only looks whether a lock is held, holds it for a moment.
const MOMENT: Duration = Duration::from_millis(200);

/// One of `of` disjoint parts of a job, `index` of `0 .. of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Which one, from 0.
    pub index: u64,
    /// How many there are.
    pub of: u64,
}

impl Part {
    /// Most parts of a job: each has a journal that all others look at.
    pub const MOST: u64 = 100_000;

    /// Its share of chunks numbered `0 .. count`: the parts are disjoint, together all, and differ
    /// by one chunk at most.
    pub fn range(self, count: u64) -> std::ops::Range<u64> {
        let start = |k: u64| (u128::from(k) * u128::from(count) / u128::from(self.of)) as u64;
        start(self.index)..start(self.index + 1)
    }

    /// The part that a name `part-I-of-N` means.
    pub fn of_name(name: &str) -> Option<Self> {
        let (index, of) = name.strip_prefix("part-")?.split_once("-of-")?;
        let part = Self { index: index.parse().ok()?, of: of.parse().ok()? };
        (part.index < part.of && part.of <= Self::MOST && part.name() == name).then_some(part)
    }

    /// `part-I-of-N`: the stem of its files in `OUTPUT.volchunk`.
    pub fn name(self) -> String {
        format!("part-{}-of-{}", self.index, self.of)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// The right to write, replace or remove one output, or to write one part of it. It dies with the
/// process that holds it.
#[derive(Debug)]
pub struct OutputLock {
    file: File,
    path: PathBuf,
}

impl OutputLock {
    /// Takes the right to `output`, by a lock on `OUTPUT.volchunk/lock`. Waits up to `patience` for
    /// another to give it back.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if another process writes that output now, with its name; I/O.
    pub fn take(output: &Path, patience: Duration) -> Result<Self> {
        Self::take_named(output, LOCK, patience)
    }

    /// Takes the right to one part of `output`.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_part(output: &Path, part: Part) -> Result<Self> {
        Self::take_named(output, &format!("{}.lock", part.name()), Duration::ZERO)
    }

    fn take_named(output: &Path, name: &str, patience: Duration) -> Result<Self> {
        let folder = companion_path(output);
        let path = folder.join(name);
        let fail = |e| Error::io(format_args!("locking {}", path.display()), e);
        let until = Instant::now() + patience.max(MOMENT);
        loop {
            match fs::create_dir(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(e)),
                _ => {}
            }
            // A link may lead to a folder elsewhere, but not to nothing.
            let leads_nowhere =
                || fs::symlink_metadata(&folder).is_ok_and(|meta| meta.is_symlink());
            if !fs::metadata(&folder).map_or_else(|_| !leads_nowhere(), |meta| meta.is_dir()) {
                return Err(Error::new(
                    ErrorKind::Exists,
                    format!(
                        "{}, in which what is known of {} is kept, is no folder; legal: nothing of \
                         that name, or a folder",
                        folder.display(),
                        output.display()
                    ),
                ));
            }
            let mut options = OpenOptions::new();
            let mut file = match options.create(true).truncate(false).write(true).open(&path) {
                // Its folder went with the run before, just now.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound && Instant::now() < until => {
                    continue;
                }
                file => file.map_err(fail)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(TryLockError::WouldBlock) => return Err(taken(output, &path)),
                Err(TryLockError::Error(e)) => return Err(fail(e)),
            }
            // Its last holder may have removed the file between our opening and locking it.
            if is_still_there(&file, &path) {
                // For messages only: where it cannot be told, it is not.
                let _ = file.set_len(0).and_then(|()| write!(file, "{}", own_name()));
                return Ok(Self { file, path });
            }
        }
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        // Removed while it is held, so that nobody locks a name that is about to go. The folder
        // stays if anything else is kept there.
        let _ = fs::remove_file(&self.path);
        let _ = self.path.parent().map(fs::remove_dir);
        let _ = self.file.unlock();
    }
}

/// Who holds the right to `output`, or to parts of it, now: "process 17 on lab3", with the part.
///
/// # Errors
/// I/O other than that nothing is there.
pub fn output_writers(output: &Path) -> Result<Vec<String>> {
    let folder = companion_path(output);
    let fail = |e| Error::io(format_args!("looking at {}", folder.display()), e);
    let entries = match fs::read_dir(&folder) {
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut writers = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let part = name.strip_suffix(".lock").and_then(Part::of_name);
        if (name == LOCK || part.is_some()) && is_held(&path) {
            let part = part.map_or(String::new(), |part| format!(" (part {part})"));
            writers.push(format!("{}{part}", holder(&path)));
        }
    }
    writers.sort();
    Ok(writers)
}

/// Refuses if parts of `output` are being written now.
pub(crate) fn refuse_parts(output: &Path) -> Result<()> {
    let writers = output_writers(output)?;
    match writers.iter().find(|w| w.contains("(part ")) {
        Some(writer) => Err(Error::new(
            ErrorKind::Exists,
            format!("{writer} is writing {} just now; wait for it, or stop it", output.display()),
        )),
        None => Ok(()),
    }
}

/// Whether a process holds the lock at `path`.
fn is_held(path: &Path) -> bool {
    // Shared, so that two who look do not see each other.
    File::open(path)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn taken(output: &Path, path: &Path) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!(
            "another process is writing {} just now: {} holds {}; wait for it, or stop it",
            output.display(),
            holder(path),
            path.display()
        ),
    )
}

/// The holder's name, as it wrote it into its lock.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(200).read_to_string(&mut text));
    match read {
        Ok(_) if text.starts_with("process ") && !text.contains(char::is_control) => text,
        _ => "a process".to_owned(),
    }
}

fn own_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok());
    let on = host.map_or(String::new(), |host| format!(" on {}", host.trim()));
    format!("process {}{on}", std::process::id())
}

#[cfg(unix)]
fn is_still_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |m: &fs::Metadata| (m.dev(), m.ino());
    matches!((file.metadata(), fs::metadata(path)), (Ok(a), Ok(b)) if id(&a) == id(&b))
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_still_there(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out.npy");
        let first = OutputLock::take(&output, Duration::ZERO).unwrap();
        let error = OutputLock::take(&output, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        let who = format!("process {}", std::process::id());
        assert!(error.to_string().contains("out.npy"), "{error}");
        assert!(error.to_string().contains(&who), "{error}");
        assert!(output_writers(&output).unwrap()[0].starts_with(&who));
        drop(first);
        assert!(!companion_path(&output).exists());
        assert!(output_writers(&output).unwrap().is_empty());
        drop(OutputLock::take(&output, Duration::ZERO).unwrap());
    }

    #[test]
    fn a_holder_for_each_part() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out.npy");
        let part = |index| Part { index, of: 3 };
        let first = OutputLock::take_part(&output, part(0)).unwrap();
        let _second = OutputLock::take_part(&output, part(2)).unwrap();
        OutputLock::take_part(&output, part(0)).unwrap_err();
        let writers = output_writers(&output).unwrap();
        assert!(writers.len() == 2 && writers.iter().any(|w| w.ends_with("(part 2/3)")));
        assert!(refuse_parts(&output).unwrap_err().to_string().contains("part"));
        drop(first);
        drop(OutputLock::take_part(&output, part(0)).unwrap());
    }

    #[test]
    fn parts_are_a_partition() {
        for (count, of) in [(0, 1), (1, 3), (10, 3), (56, 7), (u64::MAX, 5)] {
            let mut next = 0;
            for index in 0..of {
                let range = Part { index, of }.range(count);
                assert_eq!(range.start, next);
                assert!(range.end - range.start <= count / of + 1);
                next = range.end;
            }
            assert_eq!(next, count);
        }
        let part = Part { index: 3, of: 12 };
        assert_eq!(
            (part.name().as_str(), Part::of_name(&part.name())),
            ("part-3-of-12", Some(part))
        );
        for no in ["part-3-of-3", "part-03-of-12", "part--1-of-2", "0", "part-1-of-"] {
            assert_eq!(Part::of_name(no), None, "{no}");
        }
    }
}
