//! Which files of a folder the demo may replace: those that an earlier demo made.

use std::{fs, path::Path};

use serde_json::{Value, json};
use volchunk::{Error, ErrorKind, Result};

use volchunk_io::companion_path;

use crate::{cells::is_ours, job::Job};

/// What the demo's volume says of itself.
pub(super) fn attributes() -> Value {
    json!({ "demo": true })
}

/// Refuses to replace anything but what a demo, finished or stopped, made: the volume `cells`, `tables`
/// of what `op` found in it, `pictures`.
pub(super) fn check(cells: &Path, tables: &[&Path], op: &str, pictures: &[&Path]) -> Result<()> {
    let own = |path: &Path| {
        if path == cells {
            zarr_attributes(path).is_some_and(|a| a["demo"] == true)
        } else if tables.contains(&path) {
            let job = job_beside(path);
            job.is_some_and(|job| job.is_plainly(cells, op))
        } else {
            is_ours(path)
        }
    };
    let all = [cells].into_iter().chain(tables.iter().copied()).chain(pictures.iter().copied());
    for path in all {
        let link = match fs::symlink_metadata(path) {
            Ok(meta) => meta.is_symlink(),
            Err(_) => continue,
        };
        if link || !own(path) {
            return Err(Error::new(
                ErrorKind::Exists,
                format!(
                    "--dir: {} is there, and the demo did not make it; move it away, or give \
                     another folder",
                    path.display()
                ),
            ));
        }
    }
    Ok(())
}

/// What the Zarr at `path` keeps of volchunk.
fn zarr_attributes(path: &Path) -> Option<Value> {
    let text = fs::read(path.join("zarr.json")).ok()?;
    let document: Value = serde_json::from_slice(&text).ok()?;
    document.get("attributes")?.get("volchunk").cloned()
}

/// The job that is kept beside a file.
fn job_beside(path: &Path) -> Option<Job> {
    let text = fs::read(companion_path(path).join("job.json")).ok()?;
    Job::from_attributes(&serde_json::from_slice(&text).ok()?)
}
