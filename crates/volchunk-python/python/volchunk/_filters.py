"""The Gaussian filter, with the arguments and the numbers of SciPy."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from volchunk._arguments import BOUNDARIES, Axes, Chunks, Roi, number, whole
from volchunk._image import Image, is_same, legal_dtype
from volchunk._job import run_ops


def gaussian_filter(
    input: Any,
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    output: Any = None,
    mode: str | Sequence[str] = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | Sequence[int | None] | None = None,
    axes: int | str | Sequence[int | str] | None = None,
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    mask: Any = None,
    fill: float = 0,
    skip_empty: float | None = None,
    version: str | None = None,
    force: bool = False,
    check: bool = False,
    retries: int = 0,
    keep_going: bool = False,
    progress: bool = True,
) -> Any:
    """Gaussian filter, or its derivatives: `scipy.ndimage.gaussian_filter` on every core.

    The arguments of SciPy mean what they mean there, and the voxels have SciPy's bits, but for the
    few sigmas that CORRECTNESS.md describes. `input` may be larger than memory.

    Parameters
    ----------
    input : array_like, path or Volume
        A NumPy array or memmap, a path of any format that volchunk reads, a zarr-python array, or
        anything with ``shape``, ``dtype`` and indexing by slices. Axes slowest first.
    sigma : float or sequence of float
        Standard deviation in voxels, for all axes (of a volume that names its axes: those of space)
        or for each. At most 1e-15 leaves an axis as it is.
    order : int or sequence of int, optional
        0 smooths; 1 to 20 give that derivative of it.
    output : dtype or array, optional
        Dtype of the result, or an array to fill. By default the dtype of `out`, or else of `input`.
        Voxels are stored in it after each axis; in integers they are truncated.
    mode : str or sequence of str, optional
        What lies beyond the edges, in SciPy's names: "reflect" (also "grid-mirror"), "mirror",
        "nearest", "wrap" (also "grid-wrap"), "constant" (also "grid-constant").
    cval : float, optional
        The value beyond the edges for "constant"; finite.
    truncate : float, optional
        The filter ends at this many standard deviations.
    radius : int, None or sequence, optional
        The filter ends after so many voxels; None: as `truncate` says.
    axes : int, str or sequence, optional
        The axes that are filtered, in this order, by number or, for a volume that names its axes,
        by name; sequences above then have one value for each of them. None: those that `sigma`
        speaks of.
    skip_empty, version : optional
        As in `downsample`.
    chunks, out, roi, memory, workers, mask, fill, force, check, retries, keep_going, progress
        As in `map_overlap`, all optional. An array as `output` or `out` may share memory with
        `input`; the result is then held apart first.

    Returns
    -------
    ndarray, Volume, output or out
        A new array; of a path the `Volume` there; or the array that was given to fill.

    Raises
    ------
    TypeError, ValueError, IndexError
        For arguments that cannot be right; also for a sigma that is negative or NaN, which
        SciPy takes for 0. Where SciPy raises RuntimeError (unknown modes, sequences of wrong
        lengths, an output of another shape), the exception is both a ValueError and a
        RuntimeError.
    MemoryError
        If the memory cap is too small; the message says what would fit.
    FileExistsError
        If what stands at the path `out` is not this call's; says what differs.

    Examples
    --------
    >>> image = np.zeros((5, 5), np.uint8)
    >>> image[2, 2] = 200
    >>> volchunk.gaussian_filter(image, 1)
    array([[ 0,  2,  4,  2,  0],
           [ 2, 11, 19, 11,  2],
           [ 4, 19, 31, 19,  4],
           [ 2, 11, 19, 11,  2],
           [ 0,  2,  4,  2,  0]], dtype=uint8)

    The slope along the last axis, smoothed along both:

    >>> slope = volchunk.gaussian_filter(image, 1, order=(0, 1), output=float)
    >>> slope[2].round(2)
    array([  7.55,  19.26,   0.  , -19.26,  -7.55])
    """
    if isinstance(input, list | tuple):
        input = np.asarray(input)
    source = Image(input)
    dtype, out = _destination(output, out, source)
    if isinstance(out, np.ndarray) and roi is None and out.shape != source.shape:
        raise ArgumentError(f"output has shape {out.shape}; legal: the input's, {source.shape}")
    ops = _ops(source, dtype, axes, sigma, order, mode, cval, truncate, radius)
    asked: dict[str, Any] = {
        "chunks": chunks,
        "roi": roi,
        "memory": memory,
        "workers": workers,
        "mask": mask,
        "fill": fill,
        "skip_empty": skip_empty,
        "version": version,
        "force": force,
        "check": check,
        "retries": retries,
        "keep_going": keep_going,
        "progress": progress,
    }
    if isinstance(out, np.ndarray) and is_same(out, input):
        out[...] = run_ops(input, ops, out=None, **asked)
        return out
    return run_ops(input, ops, out=out, **asked)


class ArgumentError(ValueError, RuntimeError):
    """An argument that cannot be right: ValueError to NumPy's users, RuntimeError to SciPy's."""


def _destination(output: Any, out: Any, source: Image) -> tuple[np.dtype[Any], Any]:
    """Dtype of the result, and where it goes."""
    dtype = None
    if isinstance(output, type | np.dtype | str):
        dtype = legal_dtype(output, "output")
    elif output is not None:
        if out is not None:
            raise TypeError("both output and out are to be filled; legal: one of them")
        out = output
    of_out = getattr(out, "dtype", None)
    if of_out is not None:
        filled = legal_dtype(of_out, "output" if out is output else "out")
        if dtype is not None and dtype != filled:
            raise TypeError(f"output is {dtype}, out has {filled}; legal: the same for both")
        dtype = filled
    return source.dtype.newbyteorder("=") if dtype is None else dtype, out


def _ops(
    source: Image,
    dtype: np.dtype[Any],
    axes: Any,
    sigma: Any,
    order: Any,
    mode: Any,
    cval: Any,
    truncate: Any,
    radius: Any,
) -> list[str]:
    """The filter as ops: one, but where axes are to be filtered in another order than theirs."""
    named = source.axes
    chosen = _chosen(axes, named)

    def spread(value: Any, other: Any, what: str, one: Callable[[Any], Any]) -> list[Any]:
        """A value for each axis of the volume, `other` where it is not chosen."""
        each = value.tolist() if isinstance(value, np.ndarray) else value
        if isinstance(each, str) or not isinstance(each, Sequence):
            each = [each] * len(chosen)
        targets = chosen
        if axes is None and len(each) == len(named):
            targets = list(range(len(named)))
        if len(each) != len(targets):
            axis_names = ", ".join(named.names[a] for a in chosen)
            raise ArgumentError(
                f"{what} has {len(each)} values; legal: 1, or one for each of the {len(chosen)} "
                f"axes ({axis_names})"
            )
        values = [other] * len(named)
        for axis, given in zip(targets, each, strict=True):
            values[axis] = one(given)
        return values

    sigmas = spread(sigma, 0.0, "sigma", lambda v: _real(v, "sigma", 0.0))
    orders = spread(order, 0, "order", lambda v: whole(v, "order", 0))
    beyond = f"constant({_real(cval, 'cval', -math.inf)!r})"
    modes = spread(mode, "reflect", "mode", lambda v: _mode(v, beyond))
    reach = spread(radius, None, "radius", lambda v: None if v is None else whole(v, "radius", 0))
    end = _real(truncate, "truncate", 0.0)
    # What is beyond any legal radius is refused as one.
    radii = [
        int(min(end * s, 2.0**40) + 0.5) if r is None else r
        for s, r in zip(sigmas, reach, strict=True)
    ]

    def op(filtered: Sequence[int], stored: str) -> str:
        values = [s if a in filtered else 0.0 for a, s in enumerate(sigmas)]
        return (
            f"gaussian:sigma={_listed(values)}:order={_listed(orders)}:radius={_listed(radii)}"
            f":boundary={_listed(modes)}:dtype={stored}"
        )

    if axes is None or chosen == sorted(chosen):
        return [op(range(len(named)), dtype.name)]
    # Between the axes SciPy's bools are bytes.
    between = "uint8" if dtype.name == "bool" else dtype.name
    passes = [a for a in chosen if sigmas[a] > 1e-15] or chosen[:1]
    return [op([a], between) for a in passes[:-1]] + [op(passes[-1:], dtype.name)]


def _chosen(axes: Any, named: Axes) -> list[int]:
    """The axes that are filtered, in their order."""
    if axes is None:
        return list(named.spatial)
    several = isinstance(axes, Sequence | np.ndarray) and not isinstance(axes, str)
    chosen = [named.find(axis, "axes") for axis in (axes if several else [axes])]
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"axes is {axes!r}, which names an axis twice; legal: each once")
    return chosen


def _listed(values: Sequence[Any]) -> str:
    return ",".join(map(str, values))


def _real(value: Any, what: str, least: float) -> float:
    """`value` as a finite number."""
    try:
        real = float(number(value, what))
    except OverflowError:
        real = math.inf
    if not (math.isfinite(real) and real >= least):
        legal = "a finite number" if least < 0 else "finite, 0 or more"
        raise ValueError(f"{what} is {value}; legal: {legal}")
    return real


def _mode(value: Any, constant: str) -> str:
    if not isinstance(value, str) or value not in BOUNDARIES:
        raise ArgumentError(f"mode is {value!r}; legal: {', '.join(BOUNDARIES)}")
    name = BOUNDARIES[value]
    return constant if name == "constant" else name
