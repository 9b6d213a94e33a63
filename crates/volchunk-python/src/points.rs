//! Tables of points: those that several chunks found, once.

use pyo3::{exceptions::PyValueError, prelude::*};
use volchunk::{Dtype, Tolerance, View};

use crate::{array::Array, error::to_python};

/// The rows of all `tables`, one of each chunk, without those that are points of another chunk, too; see
/// `volchunk::Tolerance`. With `mean`, mutual nearest become their mean.
///
/// The tables are float64 in C order, with the same `columns`; so is what `allocate` returns for a
/// number of rows, which is returned.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one call from Python")]
pub(crate) fn dedupe_points<'py>(
    py: Python<'py>,
    tables: Vec<Bound<'py, PyAny>>,
    columns: usize,
    tolerance: Vec<f64>,
    value: Option<usize>,
    group: Vec<usize>,
    mean: bool,
    threads: usize,
    allocate: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let tables: Vec<Array> = tables.iter().map(Array::new).collect::<PyResult<_>>()?;
    let done = (|| {
        let views: Vec<View<'_>> =
            tables.iter().map(|t| t.view_as(Dtype::F64)).collect::<PyResult<_>>()?;
        let rows: Vec<&[f64]> = (views.iter())
            .map(|view| view.as_slice::<f64>().ok_or_else(not_rows))
            .collect::<PyResult<_>>()?;
        let mut rule = Tolerance::new(&tolerance, columns).map_err(to_python)?;
        if let Some(value) = value {
            rule = rule.with_value(value).map_err(to_python)?;
        }
        rule = rule.with_group(&group).map_err(to_python)?;
        if mean {
            let merged = py.detach(|| volchunk::mean_tables(&rows, &rule, threads));
            let merged = merged.map_err(to_python)?;
            return filled(py, allocate, merged.len() / columns, |out| {
                out.copy_from_slice(&merged);
            });
        }
        let kept = py.detach(|| volchunk::suppress_tables(&rows, &rule, threads));
        let kept = kept.map_err(to_python)?;
        filled(py, allocate, kept.len(), |out| kept.copy_to(out, columns, threads))
    })();
    tables.into_iter().for_each(|t| t.release(py));
    done
}

/// What `allocate` returns for `count`, filled by `fill`.
pub(crate) fn filled<'py>(
    py: Python<'py>,
    allocate: &Bound<'py, PyAny>,
    count: usize,
    fill: impl FnOnce(&mut [f64]) + Send,
) -> PyResult<Bound<'py, PyAny>> {
    let object = allocate.call1((count,))?;
    let mut out = Array::new(&object)?;
    let done = {
        // SAFETY: the caller made it for this call; nothing else knows of it yet.
        let mut view = unsafe { out.view_mut_as(Dtype::F64) }?;
        let numbers = view.as_slice_mut::<f64>().ok_or_else(not_rows);
        numbers.map(|numbers| py.detach(|| fill(numbers)))
    };
    out.release(py);
    done.map(|()| object)
}

fn not_rows() -> PyErr {
    PyValueError::new_err("an array that is not float64 in C order")
}
