//! The metadata at a Parquet file's end: columns, row groups, where their chunks lie.

use volchunk::{Error, Result};

use super::{
    KEY, MAGIC, Physical,
    page::Codec,
    thrift::{Kind, Reader, damaged},
};
use crate::{
    file::CountedFile,
    table::schema::{Column, ColumnKind, MOST_COLUMNS, shown},
};

/// Longest footer that is read: about a million column chunks, 10^10 rows of ours.
const LONGEST: u64 = 16 << 20;

/// A column's type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) physical: Physical,
    /// Whether values may be absent.
    pub(super) optional: bool,
}

/// A column of a row group: its pages, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) start: u64,
    pub(super) stop: u64,
    pub(super) codec: Codec,
}

#[derive(Debug)]
pub(super) struct Footer {
    pub(super) columns: Vec<Column>,
    pub(super) leaves: Vec<Leaf>,
    /// Rows of each group.
    pub(super) groups: Vec<u64>,
    /// Of every group in turn, one for each column.
    pub(super) chunks: Vec<Chunk>,
    /// What is written there under our key.
    pub(super) own: Option<String>,
}

impl Footer {
    pub(super) fn read(file: &CountedFile) -> Result<Self> {
        let length = file.len();
        if length < 12 {
            return Err(Error::data(format!("{length} bytes are too few for a Parquet file")));
        }
        let (mut begin, mut end) = ([0; 4], [0; 8]);
        file.read_exact_at(&mut begin, 0)?;
        file.read_exact_at(&mut end, length - 8)?;
        if begin == *b"PARE" || end[4..] == *b"PARE" {
            return Err(Error::unsupported("the file is encrypted; legal: one that is not"));
        }
        if begin != MAGIC || end[4..] != *MAGIC {
            return Err(Error::data(
                "does not begin and end with PAR1, as a Parquet file does: another format, or \
                 truncated",
            ));
        }
        let footer = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
        if footer > LONGEST.min(length - 12) {
            return Err(Error::data(format!(
                "the metadata claims {footer} bytes; legal: what the file of {length} bytes holds, \
                 at most {LONGEST}"
            )));
        }
        let mut bytes = vec![0; footer as usize];
        let data = length - 8 - footer;
        file.read_exact_at(&mut bytes, data)?;
        Self::parse(&bytes, data)
    }

    /// From the encoded metadata of a file whose pages end at `data`.
    fn parse(bytes: &[u8], data: u64) -> Result<Self> {
        let mut elements = Vec::new();
        let (mut groups, mut chunks, mut own) = (Vec::new(), Vec::new(), None);
        let mut reader = Reader::new(bytes);
        reader.fields(Kind::Struct, |r, id, kind| match id {
            2 => r.list(kind, |r, kind| {
                // The root and the columns; beyond that it is too many or nested.
                if elements.len() > MOST_COLUMNS {
                    return Err(Error::data(format!(
                        "the table has more than {MOST_COLUMNS} columns; legal: at most that"
                    )));
                }
                elements.push(Element::read(r, kind)?);
                Ok(())
            }),
            4 => r.list(kind, |r, kind| {
                groups.push(read_group(r, kind, data, &mut chunks)?);
                Ok(())
            }),
            5 => r.list(kind, |r, kind| {
                if let Some(text) = read_own(r, kind)? {
                    own = Some(text);
                }
                Ok(())
            }),
            _ => r.skip(kind),
        })?;
        let Some((root, elements)) = elements.split_first() else {
            return Err(damaged("it has no schema"));
        };
        if root.children != Some(elements.len() as i64) {
            let nested = elements.iter().find(|e| e.children.is_some_and(|n| n > 0));
            return Err(match nested {
                Some(e) => Error::unsupported(format!(
                    "the column '{}' is nested; legal: columns of numbers",
                    shown(&e.name)
                )),
                None => damaged("its schema has another number of columns than it says"),
            });
        }
        let leaves = elements.iter().map(Element::leaf).collect::<Result<Vec<_>>>()?;
        let columns: Vec<_> = elements
            .iter()
            .zip(&leaves)
            .map(|(e, leaf)| {
                let kind = match leaf.physical {
                    Physical::Float => ColumnKind::F32,
                    Physical::Double => ColumnKind::F64,
                    _ => ColumnKind::Integer,
                };
                Column::new(e.name.clone(), kind)
            })
            .collect();
        let mut found = Vec::new();
        for (g, (rows, count)) in groups.into_iter().enumerate() {
            if count != columns.len() {
                return Err(damaged(&format!(
                    "row group {g} has {count} columns, the table {}",
                    columns.len()
                )));
            }
            found.push(rows);
        }
        Ok(Self { columns, leaves, groups: found, chunks, own })
    }
}

/// An element of the schema: the root or a column.
#[derive(Debug, Default)]
struct Element {
    code: Option<i64>,
    repetition: i64,
    name: String,
    children: Option<i64>,
    converted: Option<i64>,
    /// Which of the logical types it is.
    logical: Option<i16>,
    unsigned: bool,
}

impl Element {
    fn read(r: &mut Reader<'_>, kind: Kind) -> Result<Self> {
        let mut e = Self::default();
        r.fields(kind, |r, id, kind| {
            match id {
                1 => e.code = Some(r.int(kind)?),
                3 => e.repetition = r.int(kind)?,
                4 => e.name = r.text(kind)?,
                5 => e.children = Some(r.int(kind)?),
                6 => e.converted = Some(r.int(kind)?),
                10 => r.fields(kind, |r, id, kind| {
                    e.logical = Some(id);
                    if id != 10 {
                        return r.skip(kind);
                    }
                    r.fields(kind, |r, id, kind| match id {
                        2 => {
                            e.unsigned = !r.bool(kind)?;
                            Ok(())
                        }
                        _ => r.skip(kind),
                    })
                })?,
                _ => r.skip(kind)?,
            }
            Ok(())
        })?;
        Ok(e)
    }

    fn leaf(&self) -> Result<Leaf> {
        // Logical type 10, and converted types 11 to 18, are plain integers.
        let integer = self.logical.is_none_or(|l| l == 10)
            && self.converted.is_none_or(|c| (11..=18).contains(&c));
        let unsigned = self.unsigned || self.converted.is_some_and(|c| (11..=14).contains(&c));
        let physical = match (self.code, integer, unsigned) {
            (Some(1), true, false) => Physical::Int32,
            (Some(1), true, true) => Physical::Uint32,
            (Some(2), true, false) => Physical::Int64,
            (Some(2), true, true) => Physical::Uint64,
            (Some(4), ..) if self.logical.is_none() => Physical::Float,
            (Some(5), ..) if self.logical.is_none() => Physical::Double,
            _ => {
                return Err(Error::unsupported(format!(
                    "the column '{}' does not hold numbers; legal: INT32, INT64, FLOAT, DOUBLE",
                    shown(&self.name)
                )));
            }
        };
        match self.repetition {
            0 | 1 => Ok(Leaf { physical, optional: self.repetition == 1 }),
            _ => Err(Error::unsupported(format!(
                "the column '{}' has lists for values; legal: numbers",
                shown(&self.name)
            ))),
        }
    }
}

/// Rows and number of columns of a row group; its columns go to `chunks`.
fn read_group(
    r: &mut Reader<'_>,
    kind: Kind,
    data: u64,
    chunks: &mut Vec<Chunk>,
) -> Result<(u64, usize)> {
    let (before, mut rows) = (chunks.len(), None);
    let mut values = Vec::new();
    r.fields(kind, |r, id, kind| match id {
        1 => r.list(kind, |r, kind| {
            let (chunk, count) = read_chunk(r, kind, data)?;
            if values.last() != Some(&count) {
                values.push(count);
            }
            chunks.push(chunk);
            Ok(())
        }),
        3 => {
            rows = u64::try_from(r.int(kind)?).ok();
            Ok(())
        }
        _ => r.skip(kind),
    })?;
    let rows = rows.ok_or_else(|| damaged("a row group without a number of rows"))?;
    if values.iter().any(|&count| count != rows) {
        return Err(damaged("a column with another number of values than there are rows"));
    }
    Ok((rows, chunks.len() - before))
}

/// A column of a row group, and its number of values.
fn read_chunk(r: &mut Reader<'_>, kind: Kind, data: u64) -> Result<(Chunk, u64)> {
    let (mut codec, mut values, mut length) = (None, None, None);
    let (mut first, mut dictionary) = (None, None);
    r.fields(kind, |r, id, kind| match id {
        1 => Err(Error::unsupported(
            "a column lies in another file; legal: a table that is one file",
        )),
        3 => r.fields(kind, |r, id, kind| {
            let place = match id {
                4 => &mut codec,
                5 => &mut values,
                7 => &mut length,
                9 => &mut first,
                11 => &mut dictionary,
                _ => return r.skip(kind),
            };
            *place = Some(r.int(kind)?);
            Ok(())
        }),
        _ => r.skip(kind),
    })?;
    let number = |value: Option<i64>| value.and_then(|v| u64::try_from(v).ok());
    let first = number(first);
    // Some writers say 0 where there is no dictionary.
    let start = first.map(|f| number(dictionary).filter(|&d| d >= 4).map_or(f, |d| d.min(f)));
    let stop = start.zip(number(length)).and_then(|(s, n)| s.checked_add(n));
    let (Some(start), Some(stop), Some(values), Some(codec)) = (start, stop, number(values), codec)
    else {
        return Err(damaged("a column without place, length, codec or number of values"));
    };
    // pyarrow writes a group of no rows for a table of none, and its places mean nothing.
    if values == 0 {
        return Ok((Chunk { start: 4, stop: 4, codec: Codec::of(codec)? }, 0));
    }
    if start < 4 || stop > data {
        return Err(Error::data(format!(
            "a column's bytes {start}..{stop} do not lie within the file's data, 4..{data}"
        )));
    }
    Ok((Chunk { start, stop, codec: Codec::of(codec)? }, values))
}

/// The value of an entry of key and value, where the key is ours.
fn read_own(r: &mut Reader<'_>, kind: Kind) -> Result<Option<String>> {
    let (mut ours, mut value) = (false, None);
    r.fields(kind, |r, id, kind| {
        match id {
            1 => ours = r.binary(kind)? == KEY.as_bytes(),
            2 if ours => value = Some(r.text(kind)?),
            _ => r.skip(kind)?,
        }
        Ok(())
    })?;
    Ok(value)
}
