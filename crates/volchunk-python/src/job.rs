//! Jobs: a source, ops or a Python function, a plan, and carrying it out.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use pyo3::{
    exceptions::{PyRuntimeError, PyValueError},
    prelude::*,
    types::PyDict,
};
use volchunk::{
    ArraySink, Axis, Boundary, Control, Coords, Dtype, ErrorKind, Pipeline, Plan, PlanRequest,
    Progress, Region, RunOptions, Scratch, Sink, StorageRequest, View, VolumeInfo, plan, run_with,
};
use volchunk_cli::{PlanReport, format_name};
use volchunk_io::{CreateOptions, Format, OutputLock, create, write_overhead};
use volchunk_ops::{OpSpec, PassOptions, bind_chain, resolve};

use crate::{
    array::Array,
    error::to_python,
    function::{Depth, Function, Gives, Place},
    object::{ObjectSink, piece_bytes},
    volume::{VolumeSource, describe},
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
    /// Bytes that a call holds beside its block and its result, for each voxel of the block.
    extra: u64,
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
    /// Bytes of the output that the caller will hold, for each voxel of the result.
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
    fn new(source: PyRef<'_, VolumeSource>, work: Work, divide: Divide) -> PyResult<Self> {
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

    /// Bytes that are left under the memory cap.
    #[getter]
    fn room(&self) -> u64 {
        self.plan.memory.cap.saturating_sub(self.plan.memory.peak)
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
            mask: None,
            skip_empty: None,
            plan: &self.plan,
        };
        let values = py.import("json")?.call_method1("loads", (report.json().to_string(),))?;
        Ok((values, report.text()))
    }

    /// Runs the first chunk alone, and writes nothing.
    fn first(&self, py: Python<'_>, watch: Watch) -> PyResult<()> {
        self.carry_out(py, &Nowhere(self.plan.output.clone()), Some(0..1), &watch)
    }

    /// Runs, and writes nothing.
    fn visit(&self, py: Python<'_>, watch: Watch) -> PyResult<()> {
        self.carry_out(py, &Nowhere(self.plan.output.clone()), None, &watch)
    }

    /// Runs into `array`, which is in C order, writable, and of the output's shape and dtype.
    fn write_array(&self, py: Python<'_>, array: &Bound<'_, PyAny>, watch: Watch) -> PyResult<()> {
        let mut array = Array::new(array)?;
        let done = {
            // SAFETY: that it is not the source's memory was checked by the caller; that nothing else
            // writes or reads it meanwhile is the user's part, as for any NumPy function that
            // releases the interpreter.
            let mut view = unsafe { array.view_mut_as(self.plan.output.dtype) }?;
            let bytes = view
                .as_contiguous_mut()
                .ok_or_else(|| PyValueError::new_err("an array that is not in C order"))?;
            self.carry_out(py, &ArraySink::new(self.plan.output.clone(), bytes), None, &watch)
        };
        array.release(py);
        done
    }

    /// Runs into `object[slices]`.
    fn write_object(&self, py: Python<'_>, object: Py<PyAny>, watch: Watch) -> PyResult<()> {
        self.carry_out(py, &ObjectSink { object, info: self.plan.output.clone() }, None, &watch)
    }

    /// Runs into the file for which the job was planned, which must not exist.
    fn write_file(&self, py: Python<'_>, watch: Watch) -> PyResult<()> {
        let path = self.path.as_ref().ok_or_else(|| PyValueError::new_err("no path"))?;
        let mut info = self.plan.output.clone();
        name_kinds(&mut info);
        let (_lock, sink) = py
            .detach(|| {
                let lock = OutputLock::take(path, Duration::ZERO)?;
                Ok((lock, create(path, &info, &CreateOptions::default())?))
            })
            .map_err(to_python)?;
        self.carry_out(py, &*sink, None, &watch)
    }
}

/// The axes of an array, all of space for the plan, mean in a file what their names say.
fn name_kinds(info: &mut VolumeInfo) {
    for axis in info.axes.iter_mut().filter(|a| a.scale.is_none()) {
        axis.kind = Axis::new(axis.name.as_str()).kind;
    }
}

/// Time between two looks for signals, and between two calls of the progress.
const LOOK: Duration = Duration::from_millis(50);

impl Job {
    /// The pipeline, where ops of it had to be told percentiles of the whole volume first.
    fn found(&self, control: Control<'_>) -> volchunk::Result<Option<Pipeline>> {
        let specs: Vec<OpSpec> =
            self.ops.iter().map(|op| OpSpec::parse(op)).collect::<volchunk::Result<_>>()?;
        if specs.iter().all(|op| !op.needs_pass()) {
            return Ok(None);
        }
        let cancel = control.cancel;
        let options = PassOptions {
            workers: Some(self.plan.workers),
            memory: Some(self.plan.memory.cap),
            chunk: Some(self.plan.grid.chunk_shape()),
            watch: &|_, pass| pass(Control { cancel, ..Control::default() }),
        };
        let known = resolve(&specs, &*self.source, &options)?;
        bind_chain(&known, self.source.info().clone()).map(Some)
    }

    /// Runs the chunks numbered `part`, or all, on threads of its own, while the caller's looks for
    /// signals: these reach Python in its main thread only, and there an exception would meet
    /// whatever the user's function catches.
    fn carry_out(
        &self,
        py: Python<'_>,
        sink: &dyn Sink,
        part: Option<Range<u64>>,
        watch: &Watch,
    ) -> PyResult<()> {
        let run = Running::begin()?;
        let done = AtomicU64::new(0);
        let count = |p: Progress| done.store(p.chunks_done, Ordering::Relaxed);
        let control = Control { cancel: &run.stop, progress: &count };
        let options = RunOptions { control, part, ..RunOptions::default() };
        let (ended, end) = mpsc::channel::<()>();
        let work = || {
            // Dropped when the run ends, however it does.
            let _ended = ended;
            // Attached and detached once: the interpreter then keeps what it holds of this thread, a
            // worker, between its calls, instead of making it anew for each.
            Python::attach(|py| {
                py.detach(|| {
                    let found = self.found(control)?;
                    let pipeline = found.as_ref().unwrap_or(&self.pipeline);
                    run_with(&self.plan, pipeline, &[&*self.source], sink, &options)
                })
            })
        };
        let look = |raised: &mut Option<PyErr>| {
            *raised = Python::attach(|py| {
                let seen = py.check_signals();
                seen.and_then(|()| watch.tell(py, done.load(Ordering::Relaxed))).err()
            });
            if raised.is_some() {
                run.stop.store(true, Ordering::Relaxed);
                Python::attach(|py| watch.interrupt(py));
            }
        };
        let (raised, result) = py.detach(move || {
            thread::scope(|scope| {
                let runner = scope.spawn(work);
                let mut raised = None;
                while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(LOOK) {
                    if raised.is_none() {
                        look(&mut raised);
                    }
                }
                (raised, runner.join())
            })
        });
        match (raised, result) {
            (Some(error), _) => Err(error),
            (None, Ok(result)) => {
                let report = result.map_err(to_python)?;
                watch.tell(py, report.chunks)
            }
            (None, Err(_)) => Err(PyRuntimeError::new_err("internal error: the run panicked")),
        }
    }
}

/// Who is told of a run.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Watch {
    /// Called with the number of chunks that are done.
    progress: Option<Py<PyAny>>,
    /// Called when the run is to stop, for chunks under way that can be cut short.
    interrupt: Option<Py<PyAny>>,
}

impl Watch {
    fn tell(&self, py: Python<'_>, chunks: u64) -> PyResult<()> {
        self.progress.as_ref().map_or(Ok(()), |p| p.call1(py, (chunks,)).map(drop))
    }

    fn interrupt(&self, py: Python<'_>) {
        if let Some(interrupt) = &self.interrupt {
            // The interrupt itself is what the caller hears of.
            let _ = interrupt.call0(py);
        }
    }
}

/// The runs under way: the interpreter may not end under them.
static RUNNING: Mutex<Vec<Arc<AtomicBool>>> = Mutex::new(Vec::new());
static LAST_ENDED: Condvar = Condvar::new();
static EXITING: AtomicBool = AtomicBool::new(false);

/// A run under way.
struct Running {
    stop: Arc<AtomicBool>,
}

impl Running {
    fn begin() -> PyResult<Self> {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if EXITING.load(Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("cannot run a job while the interpreter exits"));
        }
        let stop = Arc::new(AtomicBool::new(false));
        all.push(stop.clone());
        Ok(Self { stop })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| !Arc::ptr_eq(other, &self.stop));
        LAST_ENDED.notify_all();
    }
}

/// Forgets the runs of the process that this one was forked from: their threads are not here.
#[pyfunction]
pub(crate) fn forget_all() {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

/// Stops what runs in daemon threads and waits for it: for the interpreter's end.
#[pyfunction]
pub(crate) fn stop_all(py: Python<'_>) {
    EXITING.store(true, Ordering::Relaxed);
    py.detach(|| {
        let mut all = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while !all.is_empty() {
            all.iter().for_each(|stop| stop.store(true, Ordering::Relaxed));
            all = LAST_ENDED.wait(all).unwrap_or_else(PoisonError::into_inner);
        }
    });
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
            None => Ok(piece_bytes(info)),
        };
        plan(&PlanRequest {
            pipeline,
            roi,
            chunk: self.chunks.as_deref().map(Coords::from_slice),
            storage,
            workers: Some(self.workers),
            memory: self.memory,
            // The allocator may keep what a reader took, behind it.
            held: voxels
                .saturating_mul(self.held)
                .saturating_add(source.read_overhead().saturating_mul(self.workers as u64)),
            mask: None,
            skip_empty: false,
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
        let gives = Gives { dtype, channels, extra: self.extra };
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

/// What `ops` make of the source, as [`VolumeSource::info`] has it.
#[pyfunction]
pub(crate) fn result_info<'py>(
    py: Python<'py>,
    source: PyRef<'_, VolumeSource>,
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
