//! Creating outputs: a group with its levels or a plain array, marked complete at the end.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value, json};
use volchunk::{Error, ErrorKind, Result, Sink, Source, VolumeInfo};

use super::{
    node::{self, Node},
    ome::{self, ome_describable},
    reader::ZarrSource,
    writer::{self, ZarrSink},
};
use crate::CreateOptions;

/// The metadata file whose `attributes.volchunk.complete` says whether the output is.
pub(super) struct Root {
    file: PathBuf,
    document: Mutex<Value>,
}

impl Root {
    /// Marks the output complete.
    pub(super) fn finish(&self) -> Result<()> {
        let mut document = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        document["attributes"]["volchunk"]["complete"] = json!(true);
        node::write_json(&self.file, &document)
    }
}

/// An OME-Zarr group with several levels, which are written one after another.
///
/// The caller fills level 0 through its [`sink`](Self::sink), then each next level from the
/// [`source`](Self::source) of the one before, and calls [`finish`](Self::finish) at the end.
///
/// ```
/// use volchunk::{Buffer, Dtype, Region, Scratch, VolumeInfo};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("out.zarr");
/// let levels = [VolumeInfo::new(&[8, 8, 8], Dtype::U8), VolumeInfo::new(&[4, 4, 4], Dtype::U8)];
/// let pyramid = volchunk_io::Pyramid::create(&path, &levels, &Default::default())?;
/// for (k, level) in levels.iter().enumerate() {
///     let voxels = Buffer::zeros(&level.shape, level.dtype);
///     let sink = pyramid.sink(k)?;
///     sink.write(&Region::whole(&level.shape), voxels.view(), &mut Scratch::new())?;
/// }
/// assert_eq!(pyramid.source(1)?.info().shape[..], [4, 4, 4]);
/// pyramid.finish()?;
/// # Ok::<(), volchunk::Error>(())
/// ```
pub struct Pyramid {
    path: PathBuf,
    root: Arc<Root>,
    levels: Vec<Level>,
}

struct Level {
    info: VolumeInfo,
    document: Value,
    zstd_level: i32,
}

impl Pyramid {
    /// Creates the group at `path` and the arrays `0`, `1` … of `levels`, finest first.
    ///
    /// Every level's shape, axes (scale and origin go into the metadata), dtype and storage are
    /// its own; where its storage is None, a default is chosen.
    ///
    /// # Errors
    /// [`ErrorKind::Exists`] if something stands at `path`; axes that OME-NGFF cannot describe
    /// ([`ome_describable`]); levels of another dtype or other axes than the first; I/O.
    pub fn create(path: &Path, levels: &[VolumeInfo], options: &CreateOptions) -> Result<Self> {
        let bad = |what: &str| Err(Error::argument(format!("{}: {what}", path.display())));
        let Some(first) = levels.first() else { return bad("a pyramid needs a level") };
        if !levels.iter().all(ome_describable) {
            return bad(&format!(
                "OME-Zarr cannot describe the axes {}; it knows t, c and two or three of space, \
                 in this order",
                first.axis_names()
            ));
        }
        let same = |l: &VolumeInfo| {
            l.dtype == first.dtype
                && l.axes.len() == first.axes.len()
                && l.axes.iter().zip(&first.axes).all(|(a, b)| a.name == b.name && a.kind == b.kind)
        };
        if !levels.iter().all(same) {
            return bad("the levels of a pyramid have one dtype and the same axes");
        }
        let prepared = levels.iter().map(|info| {
            let (info, zstd_level) = writer::prepare(path, info, options.zstd_level)?;
            let document = writer::array_document(&info, zstd_level, Map::new());
            Ok(Level { info, document, zstd_level })
        });
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        let name = path.file_stem().map(|n| n.to_string_lossy()).unwrap_or_default();
        let mut volchunk = writer::job_attributes(options)?;
        volchunk.insert("complete".into(), json!(false));
        let document = json!({
            "zarr_format": 3,
            "node_type": "group",
            "attributes": {"ome": ome::describe(&name, levels), "volchunk": volchunk},
        });
        create_root(path, &document)?;
        for (k, level) in prepared.iter().enumerate() {
            writer::create_array(&path.join(k.to_string()), &level.document)?;
        }
        let root = Root { file: path.join("zarr.json"), document: Mutex::new(document) };
        Ok(Self { path: path.to_owned(), root: Arc::new(root), levels: prepared })
    }

    /// A sink for level `k`. Its [`finish`](Sink::finish) does not mark the group complete.
    ///
    /// # Errors
    /// There is no such level; no memory for its encoder.
    pub fn sink(&self, k: usize) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.zarr_sink(k, None)?))
    }

    /// Level `k`, once it was written.
    ///
    /// # Errors
    /// As [`open`](crate::open).
    pub fn source(&self, k: usize) -> Result<Box<dyn Source>> {
        Ok(Box::new(ZarrSource::open(&self.path.join(k.to_string()))?))
    }

    /// Marks the group complete, after every level was written.
    ///
    /// # Errors
    /// I/O; the output is then not complete.
    pub fn finish(&self) -> Result<()> {
        self.root.finish()
    }

    fn level(&self, k: usize) -> Result<&Level> {
        self.levels.get(k).ok_or_else(|| {
            Error::argument(format!(
                "{} has {} levels, there is no level {k}",
                self.path.display(),
                self.levels.len()
            ))
        })
    }

    fn zarr_sink(&self, k: usize, root: Option<Arc<Root>>) -> Result<ZarrSink> {
        let level = self.level(k)?;
        let path = self.path.join(k.to_string());
        ZarrSink::new(path, level.info.clone(), &level.document, level.zstd_level, root)
    }
}

/// Creates an output of one level; a plain array where OME-NGFF cannot describe it.
pub(super) fn create(path: &Path, info: &VolumeInfo, options: &CreateOptions) -> Result<ZarrSink> {
    if ome_describable(info) {
        let pyramid = Pyramid::create(path, std::slice::from_ref(info), options)?;
        return pyramid.zarr_sink(0, Some(pyramid.root.clone()));
    }
    let (info, level) = writer::prepare(path, info, options.zstd_level)?;
    let mut volchunk = writer::job_attributes(options)?;
    volchunk.insert("complete".into(), json!(false));
    volchunk.insert("axes".into(), ome::plain_axes(&info.axes));
    let attributes = Map::from_iter([("volchunk".to_owned(), Value::Object(volchunk))]);
    let document = writer::array_document(&info, level, attributes);
    create_root(path, &document)?;
    let root = Root { file: path.join("zarr.json"), document: Mutex::new(document.clone()) };
    ZarrSink::new(path.to_owned(), info, &document, level, Some(Arc::new(root)))
}

fn create_root(path: &Path, document: &Value) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Exists, format!("{} already exists", path.display())));
    }
    writer::create_array(path, document)
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
/// It takes another name first, so that nothing at `path` ever looks complete with parts missing.
///
/// # Errors
/// There is no Zarr metadata in the folder, which is then not touched; I/O.
pub(crate) fn remove(path: &Path) -> Result<()> {
    if Node::open(path)?.is_none() {
        return Err(Error::new(
            ErrorKind::Exists,
            format!("{} is not a Zarr, and is not deleted", path.display()),
        ));
    }
    let fail = |e| Error::io(format_args!("deleting {}", path.display()), e);
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    let doomed = path.with_file_name(format!(".{name}.deleted-{}", std::process::id()));
    fs::rename(path, &doomed).map_err(fail)?;
    fs::remove_dir_all(&doomed).map_err(fail)
}
