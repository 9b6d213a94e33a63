//! Where voxels come from and where they go: the traits that every format implements.

use super::{Buffer, Scratch, View, ViewMut, VolumeInfo};
use crate::{Error, Result, geometry::Region};

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

    /// Tells whether what `region` is stored in has changed: the same number as before, as long as
    /// the files behind it, as they are read, keep their sizes and times. 0 for memory, whose
    /// changes its owner sees.
    ///
    /// # Errors
    /// I/O other than that a file is missing.
    fn stamp(&self, region: &Region) -> Result<u64> {
        let _ = region;
        Ok(0)
    }

    /// Bytes that the files of `region` have, as [`Sink::stored_bytes`] told when it was written. A
    /// volume that opens, and lies in one file, is all there.
    ///
    /// # Errors
    /// I/O other than that a file is missing.
    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        Ok(region.voxels().saturating_mul(self.info().dtype.size() as u64))
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

    /// Writes `data` to `region`: its voxels, or the table that an op made of it.
    ///
    /// # Errors
    /// I/O; names the file.
    fn write(&self, region: &Region, data: View<'_>, scratch: &mut Scratch) -> Result<()>;

    /// Bytes that the files of `region` have, of what was written there: the same number as long
    /// as nothing of it is missing. 0 where there are no files.
    ///
    /// # Errors
    /// I/O other than that a file is missing.
    fn stored_bytes(&self, region: &Region) -> Result<u64> {
        let _ = region;
        Ok(0)
    }

    /// Reads back into `out` what was written to `region`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where it cannot be read; what was damaged
    /// since; I/O.
    fn read_back(&self, region: &Region, out: ViewMut<'_>, scratch: &mut Scratch) -> Result<()> {
        let _ = (region, out, scratch);
        Err(Error::unsupported("this output cannot be read back"))
    }

    /// The table that was written to `region`, where tables are written and not voxels.
    ///
    /// # Errors
    /// As [`read_back`](Self::read_back).
    fn read_table(&self, region: &Region) -> Result<Buffer> {
        let _ = region;
        Err(Error::unsupported("this output holds no tables"))
    }

    /// Waits until all that was written is where a reader on any machine finds it, as far as the output
    /// promises that. Called when a run, or a part of one, has written its last region.
    ///
    /// # Errors
    /// I/O, such as a full disk that a network file system tells of late: what was written may be lost.
    fn flush(&self) -> Result<()> {
        Ok(())
    }

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
