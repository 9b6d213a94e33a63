//! The folder of an output: created whole, taken up again, marked complete, removed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde_json::{Value, json};
use volchunk::{Error, ErrorKind, Result, os};

use super::node::{self, Node, read_json};
use crate::file::{Begin, companion_path};

/// The folder within `OUTPUT.volchunk` in which an output is put together.
pub(crate) const UNDER_WAY: &str = "new";
/// The one in which an output waits to be deleted.
pub(crate) const DOOMED: &str = ".deleted";

/// The metadata file whose `attributes.volchunk.complete` says whether the output is.
pub(super) struct Root {
    file: PathBuf,
    document: Mutex<Value>,
    durable: bool,
}

impl Root {
    /// The output at `path`, whose `zarr.json` is `document`, with `arrays` by name within it:
    /// created where nothing stands; else, where `begin` allows, what stands there, if it is that.
    /// Of its metadata, what is missing or no metadata any more is written anew, if any is left.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if something else stands there; I/O.
    pub(super) fn open(
        path: &Path,
        document: Value,
        arrays: &[(String, &Value)],
        begin: Begin,
    ) -> Result<Self> {
        let document = match path.symlink_metadata() {
            Err(_) => {
                create(path, &document, arrays, begin.durable)?;
                document
            }
            Ok(_) if !begin.resume => {
                let message = format!("{} already exists", path.display());
                return Err(Error::new(ErrorKind::Exists, message));
            }
            Ok(_) => {
                let mut all = vec![(path.to_owned(), &document)];
                all.extend(arrays.iter().map(|(name, array)| (path.join(name), *array)));
                let found: Vec<Option<Value>> = all
                    .iter()
                    .map(|(folder, wanted)| find(folder, wanted))
                    .collect::<Result<_>>()?;
                // Else it may be anybody's folder.
                if found.iter().all(Option::is_none) {
                    let message = format!(
                        "{} holds no metadata of this output, which can only be begun anew",
                        path.display()
                    );
                    return Err(Error::new(ErrorKind::Exists, message));
                }
                for ((folder, wanted), _) in all.iter().zip(&found).filter(|(_, f)| f.is_none()) {
                    fs::create_dir_all(folder)
                        .map_err(|e| Error::io(format_args!("creating {}", folder.display()), e))?;
                    node::write_json(&folder.join("zarr.json"), wanted, begin.durable)?;
                }
                found.into_iter().next().flatten().unwrap_or(document)
            }
        };
        let file = path.join("zarr.json");
        let root = Self { file, document: Mutex::new(document), durable: begin.durable };
        if root.is_complete() {
            root.mark(false)?;
        }
        Ok(root)
    }

    fn is_complete(&self) -> bool {
        let document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        document["attributes"]["volchunk"]["complete"] != json!(false)
    }

    /// Marks the output complete.
    pub(super) fn finish(&self) -> Result<()> {
        self.mark(true)
    }

    fn mark(&self, complete: bool) -> Result<()> {
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        document["attributes"]["volchunk"]["complete"] = json!(complete);
        node::write_json(&self.file, &document, self.durable)
    }
}

/// Creates an output, which gets its name with all of its metadata in place: a kill leaves all of it
/// or none.
fn create(path: &Path, document: &Value, arrays: &[(String, &Value)], durable: bool) -> Result<()> {
    let fail = |e| Error::io(format_args!("creating {}", path.display()), e);
    let companion = companion_path(path);
    let new = companion.join(UNDER_WAY);
    match fs::create_dir(&companion) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(e)),
        _ => {}
    }
    // Of a process that was killed here.
    if new.symlink_metadata().is_ok() {
        fs::remove_dir_all(&new).map_err(fail)?;
    }
    fs::create_dir(&new).map_err(fail)?;
    for (name, array) in arrays {
        fs::create_dir(new.join(name)).map_err(fail)?;
        node::write_json(&new.join(name).join("zarr.json"), array, durable)?;
    }
    node::write_json(&new.join("zarr.json"), document, durable)?;
    fs::rename(&new, path).map_err(fail)?;
    if let Some(folder) = path.parent().filter(|_| durable) {
        os::sync_folder(folder).map_err(fail)?;
    }
    // It stays if anything else is kept there.
    let _ = fs::remove_dir(&companion);
    Ok(())
}

/// The document in the `zarr.json` of `folder`, if it is `wanted` but for what volchunk keeps in its
/// attributes; None where there is none that can be read.
fn find(folder: &Path, wanted: &Value) -> Result<Option<Value>> {
    let file = &folder.join("zarr.json");
    let bare = |document: &Value| {
        let mut bare = document.clone();
        if let Some(attributes) = bare.get_mut("attributes").and_then(Value::as_object_mut) {
            attributes.remove("volchunk");
        }
        bare
    };
    // Through text and back, as a float may not survive that unchanged.
    let same: Option<Value> =
        serde_json::to_string(wanted).ok().and_then(|text| serde_json::from_str(&text).ok());
    match read_json(file) {
        Ok(Some(found)) if same.as_ref().map(bare).as_ref() == Some(&bare(&found)) => {
            Ok(Some(found))
        }
        Ok(Some(_)) => Err(Error::new(
            ErrorKind::Exists,
            format!(
                "{} is not what this job writes; an output can be taken up again only as it was begun",
                file.display()
            ),
        )),
        Err(e) if e.kind() != ErrorKind::InvalidData => Err(e),
        Ok(None) | Err(_) => Ok(None),
    }
}

/// What stands under `attributes.volchunk` of the Zarr at `path`: `complete` and what the job put
/// beside it. None if there is no Zarr, or volchunk did not write it.
///
/// # Errors
/// Metadata that is not JSON; I/O.
pub(crate) fn attributes(path: &Path) -> Result<Option<Value>> {
    Ok(Node::open(path)?.and_then(|mut node| node.attributes.remove("volchunk")))
}

/// Deletes the Zarr at `path`, so that it can be written anew.
///
/// It takes another name first, in `OUTPUT.volchunk`, so that nothing at `path` ever looks complete with
/// parts missing, and what a kill leaves is found by whoever removes that folder.
///
/// # Errors
/// I/O; names the folder.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let companion = companion_path(path);
    let doomed = companion.join(DOOMED);
    let fail = |place: &Path| {
        let place = place.display().to_string();
        move |e| Error::io(format_args!("deleting {place}"), e)
    };
    fs::create_dir_all(&companion).map_err(fail(&companion))?;
    if doomed.symlink_metadata().is_ok() {
        fs::remove_dir_all(&doomed).map_err(fail(&doomed))?;
    }
    fs::rename(path, &doomed).map_err(fail(path))?;
    fs::remove_dir_all(&doomed).map_err(fail(&doomed))?;
    // It stays if anything else is kept there.
    let _ = fs::remove_dir(&companion);
    Ok(())
}
