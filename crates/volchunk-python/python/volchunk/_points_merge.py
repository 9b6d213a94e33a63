"""The chunks' tables of points as one, without those that two chunks both found."""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._arguments import workers_of

Array = npt.NDArray[Any]

EXACT = 2**53
"""Up to here float64 holds every whole number."""


def merge_points(
    tables: Iterable[npt.ArrayLike | None] | npt.NDArray[np.object_],
    *,
    dedupe: float | Sequence[float] | None = None,
    mode: Literal["strongest", "mean"] = "strongest",
    ndim: int = 3,
    value: int | None = None,
    channel: int | None = None,
    workers: int | None = None,
) -> Array:
    """Join the tables of points that chunks gave, and keep once what several chunks found.

    Where a detector's result depends on where its chunk begins, as that of a neural network may,
    two chunks that see the same cell place it a little differently. Points of *different* chunks,
    of the same `channel`, and at most `dedupe` apart on each axis count as one.

    Parameters
    ----------
    tables : sequence of array_like, or ndarray of object
        One table for each chunk, or None: a row for each point, its first `ndim` columns the
        coordinates, slowest axis first, in voxels or any other unit, of the whole volume. Tables
        without rows may have any columns.
    dedupe : float or sequence of float, optional
        The tolerance for all axes, or one for each, in the unit of the coordinates; 0 for the same
        coordinate. None: nothing is removed.
    mode : {"strongest", "mean"}, optional
        "strongest": from the point with the largest value to that with the smallest, a point is
        dropped if one that was kept is the same by `dedupe`. What was dropped drops nothing. At
        equal values, the one that comes first in the order of the result is taken first; of rows
        that are the same, that of the first table.
        "mean": two points become one at the mean of their coordinates, if each is the other's
        nearest, by Euclidean distance in tolerances; the other columns are those of the one with
        the larger value. A point is averaged once. The result is float64.
    ndim : int, optional
        How many columns are coordinates.
    value : int, optional
        The column that tells how strong a point is; negative numbers count from the last. By
        default the first behind the coordinates; without one, none is stronger than another.
    channel : int, optional
        The column with the channel. By default all points are of one.
    workers : int, optional
        Threads; by default `volchunk.settings.cpus`, or all cores.

    Returns
    -------
    ndarray
        Of shape (points, columns): int64 if all tables were of integers, else float64. Sorted by
        the first column, then the second, and so on. The same whatever the order of rows and the
        number of workers.

    Raises
    ------
    TypeError
        If a table is not one of numbers.
    ValueError
        For a tolerance that is negative or not finite, tables that differ in their columns,
        coordinates or values that are not finite numbers; the message names the table and row. For
        integers beyond 2**53, with `dedupe`.
    IndexError
        For a column that the tables do not have.

    See Also
    --------
    map_points : calls a function on every chunk, and merges its tables.
    volchunk.chunking.merge_blobs : joins tables and appends the index of each row's chunk.

    Notes
    -----
    The time is linear in the number of points, where not many lie within the tolerance of each
    other. Points that are farther than that from the bounding boxes of all other chunks' points,
    as most are where chunks overlap a little, are only checked, sorted and copied.

    Examples
    --------
    Two chunks that overlap both found the cell at x = 10, columns y, x, score:

    >>> left = [[5, 3, 0.9], [5, 9.6, 0.7]]
    >>> right = [[5, 10.2, 0.8], [5, 11.4, 0.6]]
    >>> volchunk.merge_points([left, right], dedupe=1, ndim=2)
    array([[ 5. ,  3. ,  0.9],
           [ 5. , 10.2,  0.8],
           [ 5. , 11.4,  0.6]])
    >>> volchunk.merge_points([left, right], dedupe=1, ndim=2, mode="mean")
    array([[ 5. ,  3. ,  0.9],
           [ 5. ,  9.9,  0.8],
           [ 5. , 11.4,  0.6]])
    """
    if mode not in ("strongest", "mean"):
        raise ValueError(f"mode is {mode!r}; legal: 'strongest', 'mean'")
    ndim = _number("ndim", ndim)
    if ndim < 1:
        raise ValueError(f"ndim is {ndim}; legal: 1 or more")
    threads = workers_of(workers)
    tolerance = None if dedupe is None else tolerance_of(dedupe, ndim)
    arrays = [_table(table, number) for number, table in enumerate(_entries(tables))]
    some = [table for table in arrays if len(table)]
    if not some:
        columns = max(ndim, *(table.shape[1] for table in arrays), 0)
        dtype = np.result_type(np.int64, *dict.fromkeys(table.dtype for table in arrays))
        return np.empty((0, columns), dtype)
    columns = some[0].shape[1]
    for number, table in enumerate(arrays):
        if len(table) and table.shape[1] != columns:
            raise ValueError(
                f"tables[{number}] has {table.shape[1]} columns; legal: {columns}, as those before"
            )
    if columns < ndim:
        raise ValueError(f"tables have {columns} columns; legal: {ndim} or more, one for each axis")
    dtype = np.result_type(*dict.fromkeys(table.dtype for table in some))
    if value is not None:
        value = _column("value", value, columns)
    elif columns > ndim:
        value = ndim
    group = [] if channel is None else [_column("channel", channel, columns)]
    if tolerance is None:
        points = np.concatenate(some)
        return points[np.lexsort(points.T[::-1])]
    if dtype == np.int64:
        for number, table in enumerate(arrays):
            if len(table) and not -EXACT <= table.min() <= table.max() <= EXACT:
                raise ValueError(
                    f"tables[{number}] holds integers beyond 2**53; legal with dedupe: up to there"
                )
    try:
        kept = _native.dedupe_points(
            [np.ascontiguousarray(table, np.float64) for table in some],
            columns,
            tolerance,
            value,
            group,
            mode == "mean",
            threads,
            lambda rows: np.empty((rows, columns)),
        )
    except ValueError:
        _refuse(arrays, ndim, [*([] if value is None else [value]), *group])
        raise
    # Means of integers need not be integers.
    return kept if mode == "mean" else kept.astype(dtype, copy=False)


def tolerance_of(dedupe: Any, ndim: int) -> list[float]:
    """The tolerance on each axis."""
    if isinstance(dedupe, np.ndarray):
        dedupe = dedupe.tolist()
    given = list(dedupe) if isinstance(dedupe, Sequence) else [dedupe] * ndim
    if isinstance(dedupe, str) or any(isinstance(t, bool) for t in given):
        raise TypeError(f"dedupe is {dedupe!r}; legal: a number, or one for each axis")
    try:
        tolerance = [float(t) for t in given]
    except TypeError:
        raise TypeError(f"dedupe is {dedupe!r}; legal: a number, or one for each axis") from None
    if len(tolerance) != ndim:
        raise ValueError(f"dedupe has {len(tolerance)} values; legal: 1 or {ndim}, the axes")
    for axis, t in enumerate(tolerance):
        if not (math.isfinite(t) and t >= 0):
            raise ValueError(f"dedupe is {t} on axis {axis}; legal: finite, 0 or more")
    return tolerance


def _entries(tables: Any) -> list[Any]:
    """One entry for each chunk."""
    if isinstance(tables, np.ndarray):
        if tables.dtype != object:
            raise TypeError(
                f"tables is an array of {tables.dtype}; legal: a sequence of tables, one a chunk"
            )
        return list(tables.ravel())
    try:
        return list(tables)
    except TypeError:
        raise TypeError(
            f"tables is a {type(tables).__name__}; legal: a sequence of tables, one a chunk"
        ) from None


def _table(entry: Any, number: int) -> Array:
    """One chunk's table in int64 or float64."""
    if entry is None:
        return np.empty((0, 0), np.int64)
    table = np.asarray(entry)
    if table.ndim == 1 and table.size == 0:
        # What an empty list becomes: neither its columns nor its dtype mean anything.
        return np.empty((0, 0), np.int64)
    if table.dtype.kind not in "biuf":
        raise TypeError(f"tables[{number}] has dtype {table.dtype}; legal: a table of numbers")
    if table.ndim != 2:
        raise ValueError(f"tables[{number}] has shape {table.shape}; legal: (points, columns)")
    if table.dtype == np.uint64 and len(table) and table.max() > np.iinfo(np.int64).max:
        raise ValueError(
            f"tables[{number}] holds {table.max()}; legal: up to 2**63 - 1, or float64"
        )
    return table.astype(np.float64 if table.dtype.kind == "f" else np.int64, copy=False)


def _number(what: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}; legal: a whole number") from None


def _column(what: str, column: Any, columns: int) -> int:
    """A column's number from 0."""
    number = _number(what, column)
    if not -columns <= number < columns:
        raise IndexError(f"{what} is column {number}; legal: {-columns} to {columns - 1}")
    return number % columns


def _refuse(tables: list[Array], ndim: int, others: list[int]) -> None:
    """Names the first row that cannot be merged."""
    for number, table in enumerate(tables):
        if not len(table):
            continue
        for columns, bad, legal in (
            (list(range(ndim)), ~np.isfinite(table[:, :ndim]), "finite coordinates"),
            (others, np.isnan(table[:, others]), "numbers"),
        ):
            if bad.any():
                row, at = np.argwhere(bad)[0]
                raise ValueError(
                    f"tables[{number}] holds {table[row, columns[at]]} in row {row}, column "
                    f"{columns[at]}; legal: {legal}"
                )
