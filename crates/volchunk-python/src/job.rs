//! Jobs: a source, ops or a Python function, a plan, and carrying it out.

use std::{
    path::PathBuf,
    sync::{
        Arc,
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
    ArraySink, Axis, Control, Pipeline, Plan, Progress, Region, Report, RunOptions, Scratch, Sink,
    View, VolumeInfo, run_with,
};
use volchunk_cli::{PlanReport, format_name};
use volchunk_io::Format;
use volchunk_ops::{OpSpec, PassOptions, bind_chain, resolve};

use crate::{
    array::Array,
    divide::{Divide, Work},
    error::to_python,
    keep::{Manner, Record},
    object::ObjectSink,
    running::Running,
    select::Selected,
    volume::{VolumeSource, describe},
};

/// A planned job. It may run several times.
#[pyclass(frozen)]
pub(crate) struct Job {
    source: Arc<dyn volchunk::Source>,
    /// As text, every key written out.
    pub(crate) ops: Vec<String>,
    pub(crate) pipeline: Pipeline,
    selected: Selected,
    pub(crate) plan: Plan,
    path: Option<PathBuf>,
}

#[pymethods]
impl Job {
    #[new]
    fn new(source: PyRef<'_, VolumeSource>, work: Work, divide: Divide) -> PyResult<Self> {
        let source = source.source.clone();
        let info = source.info();
        let mut ops = Vec::new();
        let pipeline = match work {
            Work::Ops(texts) => {
                let specs = parse(&texts)?;
                ops = specs.iter().map(ToString::to_string).collect();
                bind_chain(&specs, info.clone()).map_err(to_python)?
            }
            Work::Function(args) => args.pipeline(&*source)?,
        };
        let selected = divide.selected(&pipeline)?;
        let plan = divide.plan(&pipeline, &*source, &selected)?;
        Ok(Self { source, ops, pipeline, selected, plan, path: divide.path })
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

    /// Runs the first chunk that is not wholly outside of the mask alone, and writes nothing.
    fn first(&self, py: Python<'_>, manner: Manner, watch: Watch) -> PyResult<()> {
        let sink = Nowhere(self.plan.output.clone());
        for number in 0..self.plan.grid.len() {
            let part = Some(number..number + 1);
            let options = manner.with(RunOptions { part, ..RunOptions::default() });
            if self.carry_out(py, &sink, options, &watch)?.outside == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Runs, and writes nothing.
    fn visit(&self, py: Python<'_>, manner: Manner, watch: Watch) -> PyResult<()> {
        let options = manner.with(RunOptions::default());
        self.carry_out(py, &Nowhere(self.plan.output.clone()), options, &watch).map(drop)
    }

    /// Runs into `array`, which is in C order, writable, and of the output's shape and dtype.
    fn write_array(
        &self,
        py: Python<'_>,
        array: &Bound<'_, PyAny>,
        manner: Manner,
        watch: Watch,
    ) -> PyResult<()> {
        let mut array = Array::new(array)?;
        let done = {
            // SAFETY: that it is not the source's memory was checked by the caller; that nothing else
            // writes or reads it meanwhile is the user's part, as for any NumPy function that
            // releases the interpreter.
            let mut view = unsafe { array.view_mut_as(self.plan.output.dtype) }?;
            let bytes = view
                .as_contiguous_mut()
                .ok_or_else(|| PyValueError::new_err("an array that is not in C order"))?;
            let sink = ArraySink::new(self.plan.output.clone(), bytes);
            self.carry_out(py, &sink, manner.with(RunOptions::default()), &watch)
        };
        array.release(py);
        done.map(drop)
    }

    /// Runs into `object[slices]`.
    fn write_object(
        &self,
        py: Python<'_>,
        object: Py<PyAny>,
        manner: Manner,
        watch: Watch,
    ) -> PyResult<()> {
        let sink = ObjectSink { object, info: self.plan.output.clone() };
        self.carry_out(py, &sink, manner.with(RunOptions::default()), &watch).map(drop)
    }

    /// Runs into the file of `record`, for which the job was planned, or what of it is missing there.
    fn write_file(&self, py: Python<'_>, record: Record, watch: Watch) -> PyResult<()> {
        let mut info = self.plan.output.clone();
        name_kinds(&mut info);
        let begun = py.detach(|| record.begin(&self.plan, &info)).map_err(to_python)?;
        let Some(writing) = begun else { return Ok(()) };
        let options = RunOptions { journal: Some(&writing.journal), ..RunOptions::default() };
        let done = self.carry_out(py, &*writing.sink, record.manner().with(options), &watch);
        done.map(drop).inspect_err(|error| {
            // An exception without notes is better than none.
            let note = "the output is unfinished; the same call goes on, force=True begins anew";
            let _ = error.value(py).call_method1("add_note", (note,));
        })
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
    /// The pipeline, where ops of it had to be told something of the whole volume first.
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

    /// Runs as `options` say, on threads of its own, while the caller's looks for
    /// signals: these reach Python in its main thread only, and there an exception would meet
    /// whatever the user's function catches.
    fn carry_out(
        &self,
        py: Python<'_>,
        sink: &dyn Sink,
        options: RunOptions<'_>,
        watch: &Watch,
    ) -> PyResult<Report> {
        self.carry_out_and(py, sink, options, watch, |_| Ok(()))
    }

    /// The same, and then `finish`, which is to end soon once what it gets is set.
    pub(crate) fn carry_out_and(
        &self,
        py: Python<'_>,
        sink: &dyn Sink,
        options: RunOptions<'_>,
        watch: &Watch,
        finish: impl FnOnce(&AtomicBool) -> volchunk::Result<()> + Send,
    ) -> PyResult<Report> {
        let run = Running::begin()?;
        let done = AtomicU64::new(0);
        let count = |p: Progress| done.store(p.chunks_done, Ordering::Relaxed);
        let control = Control { cancel: &run.stop, progress: &count };
        let mask = self.selected.mask(self.pipeline.output()).map_err(to_python)?;
        let skip_empty = self.selected.skip_empty.as_ref();
        let options = RunOptions { control, mask: mask.as_ref(), skip_empty, ..options };
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
                    let report = run_with(&self.plan, pipeline, &[&*self.source], sink, &options)?;
                    finish(&run.stop)?;
                    Ok(report)
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
                watch.tell(py, report.chunks + report.kept)?;
                Ok(report)
            }
            (None, Err(_)) => Err(PyRuntimeError::new_err("internal error: the run panicked")),
        }
    }
}

/// Who is told of a run.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Watch {
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

pub(crate) fn parse(ops: &[String]) -> PyResult<Vec<OpSpec>> {
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
