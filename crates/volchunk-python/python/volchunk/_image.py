"""What functions of this package take as an image, and fill as an output."""

import operator
import os
from collections.abc import Callable, Mapping, Sequence
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
    what : str
        What messages call it.
    """

    def __init__(self, image: Any, what: str = "image") -> None:
        self.given = image
        if isinstance(image, list | tuple):
            image = np.asarray(image)
        self.name = "an array"
        if isinstance(image, str | os.PathLike):
            image = open_volume(image)
        self._held = image
        if isinstance(image, Volume):
            self.name = image.path
            self.source = image._source
            kinds = self.source.info()["kinds"]
            self.axes = Axes(image.axes, [a for a, kind in enumerate(kinds) if kind == "space"])
        else:
            self.source, ndim = _source(image, what)
            names = _native.default_axes(ndim)
            self.axes = Axes(names, range(ndim))
        self.shape: tuple[int, ...] = tuple(image.shape)
        self.dtype: np.dtype[Any] = np.dtype(image.dtype)

    def known(self, version: str | None, ops: list[str]) -> _native.Known:
        """What tells a later run whether it is the same: the files of a path or a memmap, a digest
        of an array's voxels. Of anything else only `version` can tell, the user's word. `ops` that
        are told something of the whole image depend on all of its files."""
        held = self._held
        if isinstance(held, Volume):
            return _native.Known(self.source, held.path, "path", None, *held._given, ops)
        if not isinstance(held, np.ndarray):
            how = "unknown" if version is None else "version"
            name = f"a {type(held).__name__}"
            return _native.Known(self.source, name, how, version, None, None)
        mapped = _layout(held)
        if mapped is not None:
            _flush(held)
            return _native.Known(self.source, mapped[0], "layout", mapped[1], None, None)
        return _native.Known(self.source, "an array", "digest", None, None, None)


def _layout(array: np.ndarray[Any, Any]) -> tuple[str, str] | None:
    """The file that an array is mapped from, and where its voxels lie in it; None for memory."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    # Of mode "c", what is written stays in memory.
    if not isinstance(whole, np.memmap) or whole.filename is None or whole.mode == "c":
        return None
    places = [a.__array_interface__["data"][0] for a in (array, whole)]
    start = whole.offset + places[0] - places[1]
    where = f"{array.dtype.str} from byte {start}, strides {array.strides}"
    return os.path.abspath(whole.filename), where


def _flush(array: np.ndarray[Any, Any]) -> None:
    """Writes out what was stored into a mapped file: only then the next store gives it a new time."""
    whole: Any = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if isinstance(whole, np.memmap) and whole.mode in ("r+", "w+"):
        whole.flush()


def _source(image: Any, what: str) -> tuple[_native.Source, int]:
    try:
        shape = tuple(int(n) for n in image.shape)
        given = image.dtype
        image.__getitem__  # noqa: B018
    except (AttributeError, TypeError):
        raise TypeError(
            f"{what} is of type {type(image).__name__}; legal: a NumPy array, a path, or anything "
            "with shape, dtype and indexing by slices"
        ) from None
    dtype = legal_dtype(given, what)
    if not shape:
        raise ValueError(f"{what} has no axes; legal: 1 or more")
    if isinstance(image, np.ma.MaskedArray):
        raise TypeError(
            f"{what} is a masked array, whose mask would be lost; legal: its .filled(…)"
        )
    if isinstance(image, np.ndarray):
        image = image.view(np.ndarray)
        if image.dtype.isnative and min(image.strides) >= 0:
            return _native.array_source(image, dtype.name), len(shape)
    unit = unit_of(image, ("chunks", "chunksize"))
    return _native.object_source(image, list(shape), dtype.name, unit), len(shape)


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


def unit_of(array: Any, names: Sequence[str]) -> list[int] | None:
    """The box that `array` reads or writes in one piece, by the first of its attributes `names` that
    says so: a shard or storage chunk of Zarr, a chunk of HDF5 or dask."""
    for name in names:
        try:
            unit = [operator.index(n) for n in getattr(array, name)]
        except (AttributeError, TypeError):
            continue
        if len(unit) == len(array.shape) and min(unit) >= 1:
            return unit
    return None


def _check_place(path: str, image: Any) -> None:
    """Refuses a path that could not be created, or where `image` lies, before anything is lost."""
    folder = os.path.dirname(path) or os.curdir
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"out is {path}, but there is no folder {folder}")
    read = _file(image)
    if read is None:
        # An array of zarr-python, a dataset of h5py.
        read = getattr(getattr(image, "store", None), "root", None)
        read = read or getattr(getattr(image, "file", None), "filename", None)
    if not isinstance(read, str | os.PathLike):
        return
    if _holds(path, read):
        raise ValueError(
            f"out is {path}, and the image lies in {os.fspath(read)}; legal: a path apart from it"
        )


def is_same(out: Any, image: Any) -> bool:
    """Whether writing to `out` would change what `image` reads."""
    if out is image:
        return True
    if isinstance(out, np.ndarray) and isinstance(image, np.ndarray):
        # NumPy's types know no limit, its function does: beyond it, better safe.
        effort: Any = 10_000
        try:
            if np.shares_memory(out, image, max_work=effort):
                return True
        except np.exceptions.TooHardError:
            return True
    files = [_place(out), _place(image)]
    if None not in files:
        try:
            if os.path.samefile(*files):
                return True
        except OSError:
            pass
        if _holds(*files):
            return True
    places = [(getattr(a, "store", None), getattr(a, "path", None)) for a in (out, image)]
    return places[0][0] is not None and places[0] == places[1]


def _holds(a: str | os.PathLike[str], b: str | os.PathLike[str]) -> bool:
    """Whether one of two paths is, or lies inside, the other."""
    places = [os.path.realpath(p) for p in (a, b)]
    try:
        return os.path.commonpath(places) in places
    except ValueError:
        # On different drives.
        return False


def _place(array: Any) -> Any:
    """As `_file`, and for an array in a store its place there."""
    file = _file(array)
    if file is not None:
        return os.fspath(file)
    # An array of zarr-python, a dataset of h5py.
    root = getattr(getattr(array, "store", None), "root", None)
    if isinstance(root, str | os.PathLike):
        return os.path.join(root, str(getattr(array, "path", "")))
    root = getattr(getattr(array, "file", None), "filename", None)
    if isinstance(root, str):
        return os.path.join(root, str(getattr(array, "name", "")).lstrip("/"))
    return None


def _file(array: Any) -> Any:
    """The file that an array, or a path, means; None if it is in memory."""
    if isinstance(array, str | os.PathLike):
        return array
    if isinstance(array, Volume):
        return array.path
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and array.filename is not None:
            return array.filename
        array = array.base
    return None


def table_output(out: Any, image: Image) -> "Output":
    """Where a table of points goes, as the user gave it: a path, or None for an array."""
    if out is not None and not isinstance(out, str | os.PathLike):
        raise TypeError(
            f"out is of type {type(out).__name__}; legal: None, or a path"
        )
    return Output(out, image)


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
        # Bytes of memory for each voxel of the result, where they are known already. Whether an array's
        # pages were touched before is not, so it counts whole; a memmap's give way.
        self.held = 0
        self.name = "an array" if self.path is None else self.path
        self.unit: list[int] | None = None
        self.dtype: np.dtype[Any] | None = None
        if self.path is not None:
            _check_place(self.path, image.given)
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
            if any(s == 0 and n > 1 for n, s in zip(out.shape, out.strides, strict=True)):
                raise ValueError("out has voxels that share memory with others of its own")
        else:
            self.unit = unit_of(out, ("shards", "chunks", "chunksize"))
        if is_same(out, image.given):
            raise ValueError(
                "out shares memory or a file with image, whose halos would be read after they were "
                "overwritten; legal: an array apart from it"
            )
        if isinstance(out, np.ndarray) and _file(out) is None:
            self.held = self.dtype.itemsize

    def run(
        self,
        job: _native.Job,
        manner: Mapping[str, Any],
        watch: Mapping[str, Callable[..., object] | None],
    ) -> Any:
        """Runs `job` into the output in memory, and gives what the user is to get."""
        out = np.empty(job.shape, job.dtype) if self.target is None else self.target
        if self.dtype is not None and self.dtype != job.dtype:
            raise TypeError(f"out has dtype {self.dtype}; legal: the result's, {job.dtype}")
        if tuple(job.shape) != tuple(out.shape):
            raise ValueError(f"out has shape {self.shape}; legal: the result's, {tuple(job.shape)}")
        if isinstance(out, np.ndarray) and out.flags.c_contiguous and out.dtype.isnative:
            job.write_array(out, manner, watch)
        else:
            job.write_object(out, manner, watch)
        return out
