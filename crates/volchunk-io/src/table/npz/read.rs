//! Reads an archive of blobs, MagellanMapper's own or ours, of any version.

use std::path::Path;

use volchunk::{Error, Result};

use super::{
    COLUMNS,
    array::Array,
    zip::{Entry, entries},
};
use crate::{
    file::CountedFile,
    npy::RawHeader,
    table::{
        TableReader,
        schema::{Column, ColumnKind, MOST_COLUMNS, TableInfo, kind_of, shown},
    },
};

/// The columns that there have been, in their order, where an archive doesn't name its own.
const ALL: [&str; 11] =
    ["z", "y", "x", "radius", "confirmed", "truth", "channel", "abs_z", "abs_y", "abs_x", "region"];

/// Longest array beside the blobs that is read.
const SMALL: u64 = 1 << 20;

/// Values read at once.
const PIECE: usize = 32 << 10;

struct BlobsReader {
    file: CountedFile,
    info: TableInfo,
    /// Of each column of the table, but for those of `colocs`, which are the last.
    sources: Vec<Source>,
    segments: Array,
    /// In which channels each blob lies.
    colocs: Option<Array>,
    /// The row that is next.
    row: u64,
}

#[derive(Clone, Copy)]
enum Source {
    /// The number of the row.
    Index,
    /// A stored column, divided.
    Stored(usize, f64),
}

pub(crate) fn open(path: &Path) -> Result<Box<dyn TableReader + Send>> {
    let file = CountedFile::open(path)?;
    let reader = begin(file).map_err(|e| e.context(path.display()))?;
    Ok(Box::new(reader))
}

fn begin(file: CountedFile) -> Result<BlobsReader> {
    let entries = entries(&file)?;
    let find = |name: &str| entries.iter().find(|e| e.name.strip_suffix(".npy") == Some(name));
    let segments = find("segments").ok_or_else(|| {
        let names: Vec<_> = entries.iter().take(20).map(|e| shown(&e.name)).collect();
        Error::data(format!("there is no entry segments.npy, but {}", names.join(", ")))
    })?;
    let segments = Array::open(&file, segments, &[("<f8", 8), (">f8", 8)])?;
    let (rows, stored) = (segments.rows_left(), segments.columns);
    // An archive of blobs that nobody found may have no columns either.
    let count = if rows == 0 { stored.max(8) } else { stored };
    let names = match find("columns") {
        Some(entry) => texts(&file, entry).map_err(|e| e.context("columns"))?,
        None => Vec::new(),
    };
    let names = names_of(names, count)?;
    let (mut columns, sources) = layout(&names)?;
    let colocs = match find("colocs") {
        Some(entry) => colocs(&file, entry, rows)?,
        None => None,
    };
    let channels = colocs.as_ref().map_or(0, |colocs| colocs.columns);
    let channels = (0..channels).map(|c| Column::new(format!("coloc-{c}"), ColumnKind::Integer));
    columns.extend(channels.take(MOST_COLUMNS + 1));
    let mut info = TableInfo::with_metadata(columns, None)?;
    // Whatever else it means, it is no voxel size.
    let size = find("resolutions").and_then(|e| resolutions(&file, e).ok()).flatten();
    for (axis, size) in info.axes.iter_mut().zip(size.into_iter().flatten()) {
        (axis.scale, axis.unit) = (Some(size), Some("micrometer".into()));
    }
    Ok(BlobsReader { file, info, sources, segments, colocs, row: 0 })
}

/// In which channels each of the `rows` blobs lies; None where that was not looked at.
fn colocs(file: &CountedFile, entry: &Entry, rows: u64) -> Result<Option<Array>> {
    let header = RawHeader::read(file, entry.place(file)?).map_err(|e| e.context("colocs"))?;
    let is_known = matches!(header.descr.as_str(), "|u1" | "|b1");
    if !is_known || header.shape.len() != 2 || header.fortran && header.shape[0] > 1 {
        // Python's None, or another meaning: the blobs are there all the same.
        return Ok(None);
    }
    let found = Array::open(file, entry, &[("|u1", 1), ("|b1", 1)])?;
    if found.rows_left() != rows && found.columns > 0 {
        return Err(Error::data(format!(
            "colocs are of {} blobs, segments of {rows}; legal: of the same",
            found.rows_left()
        )));
    }
    Ok((found.columns > 0).then_some(found))
}

/// The names of `count` stored columns: those that the archive has, else those that are usual.
fn names_of(mut names: Vec<String>, count: usize) -> Result<Vec<String>> {
    if names.len() != count {
        // Up to version 4, names stood there of columns that had been taken away.
        names.retain(|name| !name.starts_with("abs_"));
    }
    if names.len() != count {
        let usual: &[&str] = if count == COLUMNS.len() { &COLUMNS } else { &ALL };
        names = usual.iter().take(count).map(|n| (*n).to_owned()).collect();
    }
    if names.len() != count {
        return Err(Error::data(format!(
            "segments have {count} columns, which are not named; legal: at most {}",
            ALL.len()
        )));
    }
    Ok(names)
}

/// The table's columns, and where they come from.
fn layout(names: &[String]) -> Result<(Vec<Column>, Vec<Source>)> {
    let find = |name: &str| {
        names.iter().position(|n| n == name).ok_or_else(|| {
            let all: Vec<_> = names.iter().take(20).map(|n| shown(n)).collect();
            Error::data(format!("there is no column '{name}', but {}", all.join(", ")))
        })
    };
    let mut columns = vec![(Column::new("index", ColumnKind::Integer), Source::Index)];
    for (a, name) in ["z", "y", "x"].into_iter().enumerate() {
        let column = Column::new(format!("axis-{a}"), ColumnKind::F64);
        columns.push((column, Source::Stored(find(name)?, 1.0)));
    }
    let radius = find("radius")?;
    for (name, divisor) in [("sigma", 3f64.sqrt()), ("radius", 1.0)] {
        columns.push((Column::new(name, ColumnKind::F64), Source::Stored(radius, divisor)));
    }
    for (k, name) in names.iter().enumerate() {
        if !matches!(name.as_str(), "z" | "y" | "x" | "radius") {
            columns.push((Column::new(name, kind_of(name)), Source::Stored(k, 1.0)));
        }
    }
    Ok(columns.into_iter().unzip())
}

/// The texts of an array of them.
fn texts(file: &CountedFile, entry: &Entry) -> Result<Vec<String>> {
    let (header, bytes) = small(file, entry)?;
    let width = header.descr.strip_prefix("<U").and_then(|n| n.parse::<usize>().ok());
    let Some(width) = width.filter(|&w| w > 0 && header.shape.len() == 1) else {
        return Err(Error::unsupported(format!("{} is no list of texts", shown(&header.descr))));
    };
    let count = usize::try_from(header.shape[0]).unwrap_or(usize::MAX);
    let text = |bytes: &[u8]| {
        let codes = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        codes.take_while(|&c| c != 0).map(|c| char::from_u32(c).unwrap_or('\u{fffd}')).collect()
    };
    Ok(bytes.chunks_exact(width.saturating_mul(4)).take(count).map(text).collect())
}

/// The voxel size in µm, where there is one.
fn resolutions(file: &CountedFile, entry: &Entry) -> Result<Option<[f64; 3]>> {
    let (header, bytes) = small(file, entry)?;
    if header.descr != "<f8" || header.shape.last() != Some(&3) || bytes.len() < 24 {
        return Ok(None);
    }
    let mut size = [0.0; 3];
    for (value, b) in size.iter_mut().zip(bytes.chunks_exact(8)) {
        *value = f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
    }
    Ok(size.iter().all(|s| s.is_finite() && *s > 0.0).then_some(size))
}

/// A small array's header and values.
fn small(file: &CountedFile, entry: &Entry) -> Result<(RawHeader, Vec<u8>)> {
    let place = entry.place(file)?;
    let header = RawHeader::read(file, place.clone())?;
    let start = place.start + header.offset;
    if place.end - start > SMALL {
        return Err(Error::data(format!("is longer than {SMALL} bytes")));
    }
    let mut bytes = vec![0; (place.end - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok((header, bytes))
}

impl TableReader for BlobsReader {
    fn info(&self) -> &TableInfo {
        &self.info
    }

    fn read(&mut self, rows: &mut Vec<f64>, most: usize) -> Result<usize> {
        rows.clear();
        let size = self.segments.row_bytes();
        let big_endian = self.segments.descr.starts_with('>');
        let mut count = 0;
        while count < most && self.segments.rows_left() > 0 {
            let left = usize::try_from(self.segments.rows_left()).unwrap_or(usize::MAX);
            let now = (most - count).min((PIECE / size.div_ceil(8)).max(1)).min(left);
            let segments = self.segments.next(&self.file, now)?;
            let (channels, colocs) = match &mut self.colocs {
                Some(colocs) => (colocs.columns, colocs.next(&self.file, now)?),
                None => (0, &[][..]),
            };
            for (k, row) in segments.chunks_exact(size).enumerate() {
                for source in &self.sources {
                    rows.push(match *source {
                        Source::Index => self.row as f64,
                        Source::Stored(c, divisor) => {
                            let mut value = [0; 8];
                            value.copy_from_slice(&row[c * 8..c * 8 + 8]);
                            let value = match big_endian {
                                true => f64::from_be_bytes(value),
                                false => f64::from_le_bytes(value),
                            };
                            value / divisor
                        }
                    });
                }
                let flags = &colocs[k * channels..(k + 1) * channels];
                rows.extend(flags.iter().map(|&flag| f64::from(flag)));
                self.row += 1;
            }
            count += now;
        }
        Ok(count)
    }
}
