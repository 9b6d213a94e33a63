"""What functions of this package take as an image, and fill as an output."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from volchunk import _native
from volchunk._arguments import Axes
from volchunk._volume import Volume
from volchunk._volume import open as open_volume

DTYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64"),
    *("int8", "int16", "int32", "int64", "float32", "float64"),
)


class Image:
    """An image that is read by region, whatever it is.

    Parameters
    ----------
    image : array_like, path or Volume
        A NumPy array is read where it lies; a path is opened; of anything else with ``shape``,
        ``dtype`` and indexing by slices, regions are asked for as they are needed.
    """

    def __init__(self, image: Any) -> None:
        self.array = image if isinstance(image, np.ndarray) else None
        self.name = "an array"
        if isinstance(image, str | os.PathLike):
            image = open_volume(image)
        if isinstance(image, Volume):
            self.name = image.path
            self.source = image._source
            kinds = self.source.info()["kinds"]
            self.axes = Axes(image.axes, [a for a, kind in enumerate(kinds) if kind == "space"])
        else:
            self.source, ndim = _source(image)
            names = _native.default_axes(ndim)
            self.axes = Axes(names, range(ndim))
        self.shape: tuple[int, ...] = tuple(image.shape)
        self.dtype: np.dtype[Any] = np.dtype(image.dtype)


def _source(image: Any) -> tuple[_native.Source, int]:
    try:
        shape = tuple(int(n) for n in image.shape)
        given = image.dtype
        image.__getitem__  # noqa: B018
    except (AttributeError, TypeError):
        raise TypeError(
            f"image is of type {type(image).__name__}; legal: a NumPy array, a path, or anything "
            "with shape, dtype and indexing by slices"
        ) from None
    dtype = legal_dtype(given, "image")
    if not shape:
        raise ValueError("image has no axes; legal: 1 or more")
    if isinstance(image, np.ndarray):
        image = image.view(np.ndarray)
        if image.dtype.isnative and min(image.strides) >= 0:
            return _native.array_source(image, dtype.name), len(shape)
    return _native.object_source(image, list(shape), dtype.name, unit_of(image)), len(shape)


def legal_dtype(dtype: Any, what: str) -> np.dtype[Any]:
    """`dtype` in native byte order."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.name not in DTYPES:
        shown = dtype if found is None else found
        raise TypeError(f"{what} has dtype {shown}; legal: {', '.join(DTYPES)}")
    native: np.dtype[Any] = found.newbyteorder("=")
    return native


def unit_of(array: Any) -> list[int] | None:
    """The box that `array` stores in one piece: a shard or storage chunk of Zarr, a chunk of HDF5."""
    for name in ("shards", "chunks"):
        unit = getattr(array, name, None)
        if isinstance(unit, tuple) and unit and all(isinstance(n, int) for n in unit):
            return list(unit)
    return None


class Output:
    """Where a result goes, as the user gave it.

    Parameters
    ----------
    out : None, ndarray, path, or anything with shape, dtype and assignment to slices
        None for a new array.
    image : Image
        What is read meanwhile.
    """

    def __init__(self, out: Any, image: Image) -> None:
        self.path = os.fspath(out) if isinstance(out, str | os.PathLike) else None
        self.target = None if self.path is not None else out
        self.is_fresh = out is None
        self.name = "an array" if self.path is None else self.path
        self.unit: list[int] | None = None
        self.dtype: np.dtype[Any] | None = None
        if self.target is None:
            return
        try:
            self.shape = tuple(int(n) for n in out.shape)
            given = out.dtype
            out.__setitem__  # noqa: B018
        except (AttributeError, TypeError):
            raise TypeError(
                f"out is of type {type(out).__name__}; legal: None, a NumPy array, a path, or "
                "anything with shape, dtype and assignment to slices"
            ) from None
        self.dtype = legal_dtype(given, "out")
        if isinstance(out, np.ndarray):
            if not out.flags.writeable:
                raise ValueError("out is read-only; legal: a writable array")
            if image.array is not None and np.may_share_memory(out, image.array):
                raise ValueError(
                    "out shares memory with image, whose halos would be read after they were "
                    "overwritten; legal: an array apart from it"
                )
        else:
            self.unit = unit_of(out)

    def run(self, job: _native.Job, progress: Callable[[int], object] | None) -> Any:
        """Runs `job` into the output, and gives what the user is to get."""
        if self.path is not None:
            job.write_file(progress)
            return open_volume(self.path)
        out = np.empty(job.shape, job.dtype) if self.target is None else self.target
        if self.dtype is not None and self.dtype != job.dtype:
            raise TypeError(f"out has dtype {self.dtype}; legal: the result's, {job.dtype}")
        if tuple(job.shape) != tuple(out.shape):
            raise ValueError(f"out has shape {self.shape}; legal: the result's, {tuple(job.shape)}")
        if isinstance(out, np.ndarray) and out.flags.c_contiguous and out.dtype.isnative:
            job.write_array(out, progress)
        else:
            job.write_object(out, progress)
        return out
