//! One writer for one output.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use volchunk::{Error, ErrorKind, Result};

use crate::file::companion_path;

/// The right to write, replace or remove one output. It dies with the process that holds it.
#[derive(Debug)]
pub struct OutputLock {
    file: File,
    path: PathBuf,
}

impl OutputLock {
    /// Takes the right to `output`, by a lock on `OUTPUT.volchunk/lock`.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if another process writes that output now; I/O.
    pub fn take(output: &Path) -> Result<Self> {
        let folder = companion_path(output);
        let path = folder.join("lock");
        let fail = |e| Error::io(format_args!("locking {}", path.display()), e);
        loop {
            match fs::create_dir(&folder) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(e)),
                _ => {}
            }
            let mut options = OpenOptions::new();
            let file = match options.create(true).truncate(false).write(true).open(&path) {
                // Its folder went with the run before, just now.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                file => file.map_err(fail)?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Exists,
                        format!(
                            "another process is writing {} just now (it holds {}); wait for it, or \
                             stop it",
                            output.display(),
                            path.display()
                        ),
                    ));
                }
                Err(TryLockError::Error(e)) => return Err(fail(e)),
            }
            // Its last holder may have removed the file between our opening and locking it.
            if is_still_there(&file, &path) {
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
        let first = OutputLock::take(&output).unwrap();
        let error = OutputLock::take(&output).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert!(error.to_string().contains("out.npy"), "{error}");
        drop(first);
        assert!(!companion_path(&output).exists());
        drop(OutputLock::take(&output).unwrap());
    }
}
