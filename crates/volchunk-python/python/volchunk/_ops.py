"""The built-in ops beside the Gaussian filter, as functions."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

import numpy as np
import numpy.typing as npt

from volchunk._arguments import Chunks, Roi, number
from volchunk._image import Image, legal_dtype
from volchunk._job import run_ops


class How(TypedDict, total=False):
    """The keyword arguments that every op takes: those of `map_overlap`, with its defaults."""

    chunks: Chunks
    out: Any
    roi: Roi
    memory: int | str | None
    workers: int | None
    mask: Any
    fill: float
    skip_empty: float | None
    version: str | None
    force: bool
    check: bool
    retries: int
    keep_going: bool
    progress: bool


_OWN, _EXAMPLES = "Parameters\n----------\n", "Examples\n--------\n"
_IMAGE = """image : array_like, path or Volume
    As in `map_overlap`.
"""
_HOW = """chunks, out, roi, memory, workers, mask, fill, progress : optional
    As in `map_overlap`; `roi` is a part of the result, and `mask` of its shape.
skip_empty : float, optional
    Chunks of which all that is read is this value get the op's result on it, without the op being
    run: never another result.
version : str, optional
    Stands for an image or a mask that is neither a path nor a NumPy array, where a later call is to
    go on with what this one wrote to a path: change it whenever they change.
force, check, retries, keep_going : optional
    As in `map_overlap`.

Returns
-------
ndarray, Volume, or out
    A new array; of a path the `Volume` there; or `out`.

Raises
------
TypeError, ValueError
    For {refused}.
MemoryError, FileExistsError
    As in `map_overlap`.

"""

_DEFAULTS: How = {
    "chunks": "auto",
    "out": None,
    "roi": None,
    "memory": None,
    "workers": None,
    "mask": None,
    "fill": 0,
    "skip_empty": None,
    "version": None,
    "force": False,
    "check": False,
    "retries": 0,
    "keep_going": False,
    "progress": True,
}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def op(*, refuses: str) -> Callable[[_Function], _Function]:
    """Adds what all ops share to a docstring that has Parameters, its own, and Examples."""

    kinds = How.__annotations__

    def documented(function: _Function) -> _Function:
        if function.__doc__ is not None:
            text = inspect.cleandoc(function.__doc__).replace(_OWN, _OWN + _IMAGE)
            before, examples = text.split("\n" + _EXAMPLES)
            how = _HOW.format(refused=refuses)
            function.__doc__ = f"{before}{how}{_EXAMPLES}{examples}\n"
        # With the names that stand for `how`: help() and completion read it.
        signature = inspect.signature(function)
        *own, _ = signature.parameters.values()
        named = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kinds[name]
            )
            for name, default in _DEFAULTS.items()
        ]
        signature = signature.replace(parameters=[*own, *named])
        setattr(function, "__signature__", signature)
        return function

    return documented


def run_op(image: Any, op: str, how: How) -> Any:
    """Runs an op, as text, with the defaults for what `how` does not say."""
    unknown = how.keys() - _DEFAULTS.keys()
    if unknown:
        name = op.partition(":")[0]
        raise TypeError(
            f"{name}() has no argument {sorted(unknown)[0]!r}; legal beside its own: "
            f"{', '.join(_DEFAULTS)}"
        )
    asked: dict[str, Any] = {**_DEFAULTS, **how}
    return run_ops(image, [op], **asked)


@op(refuses="a factor that is not a whole number of 1 or more, or not one for each axis")
def downsample(image: Any, factor: int | Sequence[int], **how: Unpack[How]) -> Any:
    """Mean of each group of voxels; the dtype stays.

    Integers are summed exactly and rounded once, half to even.

    Parameters
    ----------
    factor : int or sequence of int
        Voxels of a group, for all axes (of a volume that names its axes: those of space) or for
        each. The last group of an axis may be smaller.

    Examples
    --------
    >>> volchunk.downsample(np.array([[1, 3, 10, 20], [5, 7, 30, 41]]), 2)
    array([[ 4, 25]])
    """
    return run_op(image, f"downsample:factor={listed(factor, 'factor')}", how)


@op(refuses="a factor not above 0, both or neither of `factor` and `size`, an unknown voxel size")
def rescale(
    image: Any,
    factor: float | Sequence[float] | None = None,
    *,
    size: float | Sequence[float] | None = None,
    order: int = 1,
    **how: Unpack[How],
) -> Any:
    """Resample to a factor or a voxel size; the dtype stays.

    The extent of the volume stays: voxel ``x`` of ``m`` lies at ``(x + 1/2) n / m - 1/2`` of ``n``.

    Parameters
    ----------
    factor : float or sequence of float, optional
        Voxels of the result per voxel of the image, for all axes (of a volume that names its axes:
        those of space) or for each.
    size : float or sequence of float, optional
        Instead: voxel size of the result in µm, where the volume says its own.
    order : {0, 1}, optional
        0 takes the nearest voxel, 1 interpolates linearly, and rounds integers half to even.

    Examples
    --------
    >>> volchunk.rescale(np.array([0.0, 4.0, 8.0]), 2)
    array([0., 1., 3., 5., 7., 8.])
    """
    given = [("factor", factor, ""), ("size", size, "um")]
    keys = [f"{key}={listed(v, key, unit)}" for key, v, unit in given if v is not None]
    text = ":".join(["rescale", *keys, f"order={number(order, 'order')}"])
    return run_op(image, text, how)


@op(refuses="axes that do not name every axis once")
def transpose(image: Any, axes: str | Sequence[int | str] | None = None, **how: Unpack[How]) -> Any:
    """Put the axes in another order.

    Parameters
    ----------
    axes : str or sequence, optional
        All axes in their new order, by number as in `numpy.transpose` or by name. None: reversed.

    Examples
    --------
    >>> volchunk.transpose(np.zeros((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    named = Image(image).axes
    wanted = range(len(named))[::-1] if axes is None else axes
    order = [named.names[named.find(axis, "axes")] for axis in wanted]
    return run_op(image, f"transpose:axes={','.join(order)}", how)


@op(refuses="a dtype that volchunk does not have")
def cast(image: Any, dtype: npt.DTypeLike, **how: Unpack[How]) -> Any:
    """Convert to another dtype: integers round half to even and saturate.

    NaN becomes 0 in integers; to bool, whatever is not 0 is true.

    Parameters
    ----------
    dtype : dtype
        Of the result.

    Examples
    --------
    >>> volchunk.cast(np.array([-1.0, 0.5, 1.5, 999.0]), np.uint8)
    array([  0,   0,   2, 255], dtype=uint8)
    """
    return run_op(image, f"cast:dtype={legal_dtype(dtype, 'dtype').name}", how)


@op(refuses="neither end, a `min` above `max`, or NaN")
def clip(image: Any, min: float | None = None, max: float | None = None, **how: Unpack[How]) -> Any:
    """Move values outside of a range to its ends; the dtype stays.

    Parameters
    ----------
    min, max : float or int, optional
        The ends; at least one of them. For integers they round half to even.

    Examples
    --------
    >>> volchunk.clip(np.array([1, 5, 9]), min=3, max=7)
    array([3, 5, 7])
    """
    ends = {"min": min, "max": max}
    keys = [f"{key}={number(end, key)}" for key, end in ends.items() if end is not None]
    return run_op(image, ":".join(["clip", *keys]), how)


@op(refuses="a value that is not such a number")
def threshold(image: Any, value: float, **how: Unpack[How]) -> Any:
    """1 where a voxel is above a value, else 0, as uint8.

    Parameters
    ----------
    value : float or int
        The value, which itself gives 0.

    Examples
    --------
    >>> volchunk.threshold(np.array([1.0, 2.0, 3.0]), 2)
    array([0, 0, 1], dtype=uint8)
    """
    return run_op(image, f"threshold:value={number(value, 'value')}", how)


@op(refuses="a value that is not such a number")
def subtract(image: Any, value: float, **how: Unpack[How]) -> Any:
    """Voxel minus a constant.

    The result is float32, or float64 for float64 and integers of 32 bits or more.

    Parameters
    ----------
    value : float or int
        The constant; finite.

    Examples
    --------
    >>> volchunk.subtract(np.array([1, 2, 3], np.uint8), 2.5)
    array([-1.5, -0.5,  0.5], dtype=float32)
    """
    return run_op(image, f"subtract:value={number(value, 'value')}", how)


@op(refuses="a value that is not such a number")
def multiply(image: Any, value: float, **how: Unpack[How]) -> Any:
    """Voxel times a constant.

    The result is float32, or float64 for float64 and integers of 32 bits or more.

    Parameters
    ----------
    value : float or int
        The constant; finite.

    Examples
    --------
    >>> volchunk.multiply(np.array([1, 2, 3], np.uint8), 0.5)
    array([0.5, 1. , 1.5], dtype=float32)
    """
    return run_op(image, f"multiply:value={number(value, 'value')}", how)


def listed(values: Any, what: str, unit: str = "") -> str:
    """One number or several, as text."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Sequence):
        values = [values]
    return ",".join(f"{number(value, what)}{unit}" for value in values)
