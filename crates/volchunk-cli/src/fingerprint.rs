//! What an input was when a job read it, so that a later run can tell whether it changed.

use std::{
    fs::{self, Metadata},
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};
use volchunk::{Error, Region, Result, Source, VolumeInfo};

/// Files whose presence makes a folder a Zarr node.
const ZARR_METADATA: [&str; 4] = ["zarr.json", ".zarray", ".zgroup", ".zattrs"];

/// Entries of a Zarr that are looked at, however many it has.
const LIMIT: usize = 1000;

/// An input's description, and the number, size and newest change of its files.
///
/// No voxel is read. Of a Zarr only the metadata of the node and of its children counts, and the
/// times of their folders. A storage chunk rewritten in place, or one of a folder's planes, is noticed
/// by the stamps of the chunks that read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Shape, dtype, axes with scale, unit and origin; text, since a float may not survive JSON.
    volume: String,
    files: u64,
    bytes: u64,
    /// Nanoseconds since 1970.
    newest: u64,
    /// The same of the folders of a Zarr: something came or went there.
    #[serde(default)]
    folders: u64,
    /// Whether each of its files holds a part of it: planes in a folder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    planes: bool,
    /// [`Source::stamp`] of all of it, where the ops were told of all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whole: Option<u64>,
    /// Of what no path names, what its files cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Content>,
}

/// What tells whether a volume that a caller holds is the one that it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A digest of all its voxels.
    Digest(u64),
    /// It lies in a file, and how.
    Layout(String),
    /// The user's word for it.
    Version(String),
    /// Nothing does.
    Unknown,
}

impl Fingerprint {
    /// Of the volume `info` at `path`.
    ///
    /// # Errors
    /// I/O.
    pub fn of(path: &Path, info: &VolumeInfo) -> Result<Self> {
        let mut print = Self::bare(info, None);
        print
            .look(path)
            .map_err(|e| Error::io(format_args!("looking at {}", path.display()), e))?;
        Ok(print)
    }

    /// Of a volume `info` that a caller holds, which may lie in the file at `path`.
    ///
    /// # Errors
    /// I/O.
    pub fn of_content(content: Content, path: Option<&Path>, info: &VolumeInfo) -> Result<Self> {
        let print = match path {
            Some(path) => Self::of(path, info)?,
            None => Self::bare(info, None),
        };
        Ok(Self { content: Some(content), ..print })
    }

    /// With the stamp of all of `source`, on whose every voxel the result depends.
    ///
    /// # Errors
    /// I/O.
    pub fn of_whole(self, source: &dyn Source) -> Result<Self> {
        let whole = source.stamp(&Region::whole(&source.info().shape))?;
        Ok(Self { whole: Some(whole), ..self })
    }

    /// Whether it is that of the volume that `other` is of. Where there are `receipts`, these tell of
    /// parts that have files of their own.
    pub(crate) fn agrees(&self, other: &Self, receipts: bool) -> bool {
        let bare = |print: &Self| {
            let mut bare = print.clone();
            if receipts {
                bare.folders = 0;
            }
            if print.planes && receipts {
                (bare.bytes, bare.newest) = (0, 0);
            }
            bare
        };
        bare(self) == bare(other)
    }

    /// Refuses the volume that it was taken of, called `what`, if it is another now. Of parts that have
    /// files of their own, receipts tell; of what no path names, its owner.
    ///
    /// # Errors
    /// It changed, and which it is; I/O.
    pub fn check(&self, what: &str, path: &Path, source: &dyn Source) -> Result<()> {
        if !matches!(self.content, None | Some(Content::Layout(_))) {
            return Ok(());
        }
        let mut is = Self { content: self.content.clone(), ..Self::of(path, source.info())? };
        if self.whole.is_some() {
            is = is.of_whole(source)?;
        }
        match self.agrees(&is, true) {
            true => Ok(()),
            false => {
                Err(Error::data(format!("the {what} {} changed while it was read", path.display())))
            }
        }
    }

    /// What tells of a volume that a caller holds; None where a path names it.
    pub fn content(&self) -> Option<&Content> {
        self.content.as_ref()
    }

    /// Whether it is that of what a path names.
    pub(crate) fn is_of_path(&self) -> bool {
        self.content.is_none()
    }

    /// Whether nothing tells that what it is of is what it was.
    pub(crate) fn is_unknown(&self) -> bool {
        self.content == Some(Content::Unknown)
    }

    fn bare(info: &VolumeInfo, content: Option<Content>) -> Self {
        Self {
            volume: description(info),
            files: 0,
            bytes: 0,
            newest: 0,
            folders: 0,
            planes: false,
            whole: None,
            content,
        }
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
            self.planes = true;
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
        self.folders = self.folders.max(nanoseconds(meta));
        self.files > files
    }

    fn file(&mut self, meta: &Metadata) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(meta.len());
        self.newest = self.newest.max(nanoseconds(meta));
    }
}

/// Where a file system keeps no times, sizes have to do.
fn nanoseconds(meta: &Metadata) -> u64 {
    let since = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
    since.and_then(|t| u64::try_from(t.as_nanos()).ok()).unwrap_or(0)
}

fn description(info: &VolumeInfo) -> String {
    let axes = info.axes.iter().zip(&info.shape).map(|(axis, n)| {
        let scale = axis.scale.map_or("unknown".into(), |s| s.to_string());
        let unit = axis.unit.as_deref().unwrap_or("");
        format!("{} {n} × {scale} {unit} from {}", axis.name, axis.origin)
    });
    format!("{}; {}", info.dtype, axes.collect::<Vec<_>>().join("; "))
}
