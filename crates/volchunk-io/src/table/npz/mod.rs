//! MagellanMapper's archive of blobs, `NAME_blobs.npz`: NumPy arrays in an uncompressed zip.
//!
//! Version 5, as its `magmap.cv.detector.Blobs` reads it: `ver`; `segments`, a row of eight `f64` for
//! each blob: z, y, x, radius, confirmed, truth, channel, region, −1 where unset; `resolutions`, the
//! voxel size in µm; `basename`; `offset` and `roi_size`, the region that was looked at;
//! `colocs`, an `u8` for each blob and channel that is 1 where it lies in that channel too, or None, from
//! and to the columns `coloc-0`, `coloc-1`, …; `columns`, the names of those of `segments`. What is not known is left out, which its reader
//! bears. σ is not among the columns: MagellanMapper's radius is σ·√3. Neither is the response.

mod array;
mod read;
mod write;
mod zip;

pub(super) use read::open;
pub(super) use write::create;

/// The version of archives whose layout this is.
const VERSION: i64 = 5;

/// The columns of `segments`.
const COLUMNS: [&str; 8] = ["z", "y", "x", "radius", "confirmed", "truth", "channel", "region"];

/// The value of flags that nobody has set.
const UNSET: f64 = -1.0;
