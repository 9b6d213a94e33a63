//! An array copied to where other processes see it.

use super::join_cores;
use crate::{Result, SharedArray, View};

/// A copy of `image`, any strides, in memory that other processes can open.
///
/// At most `threads` threads copy, the caller's among them; none outlives the call. See
/// [`SharedArray`] for an example.
///
/// # Errors
/// As [`SharedMemory::new`](crate::SharedMemory::new).
pub fn share(image: &View<'_>, threads: usize) -> Result<SharedArray> {
    let mut copy = SharedArray::zeros(image.shape(), image.dtype())?;
    let lengths: Vec<Vec<u64>> = image.shape().iter().map(|&n| vec![n]).collect();
    // SAFETY: the memory is new; nobody else has its descriptor.
    join_cores(&lengths, std::slice::from_ref(image), unsafe { copy.view_mut() }, threads)?;
    Ok(copy)
}
