//! A page: its header, and the values of a column that it holds.

use std::io::Read;

use volchunk::{Error, Result};

use super::{
    Physical,
    footer::Leaf,
    snappy,
    thrift::{Kind, Reader, damaged},
};

/// Longest page that is decoded, in bytes. Writers make pages of 1 MiB; some a row group's column.
const LONGEST: i64 = 16 << 20;

/// Most values of a page: those of that many bytes.
const MOST_VALUES: i64 = LONGEST / 4;

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Plain,
    Snappy,
    Gzip,
    Zstd,
}

impl Codec {
    pub(super) fn of(code: i64) -> Result<Self> {
        const NAMES: [&str; 8] =
            ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"];
        match code {
            0 => Ok(Self::Plain),
            1 => Ok(Self::Snappy),
            2 => Ok(Self::Gzip),
            6 => Ok(Self::Zstd),
            _ => {
                let name = usize::try_from(code).ok().and_then(|c| NAMES.get(c));
                Err(Error::unsupported(format!(
                    "a column is compressed with {}; legal: UNCOMPRESSED, SNAPPY, GZIP, ZSTD",
                    name.map_or_else(|| code.to_string(), |n| (*n).to_owned())
                )))
            }
        }
    }

    fn decode(self, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        let decoded = match self {
            Self::Plain => (bytes.len() == out.len()).then(|| out.copy_from_slice(bytes)),
            Self::Snappy => snappy::decode(bytes, out),
            Self::Gzip => {
                let mut decoder = flate2::read::MultiGzDecoder::new(bytes);
                decoder.read_exact(out).ok()
            }
            Self::Zstd => zstd::bulk::Decompressor::new()
                .and_then(|mut d| d.decompress_to_buffer(bytes, out))
                .ok()
                .filter(|&n| n == out.len())
                .map(drop),
        };
        decoded.ok_or_else(|| {
            Error::data(format!(
                "a page of {} bytes does not decode to the {} that it claims",
                bytes.len(),
                out.len()
            ))
        })
    }
}

/// What a page's header says.
#[derive(Debug, Default)]
pub(super) struct Header {
    kind: i64,
    plain: i64,
    compressed: i64,
    values: i64,
    encoding: i64,
    /// Encoding of which values are absent; version 1.
    levels_encoding: i64,
    /// Bytes that tell which values are absent, and which are in lists; version 2.
    levels: i64,
    lists: i64,
    /// Whether the values of version 2 are not compressed.
    raw: bool,
}

/// What a page turned out to be.
pub(super) enum Page {
    /// Values for pages to come.
    Dictionary,
    /// Values.
    Data,
    /// Nothing that matters.
    Other,
}

impl Header {
    /// Reads a header from the beginning of `bytes`, and tells its length.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize)> {
        let mut h = Self::default();
        let mut r = Reader::new(bytes);
        r.fields(Kind::Struct, |r, id, kind| {
            match id {
                1 => h.kind = r.int(kind)?,
                2 => h.plain = r.int(kind)?,
                3 => h.compressed = r.int(kind)?,
                5 => r.fields(kind, |r, id, kind| {
                    match id {
                        1 => h.values = r.int(kind)?,
                        2 => h.encoding = r.int(kind)?,
                        3 => h.levels_encoding = r.int(kind)?,
                        _ => r.skip(kind)?,
                    }
                    Ok(())
                })?,
                7 => r.fields(kind, |r, id, kind| {
                    match id {
                        1 => h.values = r.int(kind)?,
                        2 => h.encoding = r.int(kind)?,
                        _ => r.skip(kind)?,
                    }
                    Ok(())
                })?,
                8 => r.fields(kind, |r, id, kind| {
                    match id {
                        1 => h.values = r.int(kind)?,
                        4 => h.encoding = r.int(kind)?,
                        5 => h.levels = r.int(kind)?,
                        6 => h.lists = r.int(kind)?,
                        7 => h.raw = !r.bool(kind)?,
                        _ => r.skip(kind)?,
                    }
                    Ok(())
                })?,
                _ => r.skip(kind)?,
            }
            Ok(())
        })?;
        for (what, n, most) in [
            ("bytes", h.plain, LONGEST),
            ("encoded bytes", h.compressed, LONGEST + LONGEST / 8),
            ("values", h.values, MOST_VALUES),
        ] {
            if !(0..=most).contains(&n) {
                return Err(Error::unsupported(format!(
                    "a page of {n} {what}; legal: at most {most}"
                )));
            }
        }
        Ok((h, bytes.len() - r.left()))
    }

    /// Length of the page behind its header, at most about 18 MiB.
    pub(super) fn length(&self) -> u64 {
        self.compressed.unsigned_abs()
    }

    /// Bytes that its values will take.
    pub(super) fn held(&self) -> u64 {
        self.values.unsigned_abs() * 8
    }

    /// Decodes the page `bytes`: a dictionary's values replace `dictionary`, others `values`. `plain`
    /// is room for what it decompresses to.
    pub(super) fn decode(
        &self,
        bytes: &[u8],
        codec: Codec,
        leaf: Leaf,
        plain: &mut Vec<u8>,
        dictionary: &mut Vec<f64>,
        values: &mut Vec<f64>,
    ) -> Result<Page> {
        let count = self.values as usize;
        if !matches!(self.kind, 0 | 2 | 3) {
            return Ok(Page::Other);
        }
        plain.clear();
        plain.resize(self.plain as usize, 0);
        // In version 2 the levels stand before the values, never compressed.
        let levels = if self.kind == 3 { self.levels } else { 0 };
        let levels = usize::try_from(levels).ok().filter(|&n| n <= bytes.len().min(plain.len()));
        let levels = levels.ok_or_else(|| damaged("a page shorter than its levels"))?;
        if self.lists != 0 {
            return Err(Error::unsupported("a page with lists for values; legal: numbers"));
        }
        plain[..levels].copy_from_slice(&bytes[..levels]);
        let codec = if self.raw { Codec::Plain } else { codec };
        // Some writers leave a page of nothing uncompressed.
        if !(bytes.len() == levels && plain.len() == levels) {
            codec.decode(&bytes[levels..], &mut plain[levels..])?;
        }
        if self.kind == 2 {
            if !matches!(self.encoding, 0 | 2) {
                return Err(self.unknown_encoding());
            }
            fill(plain, leaf.physical, count, dictionary)?;
            return Ok(Page::Dictionary);
        }
        let (levels, rest) = match self.kind {
            3 => plain.split_at(levels),
            _ if leaf.optional => {
                if self.levels_encoding != 3 {
                    return Err(self.unknown_encoding());
                }
                let short = || damaged("a page shorter than its levels");
                let (length, rest) = plain.split_first_chunk::<4>().ok_or_else(short)?;
                rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(short)?
            }
            _ => plain.split_at(0),
        };
        let mut absent = Vec::new();
        let mut present = count;
        if leaf.optional {
            absent.reserve(count);
            runs(levels, 1, count, |level| {
                absent.push(level == 0);
                Ok(())
            })?;
            present = absent.iter().filter(|&&a| !a).count();
        }
        match self.encoding {
            0 => fill(rest, leaf.physical, present, values)?,
            2 | 8 => indexed(rest, present, dictionary, values)?,
            _ => return Err(self.unknown_encoding()),
        }
        if present < count {
            // From the last: every value moves to its place, which is not before where it is.
            values.resize(count, f64::NAN);
            let mut from = present;
            for (to, &absent) in absent.iter().enumerate().rev() {
                if absent {
                    values[to] = f64::NAN;
                } else {
                    from -= 1;
                    values[to] = values[from];
                }
            }
        }
        Ok(Page::Data)
    }

    fn unknown_encoding(&self) -> Error {
        Error::unsupported(format!(
            "a page of encoding {}; legal: PLAIN (0), PLAIN_DICTIONARY (2), RLE_DICTIONARY (8)",
            self.encoding
        ))
    }
}

/// Replaces `values` by `count` plain ones.
fn fill(bytes: &[u8], physical: Physical, count: usize, values: &mut Vec<f64>) -> Result<()> {
    let size = physical.size();
    let bytes = bytes.get(..count * size).ok_or_else(|| damaged("a page with too few values"))?;
    values.clear();
    values.extend(bytes.chunks_exact(size).map(|b| physical.value(b)));
    Ok(())
}

/// Replaces `values` by `count` of the dictionary's.
fn indexed(bytes: &[u8], count: usize, dictionary: &[f64], values: &mut Vec<f64>) -> Result<()> {
    values.clear();
    if count == 0 {
        return Ok(());
    }
    let (&width, bytes) =
        bytes.split_first().ok_or_else(|| damaged("a page with too few values"))?;
    values.reserve(count);
    runs(bytes, u32::from(width), count, |index| {
        let value = dictionary.get(index as usize);
        values.push(*value.ok_or_else(|| damaged("a value that is not in its dictionary"))?);
        Ok(())
    })
}

/// Gives `each` of `count` integers of `width` bits: runs of one value, and groups of eight packed
/// one behind the other.
fn runs(
    mut bytes: &[u8],
    width: u32,
    count: usize,
    mut each: impl FnMut(u32) -> Result<()>,
) -> Result<()> {
    let short = || damaged("a page with too few values");
    if width > 32 {
        return Err(damaged("indices of more than 32 bits"));
    }
    let mut left = count;
    while left > 0 {
        let (mut head, mut shift) = (0u64, 0);
        loop {
            let (&byte, rest) = bytes.split_first().ok_or_else(short)?;
            bytes = rest;
            head |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 56 {
                return Err(damaged("a run longer than any page"));
            }
        }
        let length = head >> 1;
        if head & 1 == 0 {
            let (value, rest) =
                bytes.split_at_checked(width.div_ceil(8) as usize).ok_or_else(short)?;
            bytes = rest;
            let value = value.iter().rev().fold(0u32, |v, &b| v << 8 | u32::from(b));
            let now = left.min(usize::try_from(length).unwrap_or(usize::MAX));
            for _ in 0..now {
                each(value)?;
            }
            left -= now;
            continue;
        }
        let now = left.min(usize::try_from(length.saturating_mul(8)).unwrap_or(usize::MAX));
        // The last group may be cut short where its padding would stand.
        let needed = (now * width as usize).div_ceil(8);
        let whole = usize::try_from(length.saturating_mul(u64::from(width))).unwrap_or(usize::MAX);
        if bytes.len() < needed {
            return Err(short());
        }
        let (packed, rest) = bytes.split_at(whole.min(bytes.len()));
        bytes = rest;
        let (mut waiting, mut bits, mut packed) = (0u64, 0, packed.iter());
        let mask = (1u64 << width) - 1;
        for _ in 0..now {
            while bits < width {
                waiting |= u64::from(*packed.next().ok_or_else(short)?) << bits;
                bits += 8;
            }
            each((waiting & mask) as u32)?;
            waiting >>= width;
            bits -= width;
        }
        left -= now;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], width: u32, count: usize) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        runs(bytes, width, count, |v| {
            found.push(v);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn runs_and_groups() {
        // The example of Encodings.md: 0 to 7 in three bits.
        let packed = [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(all(&packed, 3, 8).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        let mixed = [10, 4, 0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(all(&mixed, 3, 7).unwrap(), [4, 4, 4, 4, 4, 0, 1]);
        assert_eq!(all(&[6], 0, 3).unwrap(), [0, 0, 0]);
        assert_eq!(all(&[4, 0x34, 0x12], 16, 2).unwrap(), [0x1234; 2]);
        assert!(all(&mixed, 3, 14).is_err(), "more than there are");
        assert!(all(&[0; 20], 1, 1).is_err(), "runs of nothing end");
        assert!(all(&[0xff; 20], 1, 1).is_err());
        assert_eq!(all(&[3, 255, 255, 255, 255], 32, 1).unwrap(), [u32::MAX]);
    }
}
