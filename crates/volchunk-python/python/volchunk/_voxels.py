"""What a user's function returns as voxels, and where they go."""

import math
import threading
from typing import Any

import numpy as np

from volchunk import _native
from volchunk._image import Output, legal_dtype
from volchunk._progress import bar
from volchunk._select import Manner, Record
from volchunk._task import Array, Slices, Task, inner
from volchunk._volume import open as open_volume


class Voxels:
    """Calls the function for each chunk, checks the voxels that it returns, and puts them where
    they go: into an array itself; into a file, or under a mask, through the engine."""

    def __init__(
        self, task: Task, dtype: np.dtype[Any] | None, output: Output, manner: Manner
    ) -> None:
        self._task = task
        self._output = output
        self._manner = manner
        self._asked = dtype is not None
        self._direct = output.path is None and task.selection.mask is None
        self._lock = threading.Lock()
        roi = task.roi or [(0, n) for n in task.image.shape]
        self._shape = tuple(stop - start for start, stop in roi)
        self._into: Any = output.target if self._direct else None
        # Both are unknown until the first result tells, unless the output does.
        self._dtype = dtype
        self._channels: tuple[int, bool] | None = None
        self._known = output.target is not None
        if self._known:
            self._channels = _channels(output.shape, self._shape)
            if self._channels is None and output.shape != self._shape:
                raise ValueError(
                    f"out has shape {output.shape}; legal: the result's, {self._shape}, perhaps "
                    "with one axis of channels more"
                )
        # Where the engine writes, the first result until its chunk's turn comes.
        self._keeps_first = not self._direct and not self._known
        self._first: tuple[tuple[int, ...], Array] | None = None

    def run(self, progress: bool) -> Any:
        """Computes all chunks; what the user is to get."""
        task, output = self._task, self._output
        record, chunks = None, task.chunks
        if output.path is not None:
            record = self._record()
            before = record.found()
            if before is not None:
                chunks = self._go_on(*before[:3])
        job = self._job() if self._direct else self._engine_job(chunks)
        with bar(job.count, progress) as told:
            watch = {"progress": told, "interrupt": task.interrupt}
            if self._direct:
                job.visit(self._manner.native, watch)
                return self._into
            if record is None or output.path is None:
                return output.run(job, self._manner.native, watch)
            record.settle(self._without(job.chunks), self._function())
            job.write_file(record.native, watch)
            return open_volume(output.path)

    def _function(self) -> dict[str, Any]:
        return self._task.record(self._manner.version, self._dtype, self._channels)

    def _record(self) -> Record:
        task = self._task
        return Record(
            task.image,
            self._output,
            task.selection,
            self._manner,
            ops=[],
            function=self._function(),
            roi=task.roi,
            chunks=task.chunks,
        )

    def _go_on(self, chunks: list[int], dtype: str, channels: tuple[int, bool] | None) -> list[int]:
        """Takes what an earlier run settled; the chunks for this one."""
        self._dtype, self._channels = np.dtype(dtype), channels
        self._known, self._keeps_first = True, False
        return self._task.chunks or chunks

    def _job(self) -> _native.Job:
        """The job whose results this puts into an array itself."""
        task, output = self._task, self._output
        guess = np.dtype(float) if self._dtype is None else self._dtype
        unit, more = output.unit, 1
        if self._channels is not None:
            more = self._channels[0]
            unit = None if unit is None else self._without(unit)
        held = guess.itemsize if output.is_fresh else output.held * more
        job = task.job(self, guess, more=more, unit=unit, held=held)
        self._room = job.room
        task.start(job)
        return job

    def _engine_job(self, chunks: list[int] | None) -> _native.Job:
        """The job whose results the engine writes. An output has to be made for it, so if need be
        the first chunk's result, which is kept until its turn, tells dtype and channels."""
        task, output = self._task, self._output
        if not self._known:
            guess = np.dtype(float) if self._dtype is None else self._dtype
            job = task.job(self, guess, path=output.path, chunks=chunks)
            task.start(job)
            manner = {**self._manner.native, "keep_going": False}
            job.first(manner, {"progress": None, "interrupt": task.interrupt})
            # A mask that leaves out everything leaves nothing to learn from.
            self._dtype, self._known = self._dtype or guess, True
            if chunks is None:
                try:
                    return self._final_job(job.chunks)
                except MemoryError:
                    pass
        return self._final_job(chunks)

    def _final_job(self, chunks: list[int] | None) -> _native.Job:
        """The job for what is known of the results."""
        task, output = self._task, self._output
        assert self._dtype is not None
        count = 1 if self._channels is None else self._channels[0]
        job = task.job(
            self,
            self._dtype,
            channels=self._channels,
            path=output.path,
            unit=output.unit,
            held=self._dtype.itemsize if output.is_fresh else output.held,
            roi=self._with(task.roi, (0, count)),
            chunks=self._with(chunks, count),
        )
        task.start(job, leads=self._channels is not None and self._channels[1])
        return job

    def _with(self, values: Any, channels: Any) -> Any:
        """`values` of the image's axes, and that of the channels."""
        if self._channels is None or values is None:
            return values
        return [channels, *values] if self._channels[1] else [*values, channels]

    def _without(self, values: list[int]) -> list[int]:
        """`values` of the result's axes but for the channels."""
        if self._channels is None:
            return values
        return values[1:] if self._channels[1] else values[:-1]

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
        if self._into is not None:
            self._into[self._index(inner(start, stop, self._task.origin))] = core
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
            if self._direct:
                shape = self._with_channels(self._shape)
                bytes_of = math.prod(shape) * self._dtype.itemsize
                planned = math.prod(self._shape) * (8 if not self._asked else self._dtype.itemsize)
                if bytes_of - planned > self._room:
                    raise MemoryError(
                        f"memory: the result, {shape} of {self._dtype}, needs {bytes_of} bytes, of "
                        f"which {planned + self._room} are left under the cap; legal: a path as out, "
                        "or more memory"
                    )
                self._into = np.empty(shape, self._dtype)
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
