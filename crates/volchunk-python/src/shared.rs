//! Shared memory as a Python object with the buffer protocol.

use std::{
    ffi::c_int,
    fs::File,
    os::fd::{AsRawFd, BorrowedFd},
};

use pyo3::{
    exceptions::{PyBufferError, PyValueError},
    ffi,
    prelude::*,
};

use crate::error::to_python;

/// Memory that processes share, writable through the buffer protocol; see `volchunk::SharedMemory`.
///
/// It is not copied, nor moved, nor unmapped while a buffer of it is held.
#[pyclass(frozen, module = "volchunk._native")]
pub(crate) struct SharedMemory(volchunk::SharedMemory);

#[pymethods]
impl SharedMemory {
    /// `size` zeros, or at least one.
    #[new]
    fn new(size: u64) -> PyResult<Self> {
        Ok(Self(volchunk::SharedMemory::new(size).map_err(to_python)?))
    }

    /// The memory behind a file descriptor, which stays the caller's to close.
    #[staticmethod]
    fn open(descriptor: i32, size: u64) -> PyResult<Self> {
        if descriptor < 0 {
            return Err(PyValueError::new_err(format!(
                "descriptor is {descriptor}; legal: 0 or more"
            )));
        }
        // SAFETY: it is not -1, and only duplicated; the system refuses one that is not open.
        let file = unsafe { BorrowedFd::borrow_raw(descriptor) }.try_clone_to_owned()?;
        Ok(Self(volchunk::SharedMemory::open(File::from(file), size).map_err(to_python)?))
    }

    /// The same memory with at least `size` bytes; buffers of this object stay valid.
    fn grown(&self, size: u64) -> PyResult<Self> {
        Ok(Self(self.0.grown(size).map_err(to_python)?))
    }

    /// The file descriptor, open for as long as this object lives.
    fn fileno(&self) -> i32 {
        self.0.file().as_raw_fd()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// # Safety
    /// `view` is null, or points to a buffer to be filled in.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no buffer to fill in"));
        }
        let memory = &slf.get().0;
        let len = memory.len() as ffi::Py_ssize_t;
        // SAFETY: `view` is valid; the memory is mapped, and writable, for as long as the object
        // lives, which the buffer holds. Python buffers are raw pointers: that others may write to
        // it at the same time is known to who uses it.
        let failed = unsafe {
            ffi::PyBuffer_FillInfo(view, slf.as_ptr(), memory.as_ptr().cast(), len, 0, flags)
        };
        if failed == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
