//! Arrays and other Python objects as what a job reads.

use std::sync::Arc;

use pyo3::{exceptions::PyValueError, prelude::*};
use volchunk::{
    AxisKind, Coords, Dtype, Region, Result, Scratch, StorageGrid, View, ViewMut, VolumeInfo,
};

use crate::{array::Array, error::to_python, object::ObjectSource, volume::VolumeSource};

/// The memory of a NumPy array of `dtype`, whose strides are not negative; borrowed, not copied.
#[pyfunction]
pub(crate) fn array_source(array: &Bound<'_, PyAny>, dtype: &str) -> PyResult<VolumeSource> {
    let dtype = Dtype::from_name(dtype).map_err(to_python)?;
    let array = Array::new(array)?;
    array.view_as(dtype)?;
    let info = anonymous(&array.shape(), dtype);
    Ok(VolumeSource { source: Arc::new(ArraySource { array, info }) })
}

/// An object of `shape` and `dtype` that is read by indexing with slices, from any thread; `chunk`
/// is the shape of its storage chunks, if it has such.
#[pyfunction]
pub(crate) fn object_source(
    object: Py<PyAny>,
    shape: Vec<u64>,
    dtype: &str,
    chunk: Option<Vec<u64>>,
) -> PyResult<VolumeSource> {
    let mut info = anonymous(&shape, Dtype::from_name(dtype).map_err(to_python)?);
    if let Some(chunk) = chunk.as_ref().filter(|c| c.len() != shape.len() || c.contains(&0)) {
        return Err(PyValueError::new_err(format!("storage chunks {chunk:?} of shape {shape:?}")));
    }
    info.storage = chunk.map(|c| StorageGrid { chunk: Coords::from_vec(c), shard: None });
    Ok(VolumeSource { source: Arc::new(ObjectSource { object, info }) })
}

/// The names that the axes of an array are given.
#[pyfunction]
pub(crate) fn default_axes(ndim: usize) -> Vec<String> {
    let info = VolumeInfo::new(&vec![1; ndim], Dtype::U8);
    info.axes.into_iter().map(|a| a.name).collect()
}

/// A volume whose axes mean nothing in particular: all of them are divided and padded alike.
fn anonymous(shape: &[u64], dtype: Dtype) -> VolumeInfo {
    let mut info = VolumeInfo::new(shape, dtype);
    info.axes.iter_mut().for_each(|a| a.kind = AxisKind::Space);
    info
}

/// The memory of a NumPy array.
struct ArraySource {
    array: Array,
    info: VolumeInfo,
}

impl volchunk::Source for ArraySource {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        let view = self.array.view_as(self.info.dtype).map_err(crate::error::from_python)?;
        out.copy_from(&view.part(region));
        Ok(())
    }

    fn borrow(&self, region: &Region) -> Option<View<'_>> {
        Some(self.array.view_as(self.info.dtype).ok()?.part(region))
    }
}
