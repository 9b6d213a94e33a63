"""Chunks joined into one array again, tables of blobs into one."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._settings import threads
from volchunk._shared import fixed_size
from volchunk._split import Lengths, lengths

Array = npt.NDArray[Any]
Grid = npt.NDArray[np.object_]


def merge_split_stack(sub_rois: Grid, max_pixels: Lengths, overlap: Lengths | None) -> Array | None:
    """Join chunks that overlap into one array.

    Parameters
    ----------
    sub_rois : ndarray of object
        The chunks, arrays, in the grid that `stack_splitter` gave. They may have more axes than
        the grid, such as channels, which are not divided.
    max_pixels : sequence of int
        As `stack_splitter` got it: what a chunk has beyond that on an axis is trimmed.
    overlap : sequence of int or None
        As `stack_splitter` got it. What it was does not matter, since chunks are trimmed.

    Returns
    -------
    ndarray or None
        The merged array: of the dtype that NumPy promotes the chunks' to; a view of the chunk if
        there is only one; None if there is none.

    Raises
    ------
    ValueError
        If the trimmed chunks do not form a box; the message names a chunk.
    TypeError
        If an entry of `sub_rois` is not an array.

    Examples
    --------
    >>> sub_rois = np.empty((1, 2), dtype=object)
    >>> sub_rois[0, 0], sub_rois[0, 1] = np.array([[1, 2, 3]]), np.array([[3, 4]])
    >>> merge_split_stack(sub_rois, (1, 2), (0, 1))
    array([[1, 2, 3, 4]])
    """
    del overlap
    counts, chunks = _chunks_of(sub_rois)
    own_lengths = [
        # Starts lie at truncated multiples, so a fraction makes some chunks longer than others; the
        # last one reaches to the end.
        [(math.ceil if i + 1 == n else int)((i + 1) * m) - int(i * m) for i in range(n)]
        for n, m in zip(counts, lengths("max_pixels", max_pixels, 1, len(counts)))
    ]
    if not chunks:
        return None
    if len(chunks) == 1:
        return chunks[0][tuple(slice(own[0]) for own in own_lengths)]
    shapes = [
        [*map(min, chunk.shape, own), *chunk.shape[len(own) :]]
        for chunk, own in zip(chunks, itertools.product(*own_lengths))
    ]
    merged = _native.merged_lengths(counts, shapes, None)
    dtypes = dict.fromkeys(chunk.dtype for chunk in chunks)
    dtype = np.concatenate([np.empty(0, dtype) for dtype in dtypes]).dtype
    out = np.empty((*map(sum, merged), *chunks[0].shape[len(counts) :]), dtype)
    _join(chunks, merged, out)
    return out


def get_split_stack_total_shape(
    sub_rois: Grid, overlap: Lengths | None = None
) -> npt.NDArray[np.int64]:
    """The shape that chunks will have once merged.

    Parameters
    ----------
    sub_rois : ndarray of object
        The chunks, arrays, in a grid. Without overlap, they may have any shapes that form a box,
        as after rescaling.
    overlap : sequence of int, optional
        Voxels that each chunk reaches into the next on each axis of the grid; None for none.

    Returns
    -------
    ndarray of int64
        Length of each axis, those after the grid's too.

    Raises
    ------
    ValueError
        If the chunks do not form a box, or are not those of an even division with this overlap.
    TypeError
        If an entry of `sub_rois` is not an array.

    Examples
    --------
    >>> sub_rois = np.empty(3, dtype=object)
    >>> sub_rois[:] = [np.zeros(6), np.zeros(5), np.zeros(1)]
    >>> get_split_stack_total_shape(sub_rois, overlap=[2])
    array([9])
    """
    counts, chunks = _chunks_of(sub_rois)
    merged = _merged_lengths(counts, chunks, overlap)
    rest = chunks[0].shape[len(counts) :] if chunks else ()
    return np.array([*map(sum, merged), *rest], dtype=np.int64)


def merge_split_stack2(
    sub_rois: Grid, overlap: Lengths | None, offset: int, output: Array
) -> Array:
    """Join chunks into an array that exists.

    Parameters
    ----------
    sub_rois : ndarray of object
        The chunks, arrays, in a grid, as for `get_split_stack_total_shape`.
    overlap : sequence of int or None
        Voxels that each chunk reaches into the next on each axis of the grid, which are trimmed;
        None for none.
    offset : int
        Above 0, the chunks go to ``output[0]``, such as the first time point.
    output : ndarray or memmap
        Written from its origin on; voxels beyond the merged chunks stay as they are. Values are
        cast as NumPy assigns them.

    Returns
    -------
    ndarray or memmap
        `output`.

    Raises
    ------
    ValueError
        If `output` is too small, is read-only or has other axes than the chunks; if the chunks do
        not form a box, or are not those of an even division with this overlap.
    TypeError
        If `output` or an entry of `sub_rois` is not an array.

    Examples
    --------
    >>> sub_rois = np.empty(2, dtype=object)
    >>> sub_rois[:] = [np.array([1, 2, 3]), np.array([3, 4])]
    >>> merge_split_stack2(sub_rois, [1], 0, np.zeros(5, dtype=np.uint8))
    array([1, 2, 3, 4, 0], dtype=uint8)
    """
    counts, chunks = _chunks_of(sub_rois)
    if not isinstance(output, np.ndarray):
        raise TypeError(f"output is a {type(output).__name__}; legal: a NumPy array or memmap")
    if not output.flags.writeable:
        raise ValueError("output is read-only; legal: a writable array")
    if offset > 0 and len(output) == 0:
        raise ValueError(
            f"output has shape {output.shape}; with offset {offset}, output[0] is written"
        )
    target = output[0] if offset > 0 else output
    if not chunks:
        return output
    merged = _merged_lengths(counts, chunks, overlap)
    total = (*map(sum, merged), *chunks[0].shape[len(counts) :])
    whole = "output[0]" if offset > 0 else "output"
    if target.ndim != len(total):
        raise ValueError(
            f"{whole} has shape {target.shape}, the merged chunks {total}; legal: as many axes"
        )
    if any(n > room for n, room in zip(total, target.shape)):
        raise ValueError(
            f"{whole} has shape {target.shape}, too small for the merged chunks, {total}"
        )
    rest = target.shape[len(counts) :]
    if rest != total[len(counts) :]:
        chunks = [np.broadcast_to(chunk, chunk.shape[: len(counts)] + rest) for chunk in chunks]
    _join(chunks, merged, target[tuple(slice(sum(axis)) for axis in merged)])
    return output


def merge_blobs(blob_rois: Grid) -> Array | None:
    """Join the tables of blobs of all chunks, and append the index of each blob's chunk.

    Parameters
    ----------
    blob_rois : ndarray of object
        For each chunk an array (n, k), one row per blob, or None.

    Returns
    -------
    ndarray or None
        (N, k + 3) for a grid of three axes: rows in the order of the grid (last axis fastest),
        then in their own; the last columns are the chunk's z, y, x index. The dtype is what NumPy
        promotes the tables' and int64 to. None if no chunk has a table.

    Raises
    ------
    ValueError
        If a table does not have two axes, or as many columns as the others; the message names it.
    TypeError
        If an entry is neither an array nor None.

    Examples
    --------
    >>> blob_rois = np.empty((1, 1, 2), dtype=object)
    >>> blob_rois[0, 0, 1] = np.array([[4.5, 2.0, 1.0]])
    >>> merge_blobs(blob_rois)
    array([[4.5, 2. , 1. , 0. , 0. , 1. ]])
    """
    grid = _as_grid("blob_rois", blob_rois)
    counts = list(grid.shape)
    entries = grid.ravel().tolist() if grid.dtype == object else list(grid.reshape(-1))
    columns: int | None = None
    for number, table in enumerate(entries):
        if table is None:
            continue
        if not isinstance(table, np.ndarray):
            raise TypeError(
                f"{_entry('blob_rois', counts, number)} is a {type(table).__name__}; legal: an "
                "array (n, k) or None"
            )
        if table.ndim != 2 or table.shape[1] != (table.shape[1] if columns is None else columns):
            legal = "(n, k)" if columns is None else f"(n, {columns}), as those before it"
            raise ValueError(
                f"{_entry('blob_rois', counts, number)} has shape {table.shape}; legal: {legal}"
            )
        columns = table.shape[1]
    tables = [table for table in entries if table is not None]
    if columns is None:
        return None
    dtype = np.result_type(*dict.fromkeys(table.dtype for table in tables), np.int64)
    out = np.empty((sum(map(len, tables)), columns + len(counts)), dtype)
    if dtype in (np.float64, np.int64):
        cast = [None if table is None else table.astype(dtype, copy=False) for table in entries]
        _native.merge_points(counts, cast, out, dtype == np.float64)
        return out
    row = 0
    for index, table in zip(np.ndindex(*counts), entries):
        if table is not None:
            out[row : row + len(table), :columns] = table
            out[row : row + len(table), columns:] = index
            row += len(table)
    return out


def _as_grid(name: str, grid: Any) -> Any:
    if not isinstance(grid, np.ndarray) or grid.dtype != object:
        kind = f"array of {grid.dtype}" if isinstance(grid, np.ndarray) else type(grid).__name__
        raise TypeError(f"{name} is {kind}; legal: an array of objects, as stack_splitter gives")
    return grid


def _entry(name: str, counts: Sequence[int], number: int) -> str:
    return f"{name}{[int(i) for i in np.unravel_index(number, counts)]}"


def _chunks_of(sub_rois: Any) -> tuple[list[int], list[Array]]:
    """Chunks on each axis, and all chunks in C order."""
    grid = _as_grid("sub_rois", sub_rois)
    counts = list(grid.shape)
    chunks = grid.ravel().tolist()
    for number, chunk in enumerate(chunks):
        if not isinstance(chunk, np.ndarray):
            raise TypeError(
                f"{_entry('sub_rois', counts, number)} is a {type(chunk).__name__}; legal: an array"
            )
        if chunk.ndim < len(counts):
            raise ValueError(
                f"{_entry('sub_rois', counts, number)} has shape {chunk.shape}; legal: at least "
                f"{len(counts)} axes, as the grid has"
            )
    return counts, chunks


def _merged_lengths(
    counts: list[int], chunks: list[Array], overlap: Lengths | None
) -> list[list[int]]:
    """Length of each chunk's core along each axis of the grid."""
    reach = None if overlap is None else lengths("overlap", overlap, 0, len(counts))
    return _native.merged_lengths(
        counts,
        [list(chunk.shape) for chunk in chunks],
        None if reach is None else [int(o) for o in reach],
    )


def _join(chunks: list[Array], merged: list[list[int]], out: Array) -> None:
    """Trims chunks to their cores' lengths and joins them into `out`, each voxel copied once."""
    if (
        fixed_size(out.dtype)
        and all(chunk.dtype == out.dtype for chunk in chunks)
        and min(out.strides, default=0) >= 0
        and out.nbytes > 0
    ):
        if out.dtype.kind in "mMV":
            # Buffers of other libraries know no dates, nor some structures.
            raw = np.dtype((np.void, out.itemsize))
            chunks, out = [chunk.view(raw) for chunk in chunks], out.view(raw)
        _native.join_cores(chunks, merged, out, threads())
        return
    # NumPy casts, and counts references.
    for cores, chunk in zip(_cores(merged), chunks):
        out[cores] = chunk[tuple(slice(core.stop - core.start) for core in cores)]


def _cores(merged: list[list[int]]) -> Iterator[tuple[slice, ...]]:
    """Where each chunk's core lies, in C order."""
    axes = []
    for axis in merged:
        ends = list(itertools.accumulate(axis))
        axes.append([slice(end - n, end) for n, end in zip(axis, ends)])
    return itertools.product(*axes)
