//! `volchunk colocalize` as it is typed.

use std::path::PathBuf;

use clap::Args;

use crate::args::{Describe, Limits};

pub(crate) const HELP: &str = "\
By distance (--tolerance): two points of different channels are a pair if they lie within
tolerance and each is the other's nearest of its channel; with each channel, a point is in one
pair at most. Frames are apart. The table gets, for every channel N, coloc-N (1 where the point
lies in channel N: of it, or paired with a point of it), coloc-N-index (the index of that point,
-1 for none) and coloc-N-distance (in tolerances, 0 to 1).

By intensity (--image): mean-N is the mean of channel N within the point's radius; coloc-N is 1
where it is at least the threshold of that channel, and where the point is of channel N. The points
must be in the image's voxels: a table that tells another voxel size or origin is refused.

In _blobs.npz, coloc-N are MagellanMapper's colocs. Columns of these names are replaced.
What decides of each row is held in memory, some 250 bytes and 20 for each channel; of the image, a
few chunks.

Examples:
  volchunk detect scan.zarr cells.csv --channel 0,1 --min-sigma 6um --max-sigma 9um --threshold 0.003
  volchunk colocalize cells.csv pairs.csv --tolerance 6um
  volchunk colocalize cells.csv signal.csv --image scan.zarr --threshold 5%,300

Exit codes: 0 done, also where no two points pair, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C.";

#[derive(Debug, Args)]
pub(crate) struct ColocalizeArgs {
    /// The table to read: .csv, .parquet, _blobs.npz; with a column 'channel'
    pub(crate) input: PathBuf,
    /// The table to write; the ending decides: .csv, .parquet, _blobs.npz
    pub(crate) output: PathBuf,
    /// How far apart the points of a pair may lie: one length, or one for each spatial axis, the
    /// semi-axes of an ellipsoid; voxels, or µm as in 6um
    #[arg(
        long,
        value_name = "N[um][,N…]",
        allow_hyphen_values = true,
        required_unless_present = "image",
        conflicts_with = "image"
    )]
    pub(crate) tolerance: Option<String>,
    /// The volume, with channels, in which to measure intensities
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// Where to measure around a point: one radius, or one for each spatial axis; voxels, or µm as in
    /// 6um [default: the table's]
    #[arg(
        long,
        value_name = "N[um][,N…]",
        allow_hyphen_values = true,
        conflicts_with = "tolerance"
    )]
    pub(crate) radius: Option<String>,
    /// Least mean of a channel in which a point lies: a value, or a percentile of the means around that
    /// channel's own points; one, or one for each channel of the image
    #[arg(
        long,
        value_name = "N|N%[,…]",
        allow_hyphen_values = true,
        conflicts_with = "tolerance",
        default_value = "5%"
    )]
    pub(crate) threshold: String,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) describe: Describe,
    /// Replace a table that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
