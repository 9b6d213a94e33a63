//! Memory that processes share, and an array in it.

use std::{fs::File, slice};

use super::{Dtype, View, ViewMut};
use crate::{
    Error, Result,
    geometry::{Coords, Region},
    os,
};

/// Memory without a name that another process can map: handed on as an open file, gone with the
/// last process that holds it, however that one ends.
///
/// On Linux it is a memfd, which is not counted against `/dev/shm` and can't be shrunk by those who
/// share it. On other Unix systems it is a temporary file, deleted before its first byte is written;
/// its room on the disk is taken as it is made, so that a full disk is an error and no signal.
///
/// ```
/// # #[cfg(unix)] {
/// use volchunk::SharedMemory;
/// let memory = SharedMemory::new(100)?;
/// let elsewhere = memory.file().try_clone().expect("a descriptor");
/// let same = SharedMemory::open(elsewhere, 100)?;
/// // SAFETY: nobody else uses this memory meanwhile.
/// unsafe { memory.as_ptr().write(7) };
/// // SAFETY: as above.
/// assert_eq!(unsafe { same.bytes() }[..2], [7, 0]);
/// # }
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedMemory {
    file: File,
    mapping: os::SharedMapping,
}

impl SharedMemory {
    /// `bytes` zeros.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the system has no such memory left, or no such memory at all
    /// (Windows).
    pub fn new(bytes: u64) -> Result<Self> {
        let file = os::anonymous_file()
            .map_err(|e| Error::io(format_args!("{bytes} bytes of shared memory"), e))?;
        Self::at_least(file, bytes)
    }

    /// The first `bytes` of the memory that `file` is, which another process made.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is shorter;
    /// [`Io`](crate::ErrorKind::Io) if `file` can't be mapped to read and write.
    pub fn open(file: File, bytes: u64) -> Result<Self> {
        let there = length(&file)?;
        if there < bytes {
            return Err(Error::argument(format!(
                "shared memory of {there} bytes, {bytes} were to be opened"
            )));
        }
        Self::at_least(file, bytes)
    }

    /// The same memory, now at least `bytes` long, mapped anew: what was views of it stays valid.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn grown(&self, bytes: u64) -> Result<Self> {
        let file = self.file.try_clone().map_err(|e| Error::io("shared memory's descriptor", e))?;
        Self::at_least(file, bytes.max(self.len() as u64))
    }

    fn at_least(file: File, bytes: u64) -> Result<Self> {
        // No system maps an empty range.
        let bytes = bytes.max(1);
        let what = || format!("{bytes} bytes of shared memory");
        if length(&file)? < bytes {
            os::lengthen(&file, bytes).map_err(|e| Error::io(what(), e))?;
        }
        let mapping = os::map_shared(&file, bytes).map_err(|e| Error::io(what(), e))?;
        Ok(Self { file, mapping })
    }

    /// Its descriptor, to be given to the process that opens it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes that are mapped, at least one.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.mapping.len()
    }

    /// Where it is mapped, on a page's boundary.
    pub fn as_ptr(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }

    // A safe reference would be a lie: Rust may assume that what it borrows does not change, and
    // no lock of ours binds another process. Reads that copied out byte by byte would be safe, but
    // would cost a copy of every chunk where the callers already take turns by message.

    /// All of it, to read.
    ///
    /// # Safety
    /// While the slice lives nobody writes to this memory, in no process and through no other
    /// handle, and nobody truncates a file that stands for it.
    pub unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for as long as self lives; that nobody writes is the caller's promise.
        unsafe { slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// All of it, to write.
    ///
    /// # Safety
    /// As [`bytes`](Self::bytes), and nobody reads it either.
    pub unsafe fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: mapped for as long as self lives; that nobody else uses it is the caller's promise.
        unsafe { slice::from_raw_parts_mut(self.as_ptr(), self.len()) }
    }
}

fn length(file: &File) -> Result<u64> {
    Ok(file.metadata().map_err(|e| Error::io("shared memory's length", e))?.len())
}

/// A C-order array in [`SharedMemory`]; [`share`](crate::share) makes a copy of one in it.
///
/// ```
/// # #[cfg(unix)] {
/// use volchunk::{Buffer, Dtype, SharedArray};
/// let image = Buffer::from_slice(&[2, 3], &[1u16, 2, 3, 4, 5, 6]);
/// let shared = volchunk::share(&image.view(), 2)?;
/// // What another process does with the descriptor that it was given:
/// let file = shared.file().try_clone().expect("a descriptor");
/// let same = SharedArray::open(file, &[2, 3], Dtype::U16)?;
/// // SAFETY: nobody writes to this memory any more.
/// assert_eq!(unsafe { same.view() }.as_contiguous(), image.view().as_contiguous());
/// # }
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct SharedArray {
    shape: Coords,
    dtype: Dtype,
    memory: SharedMemory,
}

impl SharedArray {
    /// An array of zeros, which on Linux take no memory before they are written.
    ///
    /// # Errors
    /// As [`SharedMemory::new`].
    pub fn zeros(shape: &[u64], dtype: Dtype) -> Result<Self> {
        let memory = SharedMemory::new(bytes(shape, dtype)?)?;
        Ok(Self { shape: Coords::from_slice(shape), dtype, memory })
    }

    /// The array of this shape and dtype that another process put into the memory that `file` is.
    ///
    /// # Errors
    /// As [`SharedMemory::open`].
    pub fn open(file: File, shape: &[u64], dtype: Dtype) -> Result<Self> {
        let memory = SharedMemory::open(file, bytes(shape, dtype)?)?;
        Ok(Self { shape: Coords::from_slice(shape), dtype, memory })
    }

    /// Length of each axis in voxels.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Type of a voxel.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The memory's descriptor, to be given to the process that opens it.
    pub fn file(&self) -> &File {
        self.memory.file()
    }

    /// A view of all of it.
    ///
    /// # Safety
    /// As [`SharedMemory::bytes`].
    pub unsafe fn view(&self) -> View<'_> {
        // SAFETY: the caller's promise is this one's.
        View::contiguous(&self.shape, self.dtype, unsafe { self.memory.bytes() })
    }

    /// A view of all of it, to write through; every process that has it open sees what is written.
    ///
    /// # Safety
    /// As [`SharedMemory::bytes_mut`].
    pub unsafe fn view_mut(&mut self) -> ViewMut<'_> {
        // SAFETY: the caller's promise is this one's.
        ViewMut::contiguous(&self.shape, self.dtype, unsafe { self.memory.bytes_mut() })
    }
}

fn bytes(shape: &[u64], dtype: Dtype) -> Result<u64> {
    let voxels = Region::whole(shape).voxels();
    (voxels.checked_mul(dtype.size() as u64)).filter(|&n| isize::try_from(n).is_ok()).ok_or_else(
        || {
            Error::argument(format!(
                "{dtype} of shape {shape:?} in shared memory; legal: up to {} bytes",
                isize::MAX
            ))
        },
    )
}
