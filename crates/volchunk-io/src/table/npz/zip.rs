//! A zip of entries that are stored as they are.
//!
//! Its own few lines: no entry of such an archive is compressed, and one is written before its
//! length is known.
//! Source: PKWARE's APPNOTE 6.3, sections 4.3 to 4.5.

use std::ops::Range;

use flate2::Crc;
use volchunk::{Error, Result};

use crate::{file::CountedFile, table::output::TableOutput};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// Version of the format that has 64-bit lengths.
const VERSION: u16 = 45;

/// The first day of the format's calendar: the same bytes whenever they are written.
const DATE: u16 = 0x0021;

/// Longest list of entries that is read, and most entries.
const LONGEST: u64 = 1 << 20;
const MOST: usize = 1000;

/// What stands in a 32-bit field whose value stands in 64 bits elsewhere.
const ELSEWHERE: u32 = u32::MAX;

/// An entry that was written.
struct Written {
    name: &'static str,
    crc: u32,
    length: u64,
    offset: u64,
}

/// Writes entries one behind the other.
pub(super) struct ZipWriter {
    output: TableOutput,
    entries: Vec<Written>,
    /// Of the entry that is being appended to: checksum and length without its head.
    crc: Crc,
    body: u64,
}

impl ZipWriter {
    pub(super) fn new(output: TableOutput) -> Self {
        Self { output, entries: Vec::new(), crc: Crc::new(), body: 0 }
    }

    /// Writes a whole entry.
    pub(super) fn entry(&mut self, name: &'static str, bytes: &[u8]) -> Result<()> {
        self.begin(name, bytes)?;
        self.end(bytes)
    }

    /// Begins an entry with `head`, which [`end`](Self::end) may replace by one of equal length.
    pub(super) fn begin(&mut self, name: &'static str, head: &[u8]) -> Result<()> {
        let offset = self.output.written();
        self.output.write(&local(name, 0, 0))?;
        self.output.write(head)?;
        self.entries.push(Written { name, crc: 0, length: 0, offset });
        (self.crc, self.body) = (Crc::new(), 0);
        Ok(())
    }

    /// Appends to the entry.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.crc.update(bytes);
        self.body += bytes.len() as u64;
        self.output.write(bytes)
    }

    /// Ends the entry, whose head becomes `head`.
    pub(super) fn end(&mut self, head: &[u8]) -> Result<()> {
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        let mut crc = Crc::new();
        crc.update(head);
        crc.combine(&self.crc);
        entry.crc = crc.sum();
        entry.length = head.len() as u64 + self.body;
        let bytes = [&local(entry.name, entry.crc, entry.length)[..], head].concat();
        self.output.replace(&bytes, entry.offset)
    }

    /// Writes the list of entries, and gives the file its name.
    pub(super) fn finish(mut self) -> Result<()> {
        let list = list_of(&self.entries, self.output.written());
        self.output.write(&list)?;
        self.output.finish()
    }
}

/// The list of `entries` and the archive's end, which stand from `start` on.
fn list_of(entries: &[Written], start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    entries.iter().for_each(|entry| entry.central(&mut bytes));
    let (count, length) = (entries.len() as u64, bytes.len() as u64);
    if start >= u64::from(ELSEWHERE) {
        let end = start + length;
        put(&mut bytes, &[&END_64.to_le_bytes(), &44u64.to_le_bytes()]);
        put(&mut bytes, &[&VERSION.to_le_bytes(), &VERSION.to_le_bytes(), &[0; 8]]);
        for value in [count, count, length, start] {
            put(&mut bytes, &[&value.to_le_bytes()]);
        }
        put(&mut bytes, &[&LOCATOR_64.to_le_bytes(), &[0; 4], &end.to_le_bytes()]);
        put(&mut bytes, &[&1u32.to_le_bytes()]);
    }
    let count = (count as u16).to_le_bytes();
    put(&mut bytes, &[&END.to_le_bytes(), &[0; 4], &count, &count]);
    put(&mut bytes, &[&(length as u32).to_le_bytes(), &narrow(start).to_le_bytes(), &[0; 2]]);
    bytes
}

impl Written {
    /// Its line in the list of entries.
    fn central(&self, bytes: &mut Vec<u8>) {
        let long = [self.length, self.length, self.offset].into_iter();
        let long: Vec<_> = long.filter(|&v| v >= u64::from(ELSEWHERE)).collect();
        let mut extra = Vec::new();
        if !long.is_empty() {
            put(&mut extra, &[&1u16.to_le_bytes(), &(long.len() as u16 * 8).to_le_bytes()]);
            long.iter().for_each(|value| extra.extend_from_slice(&value.to_le_bytes()));
        }
        let length = narrow(self.length).to_le_bytes();
        put(bytes, &[&CENTRAL.to_le_bytes(), &VERSION.to_le_bytes(), &VERSION.to_le_bytes()]);
        put(bytes, &[&[0; 6], &DATE.to_le_bytes(), &self.crc.to_le_bytes(), &length, &length]);
        put(bytes, &[&(self.name.len() as u16).to_le_bytes(), &(extra.len() as u16).to_le_bytes()]);
        put(bytes, &[&[0; 10], &narrow(self.offset).to_le_bytes(), self.name.as_bytes(), &extra]);
    }
}

/// The head of an entry, always with 64-bit lengths, as NumPy writes it.
fn local(name: &str, crc: u32, length: u64) -> Vec<u8> {
    let (elsewhere, length) = (ELSEWHERE.to_le_bytes(), length.to_le_bytes());
    let mut bytes = Vec::new();
    put(&mut bytes, &[&LOCAL.to_le_bytes(), &VERSION.to_le_bytes(), &[0; 6], &DATE.to_le_bytes()]);
    put(&mut bytes, &[&crc.to_le_bytes(), &elsewhere, &elsewhere]);
    put(&mut bytes, &[&(name.len() as u16).to_le_bytes(), &20u16.to_le_bytes(), name.as_bytes()]);
    put(&mut bytes, &[&1u16.to_le_bytes(), &16u16.to_le_bytes(), &length, &length]);
    bytes
}

fn put(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(ELSEWHERE)
}

/// An entry of an archive.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) crc: u32,
    method: u16,
    encrypted: bool,
    length: u64,
    offset: u64,
}

fn damaged(what: &str) -> Error {
    Error::data(format!("the zip archive is damaged: {what}"))
}

/// Fields of fixed width, one behind the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| damaged("its list of entries ends early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, count: usize) -> Result<u64> {
        Ok(self.take(count)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }
}

/// The entries of the archive `file`.
pub(super) fn entries(file: &CountedFile) -> Result<Vec<Entry>> {
    let (start, length, count) = list(file)?;
    if length > LONGEST || count > MOST as u64 {
        return Err(Error::unsupported(format!(
            "the archive has {count} entries, in a list of {length} bytes; legal: at most {MOST}, in \
             {LONGEST}"
        )));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, start)?;
    let mut fields = Fields(&bytes);
    (0..count).map(|_| Entry::read(&mut fields)).collect()
}

/// Where the list of entries stands, its length in bytes, how many they are.
fn list(file: &CountedFile) -> Result<(u64, u64, u64)> {
    // A comment of up to 64 KiB may stand behind the end's 22 bytes.
    let tail = file.len().min(22 + 0xffff);
    let mut bytes = vec![0; tail as usize];
    file.read_exact_at(&mut bytes, file.len() - tail)?;
    let at = (0..bytes.len().saturating_sub(21))
        .rev()
        .find(|&at| bytes[at..].starts_with(&END.to_le_bytes()))
        .ok_or_else(|| Error::data("has no end of a zip archive: another format, or truncated"))?;
    let mut fields = Fields(&bytes[at + 10..]);
    let (count, length, start) = (fields.number(2)?, fields.number(4)?, fields.number(4)?);
    let elsewhere = u64::from(ELSEWHERE);
    if start != elsewhere && length != elsewhere && count != 0xffff {
        return Ok((start, length, count));
    }
    let locator = (file.len() - tail + at as u64).checked_sub(20);
    let mut bytes = [0; 56];
    let locator = locator.ok_or_else(|| damaged("it has no 64-bit end"))?;
    file.read_exact_at(&mut bytes[..20], locator)?;
    let mut fields = Fields(&bytes);
    if fields.number(4)? != u64::from(LOCATOR_64) {
        return Err(damaged("it has no 64-bit end"));
    }
    fields.take(4)?;
    let end = fields.number(8)?;
    file.read_exact_at(&mut bytes, end)?;
    let mut fields = Fields(&bytes);
    if fields.number(4)? != u64::from(END_64) {
        return Err(damaged("it has no 64-bit end"));
    }
    fields.take(28)?;
    let (count, length, start) = (fields.number(8)?, fields.number(8)?, fields.number(8)?);
    Ok((start, length, count))
}

impl Entry {
    /// Its line in the list of entries.
    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        if fields.number(4)? != u64::from(CENTRAL) {
            return Err(damaged("its list of entries has a line that is none"));
        }
        fields.take(4)?;
        let (flags, method) = (fields.number(2)?, fields.number(2)?);
        fields.take(4)?;
        let crc = fields.number(4)? as u32;
        let (mut stored, mut length) = (fields.number(4)?, fields.number(4)?);
        let (name, extra, comment) = (fields.number(2)?, fields.number(2)?, fields.number(2)?);
        fields.take(8)?;
        let mut offset = fields.number(4)?;
        let name = String::from_utf8_lossy(fields.take(name as usize)?).into_owned();
        let mut extra = Fields(fields.take(extra as usize)?);
        fields.take(comment as usize)?;
        while extra.0.len() >= 4 {
            let (id, count) = (extra.number(2)?, extra.number(2)?);
            let mut field = Fields(extra.take(count as usize)?);
            if id == 1 {
                for value in [&mut length, &mut stored, &mut offset] {
                    if *value == u64::from(ELSEWHERE) {
                        *value = field.number(8)?;
                    }
                }
            }
        }
        let method = method as u16;
        Ok(Self { name, crc, method, encrypted: flags & 1 != 0, length, offset })
    }

    /// Where its content stands in `file`.
    pub(super) fn place(&self, file: &CountedFile) -> Result<Range<u64>> {
        let name = crate::table::schema::shown(&self.name);
        if self.method != 0 || self.encrypted {
            return Err(Error::unsupported(format!(
                "the entry {name} is {}; legal: entries as numpy.savez stores them",
                if self.encrypted { "encrypted" } else { "compressed" }
            )));
        }
        let mut bytes = [0; 30];
        file.read_exact_at(&mut bytes, self.offset)?;
        let mut fields = Fields(&bytes);
        if fields.number(4)? != u64::from(LOCAL) {
            return Err(damaged(&format!("the entry {name} is not where its list says")));
        }
        fields.take(22)?;
        let skipped = 30 + fields.number(2)? + fields.number(2)?;
        let start = self.offset.checked_add(skipped);
        let stop = start.and_then(|s| s.checked_add(self.length)).filter(|&s| s <= file.len());
        start.zip(stop).map(|(start, stop)| start..stop).ok_or_else(|| {
            Error::data(format!(
                "truncated: the entry {name} of {} bytes does not lie within the file's {}",
                self.length,
                file.len()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn beyond_32_bits() {
        // A file of holes: it takes no room.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.zip");
        let entry = |name, length, offset| Written { name, crc: 7, length, offset };
        let written = [entry("a", 5 << 30, 0), entry("b", 3, 6 << 30), entry("c", 4, 9)];
        let start = 7 << 30;
        let mut file = std::fs::File::create(&path).unwrap();
        for entry in &written {
            file.seek(SeekFrom::Start(entry.offset)).unwrap();
            file.write_all(&local(entry.name, entry.crc, entry.length)).unwrap();
        }
        file.seek(SeekFrom::Start(start)).unwrap();
        file.write_all(&list_of(&written, start)).unwrap();

        let file = CountedFile::open(&path).unwrap();
        let found = entries(&file).unwrap();
        assert_eq!(found.len(), 3);
        for (found, written) in found.iter().zip(&written) {
            assert_eq!((found.name.as_str(), found.crc), (written.name, 7));
            assert_eq!((found.length, found.offset), (written.length, written.offset));
        }
        // Its head, with its name and 20 bytes of lengths, stands before it.
        let place = found[1].place(&file).unwrap();
        assert_eq!(place, (6 << 30) + 51..(6 << 30) + 54);
    }
}
