"""What users give as depth, boundary, chunks, roi and the like, checked, for every axis."""

import operator
from collections.abc import Callable, Mapping, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from volchunk import _native
from volchunk._settings import threads

Depth = int | Sequence[int | tuple[int, int]] | Mapping[Any, int | tuple[int, int]]
Boundary = str | float | None
Boundaries = Boundary | Sequence[Boundary] | Mapping[Any, Boundary]
Chunks = str | int | Sequence[int]
Roi = slice | EllipsisType | Sequence[slice | EllipsisType] | None

BOUNDARIES = {
    "reflect": "reflect",
    "symmetric": "reflect",
    "grid-mirror": "reflect",
    "mirror": "mirror",
    "nearest": "nearest",
    "edge": "nearest",
    "wrap": "wrap",
    "periodic": "wrap",
    "grid-wrap": "wrap",
    "constant": "constant",
    "grid-constant": "constant",
}
"""Every name of a boundary, and the one that the engine knows."""


class Axes:
    """The axes of a volume: how many, what they are called, which are of space."""

    def __init__(self, names: Sequence[str], spatial: Sequence[int]) -> None:
        self.names = tuple(names)
        self.spatial = tuple(spatial)

    def __len__(self) -> int:
        return len(self.names)

    def find(self, axis: Any, what: str) -> int:
        """The axis that a number, from the end if it is negative, or a name means."""
        if isinstance(axis, str) and axis in self.names:
            return self.names.index(axis)
        legal = f"legal: -{len(self)} to {len(self) - 1}, or one of {', '.join(self.names)}"
        try:
            number = operator.index(axis)
        except TypeError:
            raise TypeError(f"{what} names the axis {axis!r}; {legal}") from None
        if not -len(self) <= number < len(self):
            raise IndexError(f"{what} names the axis {axis}; {legal}")
        return number % len(self)

    def spread(self, value: Any, other: Any, what: str, one: Callable[[Any], Any]) -> list[Any]:
        """A value for every axis: `value` for all of space and `other` elsewhere, or one for each
        of space or of all axes, or for those that a mapping names; each checked by `one`."""
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, Mapping):
            values = [other] * len(self)
            for axis, given in value.items():
                values[self.find(axis, what)] = one(given)
            return values
        if not isinstance(value, Sequence) or isinstance(value, str):
            value = [one(value)] * len(self.spatial)
        else:
            values = [one(given) for given in value]
            if len(values) == len(self):
                return values
            value = values
        if len(value) != len(self.spatial):
            legal = sorted({1, len(self.spatial), len(self)})
            raise ValueError(
                f"{what} has {len(value)} values for the axes {', '.join(self.names)}; legal: "
                f"{' or '.join(map(str, legal))}"
            )
        values = [other] * len(self)
        for axis, given in zip(self.spatial, value, strict=True):
            values[axis] = given
        return values


def depth_of(depth: Any, axes: Axes) -> list[tuple[int, int]]:
    """Voxels before and behind the core, for every axis."""

    def one(value: Any) -> tuple[int, int]:
        if isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) != 2:
                raise ValueError(f"depth has {value!r} for an axis; legal: N, or (before, behind)")
            lo, hi = value
            return whole(lo, "depth", 0), whole(hi, "depth", 0)
        return (whole(value, "depth", 0),) * 2

    spread: list[tuple[int, int]] = axes.spread(depth, (0, 0), "depth", one)
    return spread


def boundary_of(boundary: Any, axes: Axes, dtype: np.dtype[Any]) -> list[str | None]:
    """The engine's name of the boundary of every axis; None where blocks end at the edge."""

    def one(value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, str):
            if value in BOUNDARIES:
                return BOUNDARIES[value]
            raise ValueError(
                f"boundary is {value!r}; legal: {', '.join(BOUNDARIES)}, a number for a constant, "
                "None for no padding"
            )
        return f"constant({_constant(value, dtype)!r})"

    spread: list[str | None] = axes.spread(boundary, "reflect", "boundary", one)
    return spread


def _constant(value: Any, dtype: np.dtype[Any]) -> float:
    """`value` as the number that voxels of `dtype` can be."""
    try:
        if isinstance(value, bool | np.bool_) and dtype != np.bool_:
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"boundary is {value!r}; legal: a name, a number for a constant, None"
        ) from None
    if dtype.kind == "f":
        return number
    least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    if not number.is_integer() or int(number) != value or not least <= int(number) <= most:
        raise ValueError(
            f"boundary is the constant {value!r}; legal: what a voxel of dtype {dtype} can be, whole "
            f"numbers from {least} to {most} that a float64 holds"
        )
    return number


def chunks_of(chunks: Any, axes: Axes) -> list[int] | None:
    """Length of a chunk on every axis; None to have it chosen."""
    if isinstance(chunks, str):
        if chunks == "auto":
            return None
        raise ValueError(f"chunks is {chunks!r}; legal: 'auto', a length, a length for each axis")
    spread: list[int] = axes.spread(chunks, 1, "chunks", lambda n: whole(n, "chunks", 1))
    return spread


def roi_of(roi: Any, shape: Sequence[int]) -> list[tuple[int, int]] | None:
    """Start and stop on every axis; None for all of the volume."""
    if roi is None:
        return None
    parts = list(roi) if isinstance(roi, Sequence) else [roi]
    if parts.count(Ellipsis) > 1:
        raise IndexError("roi has more than one Ellipsis; legal: one")
    at = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    given = len(parts) - parts.count(Ellipsis)
    if given > len(shape):
        raise IndexError(f"roi has {given} slices; legal: up to {len(shape)}, one for each axis")
    parts[at : at + 1] = [slice(None)] * (len(shape) - given)
    ranges = []
    for axis, (part, n) in enumerate(zip(parts, shape, strict=True)):
        if not isinstance(part, slice):
            raise TypeError(f"roi has {part!r} on axis {axis}; legal: a slice, such as slice(0, {n})")
        if part.step not in (None, 1):
            raise ValueError(f"roi has the step {part.step} on axis {axis}; legal: 1")
        try:
            ends = [
                given if end is None else operator.index(end)
                for end, given in ((part.start, 0), (part.stop, n))
            ]
        except TypeError:
            raise TypeError(f"roi has {part} on axis {axis}; legal: whole numbers") from None
        start, stop = (end + n if end < 0 else end for end in ends)
        if not 0 <= start <= n or not 0 <= stop <= n:
            raise IndexError(f"roi is {ends[0]}:{ends[1]} on axis {axis}; legal: within 0:{n}")
        if start >= stop:
            raise ValueError(f"roi is {ends[0]}:{ends[1]} on axis {axis}: it holds no voxel")
        ranges.append((start, stop))
    return None if ranges == [(0, n) for n in shape] else ranges


def memory_of(memory: Any) -> int | None:
    """Bytes of the memory cap; None for the engine's choice."""
    if memory is None:
        return None
    if isinstance(memory, str):
        return _native.parse_bytes(memory)
    return whole(memory, "memory", 1)


def workers_of(workers: Any) -> int:
    """How many chunks are worked on at once."""
    return threads() if workers is None else whole(workers, "workers", 1)


def whole(value: Any, what: str, least: int) -> int:
    """`value` as an int, of any type that is one."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}; legal: a whole number, {least} or more") from None
    if not least <= number < 2**62:
        raise ValueError(f"{what} is {number}; legal: {least} or more, below 2**62")
    return number


def number(value: Any, what: str) -> int | float:
    """`value` as a number, a whole one exactly."""
    try:
        return operator.index(value)
    except TypeError:
        pass
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        return float(value)
    except TypeError:
        raise TypeError(f"{what} is {value!r}; legal: a number") from None
