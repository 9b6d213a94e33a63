//! Python objects that are indexed as arrays are, as a source and a sink.

use std::ops::Range;

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PySlice, PyTuple},
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
        pieces(region, &self.info).iter().try_for_each(|piece| {
            let place = piece.relative_to(region.start());
            Python::attach(|py| self.read_piece(py, piece, out.part_mut(&place)))
                .map_err(from_python)
        })
    }

    /// What indexing returns, beside the region that it is copied to.
    fn read_overhead(&self) -> u64 {
        piece_bytes(&self.info)
    }
}

impl ObjectSource {
    fn read_piece(&self, py: Python<'_>, piece: &Region, mut out: ViewMut<'_>) -> PyResult<()> {
        let name = self.info.dtype.name();
        let values = self.object.bind(py).get_item(slices(py, piece)?)?;
        let values = py.import("numpy")?.call_method1("asarray", (values,))?;
        let native = values.getattr("dtype")?.call_method1("newbyteorder", ("=",))?;
        if !native.eq(name)? {
            return Err(PyTypeError::new_err(format!(
                "image[{}] has dtype {}; legal: the image's, {name}",
                shown(piece),
                values.getattr("dtype")?
            )));
        }
        let values = Array::readable(
            &values.call_method("astype", (native,), Some(&uncopied(py)?))?,
            &(0..0),
        )?;
        let copied = if values.shape()[..] == *piece.shape() {
            let view = values.view_as(self.info.dtype)?;
            py.detach(|| out.copy_from(&view));
            Ok(())
        } else {
            Err(PyValueError::new_err(format!(
                "image[{}] has shape {:?}; legal: {:?}",
                shown(piece),
                &values.shape()[..],
                piece.shape()
            )))
        };
        values.release(py);
        copied
    }
}

/// `copy=False`: only where the byte order has to change.
fn uncopied(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let arguments = PyDict::new(py);
    arguments.set_item("copy", false)?;
    Ok(arguments)
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
        pieces(region, &self.info).iter().try_for_each(|piece| {
            let data = data.part(&piece.relative_to(region.start()));
            Python::attach(|py| self.write_piece(py, piece, &data)).map_err(from_python)
        })
    }

    /// What is assigned, beside the core that it is copied from.
    fn write_overhead(&self) -> u64 {
        piece_bytes(&self.info)
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}

impl ObjectSink {
    fn write_piece(&self, py: Python<'_>, piece: &Region, data: &View<'_>) -> PyResult<()> {
        let shape: Vec<usize> = piece.shape().iter().map(|&n| n as usize).collect();
        let voxels = empty(py, &shape, data.dtype())?;
        let mut memory = Array::new(&voxels)?;
        {
            // SAFETY: the array was made above, and nobody else has it yet.
            let mut view = unsafe { memory.view_mut_as(data.dtype()) }?;
            py.detach(|| view.copy_from(data));
        }
        memory.release(py);
        self.object.bind(py).set_item(slices(py, piece)?, voxels)
    }
}

/// Bytes of a piece where nothing else says how much to ask for at once.
const PIECE: u64 = 8 << 20;

/// Most bytes that one of [`pieces`] holds.
pub(crate) fn piece_bytes(info: &VolumeInfo) -> u64 {
    let voxels = info.storage.as_ref().map(|s| Region::whole(s.write_unit()).voxels());
    let size = info.dtype.size() as u64;
    voxels.map_or(PIECE, |n| n.saturating_mul(size)).min(info.bytes())
}

/// Divides a region, so that a copy of what is asked for at once stays small: where the object has
/// storage chunks at their borders, else into halves.
pub(crate) fn pieces(region: &Region, info: &VolumeInfo) -> Vec<Region> {
    if let Some(storage) = &info.storage {
        let cuts: Vec<Vec<Range<u64>>> = (region.ranges().zip(storage.write_unit()))
            .map(|(r, &unit)| {
                let first = r.start / unit;
                (first..r.end.div_ceil(unit))
                    .map(|k| (k * unit).max(r.start)..((k + 1) * unit).min(r.end))
                    .collect()
            })
            .collect();
        let mut all: Vec<Vec<Range<u64>>> = vec![Vec::new()];
        for axis in cuts {
            all = all
                .iter()
                .flat_map(|before| {
                    axis.iter().map(move |r| before.iter().cloned().chain([r.clone()]).collect())
                })
                .collect();
        }
        return all.into_iter().map(Region::from_ranges).collect();
    }
    match (0..region.ndim()).find(|&a| region.shape()[a] > 1) {
        Some(axis) if region.voxels().saturating_mul(info.dtype.size() as u64) > PIECE => {
            let middle = region.start()[axis] + region.shape()[axis] / 2;
            [region.start()[axis]..middle, middle..region.stop(axis)]
                .into_iter()
                .flat_map(|half| {
                    let ranges = region.ranges().enumerate();
                    let half = ranges.map(|(a, r)| if a == axis { half.clone() } else { r });
                    pieces(&Region::from_ranges(half), info)
                })
                .collect()
        }
        _ => vec![region.clone()],
    }
}

/// The index that means `region`.
fn slices<'py>(py: Python<'py>, region: &Region) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, region.ranges().map(|r| PySlice::new(py, r.start as isize, r.end as isize, 1)))
}

fn shown(region: &Region) -> String {
    region.to_string().trim_matches(['[', ']']).to_owned()
}
