"""What a user's function returns as points, and which of them a chunk owns."""

from typing import Any

import numpy as np

from volchunk._image import Image
from volchunk._points_merge import merge_points
from volchunk._task import Array, Task


class Points:
    """Calls the function for each chunk, and keeps the points that the chunk owns."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._mask = task.selection.mask
        # With where their chunks begin, since chunks end in any order.
        self._tables: list[tuple[tuple[int, ...], Array]] = []
        self._columns: int | None = None

    def __call__(
        self,
        block: Array,
        start: tuple[int, ...],
        stop: tuple[int, ...],
        origin: tuple[int, ...],
    ) -> None:
        points = self._table(self._task.call(block, start, stop, origin), len(start))
        points[:, : len(start)] += np.array(origin)
        at = points[:, : len(start)]
        if not np.isfinite(at).all():
            raise ValueError("func returned coordinates that are not finite; legal: finite ones")
        # A voxel reaches half a voxel to either side of its centre.
        voxel = np.floor(at + 0.5) if points.dtype.kind == "f" else at
        owned = ((voxel >= start) & (voxel < stop)).all(axis=1)
        points, voxel = points[owned], voxel[owned].astype(np.int64)
        if self._mask is not None and len(points):
            points = points[_is_inside(self._mask, voxel)]
        self._tables.append((start, points))

    def _table(self, returned: Any, ndim: int) -> Array:
        """What the function returned as a table of its own, in int64 or float64."""
        table = np.asarray(returned)
        if table.ndim == 1 and table.size == 0:
            # What an empty list becomes: neither its columns nor its dtype mean anything.
            return np.empty((0, self._columns or ndim), np.int64)
        if table.dtype.kind not in "biuf":
            raise TypeError(f"func returned dtype {table.dtype}; legal: a table of numbers")
        if table.ndim != 2 or table.shape[1] < ndim:
            raise ValueError(
                f"func returned shape {table.shape}; legal: (points, columns), with {ndim} columns "
                "or more"
            )
        if len(table):
            if self._columns is None:
                self._columns = table.shape[1]
            if table.shape[1] != self._columns:
                raise ValueError(
                    f"func returned {table.shape[1]} columns, and {self._columns} for another "
                    "chunk; legal: the same for all"
                )
        if table.dtype == np.uint64 and len(table) and table.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"func returned {table.max()} in a table of uint64; legal: up to 2**63 - 1, or float64"
            )
        return table.astype(np.float64 if table.dtype.kind == "f" else np.int64)

    def table(self, tolerance: list[float] | None) -> Array:
        """All points, in order."""
        ndim = len(self._task.image.axes)
        tables = [table for _, table in sorted(self._tables, key=lambda table: table[0])]
        return merge_points(tables, dedupe=tolerance, ndim=ndim)


def _is_inside(mask: Image, voxels: Array) -> Array:
    """Whether the mask is not zero at each of some voxels, of which it reads the bounding box."""
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    box = np.empty(high - low, mask.dtype)
    mask.source.read(low.tolist(), box)
    inside: Array = box[tuple((voxels - low).T)] != 0
    return inside
