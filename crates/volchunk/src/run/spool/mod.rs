//! Tables of chunks, one behind the other in a file, as they come.
//!
//! A header tells the columns; 0, and the first rows will tell. Each chunk's table is a head with a
//! checksum, and the rows. A run that is killed while it writes leaves a torn table at the end, which
//! is dropped; of two tables of one chunk the later stands.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::ErrorKind as IoKind,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use twox_hash::XxHash3_64;

use crate::{
    Buffer, ChunkGrid, Dtype, Error, Region, Result, Scratch, Sink, View, VolumeInfo, digest, os,
};

const MAGIC: [u8; 8] = *b"volspool";
/// Of the form below. A change is a new number.
const VERSION: u32 = 1;
/// Magic, version, columns.
const HEAD: u64 = 16;
/// Chunk, rows, digest of the rows, checksum of these three: eight bytes each.
const TABLE: usize = 32;

/// What the chunks of one grid found: a [`Sink`] for pipelines that make tables, in a file.
///
/// ```
/// use volchunk::{Buffer, ChunkGrid, Dtype, Region, Scratch, Sink, Spool, VolumeInfo, sweep};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("0.spool");
/// let grid = ChunkGrid::new(&[4, 4], &[2, 4])?;
/// let info = VolumeInfo::new(&[4, 4], Dtype::U8);
/// let spool = Spool::open(&path, info, &grid, Some(3), false)?;
/// let write = |at: [u64; 2], rows: &[f64]| {
///     let table = Buffer::from_slice(&[rows.len() as u64 / 3, 3], rows);
///     spool.write(&Region::new(at, [2, 4]), table.view(), &mut Scratch::new())
/// };
/// write([2, 0], &[3.0, 0.0, 0.5])?;
/// write([0, 0], &[1.0, 2.0, 0.7, 1.0, 0.0, 0.9])?;
/// let mut rows = Vec::new();
/// sweep(&[&spool], 1 << 20, &mut |sorted| Ok(rows.extend_from_slice(sorted)))?;
/// assert_eq!(rows, [1.0, 0.0, 0.9, 1.0, 2.0, 0.7, 3.0, 0.0, 0.5]);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    /// None where it is only read: a job in many parts has many spools, and a process few files.
    file: Option<File>,
    info: VolumeInfo,
    grid: ChunkGrid,
    durable: bool,
    /// Whether the file goes with it.
    temporary: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of all tables that have rows; 0 before there are any, unless it was said.
    columns: u64,
    /// Where the next table goes.
    end: u64,
    /// For each chunk, where its rows begin and how many there are.
    tables: HashMap<u64, (u64, u64)>,
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Spool {
    /// Goes on with the file at `path`, or begins it. Tables have `columns` columns, the first of
    /// which are coordinates; None: as many as the first one with rows. `info` is the volume of the
    /// grid's domain. Where `durable`, a table is on the disk when it is written.
    ///
    /// # Errors
    /// A file that is no spool, or one of other columns; I/O.
    pub fn open(
        path: &Path,
        info: VolumeInfo,
        grid: &ChunkGrid,
        columns: Option<u64>,
        durable: bool,
    ) -> Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let spool = Self::new(path, file, info, grid, columns, durable, true)?;
        if let Some(folder) = path.parent().filter(|_| durable) {
            os::sync_folder(folder)
                .map_err(|e| Error::io(format_args!("flushing {}", folder.display()), e))?;
        }
        Ok(spool)
    }

    /// The tables that a run has left at `path`, of the columns that they have. Nothing can be added
    /// to them.
    ///
    /// # Errors
    /// A file that is no spool; I/O.
    pub fn read(path: &Path, info: VolumeInfo, grid: &ChunkGrid) -> Result<Self> {
        Self::new(path, File::open(path), info, grid, None, false, false)
    }

    /// A new one, under a name of its own in the system's folder for temporary files, gone when it is
    /// dropped.
    ///
    /// # Errors
    /// I/O.
    pub fn temporary(info: VolumeInfo, grid: &ChunkGrid, columns: u64) -> Result<Self> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("volchunk-{}-{number}.spool", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left by a process of that number that was killed.
        let _ = fs::remove_file(&path);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let mut spool = Self::new(&path, file, info, grid, Some(columns), false, true)?;
        spool.temporary = true;
        Ok(spool)
    }

    /// Columns of the tables in the file at `path`, which stays as it is; 0 while none has rows, or
    /// where there is no such file.
    ///
    /// # Errors
    /// I/O.
    pub fn columns_in(path: &Path) -> Result<u64> {
        let mut head = [0; HEAD as usize];
        let read = File::open(path).and_then(|file| os::read_exact_at(&file, &mut head, 0));
        match read {
            Ok(()) if head[..12] == head_of(0)[..12] => Ok(columns_of(&head)),
            // It will be refused, or begun anew.
            Ok(()) => Ok(0),
            Err(e) if matches!(e.kind(), IoKind::NotFound | IoKind::UnexpectedEof) => Ok(0),
            Err(e) => Err(Error::io(format_args!("reading {}", path.display()), e)),
        }
    }

    fn new(
        path: &Path,
        file: std::io::Result<File>,
        info: VolumeInfo,
        grid: &ChunkGrid,
        columns: Option<u64>,
        durable: bool,
        writes: bool,
    ) -> Result<Self> {
        let fail = |e| Error::io(format_args!("opening {}", path.display()), e);
        let file = file.map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        let mut head = head_of(columns.unwrap_or(0));
        if length < HEAD && writes {
            // Torn at its first write, or new.
            os::write_all_at(&file, &head, 0).map_err(fail)?;
        } else {
            let wanted = std::mem::replace(&mut head, [0; HEAD as usize]);
            os::read_exact_at(&file, &mut head, 0).map_err(fail)?;
            let same = if columns.is_some() { 0..16 } else { 0..12 };
            if head[same.clone()] != wanted[same] {
                let of = columns.map_or(String::new(), |columns| format!(" of {columns} columns"));
                return Err(Error::data(format!(
                    "{} does not hold tables{of} of this version of volchunk",
                    path.display()
                )));
            }
        }
        let columns = columns_of(&head);
        let state = scan(&file, length.max(HEAD), columns, grid.len()).map_err(fail)?;
        if writes {
            file.set_len(state.end).map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file: writes.then_some(file),
            info,
            grid: grid.clone(),
            durable,
            temporary: false,
            state: Mutex::new(state),
        })
    }

    /// The chunks whose tables these are.
    pub fn grid(&self) -> &ChunkGrid {
        &self.grid
    }

    /// Columns of the tables; 0 while none has rows, unless it was said.
    pub fn columns(&self) -> u64 {
        self.lock().columns
    }

    /// Rows of chunk `number`; None where it has no table.
    pub fn rows(&self, number: u64) -> Option<u64> {
        self.lock().tables.get(&number).map(|&(_, rows)| rows)
    }

    /// The table of chunk `number`; None where there is none.
    ///
    /// # Errors
    /// I/O; rows that are not what was written.
    pub fn table(&self, number: u64) -> Result<Option<Buffer>> {
        let (found, columns) = {
            let state = self.lock();
            (state.tables.get(&number).copied(), state.columns)
        };
        let Some((place, rows)) = found else { return Ok(None) };
        let fail = |e| Error::io(format_args!("reading {}", self.path.display()), e);
        let opened;
        let file = match &self.file {
            Some(file) => file,
            None => {
                opened = File::open(&self.path).map_err(fail)?;
                &opened
            }
        };
        let mut head = [0; TABLE];
        os::read_exact_at(file, &mut head, place - TABLE as u64).map_err(fail)?;
        let mut table = Buffer::zeros(&[rows, columns], Dtype::F64);
        os::read_exact_at(file, table.bytes_mut(), place).map_err(fail)?;
        if cfg!(target_endian = "big") {
            table.bytes_mut().chunks_exact_mut(8).for_each(<[u8]>::reverse);
        }
        match u64_at(&head, 16) == digest(&table) {
            true => Ok(Some(table)),
            false => Err(Error::data(format!(
                "{}: the rows of chunk {number} are not what was written",
                self.path.display()
            ))),
        }
    }

    /// The chunk whose core lies at `place` of the grid's domain.
    fn number_at(&self, place: &Region) -> u64 {
        let index: crate::Coords =
            place.start().iter().zip(self.grid.chunk_shape()).map(|(at, c)| at / c).collect();
        self.grid.number_of(&index)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header of a file.
fn head_of(columns: u64) -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..].copy_from_slice(&(columns as u32).to_le_bytes());
    head
}

fn columns_of(head: &[u8; HEAD as usize]) -> u64 {
    u64::from(u32::from_le_bytes([head[12], head[13], head[14], head[15]]))
}

/// The tables of a file, up to the first that is torn or of no chunk.
fn scan(file: &File, length: u64, columns: u64, chunks: u64) -> std::io::Result<State> {
    let mut state = State { columns, end: HEAD, tables: HashMap::new() };
    let mut window = Window { file, length, start: 0, bytes: Vec::new() };
    while let Some(head) = window.at(state.end)? {
        let (number, rows) = (u64_at(&head, 0), u64_at(&head, 8));
        let place = state.end + TABLE as u64;
        let bytes = rows.checked_mul(columns).and_then(|n| n.checked_mul(8));
        let stop = bytes.and_then(|bytes| place.checked_add(bytes)).filter(|&s| s <= length);
        let sound = check(&head) == u64_at(&head, 24) && number < chunks;
        // Rows of no columns: a crash of the machine kept them, but not the header that told.
        let Some(stop) = stop.filter(|_| sound && (rows == 0 || columns > 0)) else { break };
        state.tables.insert(number, (place, rows));
        state.end = stop;
    }
    Ok(state)
}

/// Heads read many at a time, where tables are small.
struct Window<'a> {
    file: &'a File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    fn at(&mut self, place: u64) -> std::io::Result<Option<[u8; TABLE]>> {
        const AHEAD: u64 = 1 << 16;
        if self.length.saturating_sub(place) < TABLE as u64 {
            return Ok(None);
        }
        let has = |range: Range<u64>| {
            range.start >= self.start && range.end <= self.start + self.bytes.len() as u64
        };
        if !has(place..place + TABLE as u64) {
            self.bytes.resize(AHEAD.min(self.length - place) as usize, 0);
            os::read_exact_at(self.file, &mut self.bytes, place)?;
            self.start = place;
        }
        let mut head = [0; TABLE];
        head.copy_from_slice(&self.bytes[(place - self.start) as usize..][..TABLE]);
        Ok(Some(head))
    }
}

fn check(head: &[u8; TABLE]) -> u64 {
    XxHash3_64::oneshot(&head[..24])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

impl Sink for Spool {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        let &[rows, columns] = data.shape() else {
            return Err(Error::argument(format!("a table of shape {:?}", data.shape())));
        };
        let refuse = |legal| {
            Err(Error::argument(format!(
                "a table of {columns} columns of {}; legal: {legal} of float64",
                data.dtype()
            )))
        };
        if data.dtype() != Dtype::F64 {
            return refuse(columns);
        }
        // As it is, where it lies as it goes into the file: tables may be large.
        let mut copy = None;
        let bytes = match data.as_contiguous() {
            Some(bytes) if cfg!(target_endian = "little") => bytes,
            _ => {
                let copy = copy.insert(Buffer::zeros(&[rows, columns], Dtype::F64));
                copy.view_mut().copy_from(&data);
                if cfg!(target_endian = "big") {
                    copy.bytes_mut().chunks_exact_mut(8).for_each(<[u8]>::reverse);
                }
                copy.bytes()
            }
        };
        let number = self.number_at(region);
        let mut head = [0; TABLE];
        // The digest of voxels that lie like this.
        for (k, word) in [number, rows, XxHash3_64::oneshot(bytes)].into_iter().enumerate() {
            head[8 * k..8 * k + 8].copy_from_slice(&word.to_le_bytes());
        }
        let sum = check(&head);
        head[24..].copy_from_slice(&sum.to_le_bytes());
        let fail = |e| Error::io(format_args!("writing {}", self.path.display()), e);
        let Some(file) = &self.file else {
            let what = format!("{} was opened to be read", self.path.display());
            return Err(Error::argument(what));
        };
        // One at a time: what a failed write left, the next one covers.
        let mut state = self.lock();
        // Without rows, columns mean nothing.
        if rows > 0 && state.columns == 0 {
            // Before the rows, which could not be read without.
            os::write_all_at(file, &head_of(columns), 0).map_err(fail)?;
            state.columns = columns;
        } else if rows > 0 && state.columns != columns {
            return refuse(state.columns);
        }
        let place = state.end + TABLE as u64;
        os::write_all_at(file, &head, state.end).map_err(fail)?;
        os::write_all_at(file, bytes, place).map_err(fail)?;
        if self.durable {
            file.sync_data().map_err(fail)?;
        }
        state.end = place + bytes.len() as u64;
        state.tables.insert(number, (place, rows));
        Ok(())
    }

    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        let rows = self.rows(self.number_at(region));
        Ok(rows.map_or(0, |rows| TABLE as u64 + rows * self.columns() * 8))
    }

    fn read_table(&self, region: &Region) -> Result<Buffer> {
        let number = self.number_at(region);
        self.table(number)?.ok_or_else(|| {
            Error::data(format!("{} has no table of chunk {number}", self.path.display()))
        })
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
