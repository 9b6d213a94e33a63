//! Arrays in memory as source and sink.

use std::sync::{Mutex, PoisonError};

use super::{Scratch, Sink, Source, View, ViewMut, VolumeInfo};
use crate::{Result, geometry::Region};

/// An array in memory, read without copies.
#[derive(Debug)]
pub struct ArraySource<'a> {
    info: VolumeInfo,
    view: View<'a>,
}

impl<'a> ArraySource<'a> {
    /// The voxels of `view`, with default axes.
    pub fn new(view: View<'a>) -> Self {
        Self { info: VolumeInfo::new(view.shape(), view.dtype()), view }
    }

    /// The same with axes and scale; shape and dtype stay the view's.
    ///
    /// # Panics
    /// Unless there is one axis per dimension.
    #[must_use]
    pub fn with_axes(mut self, axes: Vec<super::Axis>) -> Self {
        assert_eq!(axes.len(), self.info.ndim(), "one axis per dimension");
        self.info.axes = axes;
        self
    }
}

impl Source for ArraySource<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: &Region, mut out: ViewMut<'_>, _: &mut Scratch) -> Result<()> {
        out.copy_from(&self.view.part(region));
        Ok(())
    }

    fn borrow(&self, region: &Region) -> Option<View<'_>> {
        Some(self.view.part(region))
    }
}

/// A C-order array in memory, written from many threads.
///
/// Its planes are locked one by one while a region is copied in, so that it stays safe even if two
/// regions overlapped; disjoint chunks rarely meet.
#[derive(Debug)]
pub struct ArraySink<'a> {
    info: VolumeInfo,
    /// The axis whose planes are locked: the first longer than one voxel.
    axis: usize,
    planes: Vec<Mutex<&'a mut [u8]>>,
}

impl<'a> ArraySink<'a> {
    /// Writes into `data`, a C-order array of `info`'s shape and dtype.
    ///
    /// # Panics
    /// If `data` has another length.
    pub fn new(info: VolumeInfo, data: &'a mut [u8]) -> Self {
        assert_eq!(data.len() as u64, info.bytes(), "bytes of {:?} {}", info.shape, info.dtype);
        let axis = info.shape.iter().position(|&n| n > 1).unwrap_or(0);
        let planes = match info.shape.get(axis) {
            Some(&n) if !data.is_empty() => {
                let plane = data.len() / n as usize;
                data.chunks_mut(plane).map(Mutex::new).collect()
            }
            _ => vec![Mutex::new(data)],
        };
        Self { info, axis, planes }
    }
}

impl Sink for ArraySink<'_> {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, region: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        if region.is_empty() {
            return Ok(());
        }
        if region.ndim() == 0 {
            let mut plane = self.planes[0].lock().unwrap_or_else(PoisonError::into_inner);
            ViewMut::contiguous(&[], self.info.dtype, &mut plane).copy_from(&data);
            return Ok(());
        }
        let one_plane = |r: &Region, at: u64| {
            Region::from_ranges(
                r.ranges().enumerate().map(|(a, r)| if a == self.axis { at..at + 1 } else { r }),
            )
        };
        let mut shape = self.info.shape.clone();
        shape[self.axis] = 1;
        for (k, z) in region.range(self.axis).enumerate() {
            let from = data.part(&one_plane(&Region::whole(region.shape()), k as u64));
            let mut plane = self.planes[z as usize].lock().unwrap_or_else(PoisonError::into_inner);
            ViewMut::contiguous(&shape, self.info.dtype, &mut plane)
                .part_mut(&one_plane(region, 0))
                .copy_from(&from);
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}
