//! Writes a table in row groups, each column of one a single page.

use std::path::Path;

use volchunk::{Error, Result};

use super::{KEY, MAGIC, Physical, thrift::Writer};
use crate::table::{
    TableWriter,
    output::TableOutput,
    schema::{Column, ColumnKind, TableInfo, integer},
};

/// Values of a row group: what a writer, and a reader, hold at once.
const VALUES: usize = (8 << 20) / 8;

/// Level of Zstandard: higher ones gain little on coordinates.
const LEVEL: i32 = 3;

/// Where a column of a row group lies.
struct Chunk {
    offset: u64,
    /// With the page's header.
    compressed: u64,
    plain: u64,
}

struct Group {
    chunks: Vec<Chunk>,
    rows: usize,
}

struct ParquetWriter {
    output: TableOutput,
    info: TableInfo,
    /// Rows not yet written, row by row.
    waiting: Vec<f64>,
    groups: Vec<Group>,
    rows: u64,
}

pub(crate) fn create(path: &Path, info: &TableInfo) -> Result<Box<dyn TableWriter + Send>> {
    let mut output = TableOutput::create(path)?;
    output.write(MAGIC)?;
    let info = info.clone();
    Ok(Box::new(ParquetWriter { output, info, waiting: Vec::new(), groups: Vec::new(), rows: 0 }))
}

impl Column {
    fn physical(&self) -> Physical {
        match self.kind {
            ColumnKind::Integer => Physical::Int64,
            ColumnKind::F32 => Physical::Float,
            ColumnKind::F64 => Physical::Double,
        }
    }
}

impl ParquetWriter {
    /// Values of a row group, whole rows.
    fn group(&self) -> usize {
        let columns = self.info.columns.len();
        (VALUES / columns).max(1) * columns
    }

    /// Writes what waits as a row group.
    fn flush(&mut self) -> Result<()> {
        let columns = self.info.columns.len();
        let rows = self.waiting.len() / columns;
        let mut chunks = Vec::with_capacity(columns);
        let (mut page, mut compressed) = (Vec::new(), Vec::new());
        for (c, column) in self.info.columns.iter().enumerate() {
            page.clear();
            for (r, row) in self.waiting.chunks_exact(columns).enumerate() {
                match column.kind {
                    ColumnKind::Integer => {
                        let value = integer(row[c], self.rows + r as u64, column)?;
                        page.extend_from_slice(&value.to_le_bytes());
                    }
                    ColumnKind::F32 => page.extend_from_slice(&(row[c] as f32).to_le_bytes()),
                    ColumnKind::F64 => page.extend_from_slice(&row[c].to_le_bytes()),
                }
            }
            compressed.resize(zstd::zstd_safe::compress_bound(page.len()), 0);
            let length = zstd::bulk::compress_to_buffer(&page, &mut compressed, LEVEL)
                .map_err(|e| Error::io("compressing a page", e))?;
            let header = Writer::encode(|w| {
                w.i32(1, 0);
                // A page is 8 MiB at most.
                w.i32(2, page.len() as i32);
                w.i32(3, length as i32);
                w.field(5, |w| {
                    w.i32(1, rows as i32);
                    w.i32(2, 0);
                    w.i32(3, 3);
                    w.i32(4, 3);
                });
            });
            chunks.push(Chunk {
                offset: self.output.written(),
                compressed: (header.len() + length) as u64,
                plain: (header.len() + page.len()) as u64,
            });
            self.output.write(&header)?;
            self.output.write(&compressed[..length])?;
        }
        self.waiting.clear();
        self.rows += rows as u64;
        self.groups.push(Group { chunks, rows });
        Ok(())
    }

    fn footer(&self) -> Vec<u8> {
        let columns = &self.info.columns;
        Writer::encode(|w| {
            w.i32(1, 1);
            let schema: Vec<_> = std::iter::once(None).chain(columns.iter().map(Some)).collect();
            w.structures(2, &schema, |w, column| match column {
                None => {
                    w.text(4, "schema");
                    w.i32(5, columns.len() as i32);
                }
                Some(column) => {
                    w.i32(1, column.physical().code());
                    w.i32(3, 0);
                    w.text(4, &column.name);
                }
            });
            w.i64(3, self.rows as i64);
            w.structures(4, &self.groups, |w, group| {
                let pairs: Vec<_> = columns.iter().zip(&group.chunks).collect();
                w.structures(1, &pairs, |w, (column, chunk)| {
                    w.i64(2, chunk.offset as i64);
                    w.field(3, |w| {
                        w.i32(1, column.physical().code());
                        w.i32s(2, &[0, 3]);
                        w.texts(3, &[column.name.as_str()]);
                        w.i32(4, 6);
                        w.i64(5, group.rows as i64);
                        w.i64(6, chunk.plain as i64);
                        w.i64(7, chunk.compressed as i64);
                        w.i64(9, chunk.offset as i64);
                    });
                });
                w.i64(2, group.chunks.iter().map(|c| c.plain as i64).sum());
                w.i64(3, group.rows as i64);
            });
            w.structures(5, &[()], |w, ()| {
                w.text(1, KEY);
                w.text(2, &self.info.metadata().to_string());
            });
            w.text(6, concat!("volchunk version ", env!("CARGO_PKG_VERSION")));
        })
    }
}

impl TableWriter for ParquetWriter {
    fn write(&mut self, mut rows: &[f64]) -> Result<()> {
        self.info.count(rows)?;
        let columns = self.info.columns.len();
        // Refused when it is given, not when its group is full.
        for (c, column) in self.info.columns.iter().enumerate() {
            if column.kind == ColumnKind::Integer {
                let before = self.rows + (self.waiting.len() / columns) as u64;
                for (r, row) in rows.chunks_exact(columns).enumerate() {
                    integer(row[c], before + r as u64, column)?;
                }
            }
        }
        let group = self.group();
        while !rows.is_empty() {
            let (now, later) = rows.split_at(rows.len().min(group - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            rows = later;
            if self.waiting.len() == group {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<u64> {
        if !self.waiting.is_empty() {
            self.flush()?;
        }
        let footer = self.footer();
        self.output.write(&footer)?;
        let length = u32::try_from(footer.len())
            .map_err(|_| Error::data("the table's metadata is too long for Parquet"))?;
        self.output.write(&length.to_le_bytes())?;
        self.output.write(MAGIC)?;
        self.output.finish()?;
        Ok(self.rows)
    }
}
