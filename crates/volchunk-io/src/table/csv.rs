//! CSV as RFC 4180 has it: a header, commas, quotes doubled within quotes, lines that end in CRLF.
//!
//! What is read may also end its lines in LF, begin with a byte order mark, leave fields empty (NaN)
//! and have blank lines. Kinds of columns are known by name alone.

use std::{fmt::Write as _, ops::Range, path::Path};

use volchunk::{Error, Result};

use super::{
    TableReader, TableWriter,
    output::TableOutput,
    schema::{Column, ColumnKind, TableInfo, integer, kind_of, shown, spatial_axes},
};
use crate::file::CountedFile;

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// Longest line that is read.
const LONGEST: usize = 1 << 20;

struct CsvWriter {
    output: TableOutput,
    info: TableInfo,
    text: String,
    rows: u64,
}

pub(super) fn create(path: &Path, info: &TableInfo) -> Result<Box<dyn TableWriter + Send>> {
    let mut output = TableOutput::create(path)?;
    let names: Vec<_> = info.columns.iter().map(|c| quoted(&c.name)).collect();
    output.write(format!("{}\r\n", names.join(",")).as_bytes())?;
    Ok(Box::new(CsvWriter { output, info: info.clone(), text: String::new(), rows: 0 }))
}

/// A field as it is written: in quotes where it needs them.
fn quoted(field: &str) -> String {
    let needs = |c: char| matches!(c, ',' | '"' | '\r' | '\n');
    if field.contains(needs) || field.trim() != field || field.is_empty() {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

impl TableWriter for CsvWriter {
    fn write(&mut self, rows: &[f64]) -> Result<()> {
        self.info.count(rows)?;
        let columns = &self.info.columns;
        for row in rows.chunks_exact(columns.len()) {
            self.text.clear();
            for (k, (&value, column)) in row.iter().zip(columns).enumerate() {
                if k > 0 {
                    self.text.push(',');
                }
                // `Debug` is the shortest text that reads back, with an exponent where that is
                // shorter, and with a point or an exponent. Writing to a string never fails.
                let _ = match column.kind {
                    ColumnKind::Integer => {
                        write!(self.text, "{}", integer(value, self.rows, column)?)
                    }
                    ColumnKind::F32 => write!(self.text, "{:?}", value as f32),
                    ColumnKind::F64 => write!(self.text, "{value:?}"),
                };
            }
            self.text.push_str("\r\n");
            self.output.write(self.text.as_bytes())?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<u64> {
        self.output.finish()?;
        Ok(self.rows)
    }
}

struct CsvReader {
    lines: Lines,
    info: TableInfo,
    fields: Vec<Range<usize>>,
}

pub(super) fn open(path: &Path) -> Result<Box<dyn TableReader + Send>> {
    let file = CountedFile::open(path)?;
    let fail = |e: Error| e.context(path.display());
    let mut lines = Lines::new(file);
    let mut fields = Vec::new();
    if !lines.next(&mut fields)? {
        return Err(Error::data(format!(
            "{} holds no line; legal: a header, such as index,axis-0,axis-1,axis-2",
            path.display()
        )));
    }
    let mut columns = Vec::new();
    for field in &fields {
        let name = std::str::from_utf8(&lines.text[field.clone()]).map_err(|e| {
            Error::data(format!("{}: the header is not UTF-8", path.display())).caused_by(e)
        })?;
        columns.push(Column::new(name, kind_of(name)));
    }
    let axes = spatial_axes(&columns).map_err(fail)?;
    let info = TableInfo { columns, axes, attributes: None };
    Ok(Box::new(CsvReader { lines, info, fields }))
}

impl TableReader for CsvReader {
    fn info(&self) -> &TableInfo {
        &self.info
    }

    fn read(&mut self, rows: &mut Vec<f64>, most: usize) -> Result<usize> {
        rows.clear();
        let columns = &self.info.columns;
        for count in 0..most {
            if !self.lines.next(&mut self.fields)? {
                return Ok(count);
            }
            if self.fields.len() != columns.len() {
                return Err(self.lines.error(format!(
                    "has {} fields; legal: {}, as the header",
                    self.fields.len(),
                    columns.len()
                )));
            }
            for (field, column) in self.fields.iter().zip(columns) {
                let text = &self.lines.text[field.clone()];
                let Some(value) = number(text, column.kind) else {
                    return Err(self.lines.error(format!(
                        "column '{}': '{}' is not legal; legal: {}",
                        shown(&column.name),
                        shown(&String::from_utf8_lossy(&text[..text.len().min(200)])),
                        if column.kind == ColumnKind::Integer {
                            "a whole number"
                        } else {
                            "a number"
                        }
                    )));
                };
                rows.push(value);
            }
        }
        Ok(most)
    }
}

/// What a field means; None if it means no number of its kind. An empty field is NaN, as pandas
/// writes it.
fn number(field: &[u8], kind: ColumnKind) -> Option<f64> {
    let text = std::str::from_utf8(field).ok()?.trim_ascii();
    let value = match text {
        "" => f64::NAN,
        text => text.parse().ok()?,
    };
    (kind != ColumnKind::Integer || value.trunc() == value && value.is_finite()).then_some(value)
}

/// The lines of a file, one at a time, however long the file is.
struct Lines {
    file: CountedFile,
    /// What was read and is not yet used up stands at `start..`.
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    /// Number of the line that is next, and of the one that was given last, from 1.
    next: u64,
    current: u64,
    /// The fields of the line, unquoted, one behind the other.
    text: Vec<u8>,
}

impl Lines {
    fn new(file: CountedFile) -> Self {
        let (buffer, text) = (Vec::new(), Vec::new());
        Self { file, buffer, start: 0, offset: 0, next: 1, current: 0, text }
    }

    /// An error at the line that was given last.
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::data(format!("{}, line {}: {what}", self.file.path().display(), self.current))
    }

    /// Splits the next line that is not blank into `fields`, ranges of `text`; false behind the
    /// last.
    fn next(&mut self, fields: &mut Vec<Range<usize>>) -> Result<bool> {
        loop {
            let length = self.find_end()?;
            if length == 0 {
                return Ok(false);
            }
            self.current = self.next;
            let line = &self.buffer[self.start..self.start + length];
            self.next += line.iter().filter(|&&b| b == b'\n').count() as u64;
            self.start += length;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            return match split(line, &mut self.text, fields) {
                Ok(()) => Ok(true),
                Err(what) => Err(self.error(what)),
            };
        }
    }

    /// Makes the whole next line stand in the buffer, and tells its length with its end; 0 behind
    /// the last line. A line end between quotes ends no line.
    fn find_end(&mut self) -> Result<usize> {
        let (mut seen, mut quoted) = (0, false);
        loop {
            for (k, &byte) in self.buffer[self.start + seen..].iter().enumerate() {
                match byte {
                    b'"' => quoted = !quoted,
                    b'\n' if !quoted => return Ok(seen + k + 1),
                    _ => {}
                }
            }
            seen = self.buffer.len() - self.start;
            if seen > LONGEST {
                self.current = self.next;
                let what = if quoted { ", with a quote that does not end" } else { "" };
                return Err(self.error(format!("is longer than 1 MiB{what}; legal: at most that")));
            }
            if !self.fill()? {
                if quoted {
                    self.current = self.next;
                    return Err(self.error("has a quote that does not end"));
                }
                return Ok(seen);
            }
        }
    }

    /// Reads on; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        let wanted = (self.file.len() - self.offset).min(PIECE as u64) as usize;
        if wanted == 0 {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let used = self.buffer.len();
        self.buffer.resize(used + wanted, 0);
        self.file.read_exact_at(&mut self.buffer[used..], self.offset)?;
        if self.offset == 0 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.start = 3;
        }
        self.offset += wanted as u64;
        Ok(true)
    }
}

/// Splits a line at its commas; what stood in quotes loses them.
fn split(
    line: &[u8],
    text: &mut Vec<u8>,
    fields: &mut Vec<Range<usize>>,
) -> Result<(), &'static str> {
    text.clear();
    fields.clear();
    let mut rest = line;
    loop {
        let begin = text.len();
        if let Some(mut quoted) = rest.strip_prefix(b"\"") {
            loop {
                let end = quoted.iter().position(|&b| b == b'"');
                let end = end.ok_or("has a quote that does not end")?;
                text.extend_from_slice(&quoted[..end]);
                quoted = &quoted[end + 1..];
                match quoted.strip_prefix(b"\"") {
                    Some(after) => quoted = after,
                    None => break,
                }
                text.push(b'"');
            }
            rest = quoted;
        } else {
            let end = rest.iter().position(|&b| b == b',').unwrap_or(rest.len());
            if rest[..end].contains(&b'"') {
                return Err(
                    "has a quote within a field; legal: fields that begin and end with one",
                );
            }
            text.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
        fields.push(begin..text.len());
        match rest.split_first() {
            None => return Ok(()),
            Some((b',', after)) => rest = after,
            Some(_) => return Err("goes on behind a closing quote; legal: a comma"),
        }
    }
}
