//! What is known of a volume without reading a voxel.

use super::Dtype;
use crate::{Error, Result, geometry::Coords};

/// What an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AxisKind {
    /// Distance. Chunk, halo and sigma address these axes.
    Space,
    /// Time; iterated.
    Time,
    /// Channel; iterated.
    Channel,
}

/// One axis of a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its name, commonly one of `t c z y x`.
    pub name: String,
    /// What it counts.
    pub kind: AxisKind,
    /// Distance between voxel centres in `unit`; None where unknown.
    pub scale: Option<f64>,
    /// Name of the unit as OME-NGFF spells it (`micrometer`, `second`); None where unknown.
    pub unit: Option<String>,
    /// Position of the centre of voxel 0, in `unit`.
    pub origin: f64,
}

impl Axis {
    /// An axis without scale; its kind follows its name: `t` or `time`, `c` or `channel`, else space.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let kind = match name.as_str() {
            "t" | "time" => AxisKind::Time,
            "c" | "channel" => AxisKind::Channel,
            _ => AxisKind::Space,
        };
        Self { name, kind, scale: None, unit: None, origin: 0.0 }
    }

    /// Distance between voxel centres in µm, where scale and a length unit are known.
    pub fn micrometers(&self) -> Option<f64> {
        let factor = match self.unit.as_deref()? {
            "micrometer" => 1.0,
            "angstrom" => 1e-4,
            "nanometer" => 1e-3,
            "millimeter" => 1e3,
            "centimeter" => 1e4,
            "meter" => 1e6,
            _ => return None,
        };
        Some(self.scale? * factor)
    }
}

/// The boxes in which a volume is stored, anchored at voxel 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageGrid {
    /// Shape of a storage chunk: the least that can be decoded.
    pub chunk: Coords,
    /// Shape of a shard, the least that can be written, where the format has shards.
    pub shard: Option<Coords>,
}

impl StorageGrid {
    /// The least box that can be written without reading: the shard, else the storage chunk.
    pub fn write_unit(&self) -> &[u64] {
        self.shard.as_deref().unwrap_or(&self.chunk)
    }
}

/// Shape, dtype, axes and storage of a volume.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeInfo {
    /// Voxels along each axis, slowest axis first.
    pub shape: Coords,
    /// Type of a voxel.
    pub dtype: Dtype,
    /// One per axis of `shape`.
    pub axes: Vec<Axis>,
    /// How it is stored; None where any region costs what it holds (arrays, uncompressed files).
    pub storage: Option<StorageGrid>,
}

impl VolumeInfo {
    /// A volume with the default axes of its number of axes.
    pub fn new(shape: &[u64], dtype: Dtype) -> Self {
        let axes = default_axes(shape.len());
        Self { shape: Coords::from_slice(shape), dtype, axes, storage: None }
    }

    /// Number of axes.
    pub fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// Number of voxels; `u64::MAX` where it does not fit.
    pub fn voxels(&self) -> u64 {
        crate::geometry::Region::whole(&self.shape).voxels()
    }

    /// Bytes of all voxels, saturating.
    pub fn bytes(&self) -> u64 {
        self.voxels().saturating_mul(self.dtype.size() as u64)
    }

    /// Indices of the spatial axes, slowest first.
    pub fn spatial_axes(&self) -> Vec<usize> {
        (0..self.ndim()).filter(|&a| self.axes[a].kind == AxisKind::Space).collect()
    }

    /// Expands values for the spatial axes (one for all, or one each, slowest first) to one per
    /// axis of the volume, `other` standing at the axes that are not spatial.
    pub fn per_axis<T: Copy>(&self, values: &[T], other: T, what: &str) -> Result<Vec<T>> {
        let spatial = self.spatial_axes();
        if values.len() != 1 && values.len() != spatial.len() {
            let names: Vec<_> = spatial.iter().map(|&a| self.axes[a].name.as_str()).collect();
            return Err(Error::argument(format!(
                "{what} has {} values; legal: 1, or one for each of the {} spatial axes ({})",
                values.len(),
                spatial.len(),
                names.join(", ")
            )));
        }
        let mut all = vec![other; self.ndim()];
        for (k, &a) in spatial.iter().enumerate() {
            all[a] = values[if values.len() == 1 { 0 } else { k }];
        }
        Ok(all)
    }

    /// Names of the axes, as `zyx`, or with commas where a name is longer than a letter.
    pub fn axis_names(&self) -> String {
        let names: Vec<_> = self.axes.iter().map(|a| a.name.as_str()).collect();
        let short = names.iter().all(|n| n.chars().count() == 1);
        names.join(if short { "" } else { "," })
    }
}

/// `x`, `yx`, `zyx`, `czyx`, `tczyx`; beyond that `d0 d1 …` before them.
fn default_axes(ndim: usize) -> Vec<Axis> {
    let known = ["t", "c", "z", "y", "x"];
    (0..ndim)
        .map(|a| match (a + known.len()).checked_sub(ndim) {
            Some(k) => Axis::new(known[k]),
            None => Axis { kind: AxisKind::Time, ..Axis::new(format!("d{a}")) },
        })
        .collect()
}
