//! Reads a table's rows out of its columns, a page of each at a time.

use std::path::Path;

use volchunk::{Error, Result};

use super::{
    footer::{Chunk, Footer, Leaf},
    page::{Header, Page},
    thrift::damaged,
};
use crate::{
    file::CountedFile,
    table::{
        TableReader,
        schema::{TableInfo, shown},
    },
};

/// Bytes of decoded values that a reader holds: a page and a dictionary of each column.
const HELD: u64 = 40 << 20;

/// Bytes within which a page's header ends; with long statistics.
const HEADERS: [u64; 2] = [256, 64 << 10];

/// Where a column's reading stands.
struct Cursor {
    leaf: Leaf,
    chunk: Chunk,
    dictionary: Vec<f64>,
    /// Of the current page; those before `used` were given away.
    values: Vec<f64>,
    used: usize,
}

impl Cursor {
    fn held(&self) -> u64 {
        (self.dictionary.capacity() + self.values.capacity()) as u64 * 8
    }
}

struct ParquetReader {
    file: CountedFile,
    info: TableInfo,
    groups: Vec<u64>,
    chunks: Vec<Chunk>,
    cursors: Vec<Cursor>,
    /// The group that is next, and the rows left of the one before.
    next: usize,
    left: u64,
    /// Room for a page, as it is stored and decompressed.
    stored: Vec<u8>,
    plain: Vec<u8>,
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn TableReader + Send>> {
    let file = CountedFile::open(path)?;
    let fail = |e: Error| e.context(path.display());
    let footer = Footer::read(&file).map_err(fail)?;
    let info = TableInfo::with_metadata(footer.columns, footer.own.as_deref()).map_err(fail)?;
    let nowhere = |leaf: &Leaf| Cursor {
        leaf: *leaf,
        chunk: Chunk { start: 0, stop: 0, codec: super::page::Codec::Plain },
        dictionary: Vec::new(),
        values: Vec::new(),
        used: 0,
    };
    Ok(Box::new(ParquetReader {
        file,
        info,
        groups: footer.groups,
        chunks: footer.chunks,
        cursors: footer.leaves.iter().map(nowhere).collect(),
        next: 0,
        left: 0,
        stored: Vec::new(),
        plain: Vec::new(),
    }))
}

impl TableReader for ParquetReader {
    fn info(&self) -> &TableInfo {
        &self.info
    }

    fn read(&mut self, rows: &mut Vec<f64>, most: usize) -> Result<usize> {
        rows.clear();
        let columns = self.cursors.len();
        let mut count = 0;
        while count < most {
            if self.left == 0 {
                if self.next == self.groups.len() {
                    break;
                }
                self.begin_group();
                continue;
            }
            // Up to the next end of a page, so that every column has the values at hand.
            let mut now = (most - count).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            for c in 0..columns {
                self.load(c).map_err(|e| {
                    let name = shown(&self.info.columns[c].name);
                    let path = self.file.path().display();
                    e.context(format_args!("{path}, row group {}, column '{name}'", self.next - 1))
                })?;
                now = now.min(self.cursors[c].values.len() - self.cursors[c].used);
            }
            let begin = rows.len();
            rows.resize(begin + now * columns, 0.0);
            for (c, cursor) in self.cursors.iter_mut().enumerate() {
                let values = &cursor.values[cursor.used..cursor.used + now];
                for (row, value) in rows[begin..].chunks_exact_mut(columns).zip(values) {
                    row[c] = *value;
                }
                cursor.used += now;
            }
            self.left -= now as u64;
            count += now;
        }
        Ok(count)
    }
}

impl ParquetReader {
    fn begin_group(&mut self) {
        self.left = self.groups[self.next];
        let first = self.next * self.cursors.len();
        for (cursor, chunk) in self.cursors.iter_mut().zip(&self.chunks[first..]) {
            cursor.chunk = *chunk;
            cursor.values.clear();
            cursor.dictionary.clear();
            cursor.used = 0;
        }
        self.next += 1;
    }

    /// Makes column `c` have a value at hand.
    fn load(&mut self, c: usize) -> Result<()> {
        while self.cursors[c].used == self.cursors[c].values.len() {
            let others: u64 = self
                .cursors
                .iter()
                .enumerate()
                .filter(|&(k, _)| k != c)
                .map(|(_, c)| c.held())
                .sum();
            let cursor = &mut self.cursors[c];
            let chunk = &mut cursor.chunk;
            let (header, length) = read_header(&self.file, chunk)?;
            chunk.start += length;
            if header.length() > chunk.stop - chunk.start {
                return Err(damaged("a page that ends behind its column"));
            }
            let held = others + cursor.dictionary.len() as u64 * 8 + header.held();
            if held > HELD {
                return Err(Error::unsupported(format!(
                    "the pages that are needed at once decode to {held} bytes; legal: at most \
                     {HELD}, smaller pages"
                )));
            }
            self.stored.resize(header.length() as usize, 0);
            self.file.read_exact_at(&mut self.stored, chunk.start)?;
            chunk.start += header.length();
            let page = header.decode(
                &self.stored,
                chunk.codec,
                cursor.leaf,
                &mut self.plain,
                &mut cursor.dictionary,
                &mut cursor.values,
            )?;
            cursor.used = match page {
                Page::Data => 0,
                Page::Dictionary | Page::Other => cursor.values.len(),
            };
        }
        Ok(())
    }
}

/// The header of the page that is next, and its length.
fn read_header(file: &CountedFile, chunk: &Chunk) -> Result<(Header, u64)> {
    let left = chunk.stop - chunk.start;
    if left == 0 {
        return Err(damaged("fewer values than there are rows"));
    }
    let mut outcome = Err(damaged("it ends early"));
    for most in HEADERS {
        let mut bytes = vec![0; left.min(most) as usize];
        file.read_exact_at(&mut bytes, chunk.start)?;
        outcome = Header::read(&bytes).map(|(header, length)| (header, length as u64));
        if outcome.is_ok() || left <= most {
            break;
        }
    }
    outcome
}
