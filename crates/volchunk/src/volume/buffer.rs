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

/// Words up to which a buffer may be larger than what it is taken for.
const SMALL: usize = 1 << 10;

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
        let near = need / 2..=need.saturating_mul(2).max(SMALL);
        let fits = (0..self.free.len()).filter(|&i| near.contains(&self.free[i].len()));
        let words = match fits.min_by_key(|&i| self.free[i].len().abs_diff(need)) {
            Some(i) => {
                let mut words = self.free.swap_remove(i);
                self.kept -= words.len();
                if words.len() < need || words.len() > need.max(SMALL) {
                    // To what is asked for, not more: what comes next counts on the rest. Of large
                    // blocks the system moves pages, and no voxel is copied.
                    self.shed(need);
                    words.truncate(need);
                    words.shrink_to_fit();
                    words.reserve_exact(need - words.len());
                    words.resize(need, 0);
                }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever was kept before: as long as what is asked for is within the limit, so is what
        /// is held; and what is taken was written whole by its maker or is zero.
        #[test]
        fn what_is_held_is_within_what_is_asked(
            steps in prop::collection::vec((0usize..6, 1usize..40_000), 1..60),
        ) {
            let limit = 60_000;
            let mut scratch = Scratch::with_limit(8 * limit as u64);
            let mut asked: Vec<(usize, Buffer)> = Vec::new();
            for (choice, words) in steps {
                let sum: usize = asked.iter().map(|(words, _)| *words).sum();
                if choice > 2 && sum + words <= limit {
                    let buffer = scratch.take(&[words as u64], Dtype::F64);
                    prop_assert_eq!(buffer.bytes().len(), 8 * words);
                    asked.push((words, buffer));
                } else if !asked.is_empty() {
                    scratch.give(asked.swap_remove(choice % asked.len()).1);
                }
                let slack = SMALL * asked.len();
                let taken: usize = asked.iter().map(|(_, b)| b.words.capacity()).sum();
                let kept: usize = scratch.free.iter().map(Vec::capacity).sum();
                prop_assert_eq!((taken, kept), (scratch.taken, scratch.kept));
                prop_assert!(taken + kept <= limit + slack, "{} + {} words", taken, kept);
            }
        }
    }
}
