//! A Zarr array as a source.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use volchunk::{
    Axis, Buffer, Coords, Dtype, Error, Region, Result, Scratch, Source, StorageGrid, View,
    ViewMut, VolumeInfo, os,
};

use super::{
    decode,
    layout::{BytesCodec, Layout},
    node::{self, Node},
    ome,
    shard::Indices,
};
use crate::{
    file::{mix, stamp},
    flat::swap_bytes,
};

/// The encoded bytes of one storage chunk.
struct Stored {
    file: File,
    start: u64,
    len: u64,
}

/// An array in a folder.
pub(super) struct ZarrSource {
    info: VolumeInfo,
    path: PathBuf,
    layout: Layout,
    indices: Indices,
    read: AtomicU64,
}

impl ZarrSource {
    /// Opens the array at `path`, or level 0 of the OME-Zarr group there.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let Some(node) = Node::open(path)? else {
            return Err(Error::argument(format!(
                "{}: no Zarr (zarr.json, .zarray or .zgroup)",
                path.display()
            )));
        };
        if node.is_array {
            let group = node::group_of(path);
            return Self::of_array(
                node,
                group.as_ref().map(|(g, relative)| (g, relative.as_str())),
            );
        }
        let Some(multiscales) = node.multiscales() else {
            let arrays = node::arrays_below(path);
            return Err(Error::argument(if arrays.is_empty() {
                format!("{} is a Zarr group without arrays", path.display())
            } else {
                format!(
                    "{} is a plain Zarr group; give the path of one of its arrays: {}",
                    path.display(),
                    arrays.join(", ")
                )
            }));
        };
        let first = multiscales.pointer("/datasets/0/path").and_then(|p| p.as_str());
        let Some(relative) = first else {
            return Err(Error::data(format!(
                "{}: multiscales without datasets",
                node.file.display()
            )));
        };
        Self::of_array(node.child(relative)?, Some((&node, relative)))
    }

    fn of_array(node: Node, group: Option<(&Node, &str)>) -> Result<Self> {
        let layout = Layout::parse(&node.document).map_err(|e| e.context(node.file.display()))?;
        let axes = match group.and_then(|(g, relative)| Some((g, g.multiscales()?, relative))) {
            Some((group, multiscales, relative)) => {
                ome::axes(multiscales, relative, layout.shape.len())
                    .map_err(|e| e.context(group.file.display()))?
            }
            None => plain_axes(&node, &layout),
        };
        let storage = StorageGrid {
            chunk: layout.chunk.clone(),
            shard: layout.shards.as_ref().map(|s| s.shape.clone()),
        };
        let info = VolumeInfo {
            shape: layout.shape.clone(),
            dtype: layout.dtype,
            axes,
            storage: Some(storage),
        };
        let (indices, read) = (Indices::default(), AtomicU64::new(0));
        Ok(Self { info, path: node.path, layout, indices, read })
    }

    /// The storage chunk at `place`: `part` of it, in the volume's coordinates, into `out`.
    fn read_chunk(
        &self,
        place: &[u64],
        part: &Region,
        out: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let result = self.locate(place).and_then(|stored| match stored {
            None => {
                fill(out, self.layout.dtype, &self.layout.fill);
                Ok(())
            }
            Some(stored) => self.read_stored(&stored, place, part, out, scratch),
        });
        result.map_err(|e| {
            let (array, name) = (self.path.display(), self.name_of(place));
            e.context(format_args!("array {array}, storage chunk {name}"))
        })
    }

    /// Reads and decodes a storage chunk and puts `part` of it, in the volume's coordinates, into
    /// `out`.
    fn read_stored(
        &self,
        stored: &Stored,
        place: &[u64],
        part: &Region,
        out: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Layout { chunk, codec, chunk_bytes, dtype, .. } = &self.layout;
        let origin: Coords = place.iter().zip(chunk).map(|(p, c)| p * c).collect();
        let inner = part.relative_to(&origin);
        let prefix = self.prefix_of(&inner);
        // Streams copy twice: beyond half of it, decoding everything is faster.
        if matches!(codec.bytes[..], [(BytesCodec::Zstd, _)]) && prefix <= chunk_bytes / 2 {
            self.read_prefix(stored, prefix, &inner, out, scratch)?;
        } else {
            let encoded = self.read_range(stored, scratch)?;
            let bytes = &encoded.bytes()[..stored.len as usize];
            let result = self.decode(bytes, &inner, out, scratch);
            scratch.give(encoded);
            result?;
        }
        if codec.swap {
            swap(out, dtype.size());
        }
        Ok(())
    }

    /// Key of the storage chunk at `place`, for messages.
    fn name_of(&self, place: &[u64]) -> String {
        match &self.layout.shards {
            None => self.layout.key(place),
            Some(shards) => {
                let (outer, inner): (Coords, Coords) =
                    place.iter().zip(&shards.counts).map(|(p, n)| (p / n, p % n)).unzip();
                format!("{} at {:?} of the shard", self.layout.key(&outer), &inner[..])
            }
        }
    }

    /// Where the encoded bytes of a storage chunk lie; None if the chunk was never written.
    fn locate(&self, place: &[u64]) -> Result<Option<Stored>> {
        let Some(shards) = &self.layout.shards else {
            let opened = self.open_file(place)?;
            return Ok(opened.map(|(file, len)| Stored { file, start: 0, len }));
        };
        let (outer, inner): (Coords, Coords) =
            place.iter().zip(&shards.counts).map(|(p, n)| (p / n, p % n)).unzip();
        let mut opened = None;
        let index = self.indices.get(&outer, || {
            let Some((file, len)) = self.open_file(&outer)? else { return Ok(None) };
            let index = shards.read_index(&file, len)?;
            self.read.fetch_add(shards.index_bytes() as u64, Ordering::Relaxed);
            opened = Some((file, len));
            Ok(Some(index))
        })?;
        let Some(index) = index else { return Ok(None) };
        let number = inner.iter().zip(&shards.counts).fold(0, |n, (&i, &c)| n * c + i);
        let [start, len] = index[number as usize];
        if start == u64::MAX && len == u64::MAX {
            return Ok(None);
        }
        let opened = match opened {
            Some(opened) => Some(opened),
            None => self.open_file(&outer)?,
        };
        let Some((file, total)) = opened else {
            return Err(Error::data("the shard disappeared while it was read"));
        };
        if start.checked_add(len).is_none_or(|stop| stop > total) {
            return Err(Error::data(format!(
                "the shard is truncated or its index corrupt: {len} bytes at offset {start}, the \
                 file has {total}"
            )));
        }
        Ok(Some(Stored { file, start, len }))
    }

    /// The file at `index` of the grid of files, and its length; None if there is none.
    fn open_file(&self, index: &[u64]) -> Result<Option<(File, u64)>> {
        let path = self.layout.file(&self.path, &self.layout.key(index));
        let fail = |e| Error::io(format_args!("opening {}", path.display()), e);
        match File::open(&path) {
            Ok(file) => {
                let len = file.metadata().map_err(fail)?.len();
                Ok(Some((file, len)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(fail(e)),
        }
    }

    /// Reads the encoded bytes into the beginning of a buffer, which the caller gives back.
    fn read_range(&self, stored: &Stored, scratch: &mut Scratch) -> Result<Buffer> {
        let (len, bound) = (stored.len, self.layout.encoded_bound());
        if len > bound {
            return Err(Error::data(format!(
                "{len} encoded bytes; a storage chunk of {:?} {} encodes to at most {bound}",
                &self.layout.chunk[..],
                self.layout.dtype
            )));
        }
        // Chunks differ in length: buffers in steps of 2 ^ n serve each other's turn.
        let size = len.checked_next_power_of_two().unwrap_or(len).min(bound);
        let mut buffer = scratch.take(&[size], Dtype::U8);
        let read = self.read_at(stored, 0, &mut buffer.bytes_mut()[..len as usize]);
        match read {
            Ok(()) => Ok(buffer),
            Err(e) => {
                scratch.give(buffer);
                Err(e)
            }
        }
    }

    /// Reads encoded bytes from `at` on.
    fn read_at(&self, stored: &Stored, at: u64, bytes: &mut [u8]) -> Result<()> {
        self.read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        os::read_exact_at(&stored.file, bytes, stored.start + at)
            .map_err(|e| Error::io("reading", e))
    }

    /// Decodes a storage chunk and puts its part `inner` into `out`.
    fn decode(
        &self,
        encoded: &[u8],
        inner: &Region,
        out: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Layout { chunk, codec, chunk_bytes, .. } = &self.layout;
        let whole = codec.order.is_none() && inner.shape() == chunk.as_slice();
        let encoded = decode::undo_outer(&codec.bytes, encoded, *chunk_bytes)?;
        if whole && let Some(target) = out.as_contiguous_mut() {
            return decode::undo_first(&codec.bytes, &encoded, target);
        }
        if codec.bytes.is_empty() && encoded.len() == *chunk_bytes {
            self.copy_part(&encoded, inner, out);
            return Ok(());
        }
        let mut buffer = scratch.take(&[*chunk_bytes as u64], Dtype::U8);
        let result = decode::undo_first(&codec.bytes, &encoded, buffer.bytes_mut());
        if result.is_ok() {
            self.copy_part(buffer.bytes(), inner, out);
        }
        scratch.give(buffer);
        result
    }

    /// Reads and decodes the low end of a storage chunk, `prefix` bytes, and puts `inner` into
    /// `out`.
    fn read_prefix(
        &self,
        stored: &Stored,
        prefix: usize,
        inner: &Region,
        out: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        const PIECE: u64 = 128 << 10;
        decode::check_ratio(stored.len, self.layout.chunk_bytes)?;
        let mut buffer = scratch.take(&[self.layout.chunk_bytes as u64], Dtype::U8);
        let mut piece = scratch.take(&[PIECE], Dtype::U8);
        let mut at = 0;
        let low_end = &mut buffer.bytes_mut()[..prefix];
        let result = decode::zstd_prefix(low_end, piece.bytes_mut(), |piece| {
            let len = (piece.len() as u64).min(stored.len - at) as usize;
            self.read_at(stored, at, &mut piece[..len])?;
            at += len as u64;
            Ok(len)
        });
        if result.is_ok() {
            self.copy_part(buffer.bytes(), inner, out);
        }
        scratch.give(buffer);
        scratch.give(piece);
        result
    }

    /// Bytes of a decoded storage chunk up to the last that `part` of it needs.
    fn prefix_of(&self, part: &Region) -> usize {
        let Layout { chunk, codec, dtype, .. } = &self.layout;
        let stored = |i: usize| codec.order.as_ref().map_or(i, |order| order[i]);
        let last = (0..chunk.len()).map(stored).fold(0, |n, a| n * chunk[a] + part.stop(a) - 1);
        (last as usize + 1) * dtype.size()
    }

    /// Copies `part` of a decoded storage chunk, in its own coordinates.
    fn copy_part(&self, decoded: &[u8], part: &Region, out: &mut ViewMut<'_>) {
        let Layout { chunk, codec, dtype, .. } = &self.layout;
        let view = match &codec.order {
            None => View::contiguous(chunk, *dtype, decoded),
            Some(order) => {
                let stored: Coords = order.iter().map(|&a| chunk[a]).collect();
                let mut back = vec![0; order.len()];
                for (i, &a) in order.iter().enumerate() {
                    back[a] = i;
                }
                View::contiguous(&stored, *dtype, decoded).permuted(&back)
            }
        };
        out.copy_from(&view.part(part));
    }
}

impl Source for ZarrSource {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        region.check_within(&self.info.shape, "the region to read")?;
        if region.is_empty() {
            return Ok(());
        }
        let chunk = &self.layout.chunk;
        let first: Coords = region.start().iter().zip(chunk).map(|(s, c)| s / c).collect();
        let last: Coords = (0..region.ndim()).map(|a| (region.stop(a) - 1) / chunk[a]).collect();
        let mut place = first.clone();
        loop {
            let part = Region::from_ranges(place.iter().enumerate().map(|(a, &p)| {
                let start = p * chunk[a];
                let stop = start.saturating_add(chunk[a]);
                start.max(region.start()[a])..stop.min(region.stop(a))
            }));
            let mut target = out.part_mut(&part.relative_to(region.start()));
            self.read_chunk(&place, &part, &mut target, scratch)?;
            // The next place, last axis fastest.
            let Some(axis) = (0..place.len()).rev().find(|&a| place[a] < last[a]) else {
                return Ok(());
            };
            place[axis] += 1;
            place[axis + 1..].copy_from_slice(&first[axis + 1..]);
        }
    }

    fn stamp(&self, region: &Region) -> Result<u64> {
        self.layout.files(&self.path, region).try_fold(0, |hash, file| Ok(mix(hash, stamp(&file)?)))
    }

    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        self.layout.stored_bytes(&self.path, region)
    }

    fn read_overhead(&self) -> u64 {
        let bound = self.layout.encoded_bound();
        let chunk = self.layout.chunk_bytes as u64;
        let decoding = match self.layout.codec.bytes[..] {
            [] => 0,
            // The decoded chunk where only a part is wanted, and the context.
            [(BytesCodec::Zstd | BytesCodec::Gzip | BytesCodec::Zlib, _)] => {
                chunk.saturating_add(1 << 18)
            }
            // zarrs decodes into vectors of its own, that may grow by doubling.
            _ => chunk.saturating_mul(3),
        };
        let indices = self.layout.shards.as_ref().map_or(0, Indices::bytes);
        bound.saturating_add(decoding).saturating_add(indices)
    }

    fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Axes of an array that no multiscales describe.
fn plain_axes(node: &Node, layout: &Layout) -> Vec<Axis> {
    let ndim = layout.shape.len();
    let own = node.attributes.get("volchunk").and_then(|v| v.get("axes"));
    if let Some(axes) = own.and_then(|a| ome::parse_plain_axes(a, ndim)) {
        return axes;
    }
    let mut axes = VolumeInfo::new(&layout.shape, layout.dtype).axes;
    if let Some(names) = &layout.dimension_names
        && let Some(names) = names.iter().cloned().collect::<Option<Vec<_>>>()
    {
        axes = names.into_iter().map(Axis::new).collect();
    }
    axes
}

/// Sets every voxel of `out` to `voxel`.
fn fill(out: &mut ViewMut<'_>, dtype: Dtype, voxel: &[u8]) {
    let shape = Coords::from_slice(out.shape());
    let strides: Coords = shape.iter().map(|_| 0).collect();
    out.copy_from(&View::strided(&shape, &strides, dtype, voxel));
}

/// Reverses the bytes of every voxel of `out`.
fn swap(out: &mut ViewMut<'_>, item: usize) {
    if let Some(bytes) = out.as_contiguous_mut() {
        return swap_bytes(bytes, item);
    }
    // Some axis is longer than a voxel, or the view would be contiguous.
    let shape = Coords::from_slice(out.shape());
    let Some(axis) = shape.iter().position(|&n| n > 1) else { return };
    for i in 0..shape[axis] {
        let row = Region::from_ranges(
            shape.iter().enumerate().map(|(a, &n)| if a == axis { i..i + 1 } else { 0..n }),
        );
        swap(&mut out.part_mut(&row), item);
    }
}
