//! Memory for voxels, and its reuse.

use super::{Dtype, View, ViewMut};
use crate::geometry::{Coords, Region};

/// An owned C-order array of voxels, aligned for every dtype.
#[derive(Debug, Clone)]
pub struct Buffer {
    shape: Coords,
    dtype: Dtype,
    words: Vec<u64>,
}

impl Buffer {
    /// An array of zeros.
    ///
    /// # Panics
    /// If its bytes exceed what the address space can hold; plans refuse such sizes before.
    pub fn zeros(shape: &[u64], dtype: Dtype) -> Self {
        Self { shape: Coords::from_slice(shape), dtype, words: vec![0; words_for(shape, dtype)] }
    }

    /// An array of zeros that is about to be written whole: huge pages are asked for.
    ///
    /// Nothing is touched yet, so the threads that write first share the cost of the fresh pages.
    ///
    /// # Panics
    /// As [`zeros`](Self::zeros).
    pub fn zeros_in_huge_pages(shape: &[u64], dtype: Dtype) -> Self {
        let mut buffer = Self::zeros(shape, dtype);
        crate::os::advise_huge_pages(buffer.bytes_mut());
        buffer
    }

    /// An array that holds `values` in C order.
    ///
    /// # Panics
    /// If their number is not the product of `shape`.
    pub fn from_slice<T: super::Element>(shape: &[u64], values: &[T]) -> Self {
        let mut buffer = Self::zeros(shape, T::DTYPE);
        buffer.as_slice_mut::<T>().copy_from_slice(values);
        buffer
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Type of a voxel.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The voxels as bytes in native order.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.byte_len()]
    }

    /// The voxels as bytes in native order.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let n = self.byte_len();
        &mut bytemuck::cast_slice_mut(&mut self.words)[..n]
    }

    /// Bytes of memory behind it, which may be more than its voxels take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.words.len() * 8
    }

    fn byte_len(&self) -> usize {
        Region::whole(&self.shape).voxels() as usize * self.dtype.size()
    }

    /// The voxels, C order.
    ///
    /// # Panics
    /// If `T` is not of this dtype.
    pub fn as_slice<T: super::Element>(&self) -> &[T] {
        assert_eq!(T::DTYPE, self.dtype, "voxels are {}", self.dtype);
        bytemuck::cast_slice(self.bytes())
    }

    /// The voxels, C order.
    ///
    /// # Panics
    /// If `T` is not of this dtype.
    pub fn as_slice_mut<T: super::Element>(&mut self) -> &mut [T] {
        assert_eq!(T::DTYPE, self.dtype, "voxels are {}", self.dtype);
        bytemuck::cast_slice_mut(self.bytes_mut())
    }

    /// A view of all of it.
    pub fn view(&self) -> View<'_> {
        View::contiguous(&self.shape, self.dtype, self.bytes())
    }

    /// A view of all of it, to write through.
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let (shape, dtype) = (self.shape.clone(), self.dtype);
        ViewMut::contiguous(&shape, dtype, self.bytes_mut())
    }
}

fn words_for(shape: &[u64], dtype: Dtype) -> usize {
    let bytes = Region::whole(shape).voxels().saturating_mul(dtype.size() as u64);
    usize::try_from(bytes.div_ceil(8)).unwrap_or(usize::MAX)
}

/// One worker's memory between chunks: buffers are taken and given back, not freed and mapped anew.
///
/// Fresh pages cost more than most kernels, so a worker keeps what it used, up to a limit on what
/// is taken and kept together.
#[derive(Debug)]
pub struct Scratch {
    free: Vec<Vec<u64>>,
    taken: usize,
    kept: usize,
    limit: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { free: Vec::new(), taken: 0, kept: 0, limit: usize::MAX }
    }
}

impl Scratch {
    /// Nothing kept yet, no limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps freed buffers only while taken and kept bytes stay within `bytes`.
    pub fn with_limit(bytes: u64) -> Self {
        Self { limit: usize::try_from(bytes / 8).unwrap_or(usize::MAX), ..Self::default() }
    }

    /// An array of `shape` whose voxels are whatever was there before: write before you read.
    pub fn take(&mut self, shape: &[u64], dtype: Dtype) -> Buffer {
        let need = words_for(shape, dtype);
        // Not one much larger: what is held would then count for less than it is.
        let fitting = need..=need.saturating_mul(2).max(1 << 10);
        let fits = (0..self.free.len()).filter(|&i| fitting.contains(&self.free[i].len()));
        let words = match fits.min_by_key(|&i| self.free[i].len()) {
            Some(i) => {
                let words = self.free.swap_remove(i);
                self.kept -= words.len();
                words
            }
            None => {
                self.shed(need);
                vec![0; need]
            }
        };
        self.taken += words.len();
        Buffer { shape: Coords::from_slice(shape), dtype, words }
    }

    /// Keeps the memory of `buffer` for the next [`take`](Self::take).
    pub fn give(&mut self, buffer: Buffer) {
        let words = buffer.words;
        self.taken = self.taken.saturating_sub(words.len());
        self.kept += words.len();
        self.free.push(words);
        self.shed(0);
    }

    /// Forgets a buffer that was taken and will not be given back.
    pub(crate) fn forget(&mut self, buffer: &Buffer) {
        self.taken = self.taken.saturating_sub(buffer.words.len());
    }

    /// Frees the smallest kept buffers until `coming` more words are within the limit.
    fn shed(&mut self, coming: usize) {
        while self.taken + self.kept + coming > self.limit {
            let Some(i) = (0..self.free.len()).min_by_key(|&i| self.free[i].len()) else { return };
            self.kept -= self.free.swap_remove(i).len();
        }
    }
}
