//! What an array's metadata says of its storage: shape, dtype, storage chunks, codecs, keys.

use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use volchunk::{Coords, Dtype, Error, Region, Result};
use zarrs::array::{
    Array, ArrayMetadata, ChunkKeyEncoding, CodecChain,
    codec::api::{BytesToBytesCodecTraits, CodecMetadataOptions},
};

use crate::{file::is_absent, npy::dtype_of_code};

/// How the chunks of one array lie in files and how they are encoded.
pub(super) struct Layout {
    pub(super) shape: Coords,
    pub(super) dtype: Dtype,
    /// Shape of a storage chunk; where there are shards, of those inside of them.
    pub(super) chunk: Coords,
    pub(super) shards: Option<Shards>,
    pub(super) codec: ChunkCodec,
    /// Bytes of one storage chunk, decoded; fits the address space.
    pub(super) chunk_bytes: usize,
    /// One voxel of what chunks that were never written hold, native byte order.
    pub(super) fill: Vec<u8>,
    pub(super) dimension_names: Option<Vec<Option<String>>>,
    keys: ChunkKeyEncoding,
}

/// Files that hold several storage chunks, and an index of them.
pub(super) struct Shards {
    pub(super) shape: Coords,
    /// Storage chunks in a shard, along each axis.
    pub(super) counts: Coords,
    /// Entries of the index: the product of `counts`.
    pub(super) entries: usize,
    pub(super) index_codecs: CodecChain,
    /// Whether the index stands at the end of the file, not at its start.
    pub(super) index_at_end: bool,
}

/// How the bytes of a storage chunk become voxels.
pub(super) struct ChunkCodec {
    /// Axis of the volume that each stored axis is, slowest first; None if they are the same.
    pub(super) order: Option<Vec<usize>>,
    /// Whether the stored byte order is not this machine's.
    pub(super) swap: bool,
    pub(super) bytes: BytesSteps,
}

/// What is done to the bytes of a chunk, in the order of encoding; nothing if empty.
pub(super) type BytesSteps = Vec<(BytesCodec, Arc<dyn BytesToBytesCodecTraits>)>;

/// Codecs of bytes: the common ones are decoded here, into memory of the expected size.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BytesCodec {
    Zstd,
    Gzip,
    Zlib,
    Blosc,
    /// Left to zarrs.
    Other,
}

impl Layout {
    /// Reads the metadata document of an array, `zarr.json` or `.zarray`.
    ///
    /// # Errors
    /// What contradicts itself; dtypes, codecs and grids that are not supported. The caller adds
    /// the file's name.
    pub(super) fn parse(document: &Value) -> Result<Self> {
        let dtype = dtype(document)?;
        let ndim = document.get("shape").and_then(Value::as_array).map_or(0, Vec::len);
        let outer = chunk_shape(document, ndim)?;
        let metadata: ArrayMetadata = serde_json::from_value(document.clone())
            .map_err(|e| Error::data(format!("not the metadata of a Zarr array: {e}")))?;
        let array = Array::new_with_metadata(Arc::new(()), "/", metadata).map_err(|e| {
            // zarrs names the codec, grid or key encoding that it does not know.
            Error::unsupported(e.to_string())
        })?;
        let shape = Coords::from_slice(array.shape());
        let fill = array.fill_value().as_ne_bytes().to_vec();
        if fill.len() != dtype.size() {
            return Err(Error::data(format!("fill_value is not a {dtype}")));
        }
        let chain = array.codecs();
        let stages = stages(&chain)?;
        let (a2a, a2b, b2b) = split(&stages, &chain);
        let (chunk, shards, codec) = if a2b.0 == "sharding_indexed" {
            let (shards, inner) = Shards::parse(&a2b.1, &outer)?;
            if !a2a.is_empty() || !b2b.is_empty() {
                return Err(Error::unsupported("codecs before or after sharding_indexed"));
            }
            let stages = self::stages(&inner)?;
            let codec = ChunkCodec::new(split(&stages, &inner), &inner, shape.len(), dtype)?;
            let chunk = outer.iter().zip(&shards.counts).map(|(s, n)| s / n).collect();
            (chunk, Some(shards), codec)
        } else {
            let codec = ChunkCodec::new((a2a, a2b, b2b), &chain, shape.len(), dtype)?;
            (outer, None, codec)
        };
        let chunk_bytes = bytes_of(&chunk, dtype)?;
        let dimension_names = array.dimension_names().clone();
        let keys = array.chunk_key_encoding().clone();
        Ok(Self { shape, dtype, chunk, shards, codec, chunk_bytes, fill, dimension_names, keys })
    }

    /// Key of the file at `index` of the grid of shards, or of storage chunks where there are none.
    pub(super) fn key(&self, index: &[u64]) -> String {
        self.keys.encode(index).as_str().to_owned()
    }

    /// Where that key is, within the folder of the array.
    pub(super) fn file(&self, array: &Path, key: &str) -> PathBuf {
        let mut path = array.to_owned();
        path.extend(key.split('/'));
        path
    }

    /// Shape of what is one file: a shard, or a storage chunk where there are none.
    pub(super) fn file_shape(&self) -> &Coords {
        self.shards.as_ref().map_or(&self.chunk, |shards| &shards.shape)
    }

    /// Every file that holds something of `region`, written or not, C order.
    pub(super) fn files(&self, array: &Path, region: &Region) -> impl Iterator<Item = PathBuf> {
        let unit = self.file_shape();
        let first: Coords = region.start().iter().zip(unit).map(|(s, u)| s / u).collect();
        let counts: Coords =
            (0..unit.len()).map(|a| region.stop(a).div_ceil(unit[a]) - first[a]).collect();
        let all = if region.is_empty() { 0 } else { counts.iter().product::<u64>() };
        (0..all).map(move |mut number| {
            let mut place = first.clone();
            for (slot, &n) in place.iter_mut().zip(&counts).rev() {
                *slot += number % n;
                number /= n;
            }
            self.file(array, &self.key(&place))
        })
    }

    /// Bytes that the files of `region` have.
    ///
    /// # Errors
    /// I/O other than that a file is missing.
    pub(super) fn stored_bytes(&self, array: &Path, region: &Region) -> Result<u64> {
        self.files(array, region).try_fold(0, |sum, file| match fs::metadata(&file) {
            Ok(meta) => Ok(sum + meta.len()),
            Err(e) if is_absent(&e) => Ok(sum),
            Err(e) => Err(Error::io(format_args!("looking at {}", file.display()), e)),
        })
    }

    /// Most encoded bytes that a storage chunk can sensibly have.
    pub(super) fn encoded_bound(&self) -> u64 {
        let n = self.chunk_bytes as u64;
        match self.codec.bytes[..] {
            [] => n,
            [(BytesCodec::Zstd, _)] => super::decode::encoded_bound(n),
            // Deflate's stored blocks may be small, other codecs add headers and checksums.
            _ => n.saturating_add(n / 4).saturating_add(4096),
        }
    }
}

/// Bytes of an array of `shape`, if the address space can hold them.
pub(super) fn bytes_of(shape: &[u64], dtype: Dtype) -> Result<usize> {
    shape
        .iter()
        .try_fold(dtype.size() as u64, |n, &s| n.checked_mul(s))
        .and_then(|n| isize::try_from(n).ok())
        .map(isize::unsigned_abs)
        .ok_or_else(|| {
            Error::data(format!("a storage chunk of {shape:?} {dtype} exceeds the address space"))
        })
}

/// The dtype, from v3's name or v2's NumPy string.
fn dtype(document: &Value) -> Result<Dtype> {
    let Some(found) = document.get("data_type").or_else(|| document.get("dtype")) else {
        return Err(Error::data("not the metadata of a Zarr array: it has no data type"));
    };
    let known = found.as_str().and_then(|name| {
        let name = name.trim_start_matches(['<', '>', '|']);
        dtype_of_code(name).or_else(|| Dtype::from_name(name).ok())
    });
    known.ok_or_else(|| {
        let legal = Dtype::ALL.map(Dtype::name).join(", ");
        Error::unsupported(format!("the dtype is {found}; volchunk works on {legal}"))
    })
}

/// The shape of the chunks that are files.
fn chunk_shape(document: &Value, ndim: usize) -> Result<Coords> {
    let found = match document.get("chunk_grid") {
        Some(grid) => {
            let name = grid.get("name").and_then(Value::as_str).unwrap_or_default();
            if name != "regular" {
                return Err(Error::unsupported(format!(
                    "the chunk grid is '{name}'; volchunk reads 'regular'"
                )));
            }
            grid.pointer("/configuration/chunk_shape")
        }
        None => document.get("chunks"),
    };
    let shape = found.and_then(coords).filter(|s| s.len() == ndim && !s.contains(&0));
    shape.ok_or_else(|| {
        Error::data(format!(
            "the shape of its chunks is {}; it needs {ndim} positive integers",
            found.unwrap_or(&Value::Null)
        ))
    })
}

fn coords(value: &Value) -> Option<Coords> {
    value.as_array()?.iter().map(Value::as_u64).collect()
}

/// Name and configuration of a codec.
type Stage = (String, Value);

/// The codecs of a chain by their v3 names, whatever the version of the array.
fn stages(chain: &CodecChain) -> Result<Vec<Stage>> {
    let named = chain.create_metadatas(&CodecMetadataOptions::default());
    let all = chain.array_to_array_codecs().len() + 1 + chain.bytes_to_bytes_codecs().len();
    if named.len() != all {
        return Err(Error::unsupported("a codec that has no Zarr v3 name"));
    }
    named
        .iter()
        .map(|m| {
            let config =
                serde_json::to_value(m.configuration()).map_err(|e| Error::data(e.to_string()))?;
            Ok((m.name().to_owned(), config))
        })
        .collect()
}

/// The stages array → array, array → bytes, bytes → bytes.
type Split<'a> = (&'a [Stage], &'a Stage, &'a [Stage]);

fn split<'a>(stages: &'a [Stage], chain: &CodecChain) -> Split<'a> {
    let n = chain.array_to_array_codecs().len();
    (&stages[..n], &stages[n], &stages[n + 1..])
}

impl ChunkCodec {
    fn new(
        (a2a, a2b, b2b): Split<'_>,
        chain: &CodecChain,
        ndim: usize,
        dtype: Dtype,
    ) -> Result<Self> {
        let mut order: Vec<usize> = (0..ndim).collect();
        for (name, config) in a2a {
            if name != "transpose" {
                return Err(unknown(name));
            }
            let step = config.get("order").and_then(coords).unwrap_or_default();
            let mut seen: Vec<_> = step.to_vec();
            seen.sort_unstable();
            if !seen.iter().copied().eq(0..ndim as u64) {
                return Err(Error::data(format!(
                    "transpose's order {step:?} is not a permutation of {ndim} axes"
                )));
            }
            order = step.iter().map(|&a| order[a as usize]).collect();
        }
        let identity = order.iter().copied().eq(0..ndim);
        if a2b.0 != "bytes" {
            return Err(unknown(&a2b.0));
        }
        let swap = match a2b.1.get("endian").and_then(Value::as_str) {
            _ if dtype.size() == 1 => false,
            Some("little") => cfg!(target_endian = "big"),
            Some("big") => cfg!(target_endian = "little"),
            _ => return Err(Error::data(format!("the codec 'bytes' of {dtype} has no endian"))),
        };
        let steps = b2b.iter().zip(chain.bytes_to_bytes_codecs()).map(|((name, _), codec)| {
            let step = match name.as_str() {
                "zstd" => BytesCodec::Zstd,
                "gzip" => BytesCodec::Gzip,
                "zlib" | "numcodecs.zlib" => BytesCodec::Zlib,
                "blosc" => BytesCodec::Blosc,
                _ => BytesCodec::Other,
            };
            (step, codec.clone())
        });
        let bytes = steps.collect();
        Ok(Self { order: (!identity).then_some(order), swap, bytes })
    }
}

fn unknown(name: &str) -> Error {
    Error::unsupported(format!(
        "the codec '{name}' here; volchunk reads transpose, bytes, sharding_indexed, and \
         zstd, gzip, zlib, blosc, crc32c after them"
    ))
}

impl Shards {
    /// The shards of shape `outer` that `config` describes, and the codecs of the storage
    /// chunks in them.
    fn parse(config: &Value, outer: &Coords) -> Result<(Self, CodecChain)> {
        let inner = config.get("chunk_shape").and_then(coords).unwrap_or_default();
        let fits = inner.len() == outer.len()
            && inner.iter().zip(outer).all(|(&c, &s)| c > 0 && s % c == 0);
        if !fits {
            return Err(Error::data(format!(
                "the storage chunk {inner:?} does not divide the shard {outer:?}"
            )));
        }
        let counts: Coords = outer.iter().zip(&inner).map(|(&s, &c)| s / c).collect();
        // 16 bytes an entry; within the address space, so that products below cannot overflow.
        let entries = bytes_of(&counts, Dtype::F64)? / 8;
        if entries > isize::MAX as usize / 32 {
            return Err(Error::data(format!("a shard of {counts:?} storage chunks is absurd")));
        }
        let chain = |name: &str| -> Result<CodecChain> {
            let list = config.get(name).cloned().unwrap_or_default();
            let list: Vec<_> = serde_json::from_value(list)
                .map_err(|e| Error::data(format!("{name} of sharding_indexed: {e}")))?;
            CodecChain::from_metadata(&list)
                .map_err(|e| Error::unsupported(format!("{name} of sharding_indexed: {e}")))
        };
        let index_at_end = config.get("index_location").and_then(Value::as_str) != Some("start");
        let (index_codecs, inner) = (chain("index_codecs")?, chain("codecs")?);
        let stages = stages(&index_codecs)?;
        let (a2a, a2b, b2b) = split(&stages, &index_codecs);
        if !a2a.is_empty() || a2b.0 != "bytes" || b2b.iter().any(|(name, _)| name != "crc32c") {
            return Err(Error::unsupported(
                "index_codecs of sharding_indexed; volchunk reads bytes and crc32c",
            ));
        }
        let shape = outer.clone();
        Ok((Self { shape, counts, entries, index_codecs, index_at_end }, inner))
    }

    /// Bytes of the encoded index: 16 for each entry, 4 for each checksum.
    pub(super) fn index_bytes(&self) -> usize {
        self.entries * 16 + 4 * self.index_codecs.bytes_to_bytes_codecs().len()
    }

    /// Shape of the decoded index, as zarrs wants it.
    pub(super) fn index_shape(&self) -> Vec<NonZeroU64> {
        self.counts.iter().copied().chain([2]).filter_map(NonZeroU64::new).collect()
    }
}
