//! Python objects that are indexed as arrays are, as a source and a sink.

use pyo3::{
    prelude::*,
    types::{PySlice, PyTuple},
};
use volchunk::{Region, Result, Scratch, Sink, Source, View, ViewMut, VolumeInfo};

use crate::{array::Array, error::from_python, function::empty};

/// Reads `object[slices]`.
pub(crate) struct ObjectSource {
    pub(crate) object: Py<PyAny>,
    pub(crate) info: VolumeInfo,
}

impl Source for ObjectSource {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        Python::attach(|py| {
            let values = self.object.bind(py).get_item(slices(py, region)?)?;
            // Any byte order, any array type; NumPy's own message where it is no array.
            let dtype = self.info.dtype.name();
            let values = py.import("numpy")?.call_method1("asarray", (values, dtype))?;
            let values = Array::readable(&values, &(0..0))?;
            let copied = if values.shape()[..] == *region.shape() {
                let view = values.view_as(self.info.dtype)?;
                py.detach(|| out.copy_from(&view));
                Ok(())
            } else {
                Err(pyo3::exceptions::PyValueError::new_err(format!(
                    "image[{}] has shape {:?}; legal: {:?}",
                    shown(region),
                    &values.shape()[..],
                    region.shape()
                )))
            };
            values.release(py);
            copied
        })
        .map_err(from_python)
    }

    /// What indexing returns, beside the region that it is copied to.
    fn read_overhead(&self) -> u64 {
        let unit = match &self.info.storage {
            Some(storage) => Region::whole(&storage.chunk).voxels(),
            None => 0,
        };
        unit.saturating_mul(self.info.dtype.size() as u64)
    }
}

/// Writes `object[slices] = voxels`.
pub(crate) struct ObjectSink {
    pub(crate) object: Py<PyAny>,
    pub(crate) info: VolumeInfo,
}

impl Sink for ObjectSink {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        Python::attach(|py| {
            let shape: Vec<usize> = region.shape().iter().map(|&n| n as usize).collect();
            let voxels = empty(py, &shape, data.dtype())?;
            let mut memory = Array::new(&voxels)?;
            {
                // SAFETY: the array was made above, and nobody else has it yet.
                let mut view = unsafe { memory.view_mut_as(data.dtype()) }?;
                view.copy_from(&data);
            }
            memory.release(py);
            self.object.bind(py).set_item(slices(py, region)?, voxels)
        })
        .map_err(from_python)
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// The index that means `region`.
fn slices<'py>(py: Python<'py>, region: &Region) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, region.ranges().map(|r| PySlice::new(py, r.start as isize, r.end as isize, 1)))
}

fn shown(region: &Region) -> String {
    region.to_string().trim_matches(['[', ']']).to_owned()
}
