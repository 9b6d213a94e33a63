//! Finding an array: the nodes of a hierarchy and their JSON.

use std::{
    fs,
    io::{Read, Write},
    path::{Component, Path, PathBuf},
};

use serde_json::{Map, Value};
use volchunk::{Error, Result};

/// Larger metadata is refused unread; consolidated metadata of large hierarchies is a few MB.
const MAX_JSON: u64 = 64 << 20;

/// A group or an array, as its metadata tells.
pub(super) struct Node {
    /// Its folder.
    pub(super) path: PathBuf,
    /// The file that describes it: `zarr.json`, `.zarray` or `.zgroup`.
    pub(super) file: PathBuf,
    pub(super) document: Value,
    pub(super) attributes: Map<String, Value>,
    pub(super) is_array: bool,
}

impl Node {
    /// The node whose folder is `path`; None if there is no Zarr metadata.
    ///
    /// # Errors
    /// Metadata that cannot be read or is not JSON; names the file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        let node = |file: PathBuf, document, attributes, is_array| {
            Some(Self { path: path.to_owned(), file, document, attributes, is_array })
        };
        let file = path.join("zarr.json");
        if let Some(document) = read_json(&file)? {
            let kind = document.get("node_type").and_then(Value::as_str).unwrap_or_default();
            let is_array = match kind {
                "array" => true,
                "group" => false,
                _ => {
                    return Err(Error::data(format!(
                        "{}: node_type is '{kind}'; legal: array, group",
                        file.display()
                    )));
                }
            };
            let attributes = document.get("attributes").and_then(Value::as_object).cloned();
            return Ok(node(file, document, attributes.unwrap_or_default(), is_array));
        }
        for (name, is_array) in [(".zarray", true), (".zgroup", false)] {
            let file = path.join(name);
            if let Some(document) = read_json(&file)? {
                let attributes = match read_json(&path.join(".zattrs"))? {
                    Some(Value::Object(map)) => map,
                    _ => Map::new(),
                };
                return Ok(node(file, document, attributes, is_array));
            }
        }
        Ok(None)
    }

    /// The multiscales of an OME-Zarr group, version 0.5 or 0.4; the first if there are several.
    pub(super) fn multiscales(&self) -> Option<&Value> {
        let list = match self.attributes.get("ome") {
            Some(ome) => ome.get("multiscales"),
            None => self.attributes.get("multiscales"),
        };
        list?.get(0)
    }

    /// The array at `relative`, a path from OME metadata, in this group.
    pub(super) fn child(&self, relative: &str) -> Result<Self> {
        let outside = Path::new(relative).components().any(|c| !matches!(c, Component::Normal(_)));
        if outside || relative.is_empty() {
            return Err(Error::data(format!(
                "{}: the dataset path '{relative}' leaves the group",
                self.file.display()
            )));
        }
        let path = self.path.join(relative);
        match Self::open(&path)? {
            Some(node) if node.is_array => Ok(node),
            _ => Err(Error::data(format!(
                "{}: its metadata names the array '{relative}', there is none",
                self.path.display()
            ))),
        }
    }
}

/// The group above `array` whose multiscales name it, and the path by which they do.
pub(super) fn group_of(array: &Path) -> Option<(Node, String)> {
    let full = fs::canonicalize(array).ok()?;
    // A dataset path commonly has one part; more are legal.
    for group in full.ancestors().skip(1).take(4) {
        // A group above that cannot be read does not concern this array.
        let Ok(Some(node)) = Node::open(group) else { continue };
        let parts: Vec<_> = full.strip_prefix(group).ok()?.iter().map(|p| p.to_str()).collect();
        let relative = parts.into_iter().collect::<Option<Vec<_>>>()?.join("/");
        let named = node.multiscales().and_then(|m| m.get("datasets")?.as_array()).is_some_and(
            |datasets| {
                datasets.iter().any(|d| d.get("path").and_then(Value::as_str) == Some(&*relative))
            },
        );
        if named {
            return Some((node, relative));
        }
    }
    None
}

/// Arrays below `group`, as paths relative to it, sorted; not more than a message can list.
pub(super) fn arrays_below(group: &Path) -> Vec<String> {
    const MOST: usize = 20;
    let mut found = Vec::new();
    let mut open = vec![(String::new(), 0)];
    while let Some((relative, depth)) = open.pop() {
        let Ok(entries) = fs::read_dir(group.join(&relative)) else { continue };
        for entry in entries.flatten().take(1000) {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if relative.is_empty() { name } else { format!("{relative}/{name}") };
            match Node::open(&group.join(&path)) {
                Ok(Some(node)) if node.is_array => found.push(path),
                Ok(Some(_)) if depth < 4 => open.push((path, depth + 1)),
                _ => {}
            }
        }
        if found.len() > MOST {
            break;
        }
    }
    found.sort();
    found.truncate(MOST);
    found
}

/// The JSON document in `file`; None if there is no such file.
pub(super) fn read_json(file: &Path) -> Result<Option<Value>> {
    let fail = |e| Error::io(format_args!("reading {}", file.display()), e);
    let handle = match fs::File::open(file) {
        Ok(handle) => handle,
        Err(e)
            if matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(e) => return Err(fail(e)),
    };
    let mut text = Vec::new();
    handle.take(MAX_JSON + 1).read_to_end(&mut text).map_err(fail)?;
    if text.len() as u64 > MAX_JSON {
        return Err(Error::data(format!(
            "{} is larger than {} MiB, which no metadata is",
            file.display(),
            MAX_JSON >> 20
        )));
    }
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|e| Error::data(format!("{} is not JSON: {e}", file.display())).caused_by(e))
}

/// Writes `document` to `file` so that a reader sees the old one or the new one, never a part.
pub(super) fn write_json(file: &Path, document: &Value, durable: bool) -> Result<()> {
    let fail = |e| Error::io(format_args!("writing {}", file.display()), e);
    let text = serde_json::to_vec_pretty(document).map_err(|e| fail(e.into()))?;
    let partial = super::writer::Partial::beside(file, durable)?;
    let mut handle = fs::File::create(partial.path()).map_err(fail)?;
    handle.write_all(&text).map_err(fail)?;
    partial.commit(handle).map_err(fail)
}
