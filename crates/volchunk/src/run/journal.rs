//! The journal: a receipt for every chunk that is committed, in a file that outlives the run.
//!
//! A header names the job; records of one length follow, each with a checksum of its own. A run
//! that is killed while it writes leaves a torn record at the end, which is dropped; a damaged one
//! in the middle counts for nothing, and its chunk is computed again.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufReader, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use twox_hash::XxHash3_64;

use crate::{Error, Result, os};

const MAGIC: [u8; 8] = *b"volchunk";
/// Of the form below. A change is a new number.
const VERSION: u32 = 1;
/// Magic, version, length of the job's text, first chunk, one past the last, key.
const HEAD: usize = 40;
/// Number, digest, stored bytes, stamp, time (each eight bytes), kind, checksum (four each).
const RECORD: usize = 48;
/// Bytes of a job's text: no job is as long.
const LONGEST_JOB: usize = 1 << 20;

/// Chunks begin in order, so that none has a number far above that of its record. A journal that
/// claims otherwise is refused before memory is taken for it.
const FARTHEST: u64 = 1 << 22;

/// What a record says.
const COMMITTED: u32 = 1;
const FAILED: u32 = 2;
/// A run begins, or goes on.
const BEGUN: u32 = 3;
/// What was committed of one chunk counts no more.
const VOID: u32 = 4;
/// The same of all.
const ALL_VOID: u32 = 5;

/// The record that one chunk is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The chunk's number in its grid.
    pub number: u64,
    /// [`digest`](crate::digest) of its core's voxels.
    pub digest: u64,
    /// [`Sink::stored_bytes`](crate::Sink::stored_bytes) of its core, just after it was written.
    pub stored: u64,
    /// [`Source::stamp`](crate::Source::stamp) of all that it read, just before.
    pub stamp: u64,
}

/// The journal of one job, or of one part of it, in a file.
///
/// ```
/// use volchunk::{Journal, Receipt};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("0.journal");
/// let journal = Journal::create(&path, "the job", 0..8, false)?;
/// journal.commit(Receipt { number: 3, digest: 7, stored: 100, stamp: 0 })?;
/// drop(journal);
/// let journal = Journal::open(&path, false)?;
/// assert_eq!((journal.job(), journal.done()), ("the job", 1));
/// assert_eq!(journal.receipt(3)?.map(|r| r.digest), Some(7));
/// assert_eq!(journal.receipt(4)?, None);
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// None where it is only read: a job in many parts has many journals, and a process few files.
    file: Option<File>,
    job: String,
    chunks: Range<u64>,
    /// Seed of the records' checksums, so that no other journal's records pass for its own.
    key: u64,
    durable: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Records in the file.
    records: u64,
    /// For each chunk from the first on, one more than the place of its latest receipt; 0: none.
    latest: Vec<u32>,
    done: u64,
    failed: BTreeSet<u64>,
    /// When the latest run began, and how many receipts it has written since.
    begun: Option<(u64, u64)>,
    /// When the last record was written, milliseconds since 1970.
    last: u64,
}

/// A record as it stands in the file.
#[derive(Clone, Copy)]
struct Record {
    kind: u32,
    receipt: Receipt,
    /// Milliseconds since 1970. Clocks jump: nothing but the rate that is shown depends on it.
    time: u64,
}

impl Journal {
    /// Begins the journal of the chunks numbered `chunks`, in place of any other at `path`. `job`
    /// says, to whoever reads it, what they are chunks of.
    ///
    /// Where `durable`, a receipt is on the disk when [`commit`](Self::commit) returns; else it is
    /// with the system, which a killed process does not disturb but a power cut does.
    ///
    /// # Errors
    /// A job of more than 1 MiB; I/O.
    pub fn create(path: &Path, job: &str, chunks: Range<u64>, durable: bool) -> Result<Self> {
        if job.len() > LONGEST_JOB {
            return Err(Error::argument(format!(
                "the job's description has {} bytes; legal: at most {LONGEST_JOB}",
                job.len()
            )));
        }
        let mut head = MAGIC.to_vec();
        head.extend(VERSION.to_le_bytes());
        head.extend((job.len() as u32).to_le_bytes());
        head.extend(chunks.start.to_le_bytes());
        head.extend(chunks.end.to_le_bytes());
        head.extend(key(&head, job).to_le_bytes());
        head.extend(job.as_bytes());
        let fail = |e| Error::io(format_args!("creating the journal {}", path.display()), e);
        // Under another name until it is whole, so that there is no such thing as half a header.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        fs::write(&new, &head)
            .and_then(|()| if durable { File::open(&new)?.sync_all() } else { Ok(()) })
            .and_then(|()| fs::rename(&new, path))
            .and_then(|()| match path.parent().filter(|_| durable) {
                Some(folder) => os::sync_folder(folder),
                None => Ok(()),
            })
            .map_err(fail)?;
        Self::open(path, durable)
    }

    /// Opens a journal to go on with it. What was torn off at its end is dropped.
    ///
    /// # Errors
    /// No journal, or one of another version; a receipt of a chunk that is not its own; I/O.
    pub fn open(path: &Path, durable: bool) -> Result<Self> {
        let fail = |e| Error::io(format_args!("reading the journal {}", path.display()), e);
        let file = File::options().read(true).write(true).open(path).map_err(fail)?;
        let journal = Self::load(path, &file, durable)?;
        let end = journal.place(journal.lock().records);
        file.set_len(end).map_err(|e| Error::io(format_args!("opening {}", path.display()), e))?;
        Ok(Self { file: Some(file), ..journal })
    }

    /// Reads a journal that a run may be writing just now. Nothing can be added to it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn read(path: &Path) -> Result<Self> {
        let fail = |e| Error::io(format_args!("reading the journal {}", path.display()), e);
        Self::load(path, &File::open(path).map_err(fail)?, false)
    }

    fn load(path: &Path, file: &File, durable: bool) -> Result<Self> {
        let name = path.display();
        let fail = |e| Error::io(format_args!("reading the journal {name}"), e);
        let mut reader = BufReader::with_capacity(RECORD << 12, file);
        let bad = |what: &str| Error::data(format!("{name} is no journal: {what}"));
        let mut head = [0; HEAD];
        if fill(&mut reader, &mut head).map_err(fail)? < HEAD || head[..8] != MAGIC {
            return Err(bad("it does not begin as one"));
        }
        let (version, len) = (u32_at(&head, 8), u32_at(&head, 12) as usize);
        if version != VERSION {
            return Err(Error::unsupported(format!(
                "the journal {name} is of version {version}; this volchunk knows version {VERSION}"
            )));
        }
        if len > LONGEST_JOB {
            return Err(bad("its header is damaged"));
        }
        let mut job = vec![0; len];
        let whole = fill(&mut reader, &mut job).map_err(fail)? == len;
        let job = String::from_utf8(job).ok().filter(|_| whole);
        let key_found = u64_at(&head, 32);
        let job = job.filter(|job| key(&head[..32], job) == key_found);
        let job = job.ok_or_else(|| bad("its header is damaged"))?;
        let chunks = u64_at(&head, 16)..u64_at(&head, 24);
        let mut state = State::default();
        let mut record = [0; RECORD];
        let mut place = 0;
        while fill(&mut reader, &mut record).map_err(fail)? == RECORD {
            if let Some(record) = Record::decode(&record, key_found) {
                check(record, place, &chunks).map_err(|e| e.context(&name))?;
                state.note(record, place, chunks.start);
            }
            place += 1;
        }
        let path = path.to_owned();
        let state = Mutex::new(state);
        Ok(Self { path, file: None, job, chunks, key: key_found, durable, state })
    }

    /// The text that it was created with.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The numbers of the chunks that it is the journal of.
    pub fn chunks(&self) -> Range<u64> {
        self.chunks.clone()
    }

    /// How many chunks are committed.
    pub fn done(&self) -> u64 {
        self.lock().done
    }

    /// The chunks whose latest attempt failed, and that no receipt stands for, ascending.
    pub fn failed(&self) -> Vec<u64> {
        self.lock().failed.iter().copied().collect()
    }

    /// The first chunk that is not committed.
    pub fn first_missing(&self) -> Option<u64> {
        let state = self.lock();
        let known = state.latest.iter().position(|&place| place == 0);
        let offset = known.unwrap_or(state.latest.len()) as u64;
        Some(self.chunks.start + offset).filter(|number| self.chunks.contains(number))
    }

    /// Chunks per second since the latest run began; None where that cannot be told.
    pub fn rate(&self) -> Option<f64> {
        let state = self.lock();
        let (begun, receipts) = state.begun?;
        let seconds = state.last.checked_sub(begun)? as f64 / 1e3;
        (receipts > 0 && seconds > 0.0).then(|| receipts as f64 / seconds)
    }

    /// The latest receipt of a chunk; None where there is none.
    ///
    /// # Errors
    /// I/O; a record that was damaged since the journal was opened.
    pub fn receipt(&self, number: u64) -> Result<Option<Receipt>> {
        let Some(place) = self.latest(number).checked_sub(1) else { return Ok(None) };
        let mut record = [0; RECORD];
        let at = self.place(place.into());
        match &self.file {
            Some(file) => os::read_exact_at(file, &mut record, at),
            None => {
                File::open(&self.path).and_then(|file| os::read_exact_at(&file, &mut record, at))
            }
        }
        .map_err(|e| Error::io(format_args!("reading {}", self.path.display()), e))?;
        match Record::decode(&record, self.key) {
            Some(Record { receipt, .. }) if receipt.number == number => Ok(Some(receipt)),
            _ => Err(Error::data(format!(
                "{} changed while it was in use: the receipt of chunk {number} is damaged",
                self.path.display()
            ))),
        }
    }

    /// Records that a chunk is committed.
    ///
    /// # Errors
    /// A chunk that is not this journal's; I/O, such as a full disk: then the chunk is not
    /// committed.
    pub fn commit(&self, receipt: Receipt) -> Result<()> {
        self.append(Record { kind: COMMITTED, receipt, time: now() })
    }

    /// Records that a chunk failed, so that others can be told.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn fail(&self, number: u64) -> Result<()> {
        let receipt = Receipt { number, digest: 0, stored: 0, stamp: 0 };
        self.append(Record { kind: FAILED, receipt, time: now() })
    }

    /// Records that what was committed of a chunk counts no more, which is to be known before anything
    /// is written in its place. Without a receipt there is nothing to record.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn void(&self, number: u64) -> Result<()> {
        if !self.has(number) {
            return Ok(());
        }
        let receipt = Receipt { number, digest: 0, stored: 0, stamp: 0 };
        self.append(Record { kind: VOID, receipt, time: now() })
    }

    /// Records that nothing that was committed counts any more.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn void_all(&self) -> Result<()> {
        let receipt = Receipt { number: 0, digest: 0, stored: 0, stamp: 0 };
        self.append(Record { kind: ALL_VOID, receipt, time: now() })
    }

    /// Whether a receipt of a chunk stands.
    pub fn has(&self, number: u64) -> bool {
        self.latest(number) > 0
    }

    /// One more than the place of a chunk's receipt; 0: none.
    fn latest(&self, number: u64) -> u32 {
        let offset = number.checked_sub(self.chunks.start).map(|n| n as usize);
        offset.and_then(|n| self.lock().latest.get(n).copied()).unwrap_or(0)
    }

    /// Records that a run begins, from which its rate is counted.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn begin(&self) -> Result<()> {
        let receipt = Receipt { number: 0, digest: 0, stored: 0, stamp: 0 };
        self.append(Record { kind: BEGUN, receipt, time: now() })
    }

    /// One bit for each chunk from `first` on that has a receipt.
    pub(super) fn done_bits(&self, first: u64) -> Vec<u64> {
        let state = self.lock();
        let mut bits = Vec::new();
        for (k, _) in state.latest.iter().enumerate().filter(|(_, place)| **place > 0) {
            let Some(bit) = (self.chunks.start + k as u64).checked_sub(first) else { continue };
            let word = (bit / 64) as usize;
            if bits.len() <= word {
                bits.resize(word + 1, 0u64);
            }
            bits[word] |= 1 << (bit % 64);
        }
        bits
    }

    fn append(&self, record: Record) -> Result<()> {
        let Some(file) = &self.file else {
            return Err(Error::argument(format!(
                "the journal {} is only read; legal: to open it",
                self.path.display()
            )));
        };
        let mut state = self.lock();
        let place = state.records;
        check(record, place, &self.chunks).map_err(|e| e.context(self.path.display()))?;
        let fail = |e| Error::io(format_args!("writing {}", self.path.display()), e);
        // At a position: what a failed write left there, the next one covers.
        os::write_all_at(file, &record.encode(self.key), self.place(place)).map_err(fail)?;
        if self.durable {
            file.sync_data().map_err(fail)?;
        }
        state.note(record, place, self.chunks.start);
        Ok(())
    }

    /// Where record `k` lies in the file.
    fn place(&self, k: u64) -> u64 {
        (HEAD + self.job.len()) as u64 + k * RECORD as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the record at `place`, which was checked, into account.
    fn note(&mut self, record: Record, place: u64, first: u64) {
        let number = record.receipt.number;
        let offset = number.saturating_sub(first) as usize;
        match record.kind {
            COMMITTED => {
                if self.latest.len() <= offset {
                    self.latest.resize(offset + 1, 0);
                }
                self.done += u64::from(self.latest[offset] == 0);
                self.latest[offset] = place as u32 + 1;
                self.failed.remove(&number);
                if let Some((_, receipts)) = &mut self.begun {
                    *receipts += 1;
                }
            }
            FAILED => {
                self.void(offset);
                self.failed.insert(number);
            }
            VOID => self.void(offset),
            ALL_VOID => (self.latest, self.done) = (Vec::new(), 0),
            _ => self.begun = Some((record.time, 0)),
        }
        (self.last, self.records) = (record.time, place + 1);
    }

    fn void(&mut self, offset: usize) {
        if let Some(place) = self.latest.get_mut(offset).filter(|place| **place > 0) {
            (*place, self.done) = (0, self.done - 1);
        }
    }
}

/// Refuses a record that the journal of `chunks` cannot hold at `place`.
fn check(record: Record, place: u64, chunks: &Range<u64>) -> Result<()> {
    let number = record.receipt.number;
    if place >= u64::from(u32::MAX) {
        return Err(Error::unsupported("a journal holds at most 4294967295 records"));
    }
    if matches!(record.kind, BEGUN | ALL_VOID) {
        return Ok(());
    }
    if !chunks.contains(&number) {
        return Err(Error::data(format!("a receipt of chunk {number}; legal: within {chunks:?}")));
    }
    if number - chunks.start > place.saturating_add(FARTHEST) {
        return Err(Error::data(format!("a receipt of chunk {number}, far beyond all others")));
    }
    Ok(())
}

impl Record {
    fn encode(&self, key: u64) -> [u8; RECORD] {
        let Receipt { number, digest, stored, stamp } = self.receipt;
        let mut bytes = [0; RECORD];
        for (k, word) in [number, digest, stored, stamp, self.time].into_iter().enumerate() {
            bytes[8 * k..8 * k + 8].copy_from_slice(&word.to_le_bytes());
        }
        bytes[40..44].copy_from_slice(&self.kind.to_le_bytes());
        let check = XxHash3_64::oneshot_with_seed(key, &bytes[..44]) as u32;
        bytes[44..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// None where the checksum is wrong, or the kind unknown.
    fn decode(bytes: &[u8; RECORD], key: u64) -> Option<Self> {
        let kind = u32_at(bytes, 40);
        let check = XxHash3_64::oneshot_with_seed(key, &bytes[..44]) as u32;
        if check != u32_at(bytes, 44) || !(COMMITTED..=ALL_VOID).contains(&kind) {
            return None;
        }
        let [number, digest, stored, stamp, time] = [0, 8, 16, 24, 32].map(|at| u64_at(bytes, at));
        Some(Self { kind, receipt: Receipt { number, digest, stored, stamp }, time })
    }
}

/// Of a header without its key, and the job.
fn key(head: &[u8], job: &str) -> u64 {
    XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(head), job.as_bytes())
}

/// Reads until `bytes` is full or the file ends; how many there were.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match reader.read(&mut bytes[done..]) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Times are for the rate alone: whatever a clock says, receipts count, and no rate is absurd.
    #[test]
    fn clocks_may_jump() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.journal");
        let journal = Journal::create(&path, "job", 0..9, false).unwrap();
        let at = |kind, number, time| {
            let receipt = Receipt { number, digest: 1, stored: 1, stamp: 1 };
            journal.append(Record { kind, receipt, time }).unwrap();
            let read = Journal::read(&path).unwrap();
            assert_eq!((journal.rate(), journal.done()), (read.rate(), read.done()));
            journal.rate()
        };
        assert_eq!(at(BEGUN, 0, 5_000), None);
        assert_eq!(at(COMMITTED, 0, 4_000), None);
        assert_eq!(at(COMMITTED, 1, 5_000), None);
        assert_eq!(at(COMMITTED, 2, 9_000), Some(0.75));
        assert_eq!(at(COMMITTED, 3, 0), None);
        assert!(at(COMMITTED, 4, u64::MAX).is_some_and(|rate| rate > 0.0 && rate < 1e-9));
        assert_eq!(at(BEGUN, 0, u64::MAX), None);
        assert_eq!(at(FAILED, 4, 1), None);
        assert_eq!(at(COMMITTED, 4, 2), None);
        assert_eq!((journal.done(), journal.failed()), (5, Vec::new()));
    }

    /// What is void is so for whoever reads the journal next.
    #[test]
    fn receipts_become_void() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.journal");
        let journal = Journal::create(&path, "job", 3..9, false).unwrap();
        let state = |journal: &Journal| {
            let has: Vec<u64> = (0..12).filter(|&n| journal.has(n)).collect();
            (journal.done(), has, journal.first_missing())
        };
        let check = |expected: (u64, Vec<u64>, Option<u64>)| {
            assert_eq!(state(&journal), expected);
            assert_eq!(state(&Journal::read(&path).unwrap()), expected);
        };
        let commit = |number| {
            journal.commit(Receipt { number, digest: 1, stored: 1, stamp: 1 }).unwrap();
        };
        [3, 4, 8].into_iter().for_each(commit);
        check((3, vec![3, 4, 8], Some(5)));
        let records = std::fs::metadata(&path).unwrap().len();
        // Nothing is to be known of what was not committed, nor of a chunk of another journal.
        [2, 5, 9, 100].into_iter().for_each(|number| journal.void(number).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), records);
        journal.void(4).unwrap();
        check((2, vec![3, 8], Some(4)));
        assert_eq!(journal.receipt(4).unwrap(), None);
        commit(4);
        check((3, vec![3, 4, 8], Some(5)));
        journal.void_all().unwrap();
        check((0, vec![], Some(3)));
        commit(8);
        check((1, vec![8], Some(3)));
    }
}
