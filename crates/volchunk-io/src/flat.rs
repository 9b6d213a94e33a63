//! Regions of a C-order array that lies uninterrupted in a file, read and written at positions.

use std::{path::Path, sync::OnceLock};

use volchunk::{Coords, Dtype, Region, Result, Scratch, View, ViewMut};

use crate::file::{Begin, CountedFile, PartialFile};

/// Rows whose gap is at most this are read in one call with what lies between: the disk reads
/// whole pages anyway, and copying a page costs less than another call.
const JOIN_GAP: u64 = 4096;

/// Runs at least this long are worth a call of their own, straight into their place.
const LONG_RUN: u64 = 16 << 10;

/// Bytes of one joined read: within a core's own cache, where they are picked apart.
pub(crate) const BUFFER: u64 = 256 << 10;

/// A C-order array of voxels that starts at `offset` in a file.
///
/// Whoever makes one has checked that `offset` plus its bytes is within `u64`.
#[derive(Debug)]
pub(crate) struct FlatArray {
    offset: u64,
    strides: Coords,
    dtype: Dtype,
    swapped: bool,
}

impl FlatArray {
    /// The array of `shape` at `offset`, whose bytes are of the other order where `swapped`.
    pub(crate) fn new(offset: u64, shape: &[u64], dtype: Dtype, swapped: bool) -> Self {
        let mut strides = Coords::from_slice(shape);
        let mut step = dtype.size() as u64;
        for (stride, &n) in strides.iter_mut().zip(shape).rev() {
            (*stride, step) = (step, step.saturating_mul(n));
        }
        Self { offset, strides, dtype, swapped }
    }

    /// Reads `region` into `out`, of the same shape, any strides.
    ///
    /// # Errors
    /// I/O; a file that ends before.
    pub(crate) fn read(
        &self,
        file: &CountedFile,
        region: &Region,
        mut out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let dense = self.piece(region.shape(), 0, u64::MAX);
        let joined = self.piece(region.shape(), JOIN_GAP, BUFFER);
        let long = self.span(&dense) >= LONG_RUN || self.span(&joined) <= self.span(&dense);
        if long && out.part_mut(&Region::whole(&dense)).as_contiguous_mut().is_some() {
            return for_each_piece(region.shape(), &dense, |piece| {
                let mut part = out.part_mut(piece);
                let Some(bytes) = part.as_contiguous_mut() else { return Ok(()) };
                file.read_exact_at(bytes, self.position(region, piece))?;
                self.swap(bytes);
                Ok(())
            });
        }
        let mut buffer = scratch.take(&[self.span(&joined)], Dtype::U8);
        let result = for_each_piece(region.shape(), &joined, |piece| {
            let span = self.span(piece.shape()) as usize;
            let bytes = &mut buffer.bytes_mut()[..span];
            file.read_exact_at(bytes, self.position(region, piece))?;
            self.swap(bytes);
            let from = View::strided(piece.shape(), &self.strides, self.dtype, bytes);
            out.part_mut(piece).copy_from(&from);
            Ok(())
        });
        scratch.give(buffer);
        result
    }

    /// Writes `data`, of the same shape, any strides, to `region`; never a byte between its rows,
    /// which another thread may be writing.
    ///
    /// # Errors
    /// I/O, such as a full disk.
    pub(crate) fn write(
        &self,
        file: &PartialFile,
        region: &Region,
        data: &View<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        let dense = self.piece(region.shape(), 0, u64::MAX);
        let in_place = data.part(&Region::whole(&dense)).as_contiguous().is_some();
        let as_is = !self.swapped && self.dtype != Dtype::Bool;
        if in_place && as_is {
            return for_each_piece(region.shape(), &dense, |piece| {
                let Some(bytes) = data.part(piece).as_contiguous() else { return Ok(()) };
                file.write_all_at(bytes, self.position(region, piece))
            });
        }
        let run = self.piece(region.shape(), 0, BUFFER);
        let mut buffer = scratch.take(&[self.span(&run)], Dtype::U8);
        let result = for_each_piece(region.shape(), &run, |piece| {
            let span = self.span(piece.shape()) as usize;
            let bytes = &mut buffer.bytes_mut()[..span];
            ViewMut::contiguous(piece.shape(), self.dtype, bytes).copy_from(&data.part(piece));
            if self.dtype == Dtype::Bool {
                // A source may have stored another true; files get 0 and 1.
                bytes.iter_mut().for_each(|b| *b = u8::from(*b != 0));
            }
            self.swap(bytes);
            file.write_all_at(bytes, self.position(region, piece))
        });
        scratch.give(buffer);
        result
    }

    /// The largest part of a region of `shape`, grown from the fastest axis, that one call reads:
    /// it skips at most `gap` bytes between rows and spans at most `limit`.
    fn piece(&self, shape: &[u64], gap: u64, limit: u64) -> Coords {
        let mut piece: Coords = shape.iter().map(|_| 1).collect();
        let mut span = self.dtype.size() as u64;
        for a in (0..shape.len()).rev().filter(|&a| shape[a] > 1) {
            let stride = self.strides[a];
            if stride - span > gap || span > limit {
                break;
            }
            piece[a] = ((limit - span) / stride).saturating_add(1).min(shape[a]);
            span += (piece[a] - 1) * stride;
            if piece[a] < shape[a] {
                break;
            }
        }
        piece
    }

    /// Bytes in the file from the first voxel of a box to one past its last.
    fn span(&self, shape: &[u64]) -> u64 {
        let last: u64 = shape.iter().zip(&self.strides).map(|(&n, &s)| (n - 1) * s).sum();
        last + self.dtype.size() as u64
    }

    /// Where the first voxel of `piece`, a part of `region`, lies in the file.
    fn position(&self, region: &Region, piece: &Region) -> u64 {
        let starts = region.start().iter().zip(piece.start());
        let within: u64 = starts.zip(&self.strides).map(|((&r, &p), &s)| (r + p) * s).sum();
        self.offset + within
    }

    fn swap(&self, bytes: &mut [u8]) {
        if self.swapped {
            swap_bytes(bytes, self.dtype.size());
        }
    }
}

/// An array that is being written to a file of its own.
#[derive(Debug)]
pub(crate) struct FlatOutput {
    file: PartialFile,
    array: FlatArray,
    /// The same file, to read what was written; opened when it is needed.
    written: OnceLock<CountedFile>,
}

impl FlatOutput {
    /// The file of `len` bytes that becomes `output`, and the array in it.
    ///
    /// # Errors
    /// As [`PartialFile::open`].
    pub(crate) fn open(output: &Path, array: FlatArray, len: u64, begin: Begin) -> Result<Self> {
        let file = PartialFile::open(output, len, begin)?;
        Ok(Self { file, array, written: OnceLock::new() })
    }

    pub(crate) fn file(&self) -> &PartialFile {
        &self.file
    }

    /// Writes `data`, of the same shape, any strides, to `region`.
    ///
    /// # Errors
    /// I/O, such as a full disk.
    pub(crate) fn write(
        &self,
        region: &Region,
        data: &View<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.array.write(&self.file, region, data, scratch)?;
        self.file.flush()
    }

    /// The bytes of `region`: the file is as long as it was made.
    pub(crate) fn stored_bytes(&self, region: &Region) -> u64 {
        region.voxels() * self.array.dtype.size() as u64
    }

    /// Reads what was written to `region`.
    ///
    /// # Errors
    /// I/O.
    pub(crate) fn read_back(
        &self,
        region: &Region,
        out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let file = match self.written.get() {
            Some(file) => file,
            None => {
                let file = CountedFile::open(self.file.path())?;
                self.written.get_or_init(|| file)
            }
        };
        self.array.read(file, region, out, scratch)
    }
}

/// Reverses the bytes of every item of `size` bytes.
pub(crate) fn swap_bytes(bytes: &mut [u8], size: usize) {
    fn each<const N: usize>(bytes: &mut [u8]) {
        // A known length becomes vector shuffles.
        let (items, _) = bytes.as_chunks_mut::<N>();
        for item in items {
            item.reverse();
        }
    }
    match size {
        2 => each::<2>(bytes),
        4 => each::<4>(bytes),
        8 => each::<8>(bytes),
        _ => {}
    }
}

/// Calls `f` with the boxes of shape `piece`, clipped, that make up a box of `shape`, in C order.
pub(crate) fn for_each_piece(
    shape: &[u64],
    piece: &[u64],
    mut f: impl FnMut(&Region) -> Result<()>,
) -> Result<()> {
    let mut start: Coords = shape.iter().map(|_| 0).collect();
    loop {
        let len: Coords = (0..shape.len()).map(|a| piece[a].min(shape[a] - start[a])).collect();
        f(&Region::new(&start, &len))?;
        let mut a = shape.len();
        loop {
            if a == 0 {
                return Ok(());
            }
            a -= 1;
            start[a] += piece[a];
            if start[a] < shape[a] {
                break;
            }
            start[a] = 0;
        }
    }
}
