//! TIFF headers and directories (IFDs), classic and BigTIFF, read in small pieces.
//!
//! The `tiff` crate decodes strips and tiles here, but does not parse the directories: its decoder
//! multiplies header values before it checks them, loads every array of offsets, and walks the
//! whole chain again for each decoder. Here an array of offsets stays in the file until a region
//! needs a part of it, so that a page costs its directory and nothing else.
//!
//! Source: TIFF Revision 6.0 (Adobe, 1992), section 2, and the BigTIFF layout by Aware Systems.

use std::{collections::HashSet, ops::Range};

use volchunk::{Error, Result};

use crate::CountedFile;

/// The least that the reader fetches at once.
const READ_AHEAD: u64 = 1024;
/// The most, reached while directories lie one behind the other.
const READ_AHEAD_MOST: u64 = 64 << 10;
/// No text that belongs to a volume's description is longer.
const TEXT_MOST: u64 = 256 << 20;

/// Numbers of the tags that are read.
pub(super) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const IMAGE_WIDTH: u16 = 256;
    pub(crate) const IMAGE_LENGTH: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const IMAGE_DESCRIPTION: u16 = 270;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const X_RESOLUTION: u16 = 282;
    pub(crate) const Y_RESOLUTION: u16 = 283;
    pub(crate) const PLANAR_CONFIGURATION: u16 = 284;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
}

/// How integers lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `II`.
    Little,
    /// `MM`.
    Big,
}

impl Order {
    /// Whether voxels of this order need their bytes swapped on this machine.
    pub(super) fn is_foreign(self) -> bool {
        (self == Self::Big) != cfg!(target_endian = "big")
    }

    /// An unsigned integer of up to eight bytes.
    pub(super) fn uint(self, bytes: &[u8]) -> u64 {
        let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }
}

/// One field of a directory: what it holds and where its values lie in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    tag: u16,
    kind: u16,
    count: u64,
    /// Where the first value lies; the values end within the file.
    at: u64,
}

/// Bytes of one value of a field type; None for types that TIFF does not define.
fn size_of_kind(kind: u16) -> Option<u64> {
    Some(match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16 | 17 | 18 => 8,
        _ => return None,
    })
}

/// Where an array of unsigned integers lies, to be read in parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum UintArray {
    /// The one value.
    One(u64),
    /// Values of `width` bytes from `at`.
    Stored { at: u64, width: u8 },
}

/// One directory: the fields of one image.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it lies in the file.
    pub(super) offset: u64,
    fields: Vec<Field>,
}

/// Walks the directories of one file.
pub(super) struct Reader<'a> {
    file: &'a CountedFile,
    order: Order,
    big: bool,
    next: u64,
    seen: HashSet<u64>,
    ahead: Vec<u8>,
    ahead_at: u64,
}

impl<'a> Reader<'a> {
    /// Reads the header of `file`.
    ///
    /// # Errors
    /// Not a TIFF; truncated.
    pub(super) fn new(file: &'a CountedFile) -> Result<Self> {
        let mut reader = Self {
            file,
            order: Order::Little,
            big: false,
            next: 0,
            seen: HashSet::new(),
            ahead: Vec::new(),
            ahead_at: 0,
        };
        let name = file.path().display();
        let header: [u8; 8] = reader.fixed(0, "the header")?;
        reader.order = match &header[..2] {
            b"II" => Order::Little,
            b"MM" => Order::Big,
            found => {
                return Err(Error::data(format!(
                    "{name} is not a TIFF: it begins with {found:02x?}; legal: 'II' or 'MM'"
                )));
            }
        };
        match reader.order.uint(&header[2..4]) {
            42 => reader.next = reader.order.uint(&header[4..]),
            43 => {
                let header: [u8; 16] = reader.fixed(0, "the header")?;
                reader.big = true;
                let size = reader.order.uint(&header[4..6]);
                if size != 8 {
                    return Err(Error::data(format!(
                        "{name}: the BigTIFF header claims offsets of {size} bytes; legal: 8"
                    )));
                }
                reader.next = reader.order.uint(&header[8..]);
            }
            version => {
                return Err(Error::data(format!(
                    "{name} is not a TIFF: version {version} in its header; legal: 42, or 43 for BigTIFF"
                )));
            }
        }
        if reader.next == 0 {
            return Err(Error::data(format!("{name}: the TIFF holds no image")));
        }
        Ok(reader)
    }

    /// Byte order of the file.
    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// The next directory of the chain; None behind the last.
    ///
    /// # Errors
    /// A loop, an offset outside of the file, more directories than the file has room for.
    pub(super) fn next(&mut self) -> Result<Option<Directory>> {
        let offset = self.next;
        if offset == 0 {
            return Ok(None);
        }
        let name = self.file.path().display();
        if !self.seen.insert(offset) {
            return Err(Error::data(format!(
                "{name}: the chain of directories loops: directory {} is again the one at offset {offset}",
                self.seen.len()
            )));
        }
        let (entry, word, least) = if self.big { (20, 8, 76) } else { (12, 4, 42) };
        // Directories that describe an image have three entries or more and do not overlap.
        if self.seen.len() as u64 > self.file.len() / least {
            return Err(Error::data(format!(
                "{name}: a chain of {} directories does not fit in a file of {} bytes",
                self.seen.len(),
                self.file.len()
            )));
        }
        let what = "a directory";
        let order = self.order;
        let head = if self.big { 8 } else { 2 };
        let entries = order.uint(self.bytes(offset, head, what)?);
        let body = offset + head;
        let size = entries.checked_mul(entry).and_then(|n| n.checked_add(word));
        if entries == 0 || entries > 4096 || size.is_none() {
            return Err(Error::data(format!(
                "{name}: the directory at offset {offset} claims {entries} entries; legal: 1 to 4096"
            )));
        }
        let table = self.bytes(body, entries * entry + word, what)?.to_vec();
        let (table, next) = table.split_at((entries * entry) as usize);
        let mut fields = Vec::with_capacity(entries as usize);
        for (k, raw) in table.chunks_exact(entry as usize).enumerate() {
            let (tag, kind) = (order.uint(&raw[..2]) as u16, order.uint(&raw[2..4]) as u16);
            // Readers skip fields of unknown types, as TIFF demands.
            let Some(size) = size_of_kind(kind) else { continue };
            let value = &raw[4 + word as usize..];
            let count = order.uint(&raw[4..4 + word as usize]);
            let inline = body + k as u64 * entry + 4 + word;
            let len = count.saturating_mul(size);
            let at = if len <= word { inline } else { order.uint(value) };
            let field = Field { tag, kind, count, at };
            if at.checked_add(len).is_none_or(|stop| stop > self.file.len()) {
                // Private fields may be broken without harm.
                if is_read(tag) {
                    return Err(Error::data(format!(
                        "{name} is truncated: tag {tag} of the directory at offset {offset} claims {count} values at offset {at}, the file has {} bytes",
                        self.file.len()
                    )));
                }
                continue;
            }
            fields.push(field);
        }
        self.next = order.uint(next);
        Ok(Some(Directory { offset, fields }))
    }

    /// `N` bytes at `at`.
    fn fixed<const N: usize>(&mut self, at: u64, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(at, N as u64, what)?);
        Ok(out)
    }

    /// Bytes of the file, by way of the read-ahead buffer.
    fn bytes(&mut self, at: u64, len: u64, what: &str) -> Result<&[u8]> {
        let end = self.ahead_at + self.ahead.len() as u64;
        let stop = at.checked_add(len).filter(|&stop| stop <= self.file.len()).ok_or_else(|| {
            Error::data(format!(
                "{} is truncated: {what} of {len} bytes is expected at offset {at}, the file has {}",
                self.file.path().display(),
                self.file.len()
            ))
        })?;
        if at < self.ahead_at || stop > end {
            // Directories one behind the other are worth fetching ahead, scattered ones are not.
            let had = self.ahead.len() as u64;
            let follows = at >= self.ahead_at && at <= end.saturating_add(had);
            let fetch = if follows { (had * 2).min(READ_AHEAD_MOST) } else { READ_AHEAD };
            let fetch = fetch.max(READ_AHEAD).max(len).min(self.file.len() - at);
            self.ahead.resize(fetch as usize, 0);
            self.ahead_at = at;
            if let Err(e) = self.file.read_exact_at(&mut self.ahead, at) {
                self.ahead.clear();
                return Err(e);
            }
        }
        let from = (at - self.ahead_at) as usize;
        Ok(&self.ahead[from..from + len as usize])
    }

    /// The field `tag` of `directory`.
    pub(super) fn field(&self, directory: &Directory, tag: u16) -> Option<Field> {
        directory.fields.iter().find(|f| f.tag == tag).copied()
    }

    /// Values `range` of an unsigned field.
    fn uints(&mut self, field: Field, range: Range<u64>) -> Result<Vec<u64>> {
        let size = match field.kind {
            1 | 3 | 4 | 13 | 16 | 18 => size_of_kind(field.kind).unwrap_or(1),
            kind => return Err(self.wrong(field, &format!("type {kind}, not an unsigned integer"))),
        };
        let order = self.order;
        let (at, len) = (field.at + range.start * size, (range.end - range.start) * size);
        // Values inside of the directory are in the buffer; others must not displace it.
        let end = self.ahead_at + self.ahead.len() as u64;
        let split = |raw: &[u8]| raw.chunks_exact(size as usize).map(|b| order.uint(b)).collect();
        if at >= self.ahead_at && at + len <= end {
            return Ok(split(self.bytes(at, len, "a value")?));
        }
        let mut raw = vec![0; len as usize];
        self.file.read_exact_at(&mut raw, at)?;
        Ok(split(&raw))
    }

    /// The single unsigned value of `tag`; None where the directory lacks it.
    pub(super) fn uint(&mut self, directory: &Directory, tag: u16) -> Result<Option<u64>> {
        let Some(field) = self.field(directory, tag) else { return Ok(None) };
        if field.count == 0 {
            return Err(self.wrong(field, "no value"));
        }
        Ok(self.uints(field, 0..1)?.first().copied())
    }

    /// The value of `tag` that all its values share, such as BitsPerSample.
    pub(super) fn uniform(&mut self, directory: &Directory, tag: u16) -> Result<Option<u64>> {
        let Some(field) = self.field(directory, tag) else { return Ok(None) };
        if field.count == 0 || field.count > u64::from(u16::MAX) {
            return Err(self.wrong(field, &format!("{} values", field.count)));
        }
        let values = self.uints(field, 0..field.count)?;
        if values.iter().any(|&v| v != values[0]) {
            return Err(Error::unsupported(format!(
                "{}: tag {tag} of the directory at offset {} differs between samples ({values:?}); volchunk reads equal samples only",
                self.file.path().display(),
                directory.offset
            )));
        }
        Ok(values.first().copied())
    }

    /// Where the array of `tag` lies, and the number of its values.
    pub(super) fn array(
        &mut self,
        directory: &Directory,
        tag: u16,
    ) -> Result<Option<(UintArray, u64)>> {
        let Some(field) = self.field(directory, tag) else { return Ok(None) };
        let array = match (field.count, field.kind) {
            (1, _) => UintArray::One(self.uints(field, 0..1)?[0]),
            (_, 3) => UintArray::Stored { at: field.at, width: 2 },
            (_, 4 | 13) => UintArray::Stored { at: field.at, width: 4 },
            (_, 16 | 18) => UintArray::Stored { at: field.at, width: 8 },
            (_, kind) => return Err(self.wrong(field, &format!("type {kind}, not an offset"))),
        };
        Ok(Some((array, field.count)))
    }

    /// The value of a field of type RATIONAL; None where it is missing or its denominator is 0.
    pub(super) fn rational(&mut self, directory: &Directory, tag: u16) -> Result<Option<f64>> {
        let Some(field) = self.field(directory, tag) else { return Ok(None) };
        if field.kind != 5 || field.count == 0 {
            return Ok(None);
        }
        let mut raw = [0; 8];
        self.file.read_exact_at(&mut raw, field.at)?;
        let (n, d) = (self.order.uint(&raw[..4]), self.order.uint(&raw[4..]));
        Ok((n != 0 && d != 0).then(|| n as f64 / d as f64))
    }

    /// The text of `tag`, up to its first NUL; Latin-1 where it is not UTF-8.
    pub(super) fn text(&mut self, directory: &Directory, tag: u16) -> Result<Option<String>> {
        let Some(field) = self.field(directory, tag) else { return Ok(None) };
        if !matches!(field.kind, 1 | 2 | 7) || field.count > TEXT_MOST {
            return Ok(None);
        }
        let mut raw = vec![0; field.count as usize];
        self.file.read_exact_at(&mut raw, field.at)?;
        raw.truncate(raw.iter().position(|&b| b == 0).unwrap_or(raw.len()));
        // ImageJ writes 'µm' in the encoding of the machine that it ran on.
        Ok(Some(
            String::from_utf8(raw)
                .unwrap_or_else(|e| e.as_bytes().iter().map(|&b| char::from(b)).collect()),
        ))
    }

    fn wrong(&self, field: Field, found: &str) -> Error {
        Error::data(format!("{}: tag {} has {found}", self.file.path().display(), field.tag))
    }
}

/// Whether a tag decides about the voxels, so that it must be intact.
fn is_read(tag: u16) -> bool {
    matches!(tag, 254..=259 | 262 | 266 | 270 | 273 | 277..=279 | 284 | 317 | 322..=325 | 339)
}
