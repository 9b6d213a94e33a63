//! What an op is given of one input.

use crate::volume::{AxisMap, Boundary, View};

/// The voxels of one input that an output region needs, and where each position lies among them.
///
/// The view holds only voxels of the volume; position `k` of axis `a` (unclipped coordinate
/// `axes[a].start() + k`) is voxel `axes[a].get(k)` of the view, or the constant.
#[derive(Debug)]
pub struct Block<'a> {
    /// The voxels, any strides.
    pub view: View<'a>,
    /// One map per axis of the view.
    pub axes: Vec<AxisMap>,
    /// What lies beyond the true edge, per axis.
    pub boundaries: Vec<Boundary>,
}
