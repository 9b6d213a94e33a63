//! What an input was when a job read it, so that a later run can tell whether it changed.

use std::{
    fs::{self, Metadata},
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use volchunk::{Error, Result, VolumeInfo};

/// Files whose presence makes a folder a Zarr node.
const ZARR_METADATA: [&str; 4] = ["zarr.json", ".zarray", ".zgroup", ".zattrs"];

/// Entries of a Zarr that are looked at, however many it has.
const LIMIT: usize = 1000;

/// An input's description, and the number, size and newest change of its files.
///
/// No voxel is read. Of a Zarr only the metadata of the node and of its children counts, and the
/// times of their folders. A storage chunk rewritten in place is noticed by the stamps of the chunks
/// that read it, when a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fingerprint {
    /// Shape, dtype, axes with scale, unit and origin; text, since a float may not survive JSON.
    volume: String,
    files: u64,
    bytes: u64,
    /// Nanoseconds since 1970.
    newest: u64,
}

impl Fingerprint {
    /// Of the volume `info` at `path`.
    pub(crate) fn of(path: &Path, info: &VolumeInfo) -> Result<Self> {
        let mut print = Self { volume: description(info), files: 0, bytes: 0, newest: 0 };
        print
            .look(path)
            .map_err(|e| Error::io(format_args!("looking at {}", path.display()), e))?;
        Ok(print)
    }

    fn look(&mut self, path: &Path) -> std::io::Result<()> {
        let meta = fs::metadata(path)?;
        if !meta.is_dir() {
            self.file(&meta);
        } else if self.zarr_node(path, &meta) {
            for entry in fs::read_dir(path)?.take(LIMIT) {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    self.zarr_node(&entry.path(), &entry.metadata()?);
                }
            }
        } else {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
                if !name.starts_with('.') && (name.ends_with(".tif") || name.ends_with(".tiff")) {
                    self.file(&fs::metadata(entry.path())?);
                }
            }
        }
        Ok(())
    }

    /// Counts a folder's own time and its metadata; false if it has none.
    fn zarr_node(&mut self, folder: &Path, meta: &Metadata) -> bool {
        let files = self.files;
        for name in ZARR_METADATA {
            if let Ok(meta) = fs::metadata(folder.join(name)) {
                self.file(&meta);
            }
        }
        self.time(meta);
        self.files > files
    }

    fn file(&mut self, meta: &Metadata) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(meta.len());
        self.time(meta);
    }

    /// Where a file system keeps no times, sizes have to do.
    fn time(&mut self, meta: &Metadata) {
        let since = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        let nanoseconds = since.and_then(|t| u64::try_from(t.as_nanos()).ok());
        self.newest = self.newest.max(nanoseconds.unwrap_or(0));
    }
}

fn description(info: &VolumeInfo) -> String {
    let axes = info.axes.iter().zip(&info.shape).map(|(axis, n)| {
        let scale = axis.scale.map_or("unknown".into(), |s| s.to_string());
        let unit = axis.unit.as_deref().unwrap_or("");
        format!("{} {n} × {scale} {unit} from {}", axis.name, axis.origin)
    });
    format!("{}; {}", info.dtype, axes.collect::<Vec<_>>().join("; "))
}
