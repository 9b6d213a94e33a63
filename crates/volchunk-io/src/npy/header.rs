//! The header of an NPY file: magic, version, length, a Python dict of three keys.
//!
//! Its own small parser, not a crate's: npyz allocates the length that a header claims, multiplies
//! the shape unchecked, and takes Latin-1 for UTF-8.

use std::ops::Range;

use volchunk::{Coords, Dtype, Error, Result};

use crate::file::CountedFile;

/// What every NPY file starts with.
pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read. NumPy's own limit is 10 000 bytes.
const MAX_HEADER: u64 = 1 << 20;

/// Most axes that NumPy can give an array.
pub(super) const MAX_AXES: usize = 64;

/// What a header says, checked against itself and the length of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) dtype: Dtype,
    /// Whether the bytes of a voxel are in the order that is not this machine's.
    pub(super) swapped: bool,
    /// Whether the first axis is the fastest.
    pub(super) fortran: bool,
    pub(super) shape: Coords,
    /// Where the first voxel stands.
    pub(super) offset: u64,
}

impl Header {
    /// Reads the header of `file`, and checks that the file is long enough for the voxels.
    ///
    /// # Errors
    /// A header that contradicts itself or the file; a dtype that volchunk does not know.
    pub(super) fn read(file: &CountedFile) -> Result<Self> {
        Self::parse(file).map_err(|e| e.context(file.path().display()))
    }

    fn parse(file: &CountedFile) -> Result<Self> {
        let raw = RawHeader::read(file, 0..file.len())?;
        let (dtype, swapped) = dtype_of(&raw.descr)?;
        let RawHeader { fortran, shape, offset, .. } = raw;
        let header = Self { dtype, swapped, fortran, shape, offset };
        header.check_length(file.len())?;
        Ok(header)
    }

    /// Refuses a file of `len` bytes that is too short; bytes behind the voxels are ignored, as
    /// NumPy does.
    fn check_length(&self, len: u64) -> Result<()> {
        let voxels = self.shape.iter().try_fold(1u64, |n, &s| n.checked_mul(s));
        let bytes = voxels.and_then(|n| n.checked_mul(self.dtype.size() as u64));
        let expected = bytes.and_then(|n| n.checked_add(self.offset)).ok_or_else(|| {
            Error::data(format!("shape {:?} of {} exceeds 2^64 bytes", self.shape, self.dtype))
        })?;
        if expected > len {
            return Err(Error::data(format!(
                "truncated: shape {:?} of {} and a header of {} bytes need {expected} bytes, the file has {len}",
                self.shape, self.dtype, self.offset
            )));
        }
        Ok(())
    }
}

/// What a header says, its dtype not yet understood.
#[derive(Debug)]
pub(crate) struct RawHeader {
    /// The dtype as NumPy describes it.
    pub(crate) descr: String,
    /// Whether the first axis is the fastest.
    pub(crate) fortran: bool,
    pub(crate) shape: Coords,
    /// Where the first value stands, from the beginning of the NPY.
    pub(crate) offset: u64,
}

impl RawHeader {
    /// Reads the header of the NPY that stands at `place` in `file`.
    ///
    /// # Errors
    /// A header that contradicts itself or is longer than `place`.
    pub(crate) fn read(file: &CountedFile, place: Range<u64>) -> Result<Self> {
        let (begin, len) = (place.start, place.end - place.start);
        let mut start = [0; 8];
        if len < 10 {
            return Err(Error::data(format!("{len} bytes are too few for an NPY header")));
        }
        file.read_exact_at(&mut start, begin)?;
        if !start.starts_with(MAGIC) {
            return Err(Error::data("does not start with the magic of an NPY file"));
        }
        let (version, field) = ((start[6], start[7]), if start[6] == 1 { 2 } else { 4 });
        if !matches!(version, (1..=3, 0)) {
            let (major, minor) = version;
            return Err(Error::unsupported(format!(
                "NPY version {major}.{minor}; legal: 1.0, 2.0, 3.0"
            )));
        }
        let mut length = [0; 4];
        file.read_exact_at(&mut length[..field], begin + 8)?;
        let length = u64::from(u32::from_le_bytes(length));
        let offset = 8 + field as u64 + length;
        if offset > len || length > MAX_HEADER {
            return Err(Error::data(format!(
                "the header claims {length} bytes; legal: what the file of {} bytes holds, at most {MAX_HEADER}",
                len
            )));
        }
        let mut text = vec![0; length as usize];
        file.read_exact_at(&mut text, begin + 8 + field as u64)?;
        // Versions 1 and 2 are Latin-1, whose bytes are the first code points.
        let text = match version.0 {
            3 => String::from_utf8(text)
                .map_err(|e| Error::data("the header is not UTF-8").caused_by(e))?,
            _ => text.into_iter().map(char::from).collect(),
        };
        Dict::parse(&text)?.header(offset)
    }
}

/// The header of a C-order file of native byte order, padded so that the voxels start at a
/// multiple of 64.
pub(super) fn encode(shape: &[u64], dtype: Dtype) -> Vec<u8> {
    let order = match dtype.size() {
        1 => '|',
        _ if cfg!(target_endian = "big") => '>',
        _ => '<',
    };
    let kind = match dtype {
        Dtype::Bool => 'b',
        Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64 => 'u',
        Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => 'i',
        Dtype::F32 | Dtype::F64 => 'f',
    };
    encode_descr(shape, &format!("{order}{kind}{}", dtype.size()))
}

/// The header of a C-order file whose dtype NumPy describes so, padded in the same way.
pub(crate) fn encode_descr(shape: &[u64], descr: &str) -> Vec<u8> {
    let mut lengths = shape.iter().map(|n| format!("{n}, ")).collect::<String>();
    lengths.truncate(lengths.len().saturating_sub(if shape.len() == 1 { 1 } else { 2 }));
    let mut dict =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({lengths}), }}");
    let bare = MAGIC.len() + 4 + dict.len() + 1;
    dict.extend(std::iter::repeat_n(' ', bare.next_multiple_of(64) - bare));
    dict.push('\n');
    // 64 axes of 20 digits stay far below the 65 535 bytes of version 1.
    [MAGIC, &[1, 0], &(dict.len() as u16).to_le_bytes(), dict.as_bytes()].concat()
}

/// The three values of the dict, unread but for the shape.
#[derive(Default)]
struct Dict<'a> {
    descr: Option<&'a str>,
    fortran: Option<bool>,
    shape: Option<Coords>,
}

impl<'a> Dict<'a> {
    /// Parses `{'descr': …, 'fortran_order': …, 'shape': (…), }`, keys in any order.
    fn parse(text: &'a str) -> Result<Self> {
        let mut p = Parser { text, at: 0 };
        let mut dict = Self::default();
        p.expect('{')?;
        while !p.eat('}') {
            let key_at = p.at;
            let key = p.string()?;
            p.expect(':')?;
            let twice = match key {
                "descr" => dict.descr.replace(p.descr()?).is_some(),
                "fortran_order" => dict.fortran.replace(p.boolean()?).is_some(),
                "shape" => dict.shape.replace(p.shape()?).is_some(),
                _ => return Err(p.error_at(key_at, "one of 'descr', 'fortran_order', 'shape'")),
            };
            if twice {
                return Err(p.error_at(key_at, "each key once"));
            }
            if !p.eat(',') {
                p.expect('}')?;
                break;
            }
        }
        p.blank();
        if p.at < text.len() {
            return Err(p.error("the end of the header"));
        }
        Ok(dict)
    }

    fn header(self, offset: u64) -> Result<RawHeader> {
        let missing = |key| Error::data(format!("the header has no key '{key}'"));
        let descr = self.descr.ok_or_else(|| missing("descr"))?;
        let fortran = self.fortran.ok_or_else(|| missing("fortran_order"))?;
        let shape = self.shape.ok_or_else(|| missing("shape"))?;
        Ok(RawHeader { descr: descr.to_owned(), fortran, shape, offset })
    }
}

/// The dtype of NumPy's code without its byte order: a kind and a number of bytes, as `u2`.
pub(crate) fn dtype_of_code(code: &str) -> Option<Dtype> {
    Some(match code {
        "b1" => Dtype::Bool,
        "u1" => Dtype::U8,
        "u2" => Dtype::U16,
        "u4" => Dtype::U32,
        "u8" => Dtype::U64,
        "i1" => Dtype::I8,
        "i2" => Dtype::I16,
        "i4" => Dtype::I32,
        "i8" => Dtype::I64,
        "f4" => Dtype::F32,
        "f8" => Dtype::F64,
        _ => return None,
    })
}

/// The dtype that `descr` means, and whether its byte order is not this machine's.
fn dtype_of(descr: &str) -> Result<(Dtype, bool)> {
    let native = if cfg!(target_endian = "big") { '>' } else { '<' };
    let (order, kind) = match descr.chars().next() {
        Some(c @ ('<' | '>')) => (c, &descr[1..]),
        Some('|' | '=') => (native, &descr[1..]),
        _ => (native, descr),
    };
    // Alone, "?" is another way to write b1.
    let dtype = dtype_of_code(if kind == "?" { "b1" } else { kind }).ok_or_else(|| {
        let shown: String = descr.chars().take(80).collect();
        let legal = Dtype::ALL.map(Dtype::name).join(", ");
        Error::unsupported(format!("descr {shown:?} is none of {legal}"))
    })?;
    Ok((dtype, order != native && dtype.size() > 1))
}

/// A cursor over the header's text.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn error(&self, legal: &str) -> Error {
        self.error_at(self.at, legal)
    }

    fn error_at(&self, at: usize, legal: &str) -> Error {
        let found: String = self.text.get(at..).unwrap_or("").chars().take(20).collect();
        Error::data(format!("header, byte {at}: found {found:?}; legal: {legal}"))
    }

    fn blank(&mut self) {
        self.at = self.text.len() - self.rest().trim_ascii_start().len();
    }

    fn eat(&mut self, c: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, c: char) -> Result<()> {
        if self.eat(c) { Ok(()) } else { Err(self.error(&format!("'{c}'"))) }
    }

    /// A quoted string without escapes: no key and no dtype needs one.
    fn string(&mut self) -> Result<&'a str> {
        self.blank();
        let quote = match self.rest().chars().next() {
            Some(q @ ('\'' | '"')) => q,
            _ => return Err(self.error("a quoted string")),
        };
        let body = &self.rest()[1..];
        let len = body.find(quote).ok_or_else(|| self.error("a string that ends"))?;
        self.at += len + 2;
        Ok(&body[..len])
    }

    /// A dtype string, or the text of the list that describes a structured dtype.
    fn descr(&mut self) -> Result<&'a str> {
        self.blank();
        if !self.rest().starts_with(['[', '(']) {
            return self.string();
        }
        let (from, mut depth, mut quote) = (self.at, 0usize, None);
        for (i, c) in self.rest().char_indices() {
            match (quote, c) {
                (Some(q), _) if q == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '[' | '(') => depth += 1,
                (None, ']' | ')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = from + i + 1;
                return Ok(&self.text[from..self.at]);
            }
        }
        Err(self.error("brackets that close"))
    }

    fn boolean(&mut self) -> Result<bool> {
        self.blank();
        for (word, value) in [("True", true), ("False", false)] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("True or False"))
    }

    /// A tuple of lengths: `()`, `(3,)`, `(3, 4)`.
    fn shape(&mut self) -> Result<Coords> {
        let from = self.at;
        let mut shape = Coords::new();
        let mut comma = true;
        self.expect('(')?;
        while !self.eat(')') {
            if !comma {
                return Err(self.error("',' or ')'"));
            }
            if shape.len() == MAX_AXES {
                return Err(self.error(&format!("at most {MAX_AXES} axes")));
            }
            self.blank();
            let rest = self.rest();
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let legal = "the length of an axis, 0 to 2^64 - 1";
            shape.push(rest[..digits].parse().map_err(|_| self.error(legal))?);
            self.at += digits;
            // Python 2 wrote long integers as `3L`.
            self.eat('L');
            comma = self.eat(',');
        }
        if shape.len() == 1 && !comma {
            return Err(self.error_at(from, "a tuple, such as (3,)"));
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of version 1 with this header and `voxels` bytes behind it.
    fn read(version: u8, claimed: Option<u32>, text: &[u8], voxels: usize) -> Result<Header> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        let len = claimed.unwrap_or(text.len() as u32);
        let len = if version == 1 {
            (len as u16).to_le_bytes().to_vec()
        } else {
            len.to_le_bytes().to_vec()
        };
        let bytes = [MAGIC, &[version, 0], &len, text, &vec![0; voxels]].concat();
        std::fs::write(&path, bytes).unwrap();
        Header::read(&CountedFile::open(&path)?)
    }

    fn fails(version: u8, claimed: Option<u32>, text: &[u8]) -> String {
        let message = read(version, claimed, text, 64).unwrap_err().to_string();
        assert!(message.contains("a.npy"), "names the file: {message}");
        message
    }

    #[test]
    fn what_is_written_is_read() {
        for shape in [&[][..], &[3], &[3, 4], &[2, 3, 4, 5, 6], &[1; 64], &[1 << 40, 0]] {
            for dtype in Dtype::ALL {
                let bytes = encode(shape, dtype);
                assert_eq!(bytes.len() % 64, 0);
                let header = read(1, None, &bytes[10..], 8 * 720).unwrap();
                assert_eq!((&header.shape[..], header.dtype), (shape, dtype));
                assert_eq!((header.fortran, header.swapped), (false, false));
                assert_eq!(header.offset, bytes.len() as u64);
            }
        }
    }

    #[test]
    fn legal_spellings() {
        let text = b"{\"shape\":(2L, 3L),'fortran_order':True,'descr':'>i4'}";
        let header = read(2, None, text, 24).unwrap();
        assert_eq!((&header.shape[..], header.dtype), (&[2, 3][..], Dtype::I32));
        assert!(header.fortran && header.swapped);
        let trailing = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2,), }  \n";
        assert_eq!(read(3, None, trailing, 9).unwrap().shape[..], [2, 2]);
    }

    #[test]
    fn hostile_headers() {
        let with = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}")
                .into_bytes()
        };
        let good = with("'<u2'", "False", "(2, 3)");
        read(1, None, &good, 12).unwrap();
        let cases = [
            (fails(1, Some(60000), &good), "claims 60000 bytes"),
            (fails(2, Some(u32::MAX), &good), "claims 4294967295 bytes"),
            (fails(4, None, &good), "version 4.0"),
            (fails(3, None, b"\xff\xfe"), "not UTF-8"),
            (fails(1, None, b"\xff\xfe"), "found \"\u{ff}\u{fe}\""),
            (fails(1, None, b""), "legal: '{'"),
            (fails(1, None, b"{}"), "no key 'descr'"),
            (fails(1, None, b"{'descr': '<u2', 'shape': (2,)}"), "no key 'fortran_order'"),
            (fails(1, None, b"{'descr': '<u2', 'fortran_order': True}"), "no key 'shape'"),
            (fails(1, None, b"{'shape': (2,), 'shape': (3,)}"), "each key once"),
            (fails(1, None, b"{'colour': 3}"), "one of 'descr'"),
            (fails(1, None, &[&good[..], b"}"].concat()), "end of the header"),
            (fails(1, None, &with("'<u2'", "0", "(2,)")), "True or False"),
            (fails(1, None, &with("'<u2'", "False", "(-2,)")), "found \"-2,"),
            (fails(1, None, &with("'<u2'", "False", "(2)")), "a tuple"),
            (fails(1, None, &with("'<u2'", "False", "[2]")), "legal: '('"),
            (fails(1, None, &with("'<u2'", "False", "(,)")), "length of an axis"),
            (fails(1, None, &with("'<u2'", "False", "(2 3)")), "',' or ')'"),
            (fails(1, None, &with("'<u2'", "False", "(1.5,)")), "',' or ')'"),
            (fails(1, None, &with("'<u2'", "False", "(99999999999999999999,)")), "axis, 0 to 2^64"),
            (fails(1, None, &with("'<u2'", "False", "(1152921504606846976,)")), "truncated"),
            (fails(1, None, &with("'<u8'", "False", "(4294967296, 4294967296)")), "2^64 bytes"),
            (fails(1, None, &with("'<u2'", "False", "(33,)")), "the file has"),
            (fails(1, None, &with("'<U8'", "False", "(2,)")), "\"<U8\" is none of bool"),
            (fails(1, None, &with("'|O'", "False", "(2,)")), "\"|O\""),
            (fails(1, None, &with("'<f2'", "False", "(2,)")), "\"<f2\""),
            (fails(1, None, &with("'é'", "False", "(2,)")), "is none of"),
            (fails(1, None, &with("[('a]', '<u2')]", "False", "(2,)")), "[('a]', '<u2')]"),
            (fails(1, None, &with("'<u2", "False", "(2,)")), "header, byte"),
            (fails(2, None, &[b'('; 100_000]), "legal: '{'"),
            (fails(2, None, &with(&"[".repeat(100_000), "False", "(2,)")), "brackets that close"),
            (fails(2, None, &with("'<u2'", "False", &"(".repeat(100_000))), "length of an axis"),
            (fails(2, None, &with("'<u2'", "False", &format!("({})", "1,".repeat(99)))), "64 axes"),
        ];
        for (message, part) in cases {
            assert!(message.contains(part), "{message:?} lacks {part:?}");
        }
    }
}
