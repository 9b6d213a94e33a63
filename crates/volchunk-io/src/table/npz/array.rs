//! An array of an archive that is read from its first row to its last.

use std::ops::Range;

use flate2::Crc;
use volchunk::{Error, Result};

use super::zip::Entry;
use crate::{file::CountedFile, npy::RawHeader, table::schema::shown};

/// The rows of an array in C order, and the checksum that all of its bytes must have.
pub(super) struct Array {
    name: String,
    /// Columns as they are stored.
    pub(super) columns: usize,
    /// NumPy's name of the dtype, and its bytes.
    pub(super) descr: String,
    item: usize,
    /// What is left to read.
    left: Range<u64>,
    /// None where bytes stand behind the last row.
    crc: Option<u32>,
    so_far: Crc,
    bytes: Vec<u8>,
}

impl Array {
    /// The array in `entry`, of rows and columns, if its dtype is one of `legal`, names and bytes.
    ///
    /// # Errors
    /// Another dtype or number of axes, Fortran order; rows that the entry does not hold; I/O.
    pub(super) fn open(file: &CountedFile, entry: &Entry, legal: &[(&str, usize)]) -> Result<Self> {
        let name = entry.name.strip_suffix(".npy").unwrap_or(&entry.name).to_owned();
        let place = entry.place(file)?;
        let header = RawHeader::read(file, place.clone()).map_err(|e| e.context(&name))?;
        let Some(&(_, item)) = legal.iter().find(|(descr, _)| *descr == header.descr) else {
            return Err(Error::unsupported(format!(
                "{name} are {}; legal: {}",
                shown(&header.descr),
                legal.first().map_or("", |(descr, _)| &descr[1..])
            )));
        };
        let [rows, columns] = header.shape[..] else {
            return Err(Error::data(format!(
                "{name} have the shape {:?}; legal: blobs and columns",
                header.shape
            )));
        };
        if header.fortran && rows > 1 {
            return Err(Error::unsupported(format!("{name} lie in Fortran order; legal: C order")));
        }
        let start = place.start + header.offset;
        let length = rows.checked_mul(columns).and_then(|n| n.checked_mul(item as u64));
        let stop = length.and_then(|n| n.checked_add(start)).filter(|&stop| stop <= place.end);
        let stop = stop.ok_or_else(|| {
            Error::data(format!("truncated: {name} claim {rows} blobs of {columns} columns"))
        })?;
        let mut so_far = Crc::new();
        let mut head = vec![0; header.offset as usize];
        file.read_exact_at(&mut head, place.start)?;
        so_far.update(&head);
        Ok(Self {
            name,
            columns: columns as usize,
            descr: header.descr,
            item,
            left: start..stop,
            crc: (stop == place.end).then_some(entry.crc),
            so_far,
            bytes: Vec::new(),
        })
    }

    /// Bytes of a row; 1 where it has no columns.
    pub(super) fn row_bytes(&self) -> usize {
        self.columns.saturating_mul(self.item).max(1)
    }

    /// How many rows are left.
    pub(super) fn rows_left(&self) -> u64 {
        (self.left.end - self.left.start) / self.row_bytes() as u64
    }

    /// The bytes of the next `count` rows; there are so many.
    ///
    /// # Errors
    /// Behind the last one, bytes of another checksum; I/O.
    pub(super) fn next(&mut self, file: &CountedFile, count: usize) -> Result<&[u8]> {
        self.bytes.resize(count * self.row_bytes(), 0);
        file.read_exact_at(&mut self.bytes, self.left.start)?;
        self.left.start += self.bytes.len() as u64;
        self.so_far.update(&self.bytes);
        let crc = self.crc.filter(|_| self.left.is_empty());
        if crc.is_some_and(|crc| crc != self.so_far.sum()) {
            return Err(Error::data(format!(
                "{}: the checksum of {} is not what the archive says: they are damaged",
                file.path().display(),
                self.name
            )));
        }
        Ok(&self.bytes)
    }
}
