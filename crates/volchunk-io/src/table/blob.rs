//! The table that a detector's blobs make.

use volchunk::{Axis, AxisKind, Error, Result};

use super::schema::{Column, ColumnKind, TableInfo};

/// The columns of a table of blobs, and what makes a row of them.
///
/// `index,axis-0,axis-1,…,sigma,radius,value,channel`: the index counts the rows from 0; voxel
/// centres along the spatial axes, slowest first; σ in voxels, the mean over these axes; the radius
/// σ·√n for n spatial axes, that of the ball for which σ responds most; the response; the channel,
/// 0 where there is no such axis. Then `frame` where there is a time axis; `sigma-0,sigma-1,…`
/// where σ differs between the axes; and where the voxel size is known
/// `um-0,um-1,…,sigma-um,radius-um`, the same in µm (centre · scale + origin).
///
/// napari takes every column whose name begins with `axis-` for a coordinate. So no other does.
#[derive(Debug, Clone)]
pub struct BlobTable {
    info: TableInfo,
    /// Of the volume's axes, the spatial ones.
    spatial: Vec<usize>,
    channel: Option<usize>,
    frame: Option<usize>,
    /// Of each spatial axis: µm per voxel, and µm at voxel 0.
    micrometers: Option<Vec<(f64, f64)>>,
    per_axis: bool,
    next: u64,
}

impl BlobTable {
    /// The table for blobs in a volume of these axes; `isotropic` if σ is the same along all
    /// spatial axes, in voxels.
    ///
    /// # Errors
    /// No spatial axis, more than one of time or of channels.
    pub fn new(axes: &[Axis], isotropic: bool) -> Result<Self> {
        let of = |kind| (0..axes.len()).filter(|&a| axes[a].kind == kind).collect::<Vec<_>>();
        let (spatial, times, channels) =
            (of(AxisKind::Space), of(AxisKind::Time), of(AxisKind::Channel));
        if spatial.is_empty() || times.len() > 1 || channels.len() > 1 {
            let names: Vec<_> = axes.iter().map(|a| a.name.as_str()).collect();
            return Err(Error::argument(format!(
                "a table of blobs in a volume of axes {}: it has {} of space, {} of time, {} of \
                 channels; legal: at least one of space, at most one of time and of channels",
                names.join(","),
                spatial.len(),
                times.len(),
                channels.len()
            )));
        }
        let micrometers: Option<Vec<_>> = spatial
            .iter()
            .map(|&a| {
                let scale = axes[a].micrometers()?;
                // The origin is in the same unit as the scale.
                Some((scale, axes[a].origin * (scale / axes[a].scale?)))
            })
            .collect();
        let micrometers = micrometers.filter(|all| {
            all.iter()
                .all(|(scale, origin)| scale.is_finite() && *scale > 0.0 && origin.is_finite())
        });
        let mut columns = vec![Column::new("index", ColumnKind::Integer)];
        let mut add = |name: &str, kind| columns.push(Column::new(name, kind));
        let n = spatial.len();
        (0..n).for_each(|k| add(&format!("axis-{k}"), ColumnKind::F64));
        add("sigma", ColumnKind::F64);
        add("radius", ColumnKind::F64);
        add("value", ColumnKind::F32);
        add("channel", ColumnKind::Integer);
        if !times.is_empty() {
            add("frame", ColumnKind::Integer);
        }
        if !isotropic {
            (0..n).for_each(|k| add(&format!("sigma-{k}"), ColumnKind::F64));
        }
        if micrometers.is_some() {
            (0..n).for_each(|k| add(&format!("um-{k}"), ColumnKind::F64));
            add("sigma-um", ColumnKind::F64);
            add("radius-um", ColumnKind::F64);
        }
        let info = TableInfo {
            columns,
            axes: spatial.iter().map(|&a| axes[a].clone()).collect(),
            attributes: None,
        };
        let (channel, frame) = (channels.first().copied(), times.first().copied());
        Ok(Self { info, spatial, channel, frame, micrometers, per_axis: !isotropic, next: 0 })
    }

    /// Columns and axes of the table.
    pub fn info(&self) -> &TableInfo {
        &self.info
    }

    /// Appends a blob's row to `rows`.
    ///
    /// `coordinates` has a value for every axis of the volume, `sigma` one for every spatial axis,
    /// in voxels. The index is one more than that of the row before.
    ///
    /// # Panics
    /// Other numbers of values.
    pub fn push(&mut self, coordinates: &[f64], sigma: &[f64], value: f64, rows: &mut Vec<f64>) {
        let n = self.spatial.len();
        assert_eq!(sigma.len(), n, "one sigma for every spatial axis");
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n as f64;
        let to_radius = (n as f64).sqrt();
        let at = |axis: Option<usize>| axis.map_or(0.0, |a| coordinates[a]);
        rows.push(self.next as f64);
        self.next += 1;
        rows.extend(self.spatial.iter().map(|&a| coordinates[a]));
        // Of equal values the mean is that value, whatever rounding makes of their sum.
        let all_equal = sigma.iter().all(|&s| s == sigma[0]);
        let of_voxels = if all_equal { sigma[0] } else { mean(&mut sigma.iter().copied()) };
        rows.extend([of_voxels, of_voxels * to_radius, value, at(self.channel)]);
        if self.frame.is_some() {
            rows.push(at(self.frame));
        }
        if self.per_axis {
            rows.extend(sigma);
        }
        if let Some(micrometers) = &self.micrometers {
            for (&a, &(scale, origin)) in self.spatial.iter().zip(micrometers) {
                rows.push(coordinates[a] * scale + origin);
            }
            let sigma = mean(&mut sigma.iter().zip(micrometers).map(|(s, m)| s * m.0));
            rows.extend([sigma, sigma * to_radius]);
        }
    }
}
