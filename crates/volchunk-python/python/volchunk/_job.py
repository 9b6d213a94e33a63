"""Jobs for the engine, and plans of them."""

import atexit
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._arguments import (
    Axes,
    Boundaries,
    Chunks,
    Depth,
    Roi,
    boundary_of,
    chunks_of,
    depth_of,
    memory_of,
    roi_of,
    workers_of,
)
from volchunk._image import Image, Output, legal_dtype
from volchunk._progress import bar
from volchunk._select import Manner, Record, Selection
from volchunk._volume import open as open_volume


# A run in a daemon thread would meet an interpreter that is gone.
atexit.register(_native.stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_native.forget_all)


class Request:
    """What every job is asked for beside its work: how to divide the result, what it may cost.

    Parameters
    ----------
    image : Image
        What is read.
    shape, axes : tuple of int, Axes
        Those of the result.
    chunks, roi, memory, workers
        As the user gave them.
    selection : Selection, optional
        Where the result counts.
    """

    def __init__(
        self,
        image: Image,
        shape: Sequence[int],
        axes: Axes,
        *,
        chunks: Any,
        roi: Any,
        memory: Any,
        workers: Any,
        selection: Selection | None = None,
    ) -> None:
        self._image = image
        self.selection = Selection(None) if selection is None else selection
        self.chunks = chunks_of(chunks, axes)
        self.roi = roi_of(roi, shape)
        self.memory = memory_of(memory)
        self.workers = workers_of(workers)

    def job(self, work: list[str] | Mapping[str, Any], **changed: Any) -> _native.Job:
        """The job that does `work`, as was asked for but for what is `changed`."""
        divide = {
            "roi": self.roi,
            "chunks": self.chunks,
            "path": None,
            "unit": None,
            "memory": self.memory,
            "workers": self.workers,
            "held": 0,
            **self.selection.divide(),
            **changed,
        }
        return _native.Job(self._image.source, work, divide)


class OpsJob:
    """Ops, as text, on an image: what is asked for; `asked` are a `Request`'s."""

    def __init__(self, image: Image, ops: list[str], output: Output, **asked: Any) -> None:
        result = _native.result_info(image.source, ops)
        spatial = [a for a, kind in enumerate(result["kinds"]) if kind == "space"]
        self.request = Request(image, result["shape"], Axes(result["axes"], spatial), **asked)
        self._dtype = np.dtype(result["dtype"])
        self.ops, self._output = ops, output

    def job(self, ops: list[str] | None = None, **changed: Any) -> _native.Job:
        """The job, as was asked for but for what is `changed`; perhaps with `ops` that were told
        something of the whole image."""
        output = self._output
        held = self._dtype.itemsize if output.is_fresh else output.held
        where = {"path": output.path, "unit": output.unit, "held": held}
        return self.request.job(ops or self.ops, **{**where, **changed})


def function_work(
    call: Any,
    reach: Sequence[tuple[int, int]],
    boundary: Sequence[str | None],
    image: np.dtype[Any],
    dtype: np.dtype[Any],
    *,
    channels: tuple[int, bool] | None = None,
    more: int = 1,
    table: bool = False,
    processes: bool = False,
) -> dict[str, Any]:
    """The work of calling `call` for each chunk, whose result is a `table`, or has `more` voxels for
    each of the chunk's, or as many as there are `channels`."""
    result = dtype.itemsize * (more if channels is None else channels[0])
    return {
        "call": call,
        "depth": [(*sides, name) for sides, name in zip(reach, boundary, strict=True)],
        "dtype": dtype.name,
        "channels": channels,
        "table": table,
        # Blocks and results pass to and from processes through memory that this process maps too.
        "extra": dtype.itemsize * (more - 1) + (image.itemsize + result if processes else 0),
    }


def run_ops(
    image: Any,
    ops: list[str],
    *,
    out: Any,
    mask: Any,
    fill: Any,
    skip_empty: Any,
    version: str | None,
    force: bool,
    check: bool,
    retries: int,
    keep_going: bool,
    progress: bool,
    **asked: Any,
) -> Any:
    """Runs `ops`, as text, on `image`, whatever it is, into `out`; `asked` are a `Request`'s."""
    source = Image(image)
    output = Output(out, source)
    manner = Manner(
        output, version=version, force=force, check=check, retries=retries, keep_going=keep_going
    )
    selection = Selection(mask, fill, skip_empty)
    work = OpsJob(source, ops, output, selection=selection, **asked)
    request = work.request
    record, settled = None, {}
    if output.path is not None:
        record = Record(
            source, output, selection, manner, ops=ops, roi=request.roi, chunks=request.chunks
        )
        before = record.found()
        if before is not None and request.chunks is None:
            settled = {"chunks": before[0]}
    job = work.job(**settled)
    if output.dtype not in (None, np.dtype(job.dtype)):
        raise TypeError(f"out has dtype {output.dtype}; legal: the result's, {job.dtype}")
    with bar(job.count, progress) as told:
        watch = {"progress": told, "interrupt": None}
        if record is None or output.path is None:
            return output.run(job, manner.native, watch)
        record.settle(job.chunks, None)
        job.write_file(record.native, watch)
        return open_volume(output.path)


class Plan(dict[str, Any]):
    """What a run would do and cost: by name, as ``volchunk plan --json`` has it; printed, as
    ``volchunk plan`` prints it."""

    def __init__(self, values: Mapping[str, Any], text: str) -> None:
        super().__init__(values)
        self._text = text

    def __str__(self) -> str:
        return self._text

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self._text)


def plan(
    image: Any,
    ops: str | Sequence[str] = (),
    *,
    depth: Depth | None = None,
    boundary: Boundaries = "reflect",
    dtype: npt.DTypeLike | None = None,
    executor: Literal["threads", "processes"] = "threads",
    chunks: Chunks = "auto",
    out: Any = None,
    roi: Roi = None,
    mask: Any = None,
    skip_empty: float | None = None,
    memory: int | str | None = None,
    workers: int | None = None,
) -> Plan:
    """Say what a run would do and cost, without running it.

    Parameters
    ----------
    image : array_like, path or Volume
        What would be read, as in `map_overlap`.
    ops : str or sequence of str, optional
        Built-in ops as the program takes them, such as ``"gaussian:sigma=2"``, in order.
    depth, boundary, dtype, executor : optional
        Instead of `ops`: those of a `map_overlap`. Without `dtype` results are taken to be float64,
        as `map_overlap` does until the function has told.
    chunks, out, roi, mask, memory, workers : optional
        As in `map_overlap`; with a path as `out` the plan is that of writing there. A mask is read.
    skip_empty : float, optional
        As in `gaussian_filter`; not with `depth`.

    Returns
    -------
    Plan
        A dict: "chunks", "chunk", "workers", "memory" (bytes: "peak", "base", "per_worker",
        "halo_cache", "cap"), "halo_overhead", "needed_bytes", "read_amplification",
        "chunks_outside_mask" and more.

    Raises
    ------
    MemoryError
        If it would exceed the memory cap; the message says what would fit.
    TypeError, ValueError, IndexError
        For arguments that cannot be right.

    Examples
    --------
    >>> image = np.zeros((64, 512, 512), np.uint16)
    >>> plan = volchunk.plan(image, "gaussian:sigma=2", chunks=(64, 256, 256), workers=2)
    >>> plan["chunks"], plan["chunk"], plan["output"]["dtype"]
    (4, [64, 256, 256], 'float32')
    >>> print(str(plan).splitlines()[0])
    input          an array: 64 × 512 × 512 uint16 (zyx)
    """
    source = Image(image)
    output = Output(out, source)
    if depth is not None and skip_empty is not None:
        raise ValueError(
            f"skip_empty is {skip_empty!r}; legal with depth: None, for functions are always called"
        )
    selection = Selection(mask, None, skip_empty)
    asked: dict[str, Any] = {
        "chunks": chunks, "roi": roi, "memory": memory, "workers": workers, "selection": selection
    }
    function = None
    if depth is None:
        texts = [ops] if isinstance(ops, str) else list(ops)
        job = OpsJob(source, texts, output, **asked).job()
    else:
        if ops:
            raise ValueError(f"ops is {ops!r} and depth {depth!r}; legal: one of them")
        given = np.dtype(float) if dtype is None else legal_dtype(dtype, "dtype")
        reach = depth_of(depth, source.axes)
        sides = boundary_of(boundary, source.axes, source.dtype)
        processes = executor == "processes"
        work = function_work(None, reach, sides, source.dtype, given, processes=processes)
        request = Request(source, source.shape, source.axes, **asked)
        held = given.itemsize if output.is_fresh else output.held
        job = request.job(work, path=output.path, unit=output.unit, held=held)
        function = f"a function, depth {', '.join(f'{lo}+{hi}' for lo, hi in reach)}"
    values, text = job.report(
        source.name,
        function,
        output.name,
        roi is not None,
        None if selection.mask is None else selection.mask.name,
        selection.skip_empty,
        {"progress": None, "interrupt": None},
    )
    return Plan(values, text)
