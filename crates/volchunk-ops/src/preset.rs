//! Ops that are commonly used together.

use volchunk::{Error, Result};

use crate::OpSpec;

/// The names of [`preset`].
pub const PRESETS: &[&str] = &["magellan"];

/// What MagellanMapper does to a volume before it looks for nuclei, by the defaults of its profile
/// (version 1.6), in terms that no chunk can be seen in. What differs stands in
/// `docs/preprocessing.md`.
///
/// Saturation by the percentiles 5 and 99.5 of cells of 25 µm, the high one at least half of the
/// volume's; erosion where the mean over about such a cell is above 0.2; clipping to 0.2..1; and
/// twice the image less 0.3 times its Gaussian of 8 voxels, which is 1.7 times an unsharp mask.
const MAGELLAN: &[&str] = &[
    "local-percentile:block=25um:low=5:high=99.5:floor=0.5",
    "erode:footprint=octahedron:radius=1:above=0.2:sigma=7.2um",
    "clip:min=0.2:max=1",
    "unsharp:radius=8:amount=0.17647058823529413:boundary=nearest",
    "multiply:value=1.7",
];

/// The ops of a preset, in their order. They need the voxel size in µm.
///
/// ```
/// let ops = volchunk_ops::preset("magellan")?;
/// assert!(ops[0].to_string().starts_with("local-percentile:block=25um:low=5:high=99.5"));
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// A name that is not in [`PRESETS`].
pub fn preset(name: &str) -> Result<Vec<OpSpec>> {
    match name {
        "magellan" => MAGELLAN.iter().map(|op| OpSpec::parse(op)).collect(),
        _ => {
            Err(Error::argument(format!("unknown preset '{name}'; legal: {}", PRESETS.join(", "))))
        }
    }
}
