//! Strided views of voxels, and the one n-d copy.

use smallvec::SmallVec;

use super::Dtype;
use crate::geometry::{Coords, Region};

/// A read-only, strided window on voxels in memory.
#[derive(Debug, Clone)]
pub struct View<'a> {
    shape: Coords,
    strides: Coords,
    dtype: Dtype,
    data: &'a [u8],
}

/// A strided window on voxels in memory, to write through.
#[derive(Debug)]
pub struct ViewMut<'a> {
    shape: Coords,
    strides: Coords,
    dtype: Dtype,
    data: &'a mut [u8],
}

/// Bytes between neighbours on each axis of a C-order array.
fn c_strides(shape: &[u64], itemsize: u64) -> Coords {
    let mut strides = Coords::from_slice(shape);
    let mut step = itemsize;
    for (slot, &n) in strides.iter_mut().zip(shape).rev() {
        *slot = step;
        step = step.saturating_mul(n.max(1));
    }
    strides
}

/// Bytes from the first voxel to one past the last.
fn extent(shape: &[u64], strides: &[u64], itemsize: u64) -> u64 {
    if shape.contains(&0) {
        return 0;
    }
    let last = shape
        .iter()
        .zip(strides)
        .fold(0u64, |sum, (&n, &s)| sum.saturating_add((n - 1).saturating_mul(s)));
    last.saturating_add(itemsize)
}

fn check(shape: &[u64], strides: &[u64], dtype: Dtype, len: usize) {
    assert_eq!(shape.len(), strides.len(), "one stride per axis");
    let need = extent(shape, strides, dtype.size() as u64);
    assert!(
        need <= len as u64,
        "shape {shape:?} with strides {strides:?} needs {need} bytes, {len} given"
    );
}

/// Byte offset of `start`, and the shape behind it, of a part of a view.
fn part(view_shape: &[u64], strides: &[u64], region: &Region, len: usize) -> usize {
    assert!(
        Region::whole(view_shape).contains(region),
        "{region} is outside a view of shape {view_shape:?}"
    );
    let offset: u64 = region.start().iter().zip(strides).map(|(&i, &s)| i * s).sum();
    (offset as usize).min(len)
}

impl<'a> View<'a> {
    /// A C-order array in `data`, native byte order.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn contiguous(shape: &[u64], dtype: Dtype, data: &'a [u8]) -> Self {
        Self::strided(shape, &c_strides(shape, dtype.size() as u64), dtype, data)
    }

    /// An array in `data` with `strides` in bytes.
    ///
    /// # Panics
    /// If `data` is too short for shape and strides.
    pub fn strided(shape: &[u64], strides: &[u64], dtype: Dtype, data: &'a [u8]) -> Self {
        check(shape, strides, dtype, data.len());
        Self { shape: Coords::from_slice(shape), strides: Coords::from_slice(strides), dtype, data }
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Bytes between neighbours on each axis.
    pub fn strides(&self) -> &[u64] {
        &self.strides
    }

    /// Type of a voxel.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The bytes that the view spans, its first voxel first.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The part of this view that `region` names, in the view's own coordinates.
    ///
    /// # Panics
    /// If it reaches outside.
    #[must_use]
    pub fn part(&self, region: &Region) -> View<'a> {
        let offset = part(&self.shape, &self.strides, region, self.data.len());
        View {
            shape: Coords::from_slice(region.shape()),
            strides: self.strides.clone(),
            dtype: self.dtype,
            data: &self.data[offset..],
        }
    }

    /// The same voxels with the axes in another order: axis `a` of the result is `order[a]` here.
    ///
    /// # Panics
    /// If `order` is not a permutation.
    #[must_use]
    pub fn permuted(&self, order: &[usize]) -> View<'a> {
        let mut seen = order.to_vec();
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..self.shape.len()), "{order:?} is not a permutation");
        View {
            shape: order.iter().map(|&a| self.shape[a]).collect(),
            strides: order.iter().map(|&a| self.strides[a]).collect(),
            dtype: self.dtype,
            data: self.data,
        }
    }

    /// The voxels in C order without a copy, if that is how they lie.
    pub fn as_contiguous(&self) -> Option<&'a [u8]> {
        let item = self.dtype.size() as u64;
        let bytes = Region::whole(&self.shape).voxels() * item;
        let dense = c_strides(&self.shape, item);
        let lies = (0..self.shape.len()).all(|a| self.shape[a] <= 1 || self.strides[a] == dense[a]);
        (bytes == 0 || lies).then(|| &self.data[..bytes as usize])
    }

    /// The voxels in C order as numbers without a copy, if they are of type `T`, that is how they lie,
    /// and their memory is aligned for it.
    pub fn as_slice<T: super::Element>(&self) -> Option<&'a [T]> {
        let bytes = self.as_contiguous().filter(|_| self.dtype == T::DTYPE)?;
        // No memory may be anywhere.
        if bytes.is_empty() { Some(&[]) } else { bytemuck::try_cast_slice(bytes).ok() }
    }
}

impl<'a> ViewMut<'a> {
    /// The axis to divide at for windows on disjoint stretches of memory: of those longer than
    /// one voxel the one with the longest stride. None if there is none, or if its planes
    /// interleave in memory.
    pub(crate) fn split_axis(&self) -> Option<usize> {
        let long = (0..self.shape.len()).filter(|&a| self.shape[a] > 1);
        let axis = long.max_by_key(|&a| (self.strides[a], std::cmp::Reverse(a)))?;
        self.planes_lie_apart(axis).then_some(axis)
    }

    fn planes_lie_apart(&self, axis: usize) -> bool {
        let mut plane = self.shape.clone();
        plane[axis] = 1;
        extent(&plane, &self.strides, self.dtype.size() as u64) <= self.strides[axis]
    }

    /// The voxels before position `at` of `axis`, and the others.
    ///
    /// # Panics
    /// If `axis` is not [`split_axis`](Self::split_axis), or `at` not within it.
    pub(crate) fn split_at(self, axis: usize, at: u64) -> (ViewMut<'a>, ViewMut<'a>) {
        assert!(at < self.shape[axis] && self.planes_lie_apart(axis), "axis {axis} at {at}");
        let (low, high) = self.data.split_at_mut((at * self.strides[axis]) as usize);
        let side = |n: u64, data: &'a mut [u8]| {
            let mut shape = self.shape.clone();
            shape[axis] = n;
            ViewMut { shape, strides: self.strides.clone(), dtype: self.dtype, data }
        };
        (side(at, low), side(self.shape[axis] - at, high))
    }
}

impl ViewMut<'_> {
    /// A C-order array in `data`, native byte order.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn contiguous<'a>(shape: &[u64], dtype: Dtype, data: &'a mut [u8]) -> ViewMut<'a> {
        ViewMut::strided(shape, &c_strides(shape, dtype.size() as u64), dtype, data)
    }

    /// An array in `data` with `strides` in bytes.
    ///
    /// # Panics
    /// If `data` is too short for shape and strides.
    pub fn strided<'a>(
        shape: &[u64],
        strides: &[u64],
        dtype: Dtype,
        data: &'a mut [u8],
    ) -> ViewMut<'a> {
        check(shape, strides, dtype, data.len());
        ViewMut {
            shape: Coords::from_slice(shape),
            strides: Coords::from_slice(strides),
            dtype,
            data,
        }
    }

    /// Length of each axis.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Bytes between neighbours on each axis.
    pub fn strides(&self) -> &[u64] {
        &self.strides
    }

    /// Type of a voxel.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The bytes that the view spans, its first voxel first.
    pub fn data_mut(&mut self) -> &mut [u8] {
        self.data
    }

    /// The part of this view that `region` names, in the view's own coordinates.
    ///
    /// # Panics
    /// If it reaches outside.
    pub fn part_mut(&mut self, region: &Region) -> ViewMut<'_> {
        let offset = part(&self.shape, &self.strides, region, self.data.len());
        ViewMut {
            shape: Coords::from_slice(region.shape()),
            strides: self.strides.clone(),
            dtype: self.dtype,
            data: &mut self.data[offset..],
        }
    }

    /// The voxels in C order without a copy, if that is how they lie.
    pub fn as_contiguous_mut(&mut self) -> Option<&mut [u8]> {
        let len = self.as_view().as_contiguous()?.len();
        Some(&mut self.data[..len])
    }

    /// The voxels in C order as numbers without a copy; None where [`View::as_slice`] is.
    pub fn as_slice_mut<T: super::Element>(&mut self) -> Option<&mut [T]> {
        let is_of_type = self.dtype == T::DTYPE;
        let bytes = self.as_contiguous_mut().filter(|_| is_of_type)?;
        if bytes.is_empty() { Some(&mut []) } else { bytemuck::try_cast_slice_mut(bytes).ok() }
    }

    /// The same window, to read.
    pub fn as_view(&self) -> View<'_> {
        View {
            shape: self.shape.clone(),
            strides: self.strides.clone(),
            dtype: self.dtype,
            data: self.data,
        }
    }

    /// The same window, borrowed for a shorter time.
    pub fn reborrow(&mut self) -> ViewMut<'_> {
        ViewMut {
            shape: self.shape.clone(),
            strides: self.strides.clone(),
            dtype: self.dtype,
            data: self.data,
        }
    }

    /// Copies every voxel of `from`, which has the same shape and dtype; any strides on both sides.
    ///
    /// # Panics
    /// If shape or dtype differ.
    pub fn copy_from(&mut self, from: &View<'_>) {
        assert_eq!(self.shape, from.shape, "shapes differ");
        assert_eq!(self.dtype, from.dtype, "dtypes differ");
        if self.shape.contains(&0) {
            return;
        }
        // In the order of the written memory, whatever the order of the axes; then merge axes that
        // lie side by side on both sides: fewer, longer rows.
        let item = self.dtype.size() as u64;
        let mut ordered: SmallVec<[(u64, u64, u64); 5]> = (0..self.shape.len())
            .filter(|&a| self.shape[a] != 1)
            .map(|a| (self.shape[a], self.strides[a], from.strides[a]))
            .collect();
        ordered.sort_by_key(|&(_, to, source)| std::cmp::Reverse((to, source)));
        let mut axes: SmallVec<[(u64, u64, u64); 5]> = SmallVec::new();
        for (n, to, source) in ordered {
            match axes.last_mut() {
                Some((pn, pt, ps)) if *pt == to * n && *ps == source * n => {
                    (*pn, *pt, *ps) = (*pn * n, to, source);
                }
                _ => axes.push((n, to, source)),
            }
        }
        let row = match axes.last() {
            Some(&(n, to, source)) if to == item && source == item => {
                axes.pop();
                n * item
            }
            _ => item,
        };
        copy_rows(&axes, row as usize, self.data, from.data);
    }
}

/// Copies rows of `row` bytes over the axes `(length, stride to, stride from)`.
fn copy_rows(axes: &[(u64, u64, u64)], row: usize, to: &mut [u8], from: &[u8]) {
    match axes {
        [] => to[..row].copy_from_slice(&from[..row]),
        [axis] => match row {
            // Known lengths become single moves instead of calls.
            1 => copy_items::<1>(*axis, to, from),
            2 => copy_items::<2>(*axis, to, from),
            4 => copy_items::<4>(*axis, to, from),
            8 => copy_items::<8>(*axis, to, from),
            _ => {
                let &(n, t, s) = axis;
                for i in 0..n {
                    let (t, s) = ((i * t) as usize, (i * s) as usize);
                    to[t..t + row].copy_from_slice(&from[s..s + row]);
                }
            }
        },
        [(n, t, s), rest @ ..] => {
            for i in 0..*n {
                copy_rows(rest, row, &mut to[(i * t) as usize..], &from[(i * s) as usize..]);
            }
        }
    }
}

fn copy_items<const SIZE: usize>((n, t, s): (u64, u64, u64), to: &mut [u8], from: &[u8]) {
    for i in 0..n {
        let (t, s) = ((i * t) as usize, (i * s) as usize);
        to[t..t + SIZE].copy_from_slice(&from[s..s + SIZE]);
    }
}
