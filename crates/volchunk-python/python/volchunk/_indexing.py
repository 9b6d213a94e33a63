"""NumPy's indexing rules for what is no array: which positions of each axis an index names."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Positions = range | npt.NDArray[np.int64]
"""Positions on an axis, ascending, none twice."""


def select(index: Any, shape: Sequence[int]) -> tuple[list[Positions], tuple[Any, ...]]:
    """What to read for an index, and how to index what was read.

    Parameters
    ----------
    index : int, slice, Ellipsis, None, array of int or bool, or a tuple of those
        As NumPy takes it.
    shape : sequence of int
        Of the array that is indexed.

    Returns
    -------
    positions : list
        For each axis the positions that `index` names, ascending.
    place : tuple
        ``array[numpy.ix_(*positions)][place]`` equals ``array[index]``.

    Raises
    ------
    IndexError
        For a position outside, too many axes, or what is no index.

    Examples
    --------
    >>> select((..., -1, slice(None, None, -2)), (4, 5, 6))
    ([range(0, 4), range(4, 5), range(1, 7, 2)], (Ellipsis, 0, slice(None, None, -1)))
    """
    items = [_item(item) for item in (index if isinstance(index, tuple) else (index,))]
    used = sum(map(_axes_of, items))
    if used > len(shape):
        raise IndexError(
            f"too many indices: the array has {len(shape)} axes, the index names {used}"
        )
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    positions: list[Positions] = []
    place: list[Any] = []
    for item in items:
        axis = len(positions)
        if item is None:
            place.append(None)
        elif item is Ellipsis:
            positions += [range(n) for n in shape[axis : axis + len(shape) - used]]
            place.append(item)
        elif isinstance(item, slice):
            along = range(*item.indices(shape[axis]))
            # A step back reads the same positions as the way there.
            positions.append(along if along.step > 0 else along[::-1])
            place.append(slice(None) if along.step > 0 else slice(None, None, -1))
        elif isinstance(item, int):
            n = shape[axis]
            if not -n <= item < n:
                raise _outside(item, axis, n)
            at = item % n
            positions.append(range(at, at + 1))
            place.append(0)
        else:
            for where in _indices(item, axis, shape):
                inside = _within(where, len(positions), shape[len(positions)])
                named, inverse = np.unique(inside, return_inverse=True)
                positions.append(named)
                place.append(inverse.reshape(where.shape))
    positions += [range(n) for n in shape[len(positions) :]]
    return positions, tuple(place)


def _item(item: Any) -> Any:
    """An entry of an index: None, Ellipsis, slice, int or an array."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if not isinstance(item, bool | np.bool_):
        try:
            return operator.index(item)
        except TypeError:
            pass
        array = np.asarray(item)
        if array.size == 0 and not isinstance(item, np.ndarray):
            array = array.astype(np.int64)
        if array.ndim > 0 and array.dtype.kind in "iub":
            return array
    raise IndexError(
        f"{item!r} is no index; legal: integers, slices (`:`), ellipsis (`...`), None, and arrays "
        "of integers or booleans"
    )


def _axes_of(item: Any) -> int:
    """Axes that an entry of an index uses up."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, np.ndarray) and item.dtype == bool else 1


def _indices(item: npt.NDArray[Any], axis: int, shape: Sequence[int]) -> Sequence[npt.NDArray[Any]]:
    """The array as arrays of integers, one for each axis."""
    if item.dtype != bool:
        return [item]
    for a, n in enumerate(item.shape):
        if n != shape[axis + a]:
            raise IndexError(
                "boolean index did not match indexed array along "
                f"axis {axis + a}; size of axis is {shape[axis + a]} but size of corresponding "
                f"boolean axis is {n}"
            )
    return item.nonzero()


def _within(where: npt.NDArray[Any], axis: int, size: int) -> npt.NDArray[np.int64]:
    """Positions from 0 on; IndexError for those outside."""
    outside = where[(where < -size) | (where >= size)]
    if outside.size > 0:
        raise _outside(outside[0], axis, size)
    where = where.astype(np.int64)
    return np.where(where < 0, where + size, where)


def _outside(at: Any, axis: int, size: int) -> IndexError:
    return IndexError(f"index {at} is out of bounds for axis {axis} with size {size}")
