"""The support of an unknown function, measured."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from volchunk._arguments import whole
from volchunk._task import with_place

Array = npt.NDArray[Any]

_SLAB = 8
"""Planes that are changed at a time."""


@dataclass(frozen=True, eq=False)
class Support(Mapping[int, tuple[int, int]]):
    """How far a function looks, as `probe` measured it: a mapping of axis to ``(lo, hi)``.

    The output at ``i`` depends on the input from ``i - lo`` to ``i + hi``. It is a lower bound.
    Looking up an axis of `unbounded` is a ValueError, so that it cannot be taken for a depth. It
    equals any mapping of the same depths, and another support that is also unbounded on the same
    axes; as other mappings it has no hash.

    Attributes
    ----------
    depth : dict
        ``(lo, hi)`` in voxels for each axis on which one was found.
    unbounded : tuple of int
        The axes on which no depth up to `max_depth` is enough.
    max_depth : int
        The largest depth that was tried.
    dtype : numpy.dtype
        Of the input that was tried.
    """

    depth: dict[int, tuple[int, int]]
    unbounded: tuple[int, ...]
    max_depth: int
    dtype: np.dtype[Any]

    def __getitem__(self, axis: int) -> tuple[int, int]:
        if axis in self.unbounded:
            raise ValueError(self._endless(axis))
        return self.depth[axis]

    def __iter__(self) -> Iterator[int]:
        return iter(sorted((*self.depth, *self.unbounded)))

    def __len__(self) -> int:
        return len(self.depth) + len(self.unbounded)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Support):
            return self.depth == other.depth and self.unbounded == other.unbounded
        if isinstance(other, Mapping):
            return not self.unbounded and self.depth == dict(other)
        return NotImplemented

    def __str__(self) -> str:
        lines = [
            f"axis {axis}: {self._endless(axis)}"
            if axis in self.unbounded
            else f"axis {axis}: {self[axis][0]} voxels before, {self[axis][1]} after"
            for axis in self
        ]
        if self.depth:
            lines.append(
                f"A lower bound, measured on random {self.dtype}: a function whose reach depends "
                "on the data, or shows only for values that were not tried, may look further."
            )
        return "\n".join(lines)

    def _endless(self, axis: int) -> str:
        return (
            f"no depth up to {self.max_depth} voxels is enough on axis {axis}: the function looks "
            "further, uses a statistic of the whole array (as x - x.mean() does) or the position "
            "in it, or rounds differently by its size (as an FFT does)"
        )


def probe(
    func: Callable[[Array], Any],
    *,
    ndim: int = 3,
    dtype: npt.DTypeLike = np.float32,
    shape: Sequence[int] | None = None,
    max_depth: int = 32,
) -> Support:
    """Measure how far a function looks: a lower bound for the depth that its chunks need.

    Random arrays are changed in a few planes: how far from these does the output change? Then
    chunks are computed with growing depth until they equal the whole bit for bit. The same
    function gives the same result at every call.

    Parameters
    ----------
    func : callable
        Takes an array, returns one of the same shape. It is called some 20 times for each axis. One
        that takes ``info`` too has to have it: ``functools.partial(func, info=...)``.
    ndim : int
        Axes of its input.
    dtype : dtype
        Of its input: boolean, integer or float.
    shape : sequence of int, optional
        Lengths of the arrays that are tried; 16 on every axis if not given. The axis that is being
        measured is lengthened to what `max_depth` needs.
    max_depth : int
        The largest depth to try, in voxels.

    Returns
    -------
    Support
        Can be given as ``depth=`` as it is. Its text says what it leaves open.

    Raises
    ------
    TypeError, ValueError
        For arguments that are not as above; if `func` returns another shape, or different results
        for the same input.

    Examples
    --------
    >>> support = probe(lambda x: np.maximum(x, np.roll(x, 2, axis=1)), ndim=2)
    >>> support[0], support[1]
    ((0, 0), (2, 0))
    >>> probe(lambda x: x - x.mean(), ndim=1).unbounded
    (0,)
    """
    if not callable(func):
        raise TypeError(f"func is {func!r}; legal: a function")
    if with_place(func)[1]:
        raise TypeError(
            f"func is {func!r}, which takes a chunk's place beside its block; here are no chunks. "
            "Legal: func(block), such as functools.partial(func, info=...)"
        )
    kind = np.dtype(dtype)
    if kind.kind not in "biuf":
        raise TypeError(f"dtype is {kind}; legal: boolean, integer, float")
    limit = whole(max_depth, "max_depth", 0)
    axes = whole(ndim, "ndim", 1)
    if shape is None:
        lengths = (16,) * axes
    else:
        lengths = tuple(whole(n, "shape", 1) for n in shape)
        if len(lengths) != axes:
            raise ValueError(f"shape is {shape!r}; legal: {axes} lengths, for ndim={axes}")
    depth = {}
    with np.errstate(all="ignore"):
        for axis in range(axes):
            found = _Axis(func, axis, lengths, kind, limit).depth()
            if found is not None:
                depth[axis] = found
    return Support(depth, tuple(a for a in range(axes) if a not in depth), limit, kind)


class _Axis:
    """Measures one axis."""

    def __init__(
        self,
        func: Callable[[Array], Any],
        axis: int,
        lengths: tuple[int, ...],
        dtype: np.dtype[Any],
        limit: int,
    ) -> None:
        self.func, self.axis, self.limit = func, axis, limit
        # What happens at the ends of the array must reach neither what is changed nor what is kept.
        self.margin = 2 * limit + 4
        needed = 2 * self.margin + 3 * _SLAB
        shape = tuple(max(n, needed) if a == axis else n for a, n in enumerate(lengths))
        rng = np.random.default_rng(axis)
        self.arrays = [_dense(rng, shape, dtype), _sparse(rng, shape, dtype)]
        self.fresh = _dense(rng, shape, dtype)
        self.extremes = _extremes(dtype)

    def depth(self) -> tuple[int, int] | None:
        """The depth that all trials need; None if that is more than the limit."""
        wholes = [self.call(array) for array in self.arrays]
        for array, whole in zip(self.arrays, wholes):
            if _differ(self.call(array), whole).any():
                raise ValueError("func returns different results for the same input")
        lo = hi = 0
        for array, whole in zip(self.arrays, wholes):
            for reach in self.reaches(array, whole):
                lo, hi = max(lo, reach[0]), max(hi, reach[1])
                if max(lo, hi) > self.limit:
                    return None
        if self.agree(wholes, lo, hi):
            return lo, hi
        if not self.agree(wholes, self.limit, self.limit):
            return None
        # Each side by itself, the other as deep as can be.
        lo = next(d for d in range(lo, self.limit + 1) if self.agree(wholes, d, self.limit))
        hi = next(d for d in range(hi, self.limit + 1) if self.agree(wholes, lo, d))
        return lo, hi

    def reaches(self, array: Array, whole: Array) -> Iterator[tuple[int, int]]:
        """How far the output changes after and before a slab, for several changes to it."""
        # Nothing in the middle: a function that mirrors would leave it in place.
        for start in (self.margin, self.margin + _SLAB + 3):
            slab = self.along(start, start + _SLAB)
            for values in (self.fresh[slab], *self.extremes):
                changed = array.copy()
                changed[slab] = values
                differs = _differ(self.call(changed), whole)
                others = tuple(a for a in range(differs.ndim) if a != self.axis)
                where = np.flatnonzero(differs.any(axis=others))
                if where.size > 0:
                    # Outputs behind the slab look back at it.
                    last = int(where[-1]) - (start + _SLAB - 1)
                    yield max(last, 0), max(start - int(where[0]), 0)

    def agree(self, wholes: list[Array], lo: int, hi: int) -> bool:
        """Whether chunks of that depth equal the whole, wherever they start."""
        for (array, whole), (start, length) in itertools.product(
            zip(self.arrays, wholes), [(self.margin, 5), (self.margin + 3, 12)]
        ):
            chunk = self.call(array[self.along(start - lo, start + length + hi)])
            core = chunk[self.along(lo, lo + length)]
            if _differ(core, whole[self.along(start, start + length)]).any():
                return False
        return True

    def along(self, start: int, stop: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(start, stop),)

    def call(self, array: Array) -> Array:
        # A copy: it may work in place.
        result = np.asarray(self.func(array.copy()))
        if result.shape != array.shape:
            raise ValueError(
                f"func returned shape {result.shape} for an input of {array.shape}; legal: the same"
            )
        if result.dtype.hasobject:
            raise TypeError(f"func returned dtype {result.dtype}; legal: numbers")
        return result.copy() if np.may_share_memory(result, array) else result


def _differ(a: Array, b: Array) -> npt.NDArray[np.bool_]:
    """Where two arrays differ in a bit; NaN equals itself."""
    if a.dtype != b.dtype:
        return np.ones(a.shape, dtype=np.bool_)
    size = a.dtype.itemsize
    bits = [np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, size) for x in (a, b)]
    differs: npt.NDArray[np.bool_] = (bits[0] != bits[1]).any(axis=-1)
    return differs


def _dense(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Values all over what an image may hold."""
    if dtype.kind == "f":
        return rng.normal(500, 300, shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    return rng.integers(0, min(np.iinfo(dtype).max, 4095), shape, dtype=dtype, endpoint=True)


def _sparse(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Few bright voxels on nothing."""
    values = _dense(rng, shape, dtype)
    values[rng.random(shape) >= 0.02] = 0
    return values


def _extremes(dtype: np.dtype[Any]) -> tuple[Any, ...]:
    if dtype.kind == "f":
        return (-1e4, 1e4)
    if dtype.kind == "b":
        return (False, True)
    return (np.iinfo(dtype).min, np.iinfo(dtype).max)
