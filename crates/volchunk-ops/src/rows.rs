//! Rows of a strided view as typed slices.

use volchunk::{Element, View};

/// Voxels that a kernel sees at a time: in the first-level cache, whatever the dtype.
pub(crate) const PIECE: usize = 2048;

/// Calls `f` with the byte offset of every position of `axes` (length, stride in bytes), in raster
/// order, `at` being the first.
pub(crate) fn each(axes: &[(usize, usize)], at: usize, f: &mut impl FnMut(usize)) {
    match axes {
        [] => f(at),
        [(n, stride), rest @ ..] => (0..*n).for_each(|i| each(rest, at + i * stride, f)),
    }
}

/// Length and stride in bytes of every axis.
pub(crate) fn axes(view: &View<'_>) -> Vec<(usize, usize)> {
    view.shape().iter().zip(view.strides()).map(|(&n, &s)| (n as usize, s as usize)).collect()
}

/// The `n` voxels that begin at byte `at`, `stride` bytes apart: borrowed where they lie side by
/// side and aligned, else copied to `spare`.
pub(crate) fn row<'s, T: Element>(
    data: &'s [u8],
    at: usize,
    stride: usize,
    n: usize,
    spare: &'s mut Vec<T>,
) -> &'s [T] {
    let size = size_of::<T>();
    if (n <= 1 || stride == size)
        && let Ok(row) = bytemuck::try_cast_slice(&data[at..at + n * size])
    {
        return row;
    }
    spare.clear();
    spare.extend((0..n).map(|i| {
        let at = at + i * stride;
        bytemuck::pod_read_unaligned::<T>(&data[at..at + size])
    }));
    spare
}

/// Calls `f` with pieces of at most [`PIECE`] voxels that cover `view` in C order, and the C-order
/// number of each piece's first voxel.
pub(crate) fn pieces<T: Element>(view: &View<'_>, mut f: impl FnMut(usize, &[T])) {
    if view.shape().contains(&0) {
        return;
    }
    // Axes that lie side by side become one: fewer, longer rows.
    let mut merged: Vec<(usize, usize)> = Vec::new();
    for (n, stride) in axes(view).into_iter().filter(|&(n, _)| n > 1) {
        match merged.last_mut() {
            Some(last) if last.1 == n * stride => *last = (last.0 * n, stride),
            _ => merged.push((n, stride)),
        }
    }
    let (n, stride) = merged.pop().unwrap_or((1, size_of::<T>()));
    let (mut done, mut spare) = (0, Vec::new());
    each(&merged, 0, &mut |at| {
        for first in (0..n).step_by(PIECE) {
            let len = PIECE.min(n - first);
            f(done, row(view.data(), at + first * stride, stride, len, &mut spare));
            done += len;
        }
    });
}

/// The voxel, where any non-zero byte that means true is 1.
#[inline(always)]
pub(crate) fn normal<T: Element>(voxel: T) -> T {
    match (T::DTYPE, voxel.to_i128()) {
        (volchunk::Dtype::Bool, Some(i)) => T::from_i128(i),
        _ => voxel,
    }
}
