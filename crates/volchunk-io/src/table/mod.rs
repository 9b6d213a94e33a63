//! Tables of points: cells that were found, one a row. CSV, Parquet, MagellanMapper's archives.
//!
//! Every format has the same shape: [`create_table`] gives a [`TableWriter`], [`open_table`] a
//! [`TableReader`]. Rows pass through both a batch at a time and are never all held. A row is as
//! many `f64` as the table has columns, whatever these hold; [`ColumnKind`] says how they are
//! written.

mod blob;
mod csv;
mod npz;
mod output;
mod parquet;
mod schema;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use blob::BlobTable;
pub use schema::{Column, ColumnKind, TableInfo};
use volchunk::{Error, Result};

/// A format that tables are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Text by RFC 4180, which napari opens as a layer of points.
    Csv,
    /// Parquet, with axes and voxel size in the file's metadata.
    Parquet,
    /// MagellanMapper's archive of blobs, `NAME_blobs.npz`: NumPy arrays in an uncompressed zip.
    Blobs,
}

impl TableFormat {
    /// The format that the ending of `path` names.
    ///
    /// ```
    /// use volchunk_io::TableFormat;
    /// assert_eq!(TableFormat::of_path("cells.csv".as_ref())?, TableFormat::Csv);
    /// assert_eq!(TableFormat::of_path("brain_blobs.npz".as_ref())?, TableFormat::Blobs);
    /// assert!(TableFormat::of_path("brain.npz".as_ref()).is_err());
    /// # Ok::<(), volchunk::Error>(())
    /// ```
    ///
    /// # Errors
    /// Another ending; lists the legal ones.
    pub fn of_path(path: &Path) -> Result<Self> {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("").to_ascii_lowercase();
        match () {
            () if name.ends_with(".csv") => Ok(Self::Csv),
            () if name.ends_with(".parquet") => Ok(Self::Parquet),
            () if name.ends_with("_blobs.npz") => Ok(Self::Blobs),
            () => Err(Error::argument(format!(
                "{}: a table's ending decides its format; legal: .csv, .parquet, _blobs.npz",
                path.display()
            ))),
        }
    }
}

/// Writes a table from its first row to its last. Dropped before [`finish`](Self::finish), it
/// leaves `OUTPUT.partial` and nothing else.
pub trait TableWriter {
    /// Appends rows: their values, row by row, a whole number of rows.
    ///
    /// # Errors
    /// Values that end within a row, or that a column cannot hold: names row and column; I/O.
    fn write(&mut self, rows: &[f64]) -> Result<()>;

    /// Gives the table its name, and tells how many rows it has.
    ///
    /// # Errors
    /// I/O; [`Exists`](volchunk::ErrorKind::Exists) if something has taken the name meanwhile.
    fn finish(self: Box<Self>) -> Result<u64>;
}

/// Reads a table from its first row to its last.
pub trait TableReader {
    /// Columns, axes, attributes.
    fn info(&self) -> &TableInfo;

    /// Replaces `rows` by the next rows, at most `most`, and tells how many; 0 behind the last.
    ///
    /// # Errors
    /// A damaged file, a value that is no number: names the file and the place; I/O.
    fn read(&mut self, rows: &mut Vec<f64>, most: usize) -> Result<usize>;
}

/// Creates the table at `path`, whose ending names its format.
///
/// It stands under `path.partial` until [`TableWriter::finish`]; one that an earlier writer left
/// there is begun anew.
///
/// ```
/// use volchunk_io::{BlobTable, create_table, open_table};
/// # fn main() -> volchunk::Result<()> {
/// # let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("cells.csv");
/// let axes = ["z", "y", "x"].map(volchunk::Axis::new);
/// let mut table = BlobTable::new(&axes, true)?;
/// let mut rows = Vec::new();
/// table.push(&[3.0, 20.0, 40.0], &[2.0; 3], 0.5, &mut rows);
/// let mut writer = create_table(&path, table.info())?;
/// writer.write(&rows)?;
/// assert_eq!(writer.finish()?, 1);
///
/// let text = std::fs::read_to_string(&path).unwrap();
/// assert!(text.starts_with("index,axis-0,axis-1,axis-2,sigma,radius,value,channel\r\n0,3.0,20.0,"));
/// let mut reader = open_table(&path)?;
/// let x = reader.info().index_of("axis-2")?;
/// assert_eq!(reader.read(&mut rows, 1000)?, 1);
/// assert_eq!(rows[x], 40.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Another ending, a missing folder, columns that the format cannot hold;
/// [`Exists`](volchunk::ErrorKind::Exists) if something stands at `path`; I/O.
pub fn create_table(path: &Path, info: &TableInfo) -> Result<Box<dyn TableWriter + Send>> {
    info.check().map_err(|e| e.context(path.display()))?;
    match TableFormat::of_path(path)? {
        TableFormat::Csv => csv::create(path, info),
        TableFormat::Parquet => parquet::create(path, info),
        TableFormat::Blobs => npz::create(path, info),
    }
}

/// Opens the table at `path`, whose ending names its format.
///
/// # Errors
/// Another ending; nothing there; a header that contradicts itself; no column `axis-0`, or one
/// missing among `axis-0`, `axis-1`, …: names the file and what would be legal.
pub fn open_table(path: &Path) -> Result<Box<dyn TableReader + Send>> {
    match TableFormat::of_path(path)? {
        TableFormat::Csv => csv::open(path),
        TableFormat::Parquet => parquet::open(path),
        TableFormat::Blobs => npz::open(path),
    }
}
