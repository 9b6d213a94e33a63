//! Where figure and report are written: looked at before the work, complete or not there after it.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use volchunk::{Error, ErrorKind, Result};
use volchunk_io::{partial_path, same_or_inside};

use crate::picture::is_made_with;

/// What the figure, and the page, say that they were made with.
pub(crate) const SOFTWARE: &str = "volchunk detect";

/// Refuses a `path`, given by `flag`, that cannot be written, that would harm one of the volumes and
/// tables at `others`, or that would replace anything but an earlier figure or report.
///
/// # Errors
/// What is wrong with it; nothing is changed.
pub(crate) fn check_writable(flag: &str, path: &Path, others: &[&Path]) -> Result<()> {
    let place = path.display();
    if let Some(other) = others.iter().find(|other| same_or_inside(other, path)) {
        return Err(Error::argument(format!(
            "{flag} {place} is, holds or lies inside {}; legal: a place apart from it",
            other.display()
        )));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::new(
            ErrorKind::Io,
            format!("{flag} {place}: there is no folder {}", folder.display()),
        ));
    }
    if path.symlink_metadata().is_ok() && !is_ours(path) {
        return Err(Error::new(
            ErrorKind::Exists,
            format!("{flag}: {place} is there, and {SOFTWARE} did not make it; legal: a new file"),
        ));
    }
    let partial = partial_path(path);
    File::create(&partial)
        .and_then(|_| fs::remove_file(&partial))
        .map_err(|e| Error::io(format_args!("{flag} {place} cannot be written"), e))
}

/// Whether an earlier figure or report stands at `path`.
pub(crate) fn is_ours(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|f| f.take(1024).read_to_end(&mut head));
    let page = read.is_ok() && String::from_utf8_lossy(&head).contains(&generator());
    path.is_file() && (page || is_made_with(path, SOFTWARE))
}

/// How the page says what made it.
pub(super) fn generator() -> String {
    format!(r#"<meta name="generator" content="{SOFTWARE}">"#)
}

/// Writes `bytes` to `path`, which appears when all of them are there.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial_path(path);
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|e| Error::io(format_args!("writing {}", path.display()), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_looked_at_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let says = |path: &Path, what: &str| {
            let e = check_writable("--report", path, &[&at("in.zarr")]).unwrap_err().to_string();
            assert!(e.contains("--report") && e.contains(what), "{e}");
        };
        fs::create_dir(at("in.zarr")).unwrap();
        fs::write(at("mine.html"), "<p>notes</p>").unwrap();
        says(&at("in.zarr/cells.html"), "lies inside");
        says(&at("in.zarr"), "in.zarr");
        says(&at("nowhere/cells.html"), "no folder");
        says(&at("mine.html"), "did not make it");
        says(dir.path(), "holds");
        check_writable("--report", &at("cells.html"), &[&at("in.zarr")]).unwrap();
        assert!(!at("cells.html").exists() && !at("cells.html.partial").exists());
        write_whole(&at("cells.html"), format!("<!doctype html>{}", generator()).as_bytes())
            .unwrap();
        check_writable("--report", &at("cells.html"), &[]).unwrap();
        assert!(fs::read_to_string(at("mine.html")).unwrap().contains("notes"));
    }
}
