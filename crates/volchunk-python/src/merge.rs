//! Merging: cores into an array, tables of points into one.

use pyo3::{exceptions::PyValueError, prelude::*, types::PyList};
use volchunk::{Dtype, Region, View};

use crate::{array::Array, error::to_python};

/// The lengths that the cores of chunks of `shapes`, in C order over a grid of `counts`, have along
/// each of its axes; see `volchunk::merged_shape`.
#[pyfunction]
pub(crate) fn merged_lengths(
    counts: Vec<u64>,
    shapes: Vec<Vec<u64>>,
    overlap: Option<Vec<u64>>,
) -> PyResult<Vec<Vec<u64>>> {
    let merged = volchunk::merged_shape(&counts, &shapes, overlap.as_deref()).map_err(to_python)?;
    Ok((0..counts.len())
        .map(|axis| {
            let step: u64 = counts[axis + 1..].iter().product();
            let length = |i: u64| shapes.get((i * step) as usize).map_or(0, |s| s[axis]);
            let mut lengths: Vec<u64> = (0..counts[axis]).map(length).collect();
            let overlaps = overlap.as_ref().is_some_and(|o| o[axis] > 0);
            if let (true, [first @ .., last]) = (overlaps, &mut lengths[..]) {
                // All but the last core are as long as the chunks are apart.
                let apart = (merged[axis] - *last).checked_div(first.len() as u64);
                first.fill(apart.unwrap_or(0));
            }
            lengths
        })
        .collect())
}

/// Trims `chunks`, in C order, to their cores of `lengths` and joins these into `out`: the first
/// axes are the grid's, the others pass whole. All have one dtype, whose items are copied as they
/// are; no object dtype. `out` has no negative strides, and no voxel of it lies on another.
#[pyfunction]
pub(crate) fn join_cores(
    py: Python<'_>,
    chunks: &Bound<'_, PyList>,
    mut lengths: Vec<Vec<u64>>,
    out: &Bound<'_, PyAny>,
    threads: usize,
) -> PyResult<()> {
    let mut out = Array::new(out)?;
    let taken = out.span();
    let chunks: Vec<Array> =
        chunks.iter().map(|c| Array::readable(&c, &taken)).collect::<PyResult<_>>()?;
    let done = {
        // SAFETY: no chunk overlaps `out` (`readable` copied those that did). That no other Python
        // thread uses it is the caller's promise, as for any NumPy function that releases the
        // interpreter.
        let out = unsafe { out.view_mut() }?;
        lengths
            .extend(out.shape()[lengths.len().min(out.shape().len())..].iter().map(|&n| vec![n]));
        let cores = cores(&chunks, &lengths)?;
        py.detach(|| volchunk::join_cores(&lengths, &cores, out, threads)).map_err(to_python)
    };
    chunks.into_iter().for_each(|c| c.release(py));
    out.release(py);
    done
}

/// The first `lengths` voxels of each chunk, or all where there are fewer, which the core refuses.
fn cores<'a>(chunks: &'a [Array], lengths: &[Vec<u64>]) -> PyResult<Vec<View<'a>>> {
    let mut index = vec![0; lengths.len()];
    let core = |chunk: &'a Array| {
        let view = chunk.view()?;
        if view.shape().len() != lengths.len() {
            return Err(PyValueError::new_err(format!(
                "chunk {index:?} has shape {:?}, expected {} axes",
                chunk.shape(),
                lengths.len()
            )));
        }
        let kept = Region::from_ranges(
            (view.shape().iter().zip(lengths).zip(&index))
                .map(|((&n, lengths), &i)| 0..n.min(lengths.get(i).copied().unwrap_or(0))),
        );
        let core = view.part(&kept);
        for (slot, lengths) in index.iter_mut().zip(lengths).rev() {
            *slot += 1;
            if *slot < lengths.len() {
                break;
            }
            *slot = 0;
        }
        Ok(core)
    };
    chunks.iter().map(core).collect()
}

/// Joins `tables`, arrays or None in C order over a grid of `counts`, into `out` with the index of
/// the chunk behind each row; all are float64 or, unless `floats`, int64. `out` is in C order.
#[pyfunction]
pub(crate) fn merge_points(
    py: Python<'_>,
    counts: Vec<u64>,
    tables: Vec<Option<Bound<'_, PyAny>>>,
    out: &Bound<'_, PyAny>,
    floats: bool,
) -> PyResult<()> {
    let dtype = if floats { Dtype::F64 } else { Dtype::I64 };
    let mut out = Array::new(out)?;
    let taken = out.span();
    let tables: Vec<Option<Array>> = (tables.iter())
        .map(|t| t.as_ref().map(|t| Array::readable(t, &taken)).transpose())
        .collect::<PyResult<_>>()?;
    let done = {
        // SAFETY: as in `join_cores`.
        let out = unsafe { out.view_mut_as(dtype) }?;
        let views: Vec<Option<View<'_>>> = (tables.iter())
            .map(|t| t.as_ref().map(|t| t.view_as(dtype)).transpose())
            .collect::<PyResult<_>>()?;
        py.detach(|| volchunk::merge_points_into(&counts, &views, out)).map_err(to_python)
    };
    tables.into_iter().flatten().for_each(|t| t.release(py));
    out.release(py);
    done
}
