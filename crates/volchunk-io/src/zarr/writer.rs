//! A Zarr v3 array as a sink.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value, json};
use volchunk::{
    Coords, Dtype, Error, ErrorKind, Region, Result, Scratch, Sink, Source, StorageGrid, View,
    ViewMut, VolumeInfo, os,
};

use super::{decode, encode, layout::Layout, reader::ZarrSource, root::Root};
use crate::{CreateOptions, file::is_absent};

/// A file under another name until it is whole; deleted if it never becomes so.
pub(super) struct Partial {
    partial: PathBuf,
    target: PathBuf,
    durable: bool,
    committed: bool,
}

impl Partial {
    /// A name beside `target`, always the same: what a killed process left there, the next writer
    /// of `target` covers.
    pub(super) fn beside(target: &Path, durable: bool) -> Result<Self> {
        let Some(name) = target.file_name() else {
            return Err(Error::argument(format!("{} names no file", target.display())));
        };
        let partial = target.with_file_name(format!(".{}.partial", name.to_string_lossy()));
        Ok(Self { partial, target: target.to_owned(), durable, committed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.partial
    }

    /// Gives `file`, which is open under [`path`](Self::path), its name.
    pub(super) fn commit(mut self, file: File) -> io::Result<()> {
        if self.durable {
            file.sync_all()?;
        }
        os::close(file)?;
        fs::rename(&self.partial, &self.target)?;
        self.committed = true;
        match self.target.parent().filter(|_| self.durable) {
            Some(folder) => os::sync_folder(folder),
            None => Ok(()),
        }
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
    durable: bool,
    overhead: u64,
    /// What was written, to read it back; opened when it is needed.
    written: OnceLock<ZarrSource>,
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
        durable: bool,
        root: Option<Arc<Root>>,
    ) -> Result<Self> {
        let layout = Layout::parse(document).map_err(|e| e.context(path.display()))?;
        let unit = layout.file_shape().clone();
        let overhead = overhead(&info, level)?;
        let written = OnceLock::new();
        Ok(Self { info, unit, path, layout, level, durable, overhead, written, root })
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
        let partial = Partial::beside(&target, self.durable)?;
        let mut file = match File::create(partial.path()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let folder = target.parent().unwrap_or(&self.path);
                self.create_folder(folder).and_then(|()| File::create(partial.path()))
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
        partial.commit(file).map_err(fail)
    }

    /// Creates `folder`, which lies in the array's, and what is missing above it.
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        if self.durable {
            let above = folder.ancestors().skip(1);
            above.take_while(|f| f.starts_with(&self.path)).try_for_each(os::sync_folder)?;
        }
        Ok(())
    }

    /// Encodes one storage chunk, padded with zeros to its full shape; returns its encoded length.
    fn encode(&self, file: &mut File, data: &View<'_>, scratch: &mut Scratch) -> Result<u64> {
        let chunk = &self.layout.chunk;
        let mut gathered = None;
        let bytes = match data.as_contiguous() {
            Some(bytes) if data.shape() == &chunk[..] => bytes,
            _ => {
                let buffer = gathered.insert(scratch.take(chunk, data.dtype()));
                if data.shape() != &chunk[..] {
                    buffer.bytes_mut().fill(0);
                }
                let part = Region::whole(data.shape());
                buffer.view_mut().part_mut(&part).copy_from(data);
                buffer.bytes()
            }
        };
        let encoded = encode::encode(self.level, bytes, scratch);
        if let Some(buffer) = gathered {
            scratch.give(buffer);
        }
        let (buffer, len) = encoded.map_err(|e| e.context(self.path.display()))?;
        let written = file.write_all(&buffer.bytes()[..len]);
        scratch.give(buffer);
        written.map_err(|e| Error::io(format_args!("writing into {}", self.path.display()), e))?;
        Ok(len as u64)
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

    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        self.layout.stored_bytes(&self.path, region)
    }

    fn read_back(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        let written = match self.written.get() {
            Some(source) => source,
            None => {
                let source = ZarrSource::open(&self.path)?;
                self.written.get_or_init(|| source)
            }
        };
        written.read(region, out, scratch)
    }

    fn finish(&self) -> Result<()> {
        self.root.as_ref().map_or(Ok(()), |root| root.finish())
    }

    fn write_overhead(&self) -> u64 {
        self.overhead
    }
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
    // Some axis is longer than a voxel, or the view would be contiguous.
    let axis = shape.iter().position(|&n| n > 1).unwrap_or_default();
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

/// Bytes that one write may hold beyond its input: a storage chunk gathered, its encoded form, the
/// encoder, a shard's index.
pub(super) fn overhead(info: &VolumeInfo, level: i32) -> Result<u64> {
    let grid = info.storage.clone().unwrap_or_else(|| default_storage(&info.shape));
    let chunk = Region::whole(&grid.chunk).voxels();
    let bytes = chunk.saturating_mul(info.dtype.size() as u64);
    let entries = grid.shard.map_or(0, |s| Region::whole(&s).voxels() / chunk.max(1));
    Ok(decode::encoded_bound(bytes)
        .saturating_add(bytes)
        .saturating_add(encode::encoder_memory(level)?)
        .saturating_add(entries.saturating_mul(48)))
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
    let level = level.unwrap_or(encode::DEFAULT_LEVEL);
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
