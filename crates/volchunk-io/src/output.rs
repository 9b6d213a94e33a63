//! What stands where an output is to go: whether it may be begun, and how it is removed.

use std::{
    fs,
    io::ErrorKind as IoKind,
    path::{Component, Path, PathBuf},
};

use serde_json::Value;
use volchunk::{Error, Result};

use crate::{
    file::{companion_path, partial_path},
    format::{Format, ZARR_METADATA},
    lock::{LOCK, Part, refuse_parts},
    zarr,
};

/// What stands at an output's path.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputState {
    /// Nothing, apart from perhaps the folder `OUTPUT.volchunk`.
    Absent,
    /// An output of volchunk that was not finished: a Zarr that says so, or `OUTPUT.partial`.
    Partial,
    /// A complete volume.
    Complete {
        /// What [`CreateOptions::attributes`](crate::CreateOptions::attributes) was: of a Zarr
        /// what its metadata keeps under `volchunk`, without `complete`; of a file the content of
        /// `OUTPUT.volchunk/job.json`. None where that is missing or unreadable.
        attributes: Option<Value>,
    },
    /// Something that is no output of volchunk.
    Foreign,
}

/// What stands at `path`. Nothing is followed or changed; a symbolic link is foreign.
///
/// # Errors
/// I/O other than that nothing is there.
pub fn output_state(path: &Path) -> Result<OutputState> {
    let path = &plain(path)?;
    let Some(found) = kind(path)? else {
        return Ok(match kind(&partial_path(path))? {
            Some(_) => OutputState::Partial,
            None => OutputState::Absent,
        });
    };
    Ok(match found {
        Kind::Link => OutputState::Foreign,
        // What is being written has not got its name yet.
        Kind::File if kind(&partial_path(path))?.is_some() => OutputState::Foreign,
        // Metadata that cannot be read is nothing that volchunk wrote.
        Kind::Folder => match zarr::attributes(path).ok().flatten() {
            Some(Value::Object(mut own)) => match own.remove("complete") {
                Some(Value::Bool(true)) => {
                    OutputState::Complete { attributes: Some(Value::Object(own)) }
                }
                _ => OutputState::Partial,
            },
            None if is_bare(path) => OutputState::Partial,
            _ => OutputState::Foreign,
        },
        Kind::File => match json(&companion_path(path).join("job.json")) {
            Some(job) => OutputState::Complete { attributes: Some(job) },
            None if Format::of_input(path).is_ok() || has_journal(path) => {
                OutputState::Complete { attributes: None }
            }
            None => OutputState::Foreign,
        },
    })
}

/// Removes the output at `path`, complete or not, with `OUTPUT.partial` and `OUTPUT.volchunk`.
/// Nothing there is no error.
///
/// A folder is removed only if it is a Zarr store, one of volchunk's that lost its metadata, empty, or
/// `OUTPUT.volchunk` with nothing in it but what volchunk keeps there; nothing is removed through a symbolic
/// link.
///
/// # Errors
/// A link or another folder at any of the three, before anything is removed;
/// [`Exists`](volchunk::ErrorKind::Exists) if a process writes a part of it now; I/O.
pub fn remove_output(path: &Path) -> Result<()> {
    let path = &plain(path)?;
    let companion = companion_path(path);
    // The journal last: without it nobody knows what is left of the output.
    let all = [path.clone(), partial_path(path), companion.clone()];
    let is_store = |place: &Path| is_zarr(place) || place == *path && is_bare(place);
    let mut found = Vec::new();
    for place in all {
        let Some(kind) = kind(&place)? else { continue };
        let refuse = |what: &str| {
            Err(Error::argument(format!("{} is {what}: not removed", place.display())))
        };
        match kind {
            Kind::Link => return refuse("a symbolic link"),
            Kind::Folder
                if place == companion
                    && !holds_only(&place, |name, folder| {
                        is_kept(name, folder) || !folder && is_staged(name, path)
                    }) =>
            {
                return refuse("a folder that holds more than volchunk's own files");
            }
            Kind::Folder
                if place != companion && !is_store(&place) && !holds_only(&place, |_, _| false) =>
            {
                return refuse("a folder that is no Zarr store");
            }
            _ => found.push((place, kind)),
        }
    }
    refuse_parts(path)?;
    for (place, kind) in found {
        match kind {
            Kind::Folder if place == *path && is_store(&place) => {
                zarr::remove(&place)?;
                continue;
            }
            Kind::Folder if place == companion => remove_kept(&place),
            Kind::Folder => fs::remove_dir_all(&place),
            _ => fs::remove_file(&place),
        }
        .map_err(|e| Error::io(format_args!("removing {}", place.display()), e))?;
    }
    Ok(())
}

/// Whether writing, or removing, `output` could touch `input`: one is the other or lies inside of
/// it, through symbolic links, bind mounts and hard links. `OUTPUT.partial` and `OUTPUT.volchunk`
/// count as the output. Neither has to exist.
pub fn same_or_inside(input: &Path, output: &Path) -> bool {
    let input = resolved(input);
    [output.to_owned(), partial_path(output), companion_path(output)].iter().any(|place| {
        let place = resolved(place);
        input.starts_with(&place)
            || place.starts_with(&input)
            || input.ancestors().any(|a| same_file(a, &place))
            || place.ancestors().any(|a| same_file(a, &input))
    })
}

/// `path` without trailing slashes and dots, which would be followed into a link's target.
fn plain(path: &Path) -> Result<PathBuf> {
    match path.file_name() {
        Some(_) => Ok(path.components().collect()),
        None => {
            let place = path.display();
            Err(Error::argument(format!("the output '{place}' must end in a file's name")))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    File,
    Folder,
    Link,
}

fn kind(path: &Path) -> Result<Option<Kind>> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => Ok(Some(Kind::Link)),
        Ok(meta) if meta.is_dir() => Ok(Some(Kind::Folder)),
        Ok(_) => Ok(Some(Kind::File)),
        Err(e) if e.kind() == IoKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(format_args!("looking at {}", path.display()), e)),
    }
}

/// Whether a folder holds nothing but what `known` accepts, by name and whether it is a folder.
fn holds_only(folder: &Path, known: impl Fn(&str, bool) -> bool) -> bool {
    let known = |entry: fs::DirEntry| {
        let kind = entry.file_type();
        entry.file_name().to_str().is_some_and(|name| {
            kind.is_ok_and(|kind| !kind.is_symlink() && known(name, kind.is_dir()))
        })
    };
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|e| e.is_ok_and(known)))
}

/// Whether something of this name in `OUTPUT.volchunk` is volchunk's.
fn is_kept(name: &str, is_folder: bool) -> bool {
    let plain = name.strip_suffix(".new").unwrap_or(name);
    let journal = plain
        .strip_suffix(".journal")
        .or_else(|| plain.strip_suffix(".spool"))
        .is_some_and(|stem| stem.parse::<u32>().is_ok() || Part::of_name(stem).is_some());
    let lock =
        name == LOCK || name.strip_suffix(".lock").is_some_and(|s| Part::of_name(s).is_some());
    if is_folder {
        [zarr::UNDER_WAY, zarr::DOOMED].contains(&name)
    } else {
        ["job.json", "table.xxh3"].contains(&plain) || journal || lock
    }
}

/// Whether something of this name in `OUTPUT.volchunk` is the table that becomes the output.
fn is_staged(name: &str, output: &Path) -> bool {
    let plain = name.strip_suffix(".partial").unwrap_or(name);
    output.file_name().is_some_and(|own| own == plain)
}

/// Removes what is kept in `OUTPUT.volchunk`, and the folder itself if nobody holds its lock.
fn remove_kept(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // That is its holder's, who removes the folder with it.
        if entry.file_name() == LOCK {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// Whether there is a journal beside an output.
pub fn has_journal(output: &Path) -> bool {
    let is_journal = |entry: fs::DirEntry| entry.path().extension().is_some_and(|e| e == "journal");
    fs::read_dir(companion_path(output))
        .is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_journal)))
}

/// Whether a folder holds what volchunk writes in a Zarr and nothing else, and has a journal beside it: its
/// metadata was lost.
fn is_bare(folder: &Path) -> bool {
    let is_level = |name: &str| name.parse::<u32>().is_ok();
    let is_metadata = |name: &str| ["zarr.json", ".zarr.json.partial"].contains(&name);
    let is_array = |folder: &Path| {
        holds_only(
            folder,
            |name, is_folder| {
                if is_folder { name == "c" } else { is_metadata(name) }
            },
        )
    };
    has_journal(folder)
        && !is_zarr(folder)
        && holds_only(folder, |name, is_folder| match is_folder {
            true => name == "c" || is_level(name) && is_array(&folder.join(name)),
            false => is_metadata(name),
        })
}

/// Whether a folder's own metadata is that of a Zarr group or array.
fn is_zarr(folder: &Path) -> bool {
    // Attributes alone name no format: any tool may have a file of that name.
    let mut metadata = ZARR_METADATA.iter().filter(|&&name| name != ".zattrs");
    metadata.any(|name| json(&folder.join(name)).is_some_and(|v| v.get("zarr_format").is_some()))
}

/// A small JSON file; None if it is missing, unreadable or unreasonably long.
fn json(path: &Path) -> Option<Value> {
    const LIMIT: u64 = 64 << 20;
    let meta = fs::metadata(path).ok()?;
    if !meta.is_file() || meta.len() > LIMIT {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// `path`, absolute and without links, as far as it exists; the rest as it is written.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut existing = absolute.as_path();
    loop {
        if let Ok(found) = fs::canonicalize(existing) {
            let mut whole = found;
            let rest = absolute.strip_prefix(existing).unwrap_or(Path::new(""));
            for part in rest.components() {
                match part {
                    Component::ParentDir => drop(whole.pop()),
                    part => whole.push(part),
                }
            }
            return whole;
        }
        match existing.parent() {
            Some(parent) => existing = parent,
            None => return absolute,
        }
    }
}

/// Whether both exist and are one file or folder, by device and inode.
#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |p| fs::metadata(p).map(|m| (m.dev(), m.ino()));
    matches!((id(a), id(b)), (Ok(a), Ok(b)) if a == b)
}

/// Elsewhere canonical paths have to do.
#[cfg(not(unix))]
fn same_file(_: &Path, _: &Path) -> bool {
    false
}
