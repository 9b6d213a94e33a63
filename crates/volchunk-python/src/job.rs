//! Jobs: a source, ops or a Python function, a plan, and carrying it out.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use pyo3::{
    exceptions::{PyUserWarning, PyValueError},
    prelude::*,
    types::PyDict,
};
use volchunk::{
    ArraySink, Axis, Control, Origin, Pipeline, Plan, Region, Report, RunOptions, Scratch, Sink,
    Spool, View, VolumeInfo, chunks_outside, run_with,
};
use volchunk_cli::{BlobRows, PlanReport, PointRows, TableRows, format_name};
use volchunk_io::Format;
use volchunk_ops::{OpSpec, PassOptions, bind_chain, resolve};

use crate::{
    array::Array,
    divide::{Divide, Work},
    error::to_python,
    keep::{Manner, Record},
    object::ObjectSink,
    select::Selected,
    volume::{VolumeSource, describe},
    watch::Watch,
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
    /// these names for input, function, output and mask, and this text for the value of empty chunks.
    #[expect(clippy::too_many_arguments, reason = "names of one call from Python")]
    fn report<'py>(
        &self,
        py: Python<'py>,
        input: &str,
        function: Option<String>,
        output: &str,
        roi: bool,
        mask: Option<&str>,
        skip_empty: Option<&str>,
        watch: Watch,
    ) -> PyResult<(Bound<'py, PyAny>, String)> {
        let outside = self.selected.mask.as_deref().map(|mask| {
            let (grid, workers) = (&self.plan.grid, self.plan.workers);
            watch.over(py, |control| chunks_outside(mask, grid, workers, control.cancel))
        });
        let format = self.path.as_deref().map(Format::of_output).transpose().map_err(to_python)?;
        let report = PlanReport {
            input,
            source: self.source.info(),
            ops: function.as_ref().map_or(&self.ops, std::slice::from_ref),
            output,
            format: format.map_or("in memory", |f| format_name(f, &self.plan.output)),
            roi,
            mask: mask.zip(outside.transpose()?),
            skip_empty,
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

    /// The ops as text, with what those of them that need it are told of the whole volume, which is
    /// gone through for it.
    fn known_ops(&self, py: Python<'_>, watch: Watch) -> PyResult<Vec<String>> {
        let known = watch.over(py, |control| self.known(control))?;
        Ok(known
            .map_or_else(|| self.ops.clone(), |ops| ops.iter().map(OpSpec::to_string).collect()))
    }

    /// Runs into the file of `record`, for which the job was planned, or what of it is missing there.
    fn write_file(&self, py: Python<'_>, record: Record, watch: Watch) -> PyResult<()> {
        let mut info = self.plan.output.clone();
        name_kinds(&mut info);
        let mask = self.selected.mask(self.pipeline.output()).map_err(to_python)?;
        let origin =
            Origin { pipeline: &self.pipeline, sources: &[&*self.source], mask: mask.as_ref() };
        let begin = |control: Control<'_>| record.begin(&self.plan, &info, origin, control.cancel);
        let begun = Watch::silent().over(py, begin)?;
        let Some(writing) = begun else {
            if !record.has_journal() {
                let category = py.get_type::<PyUserWarning>();
                let text =
                    c"the output is complete, but its journal is gone: nothing tells whether its \
                             files are as written";
                PyErr::warn(py, &category, text, 2)?;
            }
            return Ok(());
        };
        let last = || record.check_input(&writing.journal);
        let options = RunOptions {
            journal: Some(&writing.journal),
            last: Some(&last),
            ..RunOptions::default()
        };
        let options = record.manner().with(options);
        let options = RunOptions { check: options.check || writing.check, ..options };
        let done = self.carry_out_and(py, writing.sink(), options, &watch, |stop| {
            writing.finish(|spools| self.rows(record.dedupe(), spools), stop)
        });
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

impl Job {
    fn specs(&self) -> volchunk::Result<Vec<OpSpec>> {
        self.ops.iter().map(|op| OpSpec::parse(op)).collect()
    }

    /// The ops, with what they had to be told of the whole volume; None, where that is nothing.
    fn known(&self, control: Control<'_>) -> volchunk::Result<Option<Vec<OpSpec>>> {
        let specs = self.specs()?;
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
        resolve(&specs, &*self.source, &options).map(Some)
    }

    /// What makes the table of what chunks found.
    fn rows(
        &self,
        dedupe: Option<Vec<f64>>,
        spools: &[&Spool],
    ) -> volchunk::Result<Box<dyn TableRows>> {
        if self.ops.is_empty() {
            return Ok(Box::new(PointRows::new(self.source.info(), dedupe, spools)?));
        }
        Ok(Box::new(BlobRows::new(&self.specs()?, &self.pipeline)?))
    }

    /// Runs as `options` say, on threads of its own.
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
        let mask = self.selected.mask(self.pipeline.output()).map_err(to_python)?;
        let skip_empty = self.selected.skip_empty.as_ref();
        let report = watch.over(py, |control| {
            let options = RunOptions { control, mask: mask.as_ref(), skip_empty, ..options };
            let bind = |known: Vec<OpSpec>| bind_chain(&known, self.source.info().clone());
            let found = self.known(control)?.map(bind).transpose()?;
            let pipeline = found.as_ref().unwrap_or(&self.pipeline);
            let report = run_with(&self.plan, pipeline, &[&*self.source], sink, &options)?;
            finish(control.cancel)?;
            Ok(report)
        })?;
        watch.tell(py, report.chunks + report.kept)?;
        Ok(report)
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
