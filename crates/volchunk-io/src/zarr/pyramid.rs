//! Outputs: a group with its levels, or a plain array.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Map, Value, json};
use volchunk::{Error, Result, Sink, Source, VolumeInfo};

use super::{
    ome::{self, ome_describable},
    reader::ZarrSource,
    root::Root,
    writer::{self, ZarrSink},
};
use crate::{CreateOptions, file::Begin};

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
    durable: bool,
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
    /// [`ErrorKind::Exists`](volchunk::ErrorKind::Exists) if something stands at `path`; axes that OME-NGFF cannot describe
    /// ([`ome_describable`]); levels of another dtype or other axes than the first; I/O.
    pub fn create(path: &Path, levels: &[VolumeInfo], options: &CreateOptions) -> Result<Self> {
        Self::open(path, levels, options, false)
    }

    /// As [`create`](Self::create), but goes on with what stands at `path`, if it is what `create`
    /// made of the same levels. If it was complete, it is so no more.
    ///
    /// # Errors
    /// As `create`, but [`ErrorKind::Exists`](volchunk::ErrorKind::Exists) only if something else
    /// stands at `path`.
    pub fn resume(path: &Path, levels: &[VolumeInfo], options: &CreateOptions) -> Result<Self> {
        Self::open(path, levels, options, true)
    }

    fn open(
        path: &Path,
        levels: &[VolumeInfo],
        options: &CreateOptions,
        resume: bool,
    ) -> Result<Self> {
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
        let arrays: Vec<(String, &Value)> =
            prepared.iter().enumerate().map(|(k, l)| (k.to_string(), &l.document)).collect();
        let begin = Begin { resume, durable: options.durable };
        let root = Arc::new(Root::open(path, document, &arrays, begin)?);
        Ok(Self { path: path.to_owned(), root, levels: prepared, durable: options.durable })
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
        let (info, document) = (level.info.clone(), &level.document);
        ZarrSink::new(path, info, document, level.zstd_level, self.durable, root)
    }
}

/// Creates an output of one level, or goes on with it; a plain array where OME-NGFF cannot describe
/// it.
pub(super) fn create(
    path: &Path,
    info: &VolumeInfo,
    options: &CreateOptions,
    resume: bool,
) -> Result<ZarrSink> {
    if ome_describable(info) {
        let pyramid = Pyramid::open(path, std::slice::from_ref(info), options, resume)?;
        return pyramid.zarr_sink(0, Some(pyramid.root.clone()));
    }
    let (info, level) = writer::prepare(path, info, options.zstd_level)?;
    let mut volchunk = writer::job_attributes(options)?;
    volchunk.insert("complete".into(), json!(false));
    volchunk.insert("axes".into(), ome::plain_axes(&info.axes));
    let attributes = Map::from_iter([("volchunk".to_owned(), Value::Object(volchunk))]);
    let document = writer::array_document(&info, level, attributes);
    let begin = Begin { resume, durable: options.durable };
    let root = Root::open(path, document.clone(), &[], begin)?;
    ZarrSink::new(path.to_owned(), info, &document, level, options.durable, Some(Arc::new(root)))
}
