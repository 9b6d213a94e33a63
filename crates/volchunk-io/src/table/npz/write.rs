//! Writes an archive of blobs: their rows at once, their number where it belongs at the end.

use std::path::Path;

use volchunk::{Error, Result};

use super::{COLUMNS, UNSET, VERSION, zip::ZipWriter};
use crate::{
    npy::encode_descr,
    table::{
        TableWriter,
        output::TableOutput,
        schema::{ColumnKind, MOST_COLUMNS, TableInfo, coloc_channel, integer},
    },
};

/// Blobs whose channels are written at once.
const BATCH: usize = 1024;

/// Most spatial axes.
const AXES: usize = 3;

struct BlobsWriter {
    zip: ZipWriter,
    info: TableInfo,
    /// Where the values of each of the columns stand in a row; None: they are constant.
    sources: [Source; COLUMNS.len()],
    frame: Option<usize>,
    /// Of each channel the column that tells which blobs lie in it; empty where there is none.
    channels: Vec<Option<usize>>,
    /// What these tell, held until all blobs are written: a byte for each blob and column that there is.
    colocs: Vec<u8>,
    basename: String,
    bytes: Vec<u8>,
    rows: u64,
}

#[derive(Clone, Copy)]
enum Source {
    /// A column of the table, times a factor.
    Column(usize, f64),
    Constant(f64),
}

pub(crate) fn create(path: &Path, info: &TableInfo) -> Result<Box<dyn TableWriter + Send>> {
    let sources = sources(info).map_err(|e| e.context(path.display()))?;
    let channels = channels(info).map_err(|e| e.context(path.display()))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    // The ending is ASCII, in any case.
    let basename = name.get(..name.len().saturating_sub("_blobs.npz".len())).unwrap_or("");
    let mut zip = ZipWriter::new(TableOutput::create(path)?);
    zip.entry("ver.npy", &array(&[], "<i8", &VERSION.to_le_bytes()))?;
    zip.begin("segments.npy", &segments(0))?;
    Ok(Box::new(BlobsWriter {
        zip,
        info: info.clone(),
        sources,
        frame: info.index_of("frame").ok(),
        channels,
        colocs: Vec::new(),
        basename: basename.to_owned(),
        bytes: Vec::new(),
        rows: 0,
    }))
}

/// Where the columns of `segments` come from.
fn sources(info: &TableInfo) -> Result<[Source; COLUMNS.len()]> {
    let coordinates = info.coordinates()?;
    let Some(missing) = AXES.checked_sub(coordinates.len()) else {
        return Err(Error::argument(format!(
            "the table has {} spatial axes; legal: at most {AXES}, or .csv or .parquet",
            coordinates.len()
        )));
    };
    let column = |name| info.index_of(name).map(|c| Source::Column(c, 1.0));
    let radius = column("radius").or_else(|e| {
        let sigma = info.index_of("sigma").map_err(|_| e)?;
        Ok::<_, Error>(Source::Column(sigma, (coordinates.len() as f64).sqrt()))
    })?;
    let mut sources = [Source::Constant(0.0); COLUMNS.len()];
    for (place, &c) in sources[missing..AXES].iter_mut().zip(&coordinates) {
        *place = Source::Column(c, 1.0);
    }
    sources[3] = radius;
    for (place, name) in sources.iter_mut().zip(COLUMNS).skip(4) {
        let constant = if name == "channel" { 0.0 } else { UNSET };
        *place = column(name).unwrap_or(Source::Constant(constant));
    }
    Ok(sources)
}

/// Of each channel the column `coloc-N`, from 0 to the highest that has one.
fn channels(info: &TableInfo) -> Result<Vec<Option<usize>>> {
    let mut channels = Vec::new();
    for (c, column) in info.columns.iter().enumerate() {
        let Some(channel) = coloc_channel(&column.name) else { continue };
        let channel = usize::try_from(channel).unwrap_or(usize::MAX);
        if channel >= MOST_COLUMNS {
            return Err(Error::unsupported(format!(
                "the column '{}': an archive of blobs has a column for every channel from 0; legal: \
                 channels below {MOST_COLUMNS}, or .csv or .parquet",
                column.name
            )));
        }
        channels.resize(channels.len().max(channel + 1), None);
        channels[channel] = Some(c);
    }
    Ok(channels)
}

/// The head of `segments` with `rows` rows: equally long for any number.
fn segments(rows: u64) -> Vec<u8> {
    encode_descr(&[rows, COLUMNS.len() as u64], "<f8")
}

/// A whole NPY.
fn array(shape: &[u64], descr: &str, values: &[u8]) -> Vec<u8> {
    let mut bytes = encode_descr(shape, descr);
    bytes.extend_from_slice(values);
    bytes
}

/// Texts as NumPy stores them: UTF-32, all of the longest's length.
fn texts(shape: &[u64], texts: &[&str]) -> Vec<u8> {
    let longest = texts.iter().map(|t| t.chars().count()).max().unwrap_or(0).max(1);
    let mut values = Vec::new();
    for text in texts {
        let padded = text.chars().map(u32::from).chain(std::iter::repeat(0)).take(longest);
        padded.for_each(|c| values.extend_from_slice(&c.to_le_bytes()));
    }
    array(shape, &format!("<U{longest}"), &values)
}

impl TableWriter for BlobsWriter {
    fn write(&mut self, rows: &[f64]) -> Result<()> {
        self.info.count(rows)?;
        self.bytes.clear();
        let columns = self.info.columns.len();
        for row in rows.chunks_exact(columns) {
            for (value, column) in row.iter().zip(&self.info.columns) {
                if column.kind == ColumnKind::Integer {
                    integer(*value, self.rows, column)?;
                }
            }
            if let Some(frame) = self.frame.map(|c| row[c]).filter(|&f| f != 0.0) {
                return Err(Error::unsupported(format!(
                    "row {}: frame {frame}: an archive of blobs holds one frame; legal: frame 0, or \
                     .csv or .parquet",
                    self.rows
                )));
            }
            for source in &self.sources {
                let value = match *source {
                    Source::Column(c, factor) => row[c] * factor,
                    Source::Constant(value) => value,
                };
                self.bytes.extend_from_slice(&value.to_le_bytes());
            }
            let flags = self.channels.iter().flatten().map(|&c| u8::from(row[c] >= 1.0));
            self.colocs.extend(flags);
            self.rows += 1;
        }
        self.zip.append(&self.bytes)
    }

    fn finish(mut self: Box<Self>) -> Result<u64> {
        self.zip.end(&segments(self.rows))?;
        if let Some(resolutions) = self.resolutions() {
            self.zip.entry("resolutions.npy", &resolutions)?;
        }
        self.zip.entry("basename.npy", &texts(&[], &[&self.basename]))?;
        if let Some(size) = self.region() {
            self.zip.entry("offset.npy", &array(&[3], "<i8", &[0; 24]))?;
            self.zip.entry("roi_size.npy", &array(&[3], "<i8", &size))?;
        }
        if !self.channels.is_empty() {
            self.write_colocs()?;
        }
        self.zip.entry("columns.npy", &texts(&[COLUMNS.len() as u64], &COLUMNS))?;
        self.zip.finish()?;
        Ok(self.rows)
    }
}

impl BlobsWriter {
    /// Writes in which channels the blobs lie, 0 where there is no column.
    fn write_colocs(&mut self) -> Result<()> {
        let head = encode_descr(&[self.rows, self.channels.len() as u64], "|u1");
        self.zip.begin("colocs.npy", &head)?;
        let held = self.channels.iter().flatten().count();
        for rows in self.colocs.chunks(held * BATCH) {
            self.bytes.clear();
            for row in rows.chunks_exact(held) {
                let mut flags = row.iter();
                let flag = |c: &Option<usize>| c.and_then(|_| flags.next()).map_or(0, |&f| f);
                self.bytes.extend(self.channels.iter().map(flag));
            }
            self.zip.append(&self.bytes)?;
        }
        self.zip.end(&head)
    }

    /// The voxel size in µm; None where it is not known. An axis that the table lacks has 1.
    fn resolutions(&self) -> Option<Vec<u8>> {
        let mut values = [1.0; AXES];
        let from = AXES - self.info.axes.len();
        for (value, axis) in values[from..].iter_mut().zip(&self.info.axes) {
            *value = axis.micrometers()?;
        }
        Some(array(&[1, 3], "<f8", &values.map(f64::to_le_bytes).concat()))
    }

    /// The spatial shape of the volume, where the attributes have it as `shape`.
    fn region(&self) -> Option<Vec<u8>> {
        let shape = self.info.attributes.as_ref()?.get("shape")?.as_array()?;
        let mut values = [1i64; AXES];
        let from = AXES - self.info.axes.len();
        if shape.len() != self.info.axes.len() {
            return None;
        }
        for (value, length) in values[from..].iter_mut().zip(shape) {
            *value = length.as_i64()?;
        }
        Some(values.map(i64::to_le_bytes).concat())
    }
}
