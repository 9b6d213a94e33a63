//! A Python function as an op: it sees each chunk with its halo, padded at the true edges, and gives
//! voxels or a table.

use pyo3::{prelude::*, sync::PyOnceLock, types::PyTuple};
use volchunk::{
    Axis, AxisKind, AxisMap, AxisNeed, Block, Boundary, Buffer, Dtype, Op, Port, Region, Result,
    Scratch, VolumeInfo,
};

use crate::{array::Array, error::from_python};

/// What one axis of a chunk is given beyond its core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    /// None: blocks end at the true edge.
    pub(crate) boundary: Option<Boundary>,
}

/// What a function gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gives {
    pub(crate) dtype: Dtype,
    /// So many channels, on an axis before the others or behind them.
    pub(crate) channels: Option<(u64, Place)>,
    /// Bytes that a call holds beside block and result, for each voxel of the block.
    pub(crate) extra: u64,
    /// Instead of voxels, tables of points, whose columns are known when it has given rows.
    pub(crate) table: bool,
}

/// Where the axis of channels stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    First,
    Last,
}

/// A Python function bound to a volume.
///
/// It is called as `call(block, start, stop, origin)`: a C-order array of its own; the core's start
/// and stop, and the place of the block's first voxel, in unpadded volume coordinates (before the
/// true edge it is negative). What it returns is the core's voxels in the output's dtype; or a table,
/// rows of float64; or None: then the caller has done with it what there was to do.
pub(crate) struct Function {
    call: Py<PyAny>,
    depth: Vec<Depth>,
    gives: Gives,
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function").field("depth", &self.depth).field("gives", &self.gives).finish()
    }
}

impl Function {
    /// `depth` has an entry for each axis of `input`.
    pub(crate) fn new(input: VolumeInfo, call: Py<PyAny>, depth: Vec<Depth>, gives: Gives) -> Self {
        let mut output = VolumeInfo { storage: None, ..input.clone() };
        output.dtype = gives.dtype;
        let mut moved = 0;
        if let Some((count, place)) = gives.channels {
            moved = usize::from(place == Place::First);
            let at = if place == Place::First { 0 } else { input.ndim() };
            output.shape.insert(at, count);
            output.axes.insert(at, channel_axis(&input));
        }
        let needs = (0..input.ndim())
            .map(|a| {
                let Depth { lo, hi, boundary } = depth[a];
                // A block that ends at the edge reads what one padded with the last voxel reads.
                let boundary = boundary.unwrap_or(Boundary::Nearest);
                AxisNeed::identity(a + moved).with_halo(lo, hi, boundary)
            })
            .collect();
        Self {
            call,
            depth,
            gives,
            inputs: [Port::image(input)],
            outputs: [Port::image(output)],
            needs,
        }
    }

    /// Ends the maps of axes without a boundary at the true edges.
    fn clip<'a>(&self, block: &Block<'a>) -> Block<'a> {
        let lengths = &self.inputs[0].info.shape;
        let axes = (block.axes.iter().zip(&self.depth).zip(lengths)).map(|((map, depth), &n)| {
            if depth.boundary.is_some() {
                return map.clone();
            }
            let stop = (map.start() + map.len() as i64).clamp(0, n as i64) as u64;
            let start = map.start().clamp(0, n as i64) as u64;
            AxisMap::new(
                Boundary::Nearest,
                start as i64,
                stop as i64,
                n,
                std::slice::from_ref(&(start..stop)),
            )
        });
        Block {
            view: block.view.clone(),
            axes: axes.collect(),
            boundaries: block.boundaries.clone(),
        }
    }

    fn call(
        &self,
        py: Python<'_>,
        block: &Block<'_>,
        core: &Region,
        out: &mut Buffer,
    ) -> PyResult<()> {
        let shape: Vec<usize> = block.axes.iter().map(AxisMap::len).collect();
        let dtype = self.inputs[0].info.dtype;
        let array = empty(py, &shape, dtype)?;
        let mut memory = Array::new(&array)?;
        {
            // SAFETY: the array was made above, and nobody else has it yet.
            let view = unsafe { memory.view_mut_as(dtype) }?;
            apart(py, view.as_view().data().len(), || block.copy_padded(view));
        }
        memory.release(py);
        let start = PyTuple::new(py, core.start())?;
        let stop = PyTuple::new(py, (0..core.ndim()).map(|a| core.stop(a)))?;
        let origin = PyTuple::new(py, block.axes.iter().map(AxisMap::start))?;
        let result = self.call.bind(py).call1((array, start, stop, origin))?;
        if !result.is_none() {
            let result = Array::readable(&result, &(0..0))?;
            if self.gives.table {
                *out = Buffer::zeros(&result.shape(), Dtype::F64);
            }
            {
                let view = result.view_as(out.dtype())?;
                apart(py, out.bytes().len(), || out.view_mut().copy_from(&view));
            }
            result.release(py);
        }
        Ok(())
    }
}

impl Op for Function {
    fn name(&self) -> &'static str {
        "function"
    }

    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }

    fn columns(&self) -> Option<u64> {
        // At the least, until rows tell: coordinates.
        self.gives.table.then_some(self.depth.len() as u64)
    }

    /// The padded block and the function's result on it; what the function holds beside them
    /// cannot be known.
    fn scratch_bytes(&self, shape: &[u64]) -> u64 {
        let (channels, first) = match self.gives.channels {
            Some((count, place)) => (count, usize::from(place == Place::First)),
            None => (1, 0),
        };
        let block = (self.depth.iter().zip(&shape[first..])).fold(1u64, |n, (d, &core)| {
            n.saturating_mul(core.saturating_add(d.lo).saturating_add(d.hi))
        });
        let size = |port: &Port| port.info.dtype.size() as u64;
        let result = channels.saturating_mul(size(&self.outputs[0]));
        let each = size(&self.inputs[0]).saturating_add(result).saturating_add(self.gives.extra);
        block.saturating_mul(each)
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let core = match self.gives.channels {
            Some((_, place)) => {
                let skipped = if place == Place::First { 0 } else { region.ndim() - 1 };
                Region::from_ranges(
                    region.ranges().enumerate().filter(|&(a, _)| a != skipped).map(|(_, r)| r),
                )
            }
            None => region.clone(),
        };
        let clipped;
        let block = match self.depth.iter().all(|d| d.boundary.is_some()) {
            true => &inputs[0],
            false => {
                clipped = self.clip(&inputs[0]);
                &clipped
            }
        };
        Python::attach(|py| self.call(py, block, &core, &mut outputs[0])).map_err(from_python)
    }
}

/// The axis of channels beside the axes of `input`.
fn channel_axis(input: &VolumeInfo) -> Axis {
    let taken = input.axes.iter().any(|a| a.name == "c");
    Axis { kind: AxisKind::Channel, ..Axis::new(if taken { "channel" } else { "c" }) }
}

/// Does `work` without the interpreter, unless `bytes` are so few that giving it away and waiting
/// for it again would cost more.
fn apart<T: Send>(py: Python<'_>, bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if bytes < 1 << 16 { work() } else { py.detach(work) }
}

/// `numpy.empty(shape, dtype)`.
pub(crate) fn empty<'py>(
    py: Python<'py>,
    shape: &[usize],
    dtype: Dtype,
) -> PyResult<Bound<'py, PyAny>> {
    static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    EMPTY.import(py, "numpy", "empty")?.call1((PyTuple::new(py, shape)?, dtype.name()))
}
