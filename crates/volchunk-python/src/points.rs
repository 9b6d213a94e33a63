//! Tables of points: those that several chunks found, once.

use pyo3::{exceptions::PyValueError, prelude::*};
use volchunk::{Dtype, Tolerance};

use crate::{array::Array, error::to_python};

/// The rows of `table` without those that are points of another chunk, too, and without their last
/// column, the chunk's number; see `volchunk::Tolerance`. With `mean`, mutual nearest become their mean.
///
/// `table` is float64 in C order; so is what `allocate` returns for a number of rows, with one column
/// less, which is returned.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one call from Python")]
pub(crate) fn dedupe_points<'py>(
    py: Python<'py>,
    table: &Bound<'py, PyAny>,
    tolerance: Vec<f64>,
    value: Option<usize>,
    group: Vec<usize>,
    mean: bool,
    threads: usize,
    allocate: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let table = Array::new(table)?;
    let columns = table.shape().get(1).map_or(0, |&n| n as usize);
    let done = (|| {
        let rows = table.view_as(Dtype::F64)?;
        let rows = rows.as_slice::<f64>().ok_or_else(not_rows)?;
        let mut rule = Tolerance::new(&tolerance, columns).map_err(to_python)?;
        if let Some(value) = value {
            rule = rule.with_value(value).map_err(to_python)?;
        }
        rule = rule.with_group(&group).map_err(to_python)?;
        rule = rule.with_chunk(&[columns.saturating_sub(1)]).map_err(to_python)?;
        if mean {
            let merged = py.detach(|| volchunk::mean_points(rows, &rule, threads));
            let merged = merged.map_err(to_python)?;
            return filled(py, allocate, merged.len() / columns, |out| {
                let rows = merged.chunks_exact(columns);
                for (to, row) in out.chunks_exact_mut((columns - 1).max(1)).zip(rows) {
                    to.copy_from_slice(&row[..columns - 1]);
                }
            });
        }
        let kept = py.detach(|| volchunk::suppress_points(rows, &rule, threads));
        let kept = kept.map_err(to_python)?;
        filled(py, allocate, kept.len(), |out| kept.copy_to(out, columns - 1, threads))
    })();
    table.release(py);
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
