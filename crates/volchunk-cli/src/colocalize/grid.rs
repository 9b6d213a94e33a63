//! Whether the points of a table are counted in the voxels of an image.

use volchunk::{Error, Result, VolumeInfo};
use volchunk_io::TableInfo;

use super::Request;

/// Rows that are looked at: where one is wrong, all are.
const ROWS: u64 = 1000;

/// Where a table tells places in µm too, and the image its voxels' size.
pub(super) struct Grid {
    pub(super) columns: Vec<Both>,
    input: String,
    image: String,
}

/// A coordinate of the table in both units.
pub(super) struct Both {
    pub(super) voxel: usize,
    pub(super) um: usize,
    axis: String,
    /// Of the image, in µm.
    scale: f64,
    origin: f64,
}

impl Grid {
    /// # Errors
    /// A voxel size in the table that is not the image's.
    pub(super) fn new(
        request: &Request<'_>,
        info: &TableInfo,
        volume: &VolumeInfo,
        image: &std::path::Path,
    ) -> Result<Self> {
        let (input, image) = (request.input.display().to_string(), image.display().to_string());
        let mut columns = Vec::new();
        for (k, (a, voxel)) in
            volume.spatial_axes().into_iter().zip(info.coordinates()?).enumerate()
        {
            let axis = &volume.axes[a];
            let positive = |size: &f64| size.is_finite() && *size > 0.0;
            let Some(scale) = axis.micrometers().filter(positive) else { continue };
            if let Some(own) = info.axes[k].micrometers().filter(positive)
                && (own - scale).abs() > 1e-6 * scale
            {
                return Err(Error::argument(format!(
                    "--image {image}: a voxel is {scale} µm long on axis {}, in {input} {own} µm; \
                     legal: the image in whose voxels the points are counted",
                    axis.name
                )));
            }
            // The origin is in the unit of the scale.
            let factor = axis.scale.map_or(1.0, |own| scale / own);
            if let Ok(um) = info.index_of(&format!("um-{k}")) {
                let (axis, origin) = (axis.name.clone(), axis.origin * factor);
                columns.push(Both { voxel, um, axis, scale, origin });
            }
        }
        Ok(Self { columns, input, image })
    }

    /// Refuses a row whose places in voxels and in µm are two in the image; `values` are both, for each
    /// of the columns.
    pub(super) fn check(&self, number: u64, values: &[f64]) -> Result<()> {
        if number >= ROWS {
            return Ok(());
        }
        for (both, at) in self.columns.iter().zip(values.chunks_exact(2)) {
            let there = both.origin + both.scale * at[0];
            if (there - at[1]).abs() > 1e-3 * both.scale {
                return Err(Error::data(format!(
                    "row {number}: {} is {}, at {} µm in {}, at {there} µm in --image {}; legal: the \
                     image in whose voxels the points are counted",
                    both.axis, at[0], at[1], self.input, self.image
                )));
            }
        }
        Ok(())
    }
}
