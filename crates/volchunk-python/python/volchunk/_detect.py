"""Blobs in a volume, the same whatever the chunks."""

import math
import os
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._arguments import Chunks, Roi, number, whole
from volchunk._image import Image, table_output
from volchunk._job import OpsJob
from volchunk._progress import bar
from volchunk._select import Manner, Record, Selection

_MICROMETERS = re.compile(r"[0-9.eE+-]+um(,[0-9.eE+-]+um)*")


def detect_blobs(
    image: Any,
    *,
    min_sigma: float | str | Sequence[float],
    max_sigma: float | str | Sequence[float],
    method: Literal["log", "dog"] = "log",
    num_sigma: int | None = None,
    sigma_ratio: float | None = None,
    threshold: float | None = None,
    threshold_rel: float | None = None,
    overlap: float = 0.5,
    exclude_border: int | Sequence[int] = 0,
    log_scale: bool = False,
    channel: int | Sequence[int] | None = None,
    before: str | Sequence[str] = (),
    mask: Any = None,
    chunks: Chunks = "auto",
    roi: Roi = None,
    memory: int | str | None = None,
    workers: int | None = None,
    skip_empty: float | None = None,
    retries: int = 0,
    keep_going: bool = False,
    progress: bool = True,
    out: str | os.PathLike[str] | None = None,
    version: str | None = None,
    force: bool = False,
    check: bool = False,
) -> Any:
    """Find bright blobs, such as cells: those of the whole volume, whatever the chunks.

    The peaks are those of `skimage.feature.blob_log` or `blob_dog`, which scale integers to their
    dtype's range; of those that overlap the larger stays, at equal size the one that responds
    more. The table has the rows, in the order, of what ``volchunk detect`` writes.

    Parameters
    ----------
    image : array_like, path or Volume
        As in `map_overlap`. Of an array, which does not name its axes, all are of space.
    min_sigma, max_sigma : float, str or sequence of float
        Least and largest standard deviation of a blob in voxels, for all axes of space or for each;
        or µm as text, ``"6um"`` or ``"6um,3um,3um"``, where the volume knows its voxel size.
    method : {"log", "dog"}, optional
        The Laplacian of Gaussian, or the difference of Gaussians.
    num_sigma : int, optional
        How many standard deviations from the least to the largest; log only. By default 10.
    sigma_ratio : float, optional
        From a standard deviation to the next; dog only. By default 1.6.
    threshold : float, optional
        Least response of a blob, which itself is too small. By default 0.2, for dog 0.5.
    threshold_rel : float, optional
        The same as a fraction, 0 to 1, of the largest response of the volume, which a pass of its
        own finds; the larger of the two counts.
    overlap : float, optional
        Of two blobs of which more than this fraction, 0 to 1, overlaps, the larger stays.
    exclude_border : int or sequence of int, optional
        No blobs in so many voxels at the volume's edges, of all axes of space or of each.
    log_scale : bool, optional
        Whether standard deviations are evenly spaced in the logarithm; log only.
    channel : int or sequence of int, optional
        Channels to search, of a volume that has an axis of them; by default all.
    before : str or sequence of str, optional
        Built-in ops as the program takes them, such as ``"tophat:radius=5"``, done in order before
        blobs are looked for.
    mask : array_like, path or Volume, optional
        Of the shape of `image`, whatever it may be. Blobs whose centre is where it is zero are left
        out; chunks that lie wholly there are not searched.
    chunks, roi, memory, workers, retries, keep_going, progress : optional
        As in `map_overlap`. Only the table is beyond `memory`. Blobs whose centre lies in the `roi`
        are found.
    skip_empty : float, optional
        Chunks of which all that is read is this value are not searched.
    out : path, optional
        A file for the table, ``.csv``, ``.parquet`` or ``_blobs.npz``, MagellanMapper's archive: the
        one that ``volchunk detect`` writes. Until it is complete there is ``OUT.partial`` instead,
        and what chunks found waits in ``OUT.volchunk``; until then the same call, or that of the
        program on an image in a file, goes on with that, and afterwards has nothing to do.
    version : str, optional
        Of a path as `out`: stands in the journal for an image or a mask that is neither a path nor a
        NumPy array.
    force, check : bool, optional
        Of a path as `out`, as in `map_overlap`; with `check` the file is made anew as well.

    Returns
    -------
    ndarray, or out
        Where `out` is a path, that. Otherwise a structured array, a row for each blob, in raster order of their centres: "index" from 0
        on; "axis-0", "axis-1", … for the axes of space, voxels, slowest first; "sigma", in voxels,
        the mean over the axes; "radius", ``sigma * sqrt(ndim)``; "value", the response; "channel",
        0 where there is no such axis. Then "frame" where there is an axis of time; "sigma-0", … where
        they differ between axes; "um-0", …, "sigma-um", "radius-um" where the voxel size is known.

    Raises
    ------
    TypeError, ValueError, IndexError
        For arguments that cannot be right.
    MemoryError, FileExistsError
        As in `map_overlap`.

    See Also
    --------
    map_points : for a detector of yours.

    Examples
    --------
    >>> z, y, x = np.mgrid[:24, :40, :40]
    >>> image = sum(
    ...     np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 18)
    ...     for a, b, c in [(8, 10, 11), (15, 28, 20)])
    >>> blobs = volchunk.detect_blobs(image, min_sigma=2, max_sigma=4, num_sigma=3, chunks=16)
    >>> for blob in blobs[["axis-0", "axis-1", "axis-2", "sigma"]].tolist():
    ...     print(blob)
    (8.0, 10.0, 11.0, 2.0)
    (15.0, 28.0, 20.0, 2.0)
    """
    source = Image(image)
    op = _op(
        method,
        min_sigma=min_sigma,
        max_sigma=max_sigma,
        num_sigma=num_sigma,
        sigma_ratio=sigma_ratio,
        threshold=threshold,
        threshold_rel=threshold_rel,
        overlap=overlap,
        exclude_border=exclude_border,
        log_scale=log_scale,
        channel=channel,
    )
    output = table_output(out, source)
    manner = Manner(
        output, version=version, force=force, check=check, retries=retries, keep_going=keep_going
    )
    selection = Selection(mask, skip_empty=skip_empty)
    asked = {"chunks": chunks, "roi": roi, "memory": memory, "workers": workers}
    work = OpsJob(
        source, [*_texts(before), op], table_output(None, source), selection=selection, **asked
    )
    if output.path is not None:
        record = Record(
            source,
            output,
            selection,
            manner,
            ops=work.ops,
            roi=work.request.roi,
            chunks=work.request.chunks,
            table=True,
        )
        _into_file(work, record, progress)
        return out
    job = work.job(held=0)
    with bar(job.count, progress) as told:
        watch = {"progress": told, "interrupt": None}
        columns, values = _native.detect(job, manner.native, watch, np.empty)
    rows = values.reshape(-1, len(columns))
    table: npt.NDArray[np.void] = np.empty(len(rows), np.dtype(columns))
    for k, (name, _) in enumerate(columns):
        table[name] = rows[:, k]
    return table


def _into_file(work: OpsJob, record: Record, progress: bool) -> None:
    """Does what is left to do of `record`."""
    # What ops need to know of the whole image is part of the job, and found once.
    ops = _native.known_ops(record.native)
    if ops is None:
        ops = work.job(held=0).known_ops({"progress": None, "interrupt": None})
    record.tell(ops)
    before = record.found()
    settled = {} if before is None else {"chunks": work.request.chunks or before[0]}
    job = work.job(ops, held=0, **settled)
    record.settle(job.chunks, None)
    with bar(job.count, progress) as told:
        job.write_file(record.native, {"progress": told, "interrupt": None})


def _op(
    method: Any,
    *,
    min_sigma: Any,
    max_sigma: Any,
    num_sigma: Any,
    sigma_ratio: Any,
    threshold: Any,
    threshold_rel: Any,
    overlap: Any,
    exclude_border: Any,
    log_scale: Any,
    channel: Any,
) -> str:
    """The detector as text, its arguments checked as far as can be without the volume."""
    if method not in ("log", "dog"):
        raise ValueError(f"method is {method!r}; legal: 'log', 'dog'")
    if not isinstance(log_scale, bool | np.bool_):
        raise TypeError(f"log_scale is {log_scale!r}; legal: True, False")
    others = {"sigma_ratio": sigma_ratio}
    if method == "dog":
        others = {"num_sigma": num_sigma, "log_scale": log_scale or None}
    for name, value in others.items():
        if value is not None:
            raise ValueError(f"{name} is {value!r}, which the method {method} has not; legal: None")
    values = {
        "min-sigma": _sigma(min_sigma, "min_sigma"),
        "max-sigma": _sigma(max_sigma, "max_sigma"),
        "overlap": _real(overlap, "overlap", 0, 1),
        "exclude-border": _wholes(exclude_border, "exclude_border"),
        "threshold": None if threshold is None else _real(threshold, "threshold", 0, math.inf),
    }
    if threshold_rel is not None:
        values["threshold-rel"] = _real(threshold_rel, "threshold_rel", 0, 1)
    if channel is not None:
        values["channel"] = _wholes(channel, "channel")
    if num_sigma is not None:
        values["num-sigma"] = str(whole(num_sigma, "num_sigma", 1))
    if sigma_ratio is not None:
        values["sigma-ratio"] = _real(sigma_ratio, "sigma_ratio", 1, math.inf)
    if log_scale:
        values["log-scale"] = "true"
    given = (f"{key}={value}" for key, value in values.items() if value is not None)
    return ":".join([method, *given])


def _several(values: Any) -> list[Any]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    is_one = isinstance(values, str) or not isinstance(values, Sequence)
    return [values] if is_one else list(values)


def _sigma(value: Any, what: str) -> str:
    if isinstance(value, str):
        if not _MICROMETERS.fullmatch(value):
            raise ValueError(f"{what} is {value!r}; legal: numbers of voxels, or µm such as '6um'")
        return value
    sigmas = _several(value)
    for sigma in sigmas:
        if not (math.isfinite(number(sigma, what)) and sigma > 0):
            raise ValueError(f"{what} is {value!r}; legal: finite, above 0")
    return ",".join(str(number(sigma, what)) for sigma in sigmas)


def _real(value: Any, what: str, least: float, most: float) -> str:
    real = number(value, what)
    if not (least <= real <= most and math.isfinite(real)):
        legal = f"{least} to {most}" if math.isfinite(most) else f"finite, at least {least}"
        raise ValueError(f"{what} is {value!r}; legal: {legal}")
    return str(real)


def _wholes(value: Any, what: str) -> str:
    return ",".join(str(whole(n, what, 0)) for n in _several(value))


def _texts(ops: Any) -> list[str]:
    texts = [ops] if isinstance(ops, str) else ops
    if not isinstance(texts, Sequence) or not all(isinstance(op, str) for op in texts):
        raise TypeError(f"before is {ops!r}; legal: an op as text, or a sequence of such")
    return list(texts)
