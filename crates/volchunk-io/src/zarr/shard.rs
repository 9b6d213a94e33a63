//! The indices of shards: where each storage chunk lies in the file, with the last few kept.

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
};

use volchunk::{Coords, Error, Result, os};
use zarrs::array::{
    ArrayBytes, FillValue,
    codec::api::{ArrayToBytesCodecTraits, CodecOptions},
    data_type,
};

use super::layout::Shards;

/// Indices that are kept: enough for the workers and their neighbours.
const KEPT: usize = 8;

/// A decoded index: offset and length of each storage chunk in C order, both `u64::MAX` where it
/// was never written.
pub(super) type Index = Arc<[[u64; 2]]>;

/// The indices that were used last, by the place of their shard.
#[derive(Default)]
pub(super) struct Indices(Mutex<Vec<(Coords, Index)>>);

impl Indices {
    /// The index of the shard at `place`, read by `read` if it is not at hand; None where the
    /// shard was never written.
    pub(super) fn get(
        &self,
        place: &[u64],
        read: impl FnOnce() -> Result<Option<Index>>,
    ) -> Result<Option<Index>> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut kept = lock();
            if let Some(i) = kept.iter().position(|(p, _)| p.as_slice() == place) {
                let entry = kept.remove(i);
                let index = entry.1.clone();
                kept.push(entry);
                return Ok(Some(index));
            }
        }
        // Not under the lock: other threads need not wait for this file.
        let Some(index) = read()? else { return Ok(None) };
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((Coords::from_slice(place), index.clone()));
        Ok(Some(index))
    }

    /// Bytes that the kept indices of such shards can take, and one more that is read: encoded,
    /// decoded, and as it is kept.
    pub(super) fn bytes(shards: &Shards) -> u64 {
        (shards.entries as u64).saturating_mul(16 * KEPT as u64 + 48)
    }
}

/// One thread decodes one chunk; zarrs must start no pool of its own.
pub(super) fn codec_options() -> CodecOptions {
    CodecOptions::default().with_concurrent_target(1)
}

impl Shards {
    /// Reads and decodes the index of the shard in `file`, which has `len` bytes.
    pub(super) fn read_index(&self, file: &File, len: u64) -> Result<Index> {
        let bytes = self.index_bytes();
        if (bytes as u64) > len {
            return Err(Error::data(format!(
                "the shard is truncated: its index alone has {bytes} bytes, the file has {len}"
            )));
        }
        let mut encoded = vec![0; bytes];
        let at = if self.index_at_end { len - bytes as u64 } else { 0 };
        os::read_exact_at(file, &mut encoded, at)
            .map_err(|e| Error::io("reading the index of the shard", e))?;
        let decoded = self
            .index_codecs
            .decode(
                encoded.into(),
                &self.index_shape(),
                &data_type::uint64(),
                &FillValue::from(u64::MAX),
                &codec_options(),
            )
            .and_then(|bytes| Ok(bytes.into_fixed()?.into_owned()))
            .map_err(|e| Error::data(format!("the index of the shard: {e}")))?;
        if decoded.len() != self.entries * 16 {
            return Err(Error::data(format!(
                "the index of the shard has {} bytes, not {}",
                decoded.len(),
                self.entries * 16
            )));
        }
        let word = |b: &[u8]| u64::from_ne_bytes(b.try_into().unwrap_or_default());
        Ok(decoded.chunks_exact(16).map(|e| [word(&e[..8]), word(&e[8..])]).collect())
    }

    /// Encodes an index for the end of a shard's file.
    pub(super) fn encode_index(&self, index: &[[u64; 2]]) -> Result<Vec<u8>> {
        let raw: Vec<u8> = index.iter().flatten().flat_map(|v| v.to_ne_bytes()).collect();
        self.index_codecs
            .encode(
                ArrayBytes::new_flen(raw),
                &self.index_shape(),
                &data_type::uint64(),
                &FillValue::from(u64::MAX),
                &codec_options(),
            )
            .map(|bytes| bytes.into_owned())
            .map_err(|e| Error::data(format!("encoding the index of a shard: {e}")))
    }
}
