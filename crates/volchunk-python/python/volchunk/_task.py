"""The call of a user's function for a chunk, whatever it returns."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import sub
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._arguments import boundary_of, depth_of
from volchunk._image import Image
from volchunk._job import Request, function_work
from volchunk._processes import Workers
from volchunk._select import Selection
from volchunk._threads import LibraryThreads

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


class Task:
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
        selection: Selection,
    ) -> None:
        if not callable(func):
            raise TypeError(f"func is {func!r}; legal: a function")
        if executor not in ("threads", "processes"):
            raise ValueError(f"executor is {executor!r}; legal: 'threads', 'processes'")
        self.image = image
        self.depth = depth_of(depth, image.axes)
        self.boundary = boundary_of(boundary, image.axes, image.dtype)
        self._request = Request(
            image,
            image.shape,
            image.axes,
            chunks=chunks,
            roi=roi,
            memory=memory,
            workers=workers,
            selection=selection,
        )
        self.selection = selection
        self.chunks, self.roi = self._request.chunks, self._request.roi
        self._func, self._with_info = with_place(func)
        self._processes = executor == "processes"
        self._workers: Workers | None = None
        self._threads: LibraryThreads | None = None
        self._started: int | None = None
        self.place((0,) * len(image.axes), image.shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._workers is not None:
            self._workers.__exit__(*error)
        if self._threads is not None:
            self._threads.__exit__(*error)

    def job(
        self,
        call: Callable[..., Any],
        dtype: np.dtype[Any],
        *,
        channels: tuple[int, bool] | None = None,
        more: int = 1,
        table: bool = False,
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
            table=table,
            processes=self._processes,
        )
        if self._processes and self._started is not None:
            # A second division may have more chunks than the first had.
            changed["workers"] = self._started
        return self._request.job(work, **changed)

    def start(self, job: _native.Job, leads: bool = False) -> None:
        """Takes the grid of chunks from `job`, whose result has the image's axes, and perhaps one
        of channels more, which `leads` or trails. Then starts the processes: where nothing was
        refused, no thread of the engine runs that a fork could meet, and no lock is held that it
        would share."""
        ndim = len(self.image.axes)
        self.place(job.origin[leads:][:ndim], job.chunks[leads:][:ndim])
        if self._started is not None:
            return
        self._started = min(self._request.workers, job.count)
        if self._processes:
            self._workers = Workers(self._func, self._started, with_info=self._with_info)
        else:
            self._threads = LibraryThreads(self._started).__enter__()

    def record(
        self,
        version: str | None,
        dtype: Any = None,
        channels: tuple[int, bool] | None = None,
        dedupe: list[float] | None = None,
    ) -> dict[str, Any]:
        """What stands for the function in a journal."""
        if version is None:
            raise TypeError(
                "version is not given, and out is a path, where a later call may go on with what "
                "this one wrote; legal: a string that you change whenever func changes, such as '1'"
            )
        func = self._func.func if isinstance(self._func, _ByName) else self._func
        while isinstance(func, partial):
            func = func.func
        return {
            "name": getattr(func, "__qualname__", type(func).__qualname__),
            "version": version,
            "depth": self.depth,
            "boundary": self.boundary,
            "dtype": None if dtype is None else dtype.name,
            "channels": channels,
            "dedupe": dedupe,
        }

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
        if self._threads is not None:
            self._threads.limit()
        if self._with_info:
            return self._func(block, self.info(block.shape, start, stop, origin))
        return self._func(block)


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
