//! What an operation is, and how operations compose.

mod block;
mod need;
mod pipeline;

use std::fmt::Debug;

pub use block::Block;
pub use need::{AxisNeed, Scale};
pub(crate) use pipeline::Reader;
pub use pipeline::{Input, Pipeline, Step};

use crate::{Buffer, Region, Result, Scratch, VolumeInfo};

/// A named input or output of an [`Op`], and the volume that stands there.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// `image` unless the op has several.
    pub name: &'static str,
    /// Shape, dtype, axes.
    pub info: VolumeInfo,
}

impl Port {
    /// The port that most ops have: one volume called `image`.
    pub fn image(info: VolumeInfo) -> Self {
        Self { name: "image", info }
    }
}

/// A computation that, for a region of its output, names the regions of its inputs that it needs.
///
/// An op is bound: it knows the volumes at its inputs and outputs. All outputs share one shape.
/// What it needs along an input axis depends on one output axis alone ([`AxisNeed`]), so that a
/// plan for millions of chunks is a sum over axes.
///
/// The promise of every op: a voxel's value depends on the volume and on the voxel's place in it,
/// never on the region that was asked for.
pub trait Op: Send + Sync + Debug {
    /// The name users call it by, such as `gaussian`.
    fn name(&self) -> &'static str;

    /// The inputs, in the order in which `compute` gets them.
    fn inputs(&self) -> &[Port];

    /// The outputs, in the order in which `compute` fills them; all of one shape.
    fn outputs(&self) -> &[Port];

    /// What the op needs of each axis of `input`.
    fn needs(&self, input: usize) -> &[AxisNeed];

    /// Bytes that `compute` takes from `Scratch` for an output region of `shape`.
    fn scratch_bytes(&self, shape: &[u64]) -> u64 {
        let _ = shape;
        0
    }

    /// Whether equal voxels in give equal voxels out: where all voxels of each input that an output
    /// voxel needs have the same bits, and none is a boundary's constant, the bits of the output
    /// voxel (but for a NaN's) follow from these alone, not from its place. Then empty chunks need
    /// not be computed. False unless the op says so.
    fn keeps_constant(&self) -> bool {
        false
    }

    /// Columns of the table that the op makes in place of voxels; None, and it makes voxels. Such an op
    /// is the last of its pipeline. Its one output tells the volume that is looked through: its
    /// voxels' bytes count as memory, for the table. `compute` puts, in place of the buffer that it is
    /// given, one of [rows, columns] f64, whose first columns are the coordinates of a voxel of the
    /// region, one for each axis.
    fn columns(&self) -> Option<u64> {
        None
    }

    /// Computes `region` of the outputs. Each block holds what [`needs`](Self::needs) names for
    /// that region; each output buffer has the region's shape and its port's dtype, and holds
    /// arbitrary values before.
    ///
    /// # Errors
    /// Only what depends on the voxels: what can be known from shapes is refused when the op is
    /// bound.
    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()>;
}
