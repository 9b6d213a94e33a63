//! Thrift's compact protocol, which Parquet's metadata is written in.
//!
//! The reader holds nothing: it walks over the bytes, and each struct takes the fields that it wants
//! and skips the others. So what a length claims is never allocated.
//! Source: `thrift-compact-protocol.md` of Apache Thrift.

use volchunk::{Error, Result};

/// Deepest nesting that is skipped. Parquet's own is below 10.
const DEEPEST: u32 = 32;

/// What a field or an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    Int,
    Double,
    Binary,
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(code: u8) -> Result<Self> {
        Ok(match code {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Int,
            7 => Self::Double,
            8 => Self::Binary,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(damaged("a type that there is not")),
        })
    }
}

pub(super) fn damaged(what: &str) -> Error {
    Error::data(format!("the metadata is damaged: {what}"))
}

/// A walk over encoded bytes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| damaged("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a number of more than 64 bits"))
    }

    /// A zigzag-encoded integer of any width.
    pub(super) fn int(&mut self, kind: Kind) -> Result<i64> {
        match kind {
            Kind::Byte => Ok(i64::from(self.byte()? as i8)),
            Kind::Int => {
                let value = self.varint()?;
                Ok((value >> 1) as i64 ^ -((value & 1) as i64))
            }
            _ => Err(damaged("something else where an integer belongs")),
        }
    }

    pub(super) fn bool(&mut self, kind: Kind) -> Result<bool> {
        match kind {
            Kind::True => Ok(true),
            Kind::False => Ok(false),
            _ => Err(damaged("something else where a boolean belongs")),
        }
    }

    pub(super) fn binary(&mut self, kind: Kind) -> Result<&'a [u8]> {
        if kind != Kind::Binary {
            return Err(damaged("something else where bytes belong"));
        }
        let length = self.varint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Text, wrong bytes replaced.
    pub(super) fn text(&mut self, kind: Kind) -> Result<String> {
        Ok(String::from_utf8_lossy(self.binary(kind)?).into_owned())
    }

    /// Calls `field` with the number and kind of each field of a struct. It takes the field's value,
    /// or skips it.
    pub(super) fn fields(
        &mut self,
        kind: Kind,
        mut field: impl FnMut(&mut Self, i16, Kind) -> Result<()>,
    ) -> Result<()> {
        if kind != Kind::Struct {
            return Err(damaged("something else where a struct belongs"));
        }
        let mut id = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                0 => self.int(Kind::Int)? as i16,
                delta => id.wrapping_add(i16::from(delta)),
            };
            field(self, id, Kind::of(head & 15)?)?;
        }
    }

    /// Calls `element` for each element of a list.
    pub(super) fn list(
        &mut self,
        kind: Kind,
        mut element: impl FnMut(&mut Self, Kind) -> Result<()>,
    ) -> Result<()> {
        if kind != Kind::List {
            return Err(damaged("something else where a list belongs"));
        }
        let (count, of) = self.list_head()?;
        for _ in 0..count {
            element(self, of)?;
        }
        Ok(())
    }

    fn list_head(&mut self) -> Result<(u64, Kind)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        let of = Kind::of(head & 15)?;
        // Booleans are a byte each in a list; nothing is less than that.
        if count > self.left() as u64 {
            return Err(damaged("a list longer than what is left"));
        }
        Ok((count, of))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, kind: Kind) -> Result<()> {
        self.skip_below(kind, 0)
    }

    fn skip_below(&mut self, kind: Kind, depth: u32) -> Result<()> {
        if depth > DEEPEST {
            return Err(damaged("it is nested too deep"));
        }
        match kind {
            Kind::True | Kind::False => {}
            Kind::Byte => self.byte().map(drop)?,
            Kind::Int => self.varint().map(drop)?,
            Kind::Double => self.take(8).map(drop)?,
            Kind::Uuid => self.take(16).map(drop)?,
            Kind::Binary => self.binary(kind).map(drop)?,
            Kind::Struct => self.fields(kind, |r, _, kind| r.skip_below(kind, depth + 1))?,
            Kind::List => {
                let (count, of) = self.list_head()?;
                for _ in 0..count {
                    self.skip_element(of, depth)?;
                }
            }
            Kind::Map => {
                let count = self.varint()?;
                if count > self.left() as u64 {
                    return Err(damaged("a map longer than what is left"));
                }
                if count > 0 {
                    let kinds = self.byte()?;
                    let (key, value) = (Kind::of(kinds >> 4)?, Kind::of(kinds & 15)?);
                    for _ in 0..count {
                        self.skip_element(key, depth)?;
                        self.skip_element(value, depth)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn skip_element(&mut self, kind: Kind, depth: u32) -> Result<()> {
        match kind {
            Kind::True | Kind::False => self.byte().map(drop),
            kind => self.skip_below(kind, depth + 1),
        }
    }
}

/// Encodes structs, field by field.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    /// The last field's number in each struct that is open.
    last: Vec<i16>,
}

impl Writer {
    /// The bytes of a struct that `fields` writes.
    pub(super) fn encode(fields: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut writer = Self::default();
        writer.structure(fields);
        writer.bytes
    }

    /// A struct as an element of a list, or alone.
    pub(super) fn structure(&mut self, fields: impl FnOnce(&mut Self)) {
        self.last.push(0);
        fields(self);
        self.last.pop();
        self.bytes.push(0);
    }

    fn head(&mut self, id: i16, code: u8) {
        let last = self.last.last_mut();
        let delta = id - last.as_ref().map_or(0, |l| **l);
        if let Some(last) = last {
            *last = id;
        }
        match u8::try_from(delta) {
            Ok(delta @ 1..=15) => self.bytes.push(delta << 4 | code),
            _ => {
                self.bytes.push(code);
                self.zigzag(i64::from(id));
            }
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn zigzag(&mut self, value: i64) {
        self.varint((value << 1 ^ value >> 63) as u64);
    }

    pub(super) fn i32(&mut self, id: i16, value: i32) {
        self.head(id, 5);
        self.zigzag(i64::from(value));
    }

    pub(super) fn i64(&mut self, id: i16, value: i64) {
        self.head(id, 6);
        self.zigzag(value);
    }

    pub(super) fn text(&mut self, id: i16, text: &str) {
        self.head(id, 8);
        self.text_element(text);
    }

    pub(super) fn field(&mut self, id: i16, fields: impl FnOnce(&mut Self)) {
        self.head(id, 12);
        self.structure(fields);
    }

    fn list(&mut self, id: i16, code: u8, count: usize) {
        self.head(id, 9);
        match u8::try_from(count) {
            Ok(count @ 0..=14) => self.bytes.push(count << 4 | code),
            _ => {
                self.bytes.push(0xf0 | code);
                self.varint(count as u64);
            }
        }
    }

    /// A list of structs, each written by `fields`.
    pub(super) fn structures<T>(
        &mut self,
        id: i16,
        items: &[T],
        mut fields: impl FnMut(&mut Self, &T),
    ) {
        self.list(id, 12, items.len());
        for item in items {
            self.structure(|w| fields(w, item));
        }
    }

    pub(super) fn i32s(&mut self, id: i16, values: &[i32]) {
        self.list(id, 5, values.len());
        values.iter().for_each(|&v| self.zigzag(i64::from(v)));
    }

    pub(super) fn texts(&mut self, id: i16, texts: &[&str]) {
        self.list(id, 8, texts.len());
        texts.iter().for_each(|text| self.text_element(text));
    }

    fn text_element(&mut self, text: &str) {
        self.varint(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = Writer::encode(|w| {
            w.i32(1, -7);
            w.texts(2, &["a"; 20]);
            w.i32s(3, &[i32::MIN, i32::MAX]);
            w.field(40, |w| w.i64(1, i64::MIN));
            w.structures(41, &[1i64, 2], |w, &v| w.i64(4, v));
            w.text(42, "é");
        });
        let mut seen = Vec::new();
        let mut reader = Reader::new(&bytes);
        let walk = reader.fields(Kind::Struct, |r, id, kind| {
            seen.push(id);
            match id {
                1 => assert_eq!(r.int(kind)?, -7),
                3 => r.list(kind, |r, kind| r.int(kind).map(drop))?,
                40 => r.fields(kind, |r, _, kind| {
                    assert_eq!(r.int(kind)?, i64::MIN);
                    Ok(())
                })?,
                42 => assert_eq!(r.text(kind)?, "é"),
                _ => r.skip(kind)?,
            }
            Ok(())
        });
        walk.unwrap();
        assert_eq!((seen, reader.left()), (vec![1, 2, 3, 40, 41, 42], 0));
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            let _ = Reader::new(&bytes).skip(Kind::Struct);
            let _ = Reader::new(&bytes).skip(Kind::Map);
            let deep = [vec![0x1c; 1000], bytes].concat();
            prop_assert!(Reader::new(&deep).skip(Kind::Struct).is_err());
        }
    }
}
