"""What a user's function returns as points, which of them a chunk owns, and where they go."""

import threading
from typing import Any

import numpy as np

from volchunk._image import Image, Output
from volchunk._points_merge import EXACT, merge_points
from volchunk._progress import bar
from volchunk._select import Manner, Record
from volchunk._task import Array, Task


_MOST_COLUMNS = 1023
"""Beside the index, in a file."""


class Points:
    """Calls the function for each chunk, and keeps the points that the chunk owns: itself, or for a
    path in the engine's spool beside it."""

    def __init__(
        self, task: Task, tolerance: list[float] | None, output: Output, manner: Manner
    ) -> None:
        self._task = task
        self._tolerance = tolerance
        self._output = output
        self._manner = manner
        # On the way to a file the engine lays it over the points.
        self._mask = task.selection.mask if output.path is None else None
        self._lock = threading.Lock()
        # With where their chunks begin, since chunks end in any order.
        self._tables: list[tuple[tuple[int, ...], Array]] = []
        self._columns: int | None = None

    def run(self, progress: bool) -> Any:
        """Calls the function for all chunks; what the user is to get."""
        task, path = self._task, self._output.path
        record, chunks = None, task.chunks
        if path is not None:
            function = task.record(self._manner.version, dedupe=self._tolerance)
            record = Record(
                task.image,
                self._output,
                task.selection,
                self._manner,
                ops=[],
                function=function,
                roi=task.roi,
                chunks=task.chunks,
                table=True,
            )
            before = record.found()
            if before is not None:
                chunks = task.chunks or before[0]
                # Beside the function's own there are the voxel, and whether they are floats.
                self._columns = before[3] - len(task.image.axes) - 1 if before[3] else None
        job = task.job(self, np.dtype(bool), table=path is not None, chunks=chunks)
        task.start(job)
        with bar(job.count, progress) as told:
            watch = {"progress": told, "interrupt": task.interrupt}
            if record is None:
                job.visit(self._manner.native, watch)
                return self._joined()
            record.settle(job.chunks, function)
            job.write_file(record.native, watch)
            return None

    def __call__(
        self,
        block: Array,
        start: tuple[int, ...],
        stop: tuple[int, ...],
        origin: tuple[int, ...],
    ) -> Array | None:
        points = self._table(self._task.call(block, start, stop, origin), len(start))
        points[:, : len(start)] += np.array(origin)
        at = points[:, : len(start)]
        if not np.isfinite(at).all():
            raise ValueError("func returned coordinates that are not finite; legal: finite ones")
        # A voxel reaches half a voxel to either side of its centre.
        voxel = np.floor(at + 0.5) if points.dtype.kind == "f" else at
        owned = ((voxel >= start) & (voxel < stop)).all(axis=1)
        points, voxel = points[owned], voxel[owned].astype(np.int64)
        if self._output.path is not None:
            return self._spooled(points, voxel)
        if self._mask is not None and len(points):
            points = points[_is_inside(self._mask, voxel)]
        self._tables.append((start, points))
        return None

    def _spooled(self, points: Array, voxel: Array) -> Array:
        """Points as the spool has them: behind their voxels, and with their dtype at the end."""
        ndim, floats = voxel.shape[1], points.dtype.kind == "f"
        if len(points) and not floats and not -EXACT <= points.min() <= points.max() <= EXACT:
            raise ValueError(
                "func returned integers beyond 2**53; legal with a path as out: up to there, or "
                "float64"
            )
        if self._tolerance is not None and np.isnan(points[:, ndim : ndim + 1]).any():
            raise ValueError(
                f"func returned NaN in column {ndim}, by which dedupe decides; legal: numbers"
            )
        return np.column_stack([voxel, points, np.full(len(points), floats)]).astype(np.float64)

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
            with self._lock:
                if self._columns is None:
                    self._columns = table.shape[1]
            if self._output.path is not None and table.shape[1] > _MOST_COLUMNS:
                raise ValueError(
                    f"func returned {table.shape[1]} columns; legal with a path as out: at most "
                    f"{_MOST_COLUMNS}"
                )
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

    def _joined(self) -> Array:
        """All points, in order."""
        ndim = len(self._task.image.axes)
        tables = [table for _, table in sorted(self._tables, key=lambda table: table[0])]
        return merge_points(tables, dedupe=self._tolerance, ndim=ndim)


def _is_inside(mask: Image, voxels: Array) -> Array:
    """Whether the mask is not zero at each of some voxels, of which it reads the bounding box."""
    low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
    box = np.empty(high - low, mask.dtype)
    mask.source.read(low.tolist(), box)
    inside: Array = box[tuple((voxels - low).T)] != 0
    return inside
