"""The built-in ops beside the Gaussian filter, as functions."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from volchunk._arguments import Chunks, Roi
from volchunk._image import Image, legal_dtype
from volchunk._job import run_ops


def downsample(
    image: Any,
    factor: int | Sequence[int],
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Mean of each group of voxels; the dtype stays.

    Integers are summed exactly and rounded once, half to even.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    factor : int or sequence of int
        Voxels of a group, for all axes (of a volume that names its axes: those of space) or for
        each. The last group of an axis may be smaller.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For a factor that is not a whole number of 1 or more, or not one for each axis.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.downsample(np.array([[1, 3, 10, 20], [5, 7, 30, 41]]), 2)
    array([[ 4, 25]])
    """
    return run_ops(
        image, [f"downsample:factor={_listed(factor, 'factor')}"], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def rescale(
    image: Any,
    factor: float | Sequence[float] | None = None,
    *,
    size: float | Sequence[float] | None = None,
    order: int = 1,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Resample to a factor or a voxel size; the dtype stays.

    The extent of the volume stays: voxel ``x`` of ``m`` lies at ``(x + 1/2) n / m - 1/2`` of ``n``.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    factor : float or sequence of float, optional
        Voxels of the result per voxel of the image, for all axes (of a volume that names its axes:
        those of space) or for each.
    size : float or sequence of float, optional
        Instead: voxel size of the result in µm, where the volume says its own.
    order : {0, 1}, optional
        0 takes the nearest voxel, 1 interpolates linearly, and rounds integers half to even.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For a factor that is not above 0, both or neither of `factor` and `size`, an unknown size.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.rescale(np.array([0.0, 4.0, 8.0]), 2)
    array([0., 1., 3., 5., 7., 8.])
    """
    given = [("factor", factor, ""), ("size", size, "um")]
    keys = [f"{key}={_listed(v, key, unit)}" for key, v, unit in given if v is not None]
    text = ":".join(["rescale", *keys, f"order={_number(order, 'order')}"])
    return run_ops(
        image, [text], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def transpose(
    image: Any,
    axes: str | Sequence[int | str] | None = None,
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Put the axes in another order.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    axes : str or sequence, optional
        All axes in their new order, by number as in `numpy.transpose` or by name. None: reversed.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        If `axes` does not name every axis once.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.transpose(np.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    named = Image(image).axes
    wanted = range(len(named))[::-1] if axes is None else axes
    order = [named.names[named.find(axis, "axes")] for axis in wanted]
    return run_ops(
        image, [f"transpose:axes={','.join(order)}"], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def cast(
    image: Any,
    dtype: npt.DTypeLike,
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Convert to another dtype: integers round half to even and saturate.

    NaN becomes 0 in integers; to bool, whatever is not 0 is true.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    dtype : dtype
        Of the result.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For a dtype that volchunk does not have.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.cast(np.array([-1.0, 0.5, 1.5, 999.0]), np.uint8)
    array([  0,   0,   2, 255], dtype=uint8)
    """
    return run_ops(
        image, [f"cast:dtype={legal_dtype(dtype, 'dtype').name}"], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def clip(
    image: Any,
    min: float | None = None,
    max: float | None = None,
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Move values outside of a range to its ends; the dtype stays.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    min, max : float or int, optional
        The ends; at least one of them. For integers they round half to even.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For neither end, a `min` above `max`, or NaN.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.clip(np.array([1, 5, 9]), min=3, max=7)
    array([3, 5, 7])
    """
    keys = [
        f"{key}={_number(value, key)}"
        for key, value in (("min", min), ("max", max))
        if value is not None
    ]
    return run_ops(
        image, [":".join(["clip", *keys])], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def threshold(
    image: Any,
    value: float,
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """1 where a voxel is above a value, else 0, as uint8.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    value : float or int
        The value, which itself gives 0.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For a value that is not such a number.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.threshold(np.array([1.0, 2.0, 3.0]), 2)
    array([0, 0, 1], dtype=uint8)
    """
    return run_ops(
        image, [f"threshold:value={_number(value, 'value')}"], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def subtract(
    image: Any,
    value: float,
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Voxel minus a constant.

    The result is float32, or float64 for float64 and integers of 32 bits or more.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    value : float or int
        The constant; finite.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For a value that is not such a number.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.subtract(np.array([1, 2, 3], np.uint8), 2.5)
    array([-1.5, -0.5,  0.5], dtype=float32)
    """
    return run_ops(
        image, [f"subtract:value={_number(value, 'value')}"], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def multiply(
    image: Any,
    value: float,
    *,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Any:
    """Voxel times a constant.

    The result is float32, or float64 for float64 and integers of 32 bits or more.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`.
    value : float or int
        The constant; finite.
    chunks, out, roi, memory, workers, progress : optional
        As in `map_overlap`; `roi` is a part of the result.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    TypeError, ValueError
        For a value that is not such a number.
    MemoryError, FileExistsError
        As in `map_overlap`.

    Examples
    --------
    >>> volchunk.multiply(np.array([1, 2, 3], np.uint8), 0.5)
    array([0.5, 1. , 1.5], dtype=float32)
    """
    return run_ops(
        image, [f"multiply:value={_number(value, 'value')}"], out=out, progress=progress,
        chunks=chunks, roi=roi, memory=memory, workers=workers,
    )


def _listed(values: Any, what: str, unit: str = "") -> str:
    """One number or several, as text."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Sequence):
        values = [values]
    return ",".join(_number(value, what) + unit for value in values)


def _number(value: Any, what: str) -> str:
    """A number as text, whole ones exactly."""
    try:
        return str(operator.index(value))
    except TypeError:
        pass
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return repr(float(value))
    except TypeError:
        raise TypeError(f"{what} is {value!r}; legal: a number") from None
