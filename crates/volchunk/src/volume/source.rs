//! Where voxels come from and where they go: the traits that every format implements.

use super::{Scratch, View, ViewMut, VolumeInfo};
use crate::{Result, geometry::Region};

/// A volume that can be read by region, from many threads at once.
pub trait Source: Send + Sync {
    /// Shape, dtype, axes, storage.
    fn info(&self) -> &VolumeInfo;

    /// Reads `region` into `out`, which has its shape and the volume's dtype.
    ///
    /// The region lies within the volume; [`check_within`](Region::check_within) first if unsure.
    ///
    /// # Errors
    /// I/O, truncated or contradictory data. Names the file.
    fn read(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()>;

    /// `region` without a copy, where the voxels are already in memory.
    fn borrow(&self, region: &Region) -> Option<View<'_>> {
        let _ = region;
        None
    }

    /// Bytes that one [`read`](Self::read) of one storage chunk may hold beyond its result, such
    /// as the encoded chunk. Part of the projected peak.
    fn read_overhead(&self) -> u64 {
        0
    }

    /// Bytes read from files so far; 0 for memory.
    fn bytes_read(&self) -> u64 {
        0
    }
}

/// A volume that can be written by region, from many threads at once.
///
/// Regions of concurrent writes are disjoint and made of whole write units of
/// [`VolumeInfo::storage`] (clipped to the volume).
pub trait Sink: Send + Sync {
    /// Shape, dtype, axes, storage of what is being written.
    fn info(&self) -> &VolumeInfo;

    /// Writes `data` to `region`.
    ///
    /// # Errors
    /// I/O; names the file.
    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()>;

    /// Marks the output complete. Called once, after every region was written.
    ///
    /// # Errors
    /// I/O; the output is then not complete.
    fn finish(&self) -> Result<()>;

    /// Bytes that one [`write`](Self::write) may hold beyond its input.
    fn write_overhead(&self) -> u64 {
        0
    }
}
