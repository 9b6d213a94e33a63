//! A Zarr v3 array as a sink.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Map, Value, json};
use volchunk::{
    Coords, Dtype, Error, ErrorKind, Region, Result, Scratch, Sink, StorageGrid, View, VolumeInfo,
};

use super::{encode, layout::Layout, node, pyramid::Root};
use crate::CreateOptions;

/// A file under another name until it is whole; deleted if it never becomes so.
pub(super) struct Partial {
    partial: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Partial {
    /// A name in the folder of `target` that no other writer uses.
    pub(super) fn beside(target: &Path) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let Some(name) = target.file_name() else {
            return Err(Error::argument(format!("{} names no file", target.display())));
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}.{}-{number}", name.to_string_lossy(), std::process::id());
        let partial = target.with_file_name(name);
        Ok(Self { partial, target: target.to_owned(), committed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.partial
    }

    /// Gives the file its name.
    pub(super) fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.partial, &self.target)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing more can be done about a file that cannot be deleted.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// An array that is being written.
pub(super) struct ZarrSink {
    info: VolumeInfo,
    /// Shape of the files: shard, else storage chunk.
    unit: Coords,
    path: PathBuf,
    layout: Layout,
    level: i32,
    overhead: u64,
    /// What [`Sink::finish`] marks complete; None for one level of several.
    root: Option<Arc<Root>>,
}

impl ZarrSink {
    /// Prepares to write the array whose `zarr.json` is `document` at `path`.
    pub(super) fn new(
        path: PathBuf,
        info: VolumeInfo,
        document: &Value,
        level: i32,
        root: Option<Arc<Root>>,
    ) -> Result<Self> {
        let layout = Layout::parse(document).map_err(|e| e.context(path.display()))?;
        let unit = match &layout.shards {
            Some(shards) => shards.shape.clone(),
            None => layout.chunk.clone(),
        };
        let index = layout.shards.as_ref().map_or(0, |s| s.entries as u64 * 48);
        let overhead = encode::encoder_memory(level, layout.chunk_bytes as u64)?
            + slab_bytes(&layout.chunk, layout.dtype)
            + index;
        Ok(Self { info, unit, path, layout, level, overhead, root })
    }

    /// Writes one file: `data` is its part of the volume, which an edge may clip.
    fn write_file(&self, place: &[u64], data: &View<'_>, scratch: &mut Scratch) -> Result<()> {
        let target = self.layout.file(&self.path, &self.layout.key(place));
        let fail = |e| Error::io(format_args!("writing {}", target.display()), e);
        if is_zero(data) {
            // Readers see the fill value; a file of an earlier attempt must go.
            return match fs::remove_file(&target) {
                Err(e) if !is_absent(&e) => Err(fail(e)),
                _ => Ok(()),
            };
        }
        let partial = Partial::beside(&target)?;
        let mut file = match File::create(partial.path()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let folder = target.parent().unwrap_or(&self.path);
                fs::create_dir_all(folder).and_then(|()| File::create(partial.path()))
            }
            result => result,
        }
        .map_err(fail)?;
        match &self.layout.shards {
            None => {
                self.encode(&mut file, data, scratch)?;
            }
            Some(shards) => {
                let mut index = vec![[u64::MAX; 2]; shards.entries];
                let mut at = 0;
                for (entry, inner) in index.iter_mut().zip(places(&shards.counts)) {
                    let Some(part) = inner_part(&inner, &self.layout.chunk, data.shape()) else {
                        continue;
                    };
                    let part = data.part(&part);
                    if !is_zero(&part) {
                        let len = self.encode(&mut file, &part, scratch)?;
                        *entry = [at, len];
                        at += len;
                    }
                }
                file.write_all(&shards.encode_index(&index)?).map_err(fail)?;
            }
        }
        drop(file);
        partial.commit().map_err(fail)
    }

    /// Encodes one storage chunk, padded with zeros to its full shape; returns its encoded length.
    fn encode(&self, file: &mut File, data: &View<'_>, scratch: &mut Scratch) -> Result<u64> {
        let len = self.layout.chunk_bytes as u64;
        encode::encode(self.level, len, file, |put| pad(data, &self.layout.chunk, scratch, put))
            .map_err(|e| e.context(self.path.display()))
    }
}

impl Sink for ZarrSink {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()> {
        region.check_within(&self.info.shape, "the region to write")?;
        if data.shape() != region.shape() || data.dtype() != self.info.dtype {
            return Err(Error::argument(format!(
                "{} {:?} given for {region} of a volume of {}",
                data.dtype(),
                data.shape(),
                self.info.dtype
            )));
        }
        let aligned = |a: usize, at: u64| at.is_multiple_of(self.unit[a]);
        for (a, range) in region.ranges().enumerate() {
            let stop_fits = aligned(a, range.end) || range.end == self.info.shape[a];
            if !aligned(a, range.start) || !stop_fits {
                return Err(Error::new(
                    ErrorKind::Misaligned,
                    format!(
                        "{}: {region} is not made of whole {} of {:?} on axis {a}; it must start \
                         and stop at multiples of {}, or stop at the end, {}",
                        self.path.display(),
                        if self.layout.shards.is_some() { "shards" } else { "storage chunks" },
                        &self.unit[..],
                        self.unit[a],
                        self.info.shape[a]
                    ),
                ));
            }
        }
        if region.is_empty() {
            return Ok(());
        }
        let counts: Coords =
            region.shape().iter().zip(&self.unit).map(|(n, &u)| n.div_ceil(u)).collect();
        for step in places(&counts) {
            let Some(part) = inner_part(&step, &self.unit, region.shape()) else { continue };
            let place: Coords = region
                .start()
                .iter()
                .zip(&self.unit)
                .zip(&step)
                .map(|((s, u), i)| s / u + i)
                .collect();
            self.write_file(&place, &data.part(&part), scratch)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        self.root.as_ref().map_or(Ok(()), |root| root.finish())
    }

    fn write_overhead(&self) -> u64 {
        self.overhead
    }
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Every place in a grid of `counts`, C order.
fn places(counts: &[u64]) -> impl Iterator<Item = Coords> + '_ {
    let all = counts.iter().product::<u64>();
    (0..all).map(move |mut number| {
        let mut place: Coords = counts.iter().map(|_| 0).collect();
        for (slot, &n) in place.iter_mut().zip(counts).rev() {
            *slot = number % n;
            number /= n;
        }
        place
    })
}

/// The box at `place` in a grid of `unit`, clipped to `shape`; None if it lies outside.
fn inner_part(place: &[u64], unit: &[u64], shape: &[u64]) -> Option<Region> {
    let part = Region::from_ranges((0..place.len()).map(|a| {
        let start = place[a] * unit[a];
        start..start.saturating_add(unit[a]).min(shape[a])
    }));
    (!part.is_empty()).then_some(part)
}

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Hands the bytes of a chunk of shape `full` to `put` in C order: `data`, which starts at its
/// first voxel, and zeros where `data` ends before it.
fn pad(
    data: &View<'_>,
    full: &[u64],
    scratch: &mut Scratch,
    put: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    if data.shape() == full
        && let Some(bytes) = data.as_contiguous()
    {
        return put(bytes);
    }
    let item = data.dtype().size() as u64;
    let last = data.shape().len() - 1;
    if data.shape()[last] > 1 && data.strides()[last] != item {
        // Voxel by voxel would be slow: gather, one index of the first axis at a time.
        let mut slab = Coords::from_slice(data.shape());
        let whole = Region::whole(&slab);
        if last > 0 {
            slab[0] = 1;
        }
        let mut buffer = scratch.take(&slab, data.dtype());
        let mut result = Ok(());
        let steps = if last > 0 { data.shape()[0] } else { 1 };
        for i in 0..steps {
            let part = Region::from_ranges(
                whole.ranges().enumerate().map(
                    |(a, r)| {
                        if a == 0 && last > 0 { i..i + 1 } else { r }
                    },
                ),
            );
            buffer.view_mut().copy_from(&data.part(&part));
            let mut shape = Coords::from_slice(full);
            if last > 0 {
                shape[0] = 1;
            }
            result = pad(&buffer.view(), &shape, scratch, put);
            if result.is_err() {
                break;
            }
        }
        scratch.give(buffer);
        result?;
        return if last > 0 {
            zeros((full[0] - steps) * bytes_below(full, 0, item), put)
        } else {
            Ok(())
        };
    }
    rows(data.data(), data.shape(), data.strides(), full, item, put)
}

/// Bytes of one index of `axis`.
fn bytes_below(full: &[u64], axis: usize, item: u64) -> u64 {
    full[axis + 1..].iter().product::<u64>() * item
}

fn zeros(mut n: u64, put: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    while n > 0 {
        let step = n.min(ZEROS.len() as u64);
        put(&ZEROS[..step as usize])?;
        n -= step;
    }
    Ok(())
}

/// [`pad`] for data whose last axis is dense.
fn rows(
    data: &[u8],
    shape: &[u64],
    strides: &[u64],
    full: &[u64],
    item: u64,
    put: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    // What lies side by side goes out in one piece.
    let dense = (0..shape.len()).rev().try_fold(item, |step, a| {
        ((a == 0 || shape[a] == full[a]) && (strides[a] == step || shape[a] == 1))
            .then_some(step * full[a])
    });
    if dense.is_some() {
        let below = full.iter().skip(1).product::<u64>() * item;
        let n = shape.first().copied().unwrap_or(1);
        put(&data[..(n * below) as usize])?;
        return zeros((full.first().copied().unwrap_or(1) - n) * below, put);
    }
    for i in 0..shape[0] {
        let row = &data[(i * strides[0]) as usize..];
        rows(row, &shape[1..], &strides[1..], &full[1..], item, put)?;
    }
    zeros((full[0] - shape[0]) * bytes_below(full, 0, item), put)
}

/// Whether every byte is zero, and so every voxel the fill value. Cheap: the first piece that is
/// not decides.
fn is_zero(data: &View<'_>) -> bool {
    fn all_zero(bytes: &[u8]) -> bool {
        bytes.chunks(1 << 12).all(|piece| piece.iter().fold(0, |or, b| or | b) == 0)
    }
    if let Some(bytes) = data.as_contiguous() {
        return all_zero(bytes);
    }
    let (shape, strides) = (data.shape(), data.strides());
    let Some(axis) = shape.iter().position(|&n| n > 1) else { return all_zero(data.data()) };
    let rest = (axis + 1..shape.len()).all(|a| shape[a] == 1);
    let item = data.dtype().size();
    if rest {
        return (0..shape[axis]).all(|i| {
            let at = (i * strides[axis]) as usize;
            all_zero(&data.data()[at..at + item])
        });
    }
    (0..shape[axis]).all(|i| {
        is_zero(&data.part(&Region::from_ranges(
            shape.iter().enumerate().map(|(a, &n)| if a == axis { i..i + 1 } else { 0..n }),
        )))
    })
}

/// Memory that [`pad`] takes for data whose last axis is not dense.
fn slab_bytes(chunk: &[u64], dtype: Dtype) -> u64 {
    let rest = if chunk.len() > 1 { &chunk[1..] } else { chunk };
    rest.iter().product::<u64>() * dtype.size() as u64
}

/// The storage that is written where the caller names none.
fn default_storage(shape: &[u64]) -> StorageGrid {
    const LAST: [u64; 3] = [64, 256, 256];
    let before = shape.len().saturating_sub(3);
    let chunk = shape.iter().enumerate().map(|(a, &n)| match a.checked_sub(before) {
        Some(k) => n.min(LAST[k + 3 - (shape.len() - before)]).max(1),
        None => 1,
    });
    StorageGrid { chunk: chunk.collect(), shard: None }
}

/// Checks what is to be written, and fills in the storage where `info` has none.
///
/// # Errors
/// No axes, axes of no voxels, more voxels than u64 counts; storage chunks of no voxels, shards
/// that they do not divide; a Zstandard level that there is not.
pub(super) fn prepare(
    path: &Path,
    info: &VolumeInfo,
    level: Option<i32>,
) -> Result<(VolumeInfo, i32)> {
    let bad = |what: String| Err(Error::argument(format!("{}: {what}", path.display())));
    let (shape, ndim) = (&info.shape[..], info.ndim());
    if ndim == 0 || shape.contains(&0) || info.bytes() == u64::MAX {
        return bad(format!(
            "a volume of shape {shape:?} cannot be written; every axis needs a voxel"
        ));
    }
    let mut info = info.clone();
    let storage = info.storage.get_or_insert_with(|| default_storage(shape));
    for (what, box_) in [("storage chunk", Some(&storage.chunk)), ("shard", storage.shard.as_ref())]
    {
        if let Some(b) = box_
            && (b.len() != ndim || b.contains(&0))
        {
            return bad(format!("the {what} is {b:?}; it needs {ndim} positive lengths"));
        }
    }
    if let Some(shard) = &storage.shard
        && shard.iter().zip(&storage.chunk).any(|(s, c)| s % c != 0)
    {
        let chunk = &storage.chunk;
        return bad(format!(
            "the shard {shard:?} is not a multiple of the storage chunk {chunk:?}"
        ));
    }
    let level = level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
    let legal = zstd::compression_level_range();
    if !legal.contains(&level) {
        return bad(format!(
            "the zstd level is {level}; legal: {} to {}",
            legal.start(),
            legal.end()
        ));
    }
    // Sizes beyond the address space are found before anything is created.
    Layout::parse(&array_document(&info, level, Map::new()))
        .map_err(|e| Error::argument(format!("{}: {e}", path.display())))?;
    Ok((info, level))
}

/// The `zarr.json` of an array, fill value 0, Zstandard without checksum as zarr-python writes it.
pub(super) fn array_document(
    info: &VolumeInfo,
    level: i32,
    attributes: Map<String, Value>,
) -> Value {
    let endian = if cfg!(target_endian = "big") { "big" } else { "little" };
    let bytes = match info.dtype.size() {
        1 => json!({"name": "bytes"}),
        _ => json!({"name": "bytes", "configuration": {"endian": endian}}),
    };
    let zstd = json!({"name": "zstd", "configuration": {"level": level, "checksum": false}});
    let grid = info.storage.clone().unwrap_or_else(|| default_storage(&info.shape));
    let codecs = match &grid.shard {
        None => json!([bytes, zstd]),
        Some(_) => json!([{"name": "sharding_indexed", "configuration": {
            "chunk_shape": grid.chunk.to_vec(),
            "codecs": [bytes, zstd],
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
            "index_location": "end",
        }}]),
    };
    let fill = match info.dtype {
        Dtype::Bool => json!(false),
        d if d.is_float() => json!(0.0),
        _ => json!(0),
    };
    let names: Vec<_> = info.axes.iter().map(|a| a.name.as_str()).collect();
    json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": info.shape.to_vec(),
        "data_type": info.dtype.name(),
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": grid.write_unit().to_vec()},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": names,
        "storage_transformers": [],
    })
}

/// Creates the folder and metadata of an array.
pub(super) fn create_array(path: &Path, document: &Value) -> Result<()> {
    fs::create_dir(path).map_err(|e| Error::io(format_args!("creating {}", path.display()), e))?;
    node::write_json(&path.join("zarr.json"), document)
}

/// Checks the attributes that stand beside `complete`, which are a JSON object.
pub(super) fn job_attributes(options: &CreateOptions) -> Result<Map<String, Value>> {
    match &options.attributes {
        None => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        Some(other) => {
            Err(Error::argument(format!("attributes of a Zarr are a JSON object, not {other}")))
        }
    }
}
