"""A function of the user's on every chunk of a volume."""

import inspect
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import sub
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._arguments import Boundaries, Chunks, Depth, Roi, boundary_of, depth_of
from volchunk._image import Image, Output, legal_dtype
from volchunk._job import Request, function_work
from volchunk._points_merge import merge_points, tolerance_of
from volchunk._processes import Workers
from volchunk._progress import bar

Array = npt.NDArray[Any]
Slices = tuple[slice, ...]


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """Where a block lies: what a function gets as its second argument.

    Attributes
    ----------
    index : tuple of int
        The chunk's place in the grid of chunks.
    core : tuple of slice
        The voxels that the chunk owns, in the volume: ``image[info.core]``.
    outer : tuple of slice
        Core and halo, clipped to the volume: what of the block is no padding.
    core_in_block : tuple of slice
        The core's place in the block: ``block[info.core_in_block]``.

    Coordinates are voxels of the whole volume, unpadded and without regard to a region of interest.
    """

    index: tuple[int, ...]
    core: Slices
    outer: Slices
    core_in_block: Slices


def map_overlap(
    func: Callable[..., Any],
    image: Any,
    *,
    depth: Depth,
    chunks: Chunks = "auto",
    boundary: Boundaries = "reflect",
    dtype: npt.DTypeLike | None = None,
    out: Any = None,
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    executor: Literal["threads", "processes"] = "threads",
    progress: bool = True,
) -> Any:
    """Call a function on every chunk of a volume with its halo, and join the results.

    The result is that of ``func`` on the whole volume, padded by `boundary`, if no voxel of it
    depends on voxels farther away than `depth`; `volchunk.probe` measures that.

    Parameters
    ----------
    func : callable
        ``func(block)`` or ``func(block, info)``: `block` is a C-order array of the chunk's own, core
        and halo, padded at the volume's edges to ``core + 2 * depth`` voxels; `info` a `ChunkInfo`,
        given where the second parameter, or one without default, is called ``info``, or where there
        are exactly two, none with a default. Returns an array of
        the block's shape, perhaps with one axis of channels more, before the others or behind them;
        of it the core is kept.
    image : array_like, path or Volume
        A NumPy array or memmap, a path of any format that volchunk reads, a zarr-python array, or
        anything with ``shape``, ``dtype`` and indexing by slices. Axes slowest first.
    depth : int, sequence or mapping
        Voxels of halo on either side: one for all axes (of a volume that names its axes: those of
        space), one for each, or ``{axis: depth}`` with 0 elsewhere; in a sequence or mapping also
        ``(before, behind)``.
    chunks : "auto", int or sequence of int, optional
        Voxels of a core: one length for all axes, or one for each. By default chosen from how
        image and output are stored, the halo and the memory cap.
    boundary : str, float, None, sequence or mapping, optional
        What lies beyond the volume's edges, for all axes, each, or ``{axis: boundary}``.
        In SciPy's names: "reflect" ``d c b a | a b c d | d c b a`` (also "symmetric"), "mirror"
        ``d c b | a b c d | c b a``, "nearest" ``a a a | a b c d | d d d`` (also "edge"), "wrap"
        ``b c d | a b c d | a b c`` (also "periodic"), "constant" or a number. None: no padding,
        blocks at the edges are smaller.
    dtype : dtype, optional
        Of the result. By default that of what ``func`` returns for the first chunk, which all
        others must return too; where it is given, results are cast to it as NumPy casts by the rule
        "same_kind".
    out : ndarray, path, or anything with shape, dtype and assignment to slices, optional
        Where the result goes. A path (``.zarr``, ``.npy``, ``.tif``) must not exist yet, and says
        that it is unfinished until it is complete.
    roi : slice or sequence of slice, optional
        The part of the volume whose result is wanted; halos reach beyond it.
    memory : int or str, optional
        Most bytes that this process may hold, such as ``"8GB"``; by default what it holds, and half
        of what the machine leaves. What ``func`` holds beside its block and its result is not known
        and not counted.
    workers : int, optional
        Chunks worked on at once; by default `volchunk.settings.cpus`, or all cores.
    executor : {"threads", "processes"}, optional
        "threads" for functions that release the interpreter, as most of NumPy and SciPy do;
        "processes" for others: blocks and results pass through shared memory. What a process holds
        beside these is not this process's, and not counted as its memory.
    progress : bool, optional
        Show a bar, where tqdm is installed, standard error is a terminal, and it takes long.

    Returns
    -------
    ndarray, Volume, or out
        A new array; of a path the `Volume` there; or `out`.

    Raises
    ------
    Exception
        What ``func`` raises arrives as it was raised, the chunk added as a note. No further chunk
        begins.
    TypeError, ValueError, IndexError
        For arguments that cannot be right, and results of another shape or dtype.
    MemoryError
        If the memory cap is too small; the message says what would fit.
    FileExistsError
        If there is something at the path `out`.
    concurrent.futures.process.BrokenProcessPool
        If a process of the executor dies; names the chunk.
    NotImplementedError
        For the executor "processes" on Windows.

    See Also
    --------
    map_points : for functions that return points.
    gaussian_filter : one of the built-in ops, faster than a function.

    Examples
    --------
    >>> image = np.arange(35.0).reshape(5, 7)
    >>> blurred = volchunk.map_overlap(
    ...     lambda block: (np.roll(block, 1, 0) + block + np.roll(block, -1, 0)) / 3,
    ...     image, depth={0: 1}, chunks=(2, 7), boundary="nearest")
    >>> blurred[:, 0]
    array([ 2.33333333,  7.        , 14.        , 21.        , 25.66666667])

    With its place, on one chunk of a part:

    >>> def where(block, info):
    ...     print(info.index, block.shape, info.core_in_block)
    ...     return block
    >>> volchunk.map_overlap(where, image, depth=1, chunks=4, roi=np.s_[4:, 2:5], workers=1)
    (0, 0) (3, 5) (slice(1, 2, None), slice(1, 4, None))
    array([[30., 31., 32.]])
    """
    source = Image(image)
    output = Output(out, source)
    wanted = output.dtype if dtype is None else legal_dtype(dtype, "dtype")
    if wanted is not None and output.dtype is not None and wanted != output.dtype:
        raise TypeError(f"dtype is {wanted}, out has {output.dtype}; legal: the same for both")
    with _Task(func, source, depth, boundary, chunks, roi, memory, workers, executor) as task:
        voxels = _Voxels(task, wanted, output)
        job = voxels.job()
        with bar(job.count, progress) as told:
            watch = {"progress": told, "interrupt": task.interrupt}
            if output.path is None:
                job.visit(watch)
                return voxels.into
            return output.run(job, watch)


def map_points(
    func: Callable[..., Any],
    image: Any,
    *,
    depth: Depth,
    chunks: Chunks = "auto",
    boundary: Boundaries = "reflect",
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    executor: Literal["threads", "processes"] = "threads",
    progress: bool = True,
    dedupe: float | Sequence[float] | None = None,
) -> Array:
    """Call a function that finds points on every chunk of a volume, and join the tables.

    A point belongs to the chunk whose core holds it, so that points found in halos are neither lost
    nor doubled: the table is that of ``func`` on the whole volume, if whether a point is found does
    not depend on voxels farther away than `depth`.

    Parameters
    ----------
    func : callable
        ``func(block)`` or ``func(block, info)``, as in `map_overlap`. Returns a table: a row for each
        point, its first columns the coordinates in the block, in voxels, slowest axis first, voxel
        centres at whole numbers; further columns are kept as they are. No points: no rows.
    image, depth, chunks, boundary, roi, memory, workers, executor, progress
        As in `map_overlap`.
    dedupe : float or sequence of float, optional
        For functions that place a point differently in another block: as in `merge_points`, of points
        that different chunks found within so many voxels on each axis, the one with the largest
        number in the first column behind the coordinates is kept.

    Returns
    -------
    ndarray
        Of shape (points, columns): int64 if every table was of integers, else float64. Coordinates
        are those of the whole volume, also with a `roi`; rows are sorted by them, then by the
        further columns. Points beyond the volume's edges are dropped. Coordinates that are no
        whole numbers are rounded once more when they are shifted.

    Raises
    ------
    ValueError
        For tables of another number of axes or columns, coordinates that are not finite, a
        tolerance that is negative.
    Exception
        As in `map_overlap`.

    Examples
    --------
    >>> image = np.zeros((20, 30))
    >>> image[3, 4] = image[10, 15] = image[19, 29] = 1
    >>> volchunk.map_points(np.argwhere, image, depth=2, chunks=10)
    array([[ 3,  4],
           [10, 15],
           [19, 29]])
    """
    source = Image(image)
    tolerance = None if dedupe is None else tolerance_of(dedupe, len(source.axes))
    with _Task(func, source, depth, boundary, chunks, roi, memory, workers, executor) as task:
        points = _Points(task)
        job = task.job(points, np.dtype(bool))
        task.start(job)
        with bar(job.count, progress) as told:
            job.visit({"progress": told, "interrupt": task.interrupt})
    return points.table(tolerance)


class _Task:
    """The arguments that all functions of this module share, checked; and the call of a chunk."""

    def __init__(
        self,
        func: Callable[..., Any],
        image: Image,
        depth: Any,
        boundary: Any,
        chunks: Any,
        roi: Any,
        memory: Any,
        workers: Any,
        executor: Any,
    ) -> None:
        if not callable(func):
            raise TypeError(f"func is {func!r}; legal: a function")
        if executor not in ("threads", "processes"):
            raise ValueError(f"executor is {executor!r}; legal: 'threads', 'processes'")
        self.image = image
        self.depth = depth_of(depth, image.axes)
        self.boundary = boundary_of(boundary, image.axes, image.dtype)
        self._request = Request(
            image, image.shape, image.axes, chunks=chunks, roi=roi, memory=memory, workers=workers
        )
        self.chunks, self.roi = self._request.chunks, self._request.roi
        self._func, self._with_info = with_place(func)
        self._processes = executor == "processes"
        self._workers: Workers | None = None
        self._started: int | None = None
        self.place((0,) * len(image.axes), image.shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._workers is not None:
            self._workers.__exit__(*error)

    def job(
        self,
        call: Callable[..., Any],
        dtype: np.dtype[Any],
        *,
        channels: tuple[int, bool] | None = None,
        more: int = 1,
        **changed: Any,
    ) -> _native.Job:
        """The job that calls `call` for each chunk, as the arguments ask but for what is `changed`."""
        work = function_work(
            call,
            self.depth,
            self.boundary,
            self.image.dtype,
            dtype,
            channels=channels,
            more=more,
            processes=self._processes,
        )
        if self._started is not None:
            # A second division may have more chunks than the first had.
            changed["workers"] = self._started
        return self._request.job(work, **changed)

    def start(self, job: _native.Job) -> None:
        """Takes the grid of chunks from `job`, whose result has the image's axes, and starts the
        processes: where nothing was refused, and no thread of the engine runs that a fork could
        meet."""
        self.place(job.origin, job.chunks)
        if self._processes and self._workers is None:
            self._started = min(self._request.workers, job.count)
            self._workers = Workers(self._func, self._started, with_info=self._with_info)

    def interrupt(self) -> None:
        """Ends the calls under way, where that can be done."""
        if self._workers is not None:
            self._workers.stop()

    def place(self, origin: Any, chunks: Any) -> None:
        """Takes the grid of chunks: where it begins, how long its chunks are."""
        self.origin, self._chunk = tuple(origin), tuple(chunks)

    def index(self, start: tuple[int, ...]) -> tuple[int, ...]:
        """The place in the grid of the chunk whose core starts at `start`."""
        places = zip(start, self.origin, self._chunk, strict=True)
        return tuple((s - o) // c for s, o, c in places)

    def info(
        self,
        shape: tuple[int, ...],
        start: tuple[int, ...],
        stop: tuple[int, ...],
        origin: tuple[int, ...],
    ) -> ChunkInfo:
        reach = zip(origin, shape, self.image.shape, strict=True)
        return ChunkInfo(
            self.index(start),
            tuple(map(slice, start, stop)),
            tuple(slice(max(o, 0), min(o + n, whole)) for o, n, whole in reach),
            inner(start, stop, origin),
        )

    def call(
        self,
        block: Array,
        start: tuple[int, ...],
        stop: tuple[int, ...],
        origin: tuple[int, ...],
    ) -> Any:
        """What the user's function returns for a chunk."""
        if self._workers is not None:
            return self._workers(block, self.info(block.shape, start, stop, origin))
        if self._with_info:
            return self._func(block, self.info(block.shape, start, stop, origin))
        return self._func(block)


class _Voxels:
    """Calls the function for each chunk, checks the voxels that it returns, and puts them where
    they go: into an array itself, into a file through the engine."""

    def __init__(self, task: _Task, dtype: np.dtype[Any] | None, output: Output) -> None:
        self._task = task
        self._output = output
        self._asked = dtype is not None
        self._lock = threading.Lock()
        roi = task.roi or [(0, n) for n in task.image.shape]
        self._shape = tuple(stop - start for start, stop in roi)
        self.into: Any = output.target
        # Both are unknown until the first result tells, unless the output does.
        self._dtype = dtype
        self._channels: tuple[int, bool] | None = None
        self._known = self.into is not None
        if self._known:
            self._channels = _channels(output.shape, self._shape)
            if self._channels is None and output.shape != self._shape:
                raise ValueError(
                    f"out has shape {output.shape}; legal: the result's, {self._shape}, perhaps "
                    "with one axis of channels more"
                )
        # Of a file, the first chunk's result until its turn comes.
        self._keeps_first = output.path is not None
        self._first: tuple[tuple[int, ...], Array] | None = None

    def job(self) -> _native.Job:
        """The job whose chunks this is called for."""
        task, output = self._task, self._output
        guess = np.dtype(float) if self._dtype is None else self._dtype
        if output.path is None:
            unit, more = output.unit, 1
            if self._channels is not None:
                more = self._channels[0]
                if unit is not None:
                    unit = unit[1:] if self._channels[1] else unit[:-1]
            held = guess.itemsize if output.is_fresh else output.held * more
            job = task.job(self, guess, more=more, unit=unit, held=held)
            self._room = job.room
            task.start(job)
            return job
        # A file is made for what the first chunk's result is, which is kept until its turn.
        job = task.job(self, guess, path=output.path)
        task.start(job)
        job.first({"progress": None, "interrupt": task.interrupt})
        assert self._dtype is not None
        count = 1 if self._channels is None else self._channels[0]
        leads = self._channels is not None and self._channels[1]

        def axes(values: Any, channels: Any) -> Any:
            if self._channels is None or values is None:
                return values
            return [channels, *values] if leads else [*values, channels]

        final = {
            "dtype": self._dtype,
            "channels": self._channels,
            "path": output.path,
            "roi": axes(task.roi, (0, count)),
        }
        try:
            return task.job(self, **final, chunks=axes(job.chunks, count))
        except MemoryError:
            if task.chunks is not None:
                raise
        job = task.job(self, **final)
        ndim = len(task.image.axes)
        task.place(job.origin[leads:][:ndim], job.chunks[leads:][:ndim])
        return job

    def __call__(
        self,
        block: Array,
        start: tuple[int, ...],
        stop: tuple[int, ...],
        origin: tuple[int, ...],
    ) -> Array | None:
        if self._first is not None and self._first[0] == (*start, *stop):
            kept, self._first = self._first[1], None
            return kept
        shape = block.shape
        returned = self._task.call(block, start, stop, origin)
        if returned is None or isinstance(returned, np.ma.MaskedArray):
            what = "None" if returned is None else "a masked array, whose mask would be lost"
            raise TypeError(f"func returned {what}; legal: an array of shape {shape}")
        result = np.asarray(returned)
        if not self._known:
            self._learn(result, shape)
        core = self._core(result, shape, inner(start, stop, origin))
        if self.into is not None:
            self.into[self._index(inner(start, stop, self._task.origin))] = core
            return None
        if self._keeps_first:
            self._first, self._keeps_first = ((*start, *stop), core.copy()), False
            return None
        return core

    def _learn(self, result: Array, block: tuple[int, ...]) -> None:
        """Takes from the first result its dtype and its channels."""
        with self._lock:
            if self._known:
                return
            dtype = legal_dtype(result.dtype, "what func returned")
            self._channels = _channels(result.shape, block)
            if self._channels is None and result.shape != block:
                raise ValueError(
                    f"func returned shape {result.shape} for a block of shape {block}; legal: "
                    f"{block}, perhaps with one axis of channels more"
                )
            if self._dtype is None:
                self._dtype = dtype
            if self._output.path is None:
                shape = self._with_channels(self._shape)
                bytes_of = math.prod(shape) * self._dtype.itemsize
                planned = math.prod(self._shape) * (8 if not self._asked else self._dtype.itemsize)
                if bytes_of - planned > self._room:
                    raise MemoryError(
                        f"memory: the result, {shape} of {self._dtype}, needs {bytes_of} bytes, of "
                        f"which {planned + self._room} are left under the cap; legal: a path as out, "
                        "or more memory"
                    )
                self.into = np.empty(shape, self._dtype)
            self._known = True

    def _with_channels(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` with the axis of channels."""
        if self._channels is None:
            return shape
        count, leads = self._channels
        return (count, *shape) if leads else (*shape, count)

    def _index(self, place: Slices) -> tuple[Any, ...]:
        """The index of a region with all of its channels."""
        if self._channels is None:
            return place
        return (slice(None), *place) if self._channels[1] else (*place, slice(None))

    def _core(self, result: Array, block: tuple[int, ...], core: Slices) -> Array:
        """The core's voxels of a result, in the output's dtype."""
        legal = self._with_channels(block)
        if result.shape != legal:
            # Not an array at all, perhaps.
            legal_dtype(result.dtype, "what func returned")
            raise ValueError(
                f"func returned shape {result.shape} for a block of shape {block}; legal: {legal}"
            )
        result = result[self._index(core)]
        if result.dtype == self._dtype:
            return result
        dtype = legal_dtype(result.dtype, "what func returned")
        assert self._dtype is not None
        if not self._asked and dtype != self._dtype:
            raise TypeError(
                f"func returned dtype {dtype}, and {self._dtype} for another chunk; legal: the same "
                "for all, or give dtype"
            )
        if not np.can_cast(dtype, self._dtype, "same_kind"):
            raise TypeError(
                f"func returned dtype {dtype}, the result is to be {self._dtype}; legal: what casts "
                "to it by the rule 'same_kind'"
            )
        return result.astype(self._dtype)


def _channels(shape: tuple[int, ...], without: tuple[int, ...]) -> tuple[int, bool] | None:
    """How many channels `shape` has beyond `without`, and whether they stand before the others."""
    if len(shape) != len(without) + 1 or 0 in shape:
        return None
    leads, trails = shape[1:] == without, shape[:-1] == without
    if leads and trails:
        raise ValueError(
            f"shape {shape} beside {without} has its channels on the first axis or on the last, which "
            "cannot be told apart; legal: chunks and channels of other lengths"
        )
    if leads:
        return shape[0], True
    return (shape[-1], False) if trails else None


class _Points:
    """Calls the function for each chunk, and keeps the points that the chunk owns."""

    def __init__(self, task: _Task) -> None:
        self._task = task
        # With where their chunks begin, since chunks end in any order.
        self._tables: list[tuple[tuple[int, ...], Array]] = []
        self._columns: int | None = None

    def __call__(
        self,
        block: Array,
        start: tuple[int, ...],
        stop: tuple[int, ...],
        origin: tuple[int, ...],
    ) -> None:
        points = self._table(self._task.call(block, start, stop, origin), len(start))
        points[:, : len(start)] += np.array(origin)
        at = points[:, : len(start)]
        if not np.isfinite(at).all():
            raise ValueError("func returned coordinates that are not finite; legal: finite ones")
        # A voxel reaches half a voxel to either side of its centre.
        voxel = np.floor(at + 0.5) if points.dtype.kind == "f" else at
        owned = ((voxel >= start) & (voxel < stop)).all(axis=1)
        self._tables.append((start, points[owned]))

    def _table(self, returned: Any, ndim: int) -> Array:
        """What the function returned as a table of its own, in int64 or float64."""
        table = np.asarray(returned)
        if table.ndim == 1 and table.size == 0:
            # What an empty list becomes: neither its columns nor its dtype mean anything.
            return np.empty((0, self._columns or ndim), np.int64)
        if table.dtype.kind not in "biuf":
            raise TypeError(f"func returned dtype {table.dtype}; legal: a table of numbers")
        if table.ndim != 2 or table.shape[1] < ndim:
            raise ValueError(
                f"func returned shape {table.shape}; legal: (points, columns), with {ndim} columns "
                "or more"
            )
        if len(table):
            if self._columns is None:
                self._columns = table.shape[1]
            if table.shape[1] != self._columns:
                raise ValueError(
                    f"func returned {table.shape[1]} columns, and {self._columns} for another "
                    "chunk; legal: the same for all"
                )
        if table.dtype == np.uint64 and len(table) and table.max() > np.iinfo(np.int64).max:
            raise ValueError(
                f"func returned {table.max()} in a table of uint64; legal: up to 2**63 - 1, or float64"
            )
        return table.astype(np.float64 if table.dtype.kind == "f" else np.int64)

    def table(self, tolerance: list[float] | None) -> Array:
        """All points, in order."""
        tables = [table for _, table in sorted(self._tables, key=lambda table: table[0])]
        return merge_points(tables, dedupe=tolerance, ndim=len(self._task.image.axes))


def inner(start: tuple[int, ...], stop: tuple[int, ...], origin: tuple[int, ...]) -> Slices:
    """The core's place in a block whose first voxel is `origin`."""
    # Called twice a chunk: no generator.
    return tuple(map(slice, map(sub, start, origin), map(sub, stop, origin)))


def with_place(func: Callable[..., Any]) -> tuple[Callable[..., Any], bool]:
    """`func` as it is to be called, and whether it is to get the chunk's place as its second argument:
    see `map_overlap`."""
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        # Some built-in functions do not tell.
        return func, False
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(by_place) > 1 and by_place[1].name == "info":
        return func, True
    # One with a default may be bound already, as functools.partial does.
    named = [p for p in parameters if p.name == "info" and p.default is inspect.Parameter.empty]
    if named and named[0].kind is not inspect.Parameter.POSITIONAL_ONLY:
        return _ByName(func), True
    return func, len(by_place) == 2 and by_place[1].default is inspect.Parameter.empty


class _ByName:
    """Passes the place by name; can be pickled if the function can."""

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, block: Array, info: ChunkInfo) -> Any:
        return self.func(block, info=info)
