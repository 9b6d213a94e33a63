//! NumPy arrays as the core's views, over the buffer protocol.

use std::{ops::Range, slice};

use pyo3::{buffer::PyUntypedBuffer, exceptions::PyValueError, prelude::*};
use volchunk::{Coords, Dtype, View, ViewMut};

/// The memory of a Python object, held until [`release`](Self::release): the exporter keeps it in
/// place and alive.
pub(crate) struct Array(PyUntypedBuffer);

impl Array {
    /// The memory of `object`, whose strides are not negative.
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self(PyUntypedBuffer::get(object)?))
    }

    /// As [`new`](Self::new), any strides; a copy, which NumPy makes, where one is negative or where
    /// the memory overlaps `taken`.
    pub(crate) fn readable(object: &Bound<'_, PyAny>, taken: &Range<usize>) -> PyResult<Self> {
        let array = Self::new(object)?;
        let span = array.span();
        let apart = span.end <= taken.start || taken.end <= span.start;
        if array.0.strides().iter().all(|&s| s >= 0) && (span.is_empty() || apart) {
            return Ok(array);
        }
        let numpy = object.py().import("numpy")?;
        Self::new(&numpy.call_method1("array", (object,))?)
    }

    /// Length of each axis in voxels.
    pub(crate) fn shape(&self) -> Coords {
        self.0.shape().iter().map(|&n| n as u64).collect()
    }

    /// The addresses from the first byte to one past the last.
    pub(crate) fn span(&self) -> Range<usize> {
        let (mut low, mut high) = (0isize, self.0.item_size() as isize);
        for (&n, &stride) in self.0.shape().iter().zip(self.0.strides()) {
            if n == 0 {
                return 0..0;
            }
            let reach = (n as isize - 1) * stride;
            (low, high) = (low + reach.min(0), high + reach.max(0));
        }
        let at = self.0.buf_ptr() as usize;
        at.wrapping_add_signed(low)..at.wrapping_add_signed(high)
    }

    /// A view as raw voxels: unsigned integers of the item's size or, where there are none, bytes
    /// with one more axis. The same for all arrays of one dtype.
    pub(crate) fn view(&self) -> PyResult<View<'_>> {
        let (shape, strides, dtype) = self.raw()?;
        Ok(View::strided(&shape, &strides, dtype, self.bytes()))
    }

    /// The same as numbers of `dtype`, which has the item's size.
    pub(crate) fn view_as(&self, dtype: Dtype) -> PyResult<View<'_>> {
        let (shape, strides, raw) = self.raw()?;
        if raw.size() != dtype.size() || shape.len() != self.0.dimensions() {
            return Err(self.not_of(dtype));
        }
        Ok(View::strided(&shape, &strides, dtype, self.bytes()))
    }

    /// As [`view`](Self::view), to write through.
    ///
    /// # Safety
    /// Nothing else may read or write this memory while the view lives.
    pub(crate) unsafe fn view_mut(&mut self) -> PyResult<ViewMut<'_>> {
        let (shape, strides, dtype) = self.raw()?;
        // SAFETY: the caller's promise is this one's.
        Ok(ViewMut::strided(&shape, &strides, dtype, unsafe { self.bytes_mut() }?))
    }

    /// As [`view_as`](Self::view_as), to write through.
    ///
    /// # Safety
    /// As [`view_mut`](Self::view_mut).
    pub(crate) unsafe fn view_mut_as(&mut self, dtype: Dtype) -> PyResult<ViewMut<'_>> {
        let (shape, strides, raw) = self.raw()?;
        if raw.size() != dtype.size() || shape.len() != self.0.dimensions() {
            return Err(self.not_of(dtype));
        }
        // SAFETY: the caller's promise is this one's.
        Ok(ViewMut::strided(&shape, &strides, dtype, unsafe { self.bytes_mut() }?))
    }

    /// Hands the memory back; cheaper than a drop, which has to find the interpreter.
    pub(crate) fn release(self, py: Python<'_>) {
        self.0.release(py);
    }

    fn not_of(&self, dtype: Dtype) -> PyErr {
        PyValueError::new_err(format!("items of {} bytes are not {dtype}", self.0.item_size()))
    }

    /// Shape and strides in bytes of the raw voxels, and their dtype.
    fn raw(&self) -> PyResult<(Coords, Coords, Dtype)> {
        let mut shape = self.shape();
        let strides: Option<Coords> = (self.0.shape().iter().zip(self.0.strides()))
            // An axis without neighbours may have any stride.
            .map(|(&n, &s)| if n < 2 { Some(0) } else { u64::try_from(s).ok() })
            .collect();
        let mut strides =
            strides.ok_or_else(|| PyValueError::new_err("an array with negative strides"))?;
        let dtype = match self.0.item_size() {
            1 => Dtype::U8,
            2 => Dtype::U16,
            4 => Dtype::U32,
            8 => Dtype::U64,
            size => {
                shape.push(size as u64);
                strides.push(1);
                Dtype::U8
            }
        };
        Ok((shape, strides, dtype))
    }

    fn bytes(&self) -> &[u8] {
        let span = self.span();
        if span.is_empty() {
            return &[];
        }
        // SAFETY: the exporter promised this memory, from the first to the last item, until the
        // buffer is released, which ends this borrow. Writes by other Python threads meanwhile are
        // the caller's to prevent, as for any NumPy function that releases the interpreter.
        unsafe { slice::from_raw_parts(span.start as *const u8, span.len()) }
    }

    /// # Safety
    /// As [`view_mut`](Self::view_mut).
    unsafe fn bytes_mut(&mut self) -> PyResult<&mut [u8]> {
        if self.0.readonly() {
            return Err(PyValueError::new_err("the output is read-only"));
        }
        let span = self.span();
        if span.is_empty() {
            return Ok(&mut []);
        }
        // SAFETY: as in `bytes`; the memory is writable, and the caller promises that nothing else
        // uses it.
        Ok(unsafe { slice::from_raw_parts_mut(span.start as *mut u8, span.len()) })
    }
}
