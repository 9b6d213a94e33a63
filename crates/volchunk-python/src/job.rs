//! Jobs: a source, ops or a Python function, a plan, and carrying it out.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};
use volchunk::{
    ArraySink, AxisKind, Boundary, Control, Coords, Dtype, ErrorKind, Pipeline, Plan, PlanRequest,
    Progress, Region, Scratch, Sink, StorageRequest, View, VolumeInfo, plan,
};
use volchunk_cli::{PlanReport, format_name};
use volchunk_io::{CreateOptions, Format, OutputLock, create, write_overhead};
use volchunk_ops::{OpSpec, bind_chain};

use crate::{
    array::Array,
    error::to_python,
    function::{Depth, Function, Gives, Place},
    object::ObjectSink,
    volume::{FileSource, describe},
};

/// What is done to the source.
#[derive(FromPyObject)]
enum Work {
    /// Ops as text.
    #[pyo3(transparent)]
    Ops(Vec<String>),
    #[pyo3(transparent)]
    Function(FunctionArgs),
}

/// The arguments of [`Function::new`].
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct FunctionArgs {
    call: Py<PyAny>,
    /// For each axis voxels before, voxels behind, and the boundary; None: blocks end at the edge.
    depth: Vec<(u64, u64, Option<String>)>,
    dtype: String,
    /// How many, and whether they stand before the other axes.
    channels: Option<(u64, bool)>,
}

/// How the result is divided and where it goes.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Divide {
    /// Start and stop on each axis of the result.
    roi: Option<Vec<(u64, u64)>>,
    /// Chunk shape; None: chosen.
    chunks: Option<Vec<u64>>,
    /// The file that will be written, whose format decides about storage and memory.
    path: Option<PathBuf>,
    /// Least box that the output can store without reading.
    unit: Option<Vec<u64>>,
    /// Bytes.
    memory: Option<u64>,
    workers: usize,
    /// Bytes of output per voxel that the caller will hold.
    held: u64,
}

/// A planned job. It may run several times.
#[pyclass(frozen)]
pub(crate) struct Job {
    source: Arc<dyn volchunk::Source>,
    /// As text, every key written out.
    ops: Vec<String>,
    pipeline: Pipeline,
    plan: Plan,
    path: Option<PathBuf>,
}

#[pymethods]
impl Job {
    #[new]
    fn new(source: PyRef<'_, FileSource>, work: Work, divide: Divide) -> PyResult<Self> {
        let source = source.source.clone();
        let info = source.info();
        let mut ops = Vec::new();
        let (pipeline, plan) = match work {
            Work::Ops(texts) => {
                let specs = parse(&texts)?;
                ops = specs.iter().map(ToString::to_string).collect();
                let pipeline = bind_chain(&specs, info.clone()).map_err(to_python)?;
                let plan = divide.plan(&pipeline, &*source)?;
                (pipeline, plan)
            }
            Work::Function(args) => args.plan(&divide, &*source)?,
        };
        Ok(Self { source, ops, pipeline, plan, path: divide.path })
    }

    /// Shape of the output.
    #[getter]
    fn shape(&self) -> Vec<u64> {
        self.plan.output.shape.to_vec()
    }

    /// Name of the output's dtype.
    #[getter]
    fn dtype(&self) -> &'static str {
        self.plan.output.dtype.name()
    }

    /// Shape of a chunk.
    #[getter]
    fn chunks(&self) -> Vec<u64> {
        self.plan.grid.chunk_shape().to_vec()
    }

    /// Number of chunks.
    #[getter]
    fn count(&self) -> u64 {
        self.plan.grid.len()
    }

    /// Where the output lies in the result: start on each axis.
    #[getter]
    fn origin(&self) -> Vec<u64> {
        self.plan.grid.domain().start().to_vec()
    }

    /// What the run would do and cost, as a dictionary and as text: as `volchunk plan` says it, with
    /// these names for input, function and output.
    fn report<'py>(
        &self,
        py: Python<'py>,
        input: &str,
        function: Option<String>,
        output: &str,
        roi: bool,
    ) -> PyResult<(Bound<'py, PyAny>, String)> {
        let format = self.path.as_deref().map(Format::of_output).transpose().map_err(to_python)?;
        let report = PlanReport {
            input,
            source: self.source.info(),
            ops: function.as_ref().map_or(&self.ops, std::slice::from_ref),
            output,
            format: format.map_or("in memory", |f| format_name(f, &self.plan.output)),
            roi,
            plan: &self.plan,
        };
        let values = py.import("json")?.call_method1("loads", (report.json().to_string(),))?;
        Ok((values, report.text()))
    }

    /// Computes the first chunk and keeps nothing of it.
    fn first(&self, py: Python<'_>) -> PyResult<()> {
        let grid = &self.plan.grid;
        let core = grid.core(&grid.index_of(0));
        py.detach(|| self.pipeline.compute(&[&*self.source], &core, &mut Scratch::new()))
            .map(drop)
            .map_err(to_python)
    }

    /// Runs, and writes nothing.
    fn visit(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<()> {
        self.carry_out(py, &Nowhere(self.plan.output.clone()), progress)
    }

    /// Runs into `array`, which is in C order, writable, and of the output's shape and dtype.
    fn write_array(
        &self,
        py: Python<'_>,
        array: &Bound<'_, PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let mut array = Array::new(array)?;
        let done = {
            // SAFETY: that it does not overlap the source was checked by the caller; that no other
            // Python thread uses it is the user's part, as for any NumPy function that releases
            // the interpreter.
            let mut view = unsafe { array.view_mut_as(self.plan.output.dtype) }?;
            let bytes = view
                .as_contiguous_mut()
                .ok_or_else(|| PyValueError::new_err("an array that is not in C order"))?;
            self.carry_out(py, &ArraySink::new(self.plan.output.clone(), bytes), progress)
        };
        array.release(py);
        done
    }

    /// Runs into `object[slices]`.
    fn write_object(
        &self,
        py: Python<'_>,
        object: Py<PyAny>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        self.carry_out(py, &ObjectSink { object, info: self.plan.output.clone() }, progress)
    }

    /// Runs into the file for which the job was planned, which must not exist.
    fn write_file(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<()> {
        let path = self.path.as_ref().ok_or_else(|| PyValueError::new_err("no path"))?;
        let mut info = self.plan.output.clone();
        name_kinds(&mut info);
        let (_lock, sink) = py
            .detach(|| {
                let lock = OutputLock::take(path, Duration::ZERO)?;
                Ok((lock, create(path, &info, &CreateOptions::default())?))
            })
            .map_err(to_python)?;
        self.carry_out(py, &*sink, progress)
    }
}

/// Axes that were all of space for the plan mean in a file what their names say.
fn name_kinds(info: &mut VolumeInfo) {
    if info.axes.iter().all(|a| a.kind == AxisKind::Space && a.scale.is_none()) {
        info.axes = VolumeInfo::new(&info.shape, info.dtype).axes;
    }
}

/// Time between two looks for signals, and between two calls of the progress.
const LOOK: Duration = Duration::from_millis(50);

impl Job {
    fn carry_out(
        &self,
        py: Python<'_>,
        sink: &dyn Sink,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let caller = thread::current().id();
        let stop = AtomicBool::new(false);
        let raised: Mutex<Option<PyErr>> = Mutex::new(None);
        let last = Mutex::new(Instant::now());
        // Signals reach Python in its main thread alone: where this call came from there, the
        // caller's thread, which is a worker too, looks for them between its chunks.
        let watch = |p: Progress| {
            if thread::current().id() != caller {
                return;
            }
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() < LOOK {
                return;
            }
            *last = Instant::now();
            let told = Python::attach(|py| {
                py.check_signals()?;
                tell(py, progress.as_ref(), p.chunks_done)
            });
            if let Err(error) = told {
                stop.store(true, Ordering::Relaxed);
                *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        let control = Control { cancel: &stop, progress: &watch };
        let done = py
            .detach(|| volchunk::run(&self.plan, &self.pipeline, &[&*self.source], sink, control));
        match raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => {
                let report = done.map_err(to_python)?;
                tell(py, progress.as_ref(), report.chunks)
            }
        }
    }
}

fn tell(py: Python<'_>, progress: Option<&Py<PyAny>>, chunks: u64) -> PyResult<()> {
    progress.map_or(Ok(()), |p| p.call1(py, (chunks,)).map(drop))
}

impl Divide {
    fn plan(&self, pipeline: &Pipeline, source: &dyn volchunk::Source) -> PyResult<Plan> {
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
            None if self.unit.is_some() => Ok(info.bytes().min(1 << 26)),
            None => Ok(0),
        };
        plan(&PlanRequest {
            pipeline,
            roi,
            chunk: self.chunks.as_deref().map(Coords::from_slice),
            storage,
            workers: Some(self.workers),
            memory: self.memory,
            held: voxels.saturating_mul(self.held),
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
    fn plan(self, divide: &Divide, source: &dyn volchunk::Source) -> PyResult<(Pipeline, Plan)> {
        let dtype = Dtype::from_name(&self.dtype).map_err(to_python)?;
        let channels = self
            .channels
            .map(|(count, first)| (count, if first { Place::First } else { Place::Last }));
        let gives = Gives { dtype, channels };
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
        let pipeline =
            Pipeline::chain(source.info().clone(), [Box::new(function) as _]).map_err(to_python)?;
        let plan = divide.plan(&pipeline, source)?;
        Ok((pipeline, plan))
    }
}

fn parse(ops: &[String]) -> PyResult<Vec<OpSpec>> {
    ops.iter().map(|t| OpSpec::parse(t)).collect::<volchunk::Result<_>>().map_err(to_python)
}

/// What `ops` make of the source, as [`FileSource::info`] has it.
#[pyfunction]
pub(crate) fn result_info<'py>(
    py: Python<'py>,
    source: PyRef<'_, FileSource>,
    ops: Vec<String>,
) -> PyResult<Bound<'py, PyDict>> {
    let pipeline = bind_chain(&parse(&ops)?, source.source.info().clone()).map_err(to_python)?;
    describe(py, pipeline.output())
}

/// Bytes as text, such as `8GB`.
#[pyfunction]
pub(crate) fn parse_bytes(memory: &str) -> PyResult<u64> {
    volchunk_cli::parse_bytes(memory, "memory").map_err(to_python)
}

/// Takes results and drops them.
struct Nowhere(VolumeInfo);

impl Sink for Nowhere {
    fn info(&self) -> &VolumeInfo {
        &self.0
    }

    fn write(&self, _: &Region, _: View<'_>, _: &mut Scratch) -> volchunk::Result<()> {
        Ok(())
    }

    fn finish(&self) -> volchunk::Result<()> {
        Ok(())
    }
}
