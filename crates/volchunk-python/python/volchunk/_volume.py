"""Volumes in files, as arrays that are read where they are indexed."""

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._indexing import Positions, select
from volchunk._settings import threads

_GAP = 1 << 16
"""Bytes between two voxels of a file from which on a second read is cheaper than reading on."""

_SLAB = 1 << 24
"""Bytes of a large region that one thread reads at a time."""


def open(
    path: str | bytes | os.PathLike[Any],
    *,
    axes: str | Iterable[str] | None = None,
    voxel_size: float | Sequence[float] | npt.NDArray[Any] | None = None,
) -> "Volume":
    """Open a volume without reading its voxels.

    Parameters
    ----------
    path : path-like
        A Zarr or OME-Zarr folder, or an array inside one; a TIFF, or a folder of TIFF planes; an
        NPY. What stands there decides, not the path's ending.
    axes : str, optional
        A letter for each axis, slowest first, such as "tczyx", in place of what the file says.
    voxel_size : float or sequence of float, optional
        µm, one for all spatial axes or one for each, slowest first, in place of what the file says.

    Returns
    -------
    Volume

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        If the files cannot be read.
    ValueError
        If there is no volume that volchunk reads, or only part of one, or `axes` or `voxel_size`
        do not fit it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "cells.npy")
    >>> np.save(path, np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    >>> volume = open(path, voxel_size=(5, 2, 2))
    >>> volume.shape, volume.dtype, volume.axes, volume.voxel_size
    ((2, 3, 4), dtype('uint16'), ('z', 'y', 'x'), (5.0, 2.0, 2.0))
    >>> volume[1, :, ::-2]
    array([[15, 13],
           [19, 17],
           [23, 21]], dtype=uint16)
    >>> folder.cleanup()
    """
    return Volume(path, axes, voxel_size)


class Volume:
    """A volume in a file or folder; made by `volchunk.open`.

    Indexing reads the voxels that it names into a new array, with NumPy's rules: integers, slices,
    ``...``, ``None``, arrays of integers or booleans. ``numpy.asarray(volume)`` reads all. napari,
    ``dask.array.from_array`` and other takers of arrays take it as it is. It can be read by
    several threads at once, and pickled: that passes the path, not the voxels.

    Attributes
    ----------
    path : str
        Where it is, from the root.
    shape : tuple of int
        Voxels along each axis, slowest first.
    dtype : numpy.dtype
        Of native byte order, whatever the file's is.
    axes : tuple of str
        Name of each axis.
    voxel_size : tuple of float or None
        Distance between voxel centres in µm for each spatial axis (any but "t", "c" and what the
        file says is none); None if one is not known, or not a length.
    scale : tuple of float or None
        Distance between voxel centres for each axis, in its unit; None where not known.
    units : tuple of str or None
        Unit for each axis, as OME-NGFF spells it ("micrometer", "second"); None where not known.
    origin : tuple of float
        Position of the centre of voxel 0 for each axis, in its unit.
    chunks : tuple of int or None
        Shape of a storage chunk, the least that is decoded; None if any region costs what it holds.
    """

    def __init__(
        self,
        path: str | bytes | os.PathLike[Any],
        axes: str | Iterable[str] | None = None,
        voxel_size: float | Sequence[float] | npt.NDArray[Any] | None = None,
    ) -> None:
        names, sizes = _axes(axes), _sizes(voxel_size)
        # Another working folder, or another process's, must not change what it means.
        self.path: str = os.path.abspath(_path(path))
        self._given = names, sizes
        self._source = _native.Source(self.path, names, sizes)
        info = self._source.info()
        self.shape: tuple[int, ...] = tuple(info["shape"])
        self.dtype: np.dtype[Any] = np.dtype(info["dtype"])
        self.axes: tuple[str, ...] = tuple(info["axes"])
        self.voxel_size: tuple[float, ...] | None = _tuple(info["voxel_size_um"])
        self.scale: tuple[float | None, ...] = tuple(info["scale"])
        self.units: tuple[str | None, ...] = tuple(info["unit"])
        self.origin: tuple[float, ...] = tuple(info["origin"])
        self.chunks: tuple[int, ...] | None = _tuple(info["storage_chunk"])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels, decoded."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a volume without axes")
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        positions, place = select(index, self.shape)
        return self._read(positions)[place]

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError(
                f"copy is False, but the voxels of {self.path} are in a file; legal: None, True"
            )
        voxels = self._read([range(n) for n in self.shape])
        return voxels if dtype is None else voxels.astype(dtype, copy=False)

    def __repr__(self) -> str:
        facts = [f"{self.shape} {self.dtype}", f"axes {', '.join(self.axes)}"]
        if self.voxel_size is not None:
            facts.append(f"voxel size {' × '.join(f'{v:g}' for v in self.voxel_size)} µm")
        if self.chunks is not None:
            facts.append(f"storage chunks {self.chunks}")
        return f"<volchunk.Volume {self.path!r}: {'; '.join(facts)}>"

    def __reduce__(self) -> tuple[type["Volume"], tuple[Any, ...]]:
        return Volume, (self.path, *self._given)

    def _read(self, positions: Sequence[Positions]) -> npt.NDArray[Any]:
        """The voxels at `positions` of each axis, which ascend."""
        out = np.empty([len(p) for p in positions], dtype=self.dtype)
        if out.size == 0:
            return out
        runs = self._runs(positions, out)
        # The axis with the most runs is shared out among threads.
        axis = max(range(len(runs)), key=lambda a: len(runs[a]), default=None)

        def read(run: slice | None) -> None:
            mine = (r if a != axis else [run] for a, r in enumerate(runs))
            for piece in itertools.product(*mine):
                self._read_piece(positions, piece, out)

        shared: list[slice | None] = [None] if axis is None else [*runs[axis]]
        workers = min(threads(), len(shared)) if out.nbytes >= _SLAB else 1
        if workers == 1:
            for run in shared:
                read(run)
        else:
            with ThreadPoolExecutor(workers, "volchunk") as pool:
                for _ in pool.map(read, shared):
                    pass
        return out

    def _read_piece(
        self, positions: Sequence[Positions], piece: tuple[Any, ...], out: npt.NDArray[Any]
    ) -> None:
        """Reads one run of every axis: the box around it, from which its voxels are taken."""
        named = [p[run] for p, run in zip(positions, piece)]
        start = [int(p[0]) for p in named]
        shape = [int(p[-1]) + 1 - s for p, s in zip(named, start)]
        part = out[(*piece, ...)]
        if part.shape == tuple(shape):
            self._source.read(start, part)
            return
        box = np.empty(shape, dtype=self.dtype)
        self._source.read(start, box)
        for axis, (p, s) in enumerate(zip(named, start)):
            if len(p) == box.shape[axis]:
                continue
            taken: Any = slice(None, None, p.step) if isinstance(p, range) else p - s
            box = box[(slice(None),) * axis + (taken,)]
        part[...] = box

    def _runs(self, positions: Sequence[Positions], out: npt.NDArray[Any]) -> list[list[slice]]:
        """Divides the positions of each axis into runs, each of which is read with what lies
        between: within a storage chunk or, without those, where the gaps are small."""
        lengths = self.chunks or (1,) * self.ndim
        cut = [len(p) for p in positions]
        if out.nbytes > _SLAB:
            # The slowest axis on which it can be done without decoding anything twice.
            for axis, (p, length) in enumerate(zip(positions, lengths)):
                if len(p) > 1 and p[0] // length < p[-1] // length:
                    cut[axis] = max(1, _SLAB // (out.nbytes // len(p)))
                    break
        runs = []
        step = self.dtype.itemsize * self.size
        for p, length, limit, n in zip(positions, lengths, cut, self.shape):
            step //= n
            dense = int(p[-1]) + 1 - int(p[0]) == len(p)
            if dense and limit >= len(p):
                runs.append([slice(0, len(p))])
                continue
            where = np.asarray(p)
            if self.chunks is None and not dense:
                ends = np.flatnonzero(np.diff(where) * step >= _GAP) + 1
            elif dense:
                # In as many whole storage chunks as make up the limit.
                ends = np.flatnonzero(np.diff(where // (-(-limit // length) * length))) + 1
            else:
                ends = np.flatnonzero(np.diff(where // length)) + 1
            stops = [0, *ends.tolist(), len(p)]
            runs.append([slice(*pair) for pair in itertools.pairwise(stops)])
        return runs


def _path(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path is {path!r}; legal: a str, bytes or os.PathLike") from None


def _axes(axes: str | Iterable[str] | None) -> str | None:
    if axes is None or isinstance(axes, str):
        return axes
    try:
        return "".join(axes)
    except TypeError:
        raise TypeError(f"axes is {axes!r}; legal: a letter for each axis, as in 'tczyx'") from None


def _sizes(voxel_size: Any) -> list[float] | None:
    if voxel_size is None:
        return None
    try:
        if isinstance(voxel_size, str | bytes):
            raise TypeError
        return [float(size) for size in (voxel_size if np.ndim(voxel_size) > 0 else [voxel_size])]
    except (TypeError, ValueError):
        raise TypeError(
            f"voxel_size is {voxel_size!r}; legal: a number of µm, or one for each spatial axis"
        ) from None


def _tuple(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
