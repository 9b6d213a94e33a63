"""The division of a volume into chunks."""

import gc
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Lengths = Sequence[float] | npt.NDArray[Any]


def stack_splitter(
    shape: Lengths, max_pixels: Lengths, overlap: Lengths | None = None
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float64]]:
    """Divide a volume into chunks that overlap.

    Chunk ``i`` of an axis spans ``i * max_pixels`` to ``(i + 1) * max_pixels + overlap``,
    clipped to the volume: the overlap extends forward only, the last chunk takes what remains.

    Parameters
    ----------
    shape : sequence of int
        Shape of the volume, slowest axis first. Axes beyond those of `max_pixels`, such as
        channels, are not divided.
    max_pixels : sequence of int
        Voxels of a chunk on each axis without overlap, 1 or more; three for z, y, x, or any
        other number of axes. Fractions are truncated after the arithmetic.
    overlap : sequence of int, optional
        Voxels that each chunk reaches into the next on each axis; None for none.

    Returns
    -------
    sub_roi_slices : ndarray of object
        For each chunk the tuple of slices of its axes; writable, the shape is the number of
        chunks on each axis.
    sub_rois_offsets : ndarray of float64
        Where each chunk starts; one more axis than `sub_roi_slices`.

    Raises
    ------
    ValueError
        If a chunk length is below 1, a size or an overlap is negative, one is not finite, or the
        numbers of axes do not fit.
    TypeError
        For what is not a sequence of numbers.

    Examples
    --------
    >>> slices, offsets = stack_splitter((7, 4), (3, 4), (2, 0))
    >>> slices.shape
    (3, 1)
    >>> slices[1, 0]
    (slice(3, 7, None), slice(0, 4, None))
    >>> offsets[1, 0]
    array([3., 0.])
    """
    chunk = lengths("max_pixels", max_pixels, least=1)
    size = lengths("shape", shape, least=0, axes=len(chunk))
    reach = [0] * len(chunk) if overlap is None else lengths("overlap", overlap, 0, len(chunk))
    slices = [_axis_slices(*axis) for axis in zip(size, chunk, reach)]
    counts = tuple(map(len, slices))
    sub_roi_slices = _all_combinations(slices).reshape(counts)
    sub_rois_offsets = np.empty((*counts, len(counts)))
    for axis, cuts in enumerate(slices):
        starts = np.array([cut.start for cut in cuts], dtype=np.float64)
        sub_rois_offsets[..., axis] = starts.reshape(-1, *[1] * (len(counts) - axis - 1))
    return sub_roi_slices, sub_rois_offsets


def _all_combinations(slices: list[list[slice]]) -> npt.NDArray[np.object_]:
    """Every tuple of one slice per axis, last axis fastest."""
    count = math.prod(map(len, slices))
    # A million new tuples set off collections that cost four times their making, for nothing.
    collects = gc.isenabled()
    gc.disable()
    try:
        return np.fromiter(itertools.product(*slices), dtype=object, count=count)
    finally:
        if collects:
            gc.enable()


def _axis_slices(size: float, chunk: float, overlap: float) -> list[slice]:
    if isinstance(size, int) and isinstance(chunk, int):
        # Exact for whole numbers of any size; the ceiling of their quotient would not be.
        count = -(-size // chunk)
    else:
        count = math.ceil(size / chunk)
    # Each reaches to where the next one starts, so that rounding leaves no gap; the last to the end.
    stops = [min((i + 1) * chunk + overlap, size) for i in range(count)]
    stops[count - 1 :] = [size] * (count > 0)
    return [slice(int(i * chunk), int(stop)) for i, stop in enumerate(stops)]


def lengths(name: str, values: Any, least: int, axes: int | None = None) -> list[Any]:
    """The first `axes` numbers of the argument `name`, int or float, or an error that names it."""
    try:
        given = list(values)
    except TypeError:
        raise TypeError(
            f"{name} is {values!r}; legal: a sequence of numbers, one for each axis"
        ) from None
    if axes is not None and len(given) < axes:
        raise ValueError(f"{name} is {values!r}; legal: at least {axes} numbers, one for each axis")
    return [_length(name, axis, value, least) for axis, value in enumerate(given[:axes])]


def _length(name: str, axis: int, value: Any, least: int) -> int | float:
    number: int | float
    try:
        number = operator.index(value)
    except TypeError:
        try:
            number = float(value)
            if isinstance(value, str):
                raise TypeError
        except (TypeError, ValueError):
            raise TypeError(f"{name} is {value!r} on axis {axis}; legal: a number") from None
    # False for NaN, too.
    if not least <= number < math.inf:
        raise ValueError(
            f"{name} is {value!r} on axis {axis}; legal: a finite number from {least} on"
        )
    return number
