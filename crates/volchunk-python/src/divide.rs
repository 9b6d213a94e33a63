//! What a job is made of, as Python passes it: its work, and how the result is divided.

use std::path::PathBuf;

use pyo3::prelude::*;
use volchunk::{
    Boundary, Coords, Dtype, ErrorKind, Pipeline, Plan, PlanRequest, Region, StorageRequest,
    VolumeInfo, plan,
};
use volchunk_io::{CreateOptions, Format, write_overhead};

use crate::{
    error::to_python,
    function::{Depth, Function, Gives, Place},
    object::piece_bytes,
    select::Selected,
    volume::VolumeSource,
};

/// What is done to the source.
#[derive(FromPyObject)]
pub(crate) enum Work {
    /// Ops as text.
    #[pyo3(transparent)]
    Ops(Vec<String>),
    #[pyo3(transparent)]
    Function(FunctionArgs),
}

/// The arguments of [`Function::new`].
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct FunctionArgs {
    call: Py<PyAny>,
    /// For each axis voxels before, voxels behind, and the boundary; None: blocks end at the edge.
    depth: Vec<(u64, u64, Option<String>)>,
    dtype: String,
    /// How many, and whether they stand before the other axes.
    channels: Option<(u64, bool)>,
    /// Bytes that a call holds beside its block and its result, for each voxel of the block.
    extra: u64,
    /// Whether it gives tables, not voxels.
    table: bool,
}

/// How the result is divided and where it goes.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Divide {
    /// Start and stop on each axis of the result.
    roi: Option<Vec<(u64, u64)>>,
    /// Chunk shape; None: chosen.
    chunks: Option<Vec<u64>>,
    /// The file that will be written, whose format decides about storage and memory.
    pub(crate) path: Option<PathBuf>,
    /// Least box that the output can store without reading.
    unit: Option<Vec<u64>>,
    /// Bytes.
    memory: Option<u64>,
    workers: usize,
    /// Bytes of the output that the caller will hold, for each voxel of the result.
    held: u64,
    /// Where the result counts: a volume of its shape, or of that without channels.
    mask: Option<Py<VolumeSource>>,
    /// A number as text; outside of the mask.
    fill: Option<String>,
    /// A number as text: the value of chunks that count as empty.
    skip_empty: Option<String>,
}

/// Bytes of freed blocks that the interpreter's allocator keeps. Of `median_filter` under 200 MB it was up
/// to 8 MiB.
const KEPT: u64 = 16 << 20;

impl Divide {
    /// What need not be computed of what `pipeline` gives.
    pub(crate) fn selected(&self, pipeline: &Pipeline) -> PyResult<Selected> {
        let mask = self.mask.as_ref().map(|mask| mask.get().source.clone());
        Selected::new(mask, self.fill.as_deref(), self.skip_empty.as_deref(), pipeline)
            .map_err(to_python)
    }

    pub(crate) fn plan(
        &self,
        pipeline: &Pipeline,
        source: &dyn volchunk::Source,
        selected: &Selected,
    ) -> PyResult<Plan> {
        let output = pipeline.output();
        let format = self.path.as_deref().map(Format::of_output).transpose().map_err(to_python)?;
        let storage = match (format, &self.unit) {
            (Some(Format::Zarr), _) => StorageRequest::Chunked { chunk: None, shard: None },
            (None, Some(unit)) if unit.len() == output.ndim() => {
                StorageRequest::Chunked { chunk: Some(Coords::from_slice(unit)), shard: None }
            }
            _ => StorageRequest::Flat,
        };
        let ndim = output.ndim();
        let roi = self.roi.as_ref().map(|r| {
            Region::from_ranges((0..ndim).map(|a| r.get(a).map_or(0..0, |&(lo, hi)| lo..hi)))
        });
        let voxels = roi.as_ref().map_or(output.voxels(), Region::voxels);
        let overhead = |info: &VolumeInfo| match format {
            Some(format) => write_overhead(format, info, &CreateOptions::default()),
            // A table takes no room beside itself.
            None if pipeline.columns().is_some() => Ok(0),
            None => Ok(piece_bytes(info)),
        };
        plan(&PlanRequest {
            pipeline,
            roi,
            chunk: self.chunks.as_deref().map(Coords::from_slice),
            storage,
            workers: Some(self.workers),
            memory: self.memory,
            // The allocator may keep what a reader took, behind it, and smaller blocks: a program has it
            // give them back, which is not for a library to settle.
            held: voxels
                .saturating_mul(self.held)
                .saturating_add(source.read_overhead().saturating_mul(self.workers as u64))
                .saturating_add(KEPT),
            mask: selected.mask.as_deref(),
            skip_empty: selected.skip_empty.is_some(),
            read_overhead: source.read_overhead(),
            write_overhead: &overhead,
        })
        .map_err(|e| match e.kind() {
            ErrorKind::OverMemory => to_python(e.context("memory")),
            ErrorKind::Misaligned => to_python(e.context("chunks")),
            _ => to_python(e),
        })
    }
}

impl FunctionArgs {
    /// The function as a pipeline on `source`.
    pub(crate) fn pipeline(self, source: &dyn volchunk::Source) -> PyResult<Pipeline> {
        let dtype = Dtype::from_name(&self.dtype).map_err(to_python)?;
        let channels = self
            .channels
            .map(|(count, first)| (count, if first { Place::First } else { Place::Last }));
        let gives = Gives { dtype, channels, extra: self.extra, table: self.table };
        let depth = self
            .depth
            .into_iter()
            .map(|(lo, hi, boundary)| {
                let boundary = boundary.as_deref().map(Boundary::parse).transpose()?;
                Ok(Depth { lo, hi, boundary })
            })
            .collect::<volchunk::Result<_>>()
            .map_err(to_python)?;
        let function = Function::new(source.info().clone(), self.call, depth, gives);
        Pipeline::chain(source.info().clone(), [Box::new(function) as _]).map_err(to_python)
    }
}
