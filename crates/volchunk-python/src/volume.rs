//! Volumes in files, read by region.

use std::{path::PathBuf, sync::Arc};

use pyo3::{prelude::*, types::PyDict};
use volchunk::{AxisKind, Error, Region, Scratch, Source, VolumeInfo};

use crate::{array::Array, error::to_python};

/// A volume in a file or folder, opened; its files are read when a region is.
#[pyclass(frozen, name = "Source", module = "volchunk._native")]
pub(crate) struct VolumeSource {
    pub(crate) source: Arc<dyn Source>,
}

#[pymethods]
impl VolumeSource {
    /// Opens the volume at `path`. `axes`, a letter for each axis, and `voxel_size`, in µm, one for
    /// all or one for each spatial axis, replace what the file says.
    #[new]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        axes: Option<&str>,
        voxel_size: Option<Vec<f64>>,
    ) -> PyResult<Self> {
        let open = || {
            let names = ["axes", "voxel_size"];
            volchunk_io::describe(volchunk_io::open(&path)?, axes, voxel_size.as_deref(), names)
        };
        let source = py.detach(open).map_err(to_python)?;
        Ok(Self { source: source.into() })
    }

    /// Shape, dtype, axes and storage by name; lists have one entry for each axis, but
    /// `voxel_size_um` one for each spatial axis, or None where it is not known for all of them.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        describe(py, self.source.info())
    }

    /// Reads the region at `start` of the shape of `out` into it; `out` has the volume's dtype in
    /// native byte order, and no negative strides.
    fn read(&self, py: Python<'_>, start: Vec<u64>, out: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut out = Array::new(out)?;
        let done = {
            // SAFETY: that no other Python thread uses `out` is the caller's promise, as for any
            // NumPy function that releases the interpreter.
            let view = unsafe { out.view_mut_as(self.source.info().dtype) }?;
            py.detach(|| {
                if start.len() != view.shape().len() {
                    return Err(Error::argument(format!(
                        "start {start:?} has {} axes, out of shape {:?} has {}",
                        start.len(),
                        view.shape(),
                        view.shape().len()
                    )));
                }
                let region = Region::new(&start, view.shape());
                region.check_within(&self.source.info().shape, "the region")?;
                if region.is_empty() {
                    return Ok(());
                }
                self.source.read(&region, view, &mut Scratch::new())
            })
            .map_err(to_python)
        };
        out.release(py);
        done
    }

    /// Bytes read from files so far.
    fn bytes_read(&self) -> u64 {
        self.source.bytes_read()
    }
}

/// What [`VolumeSource::info`] gives.
pub(crate) fn describe<'py>(py: Python<'py>, info: &VolumeInfo) -> PyResult<Bound<'py, PyDict>> {
    let axes = &info.axes;
    let kind = |kind| match kind {
        AxisKind::Space => "space",
        AxisKind::Time => "time",
        AxisKind::Channel => "channel",
    };
    let micrometers: Option<Vec<f64>> =
        info.spatial_axes().iter().map(|&a| axes[a].micrometers()).collect();
    let storage = info.storage.as_ref();
    let dict = PyDict::new(py);
    dict.set_item("shape", info.shape.to_vec())?;
    dict.set_item("dtype", info.dtype.name())?;
    dict.set_item("axes", axes.iter().map(|a| &a.name).collect::<Vec<_>>())?;
    dict.set_item("kinds", axes.iter().map(|a| kind(a.kind)).collect::<Vec<_>>())?;
    dict.set_item("scale", axes.iter().map(|a| a.scale).collect::<Vec<_>>())?;
    dict.set_item("unit", axes.iter().map(|a| a.unit.as_deref()).collect::<Vec<_>>())?;
    dict.set_item("origin", axes.iter().map(|a| a.origin).collect::<Vec<_>>())?;
    dict.set_item("voxel_size_um", micrometers)?;
    dict.set_item("storage_chunk", storage.map(|s| s.chunk.to_vec()))?;
    dict.set_item("shard", storage.and_then(|s| s.shard.as_ref()).map(|s| s.to_vec()))?;
    Ok(dict)
}
