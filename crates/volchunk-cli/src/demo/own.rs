//! Which files of a folder the demo may replace: those that an earlier demo made.

use std::{fs, path::Path};

use serde_json::{Value, json};
use volchunk::{Error, ErrorKind, Result};

use crate::{job::Job, picture::is_made_with};

/// What the demo's picture says that it was made with, under the keyword `Software`.
pub(super) const SOFTWARE: &str = "volchunk demo";

/// What the demo's volume says of itself.
pub(super) fn attributes() -> Value {
    json!({ "demo": true })
}

/// Refuses to replace anything but what a demo, finished or stopped, made: the volume `cells`, its
/// result `filtered` by `op`, the `picture`.
pub(super) fn check(cells: &Path, filtered: &Path, op: &str, picture: &Path) -> Result<()> {
    let own = |path: &Path| {
        if path == cells {
            zarr_attributes(path).is_some_and(|a| a["demo"] == true)
        } else if path == filtered {
            let job = zarr_attributes(path).as_ref().and_then(Job::from_attributes);
            job.is_some_and(|job| job.is_plainly(cells, op))
        } else {
            is_made_with(path, SOFTWARE)
        }
    };
    for path in [cells, filtered, picture] {
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
