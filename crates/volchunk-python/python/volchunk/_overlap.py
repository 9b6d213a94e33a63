"""A function of the user's on every chunk of a volume."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from volchunk._arguments import Boundaries, Chunks, Depth, Roi
from volchunk._image import Image, Output, legal_dtype, table_output
from volchunk._points import Points
from volchunk._points_merge import tolerance_of
from volchunk._select import Manner, Selection
from volchunk._task import Task
from volchunk._voxels import Voxels


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
    mask: Any = None,
    fill: float = 0,
    version: str | None = None,
    force: bool = False,
    check: bool = False,
    retries: int = 0,
    keep_going: bool = False,
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
        Where the result goes. What is written to a path (``.zarr``, ``.npy``, ``.tif``) says that
        it is unfinished until it is complete; until then the same call goes on with it, and
        afterwards has nothing to do. Beside it, in ``OUT.volchunk``, lies its journal.
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
        beside these is not this process's, and not counted as its memory. Either way the threads of
        numerical libraries are limited to the processors that the workers leave.
    mask : array_like, path or Volume, optional
        Of the shape of `image`, whatever it may be. Where it is zero, the result is `fill`;
        elsewhere it is what it would be without a mask. Of chunks that lie wholly outside, nothing
        is read and ``func`` is not called.
    fill : float, optional
        What the result is outside of the mask.
    version : str, optional
        Needed where `out` is a path: change it whenever ``func``, or what it depends on, changes.
        It stands for ``func`` in the journal, and for an image or a mask that is neither a path nor
        a NumPy array.
    force : bool, optional
        Of a path as `out`: begin anew, whatever stands there.
    check : bool, optional
        Of a path as `out`: read back what an earlier call wrote, and compute anew what is altered.
    retries : int, optional
        How often a chunk is tried again that met an OSError, after 0.2 s, then twice as long each
        time, up to 30 s.
    keep_going : bool, optional
        Compute the other chunks though one fails, and then raise; not for the very first, where its
        result is to tell the dtype.
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
        begins. With `keep_going`, an OSError or ValueError that lists all chunks that failed.
    TypeError, ValueError, IndexError
        For arguments that cannot be right, and results of another shape or dtype.
    MemoryError
        If the memory cap is too small; the message says what would fit.
    FileExistsError
        If what stands at the path `out` is not this call's; says what differs.
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

    Interrupted here, the same call would go on with what is in the file:

    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "doubled.npy")
    >>> doubled = volchunk.map_overlap(
    ...     lambda block: block * 2, image, depth=0, out=path, version="1", mask=image > 3, fill=-1)
    >>> doubled[0]
    array([-1., -1., -1., -1.,  8., 10., 12.])
    >>> folder.cleanup()
    """
    source = Image(image)
    output = Output(out, source)
    manner = Manner(
        output, version=version, force=force, check=check, retries=retries, keep_going=keep_going
    )
    selection = Selection(mask, fill)
    wanted = output.dtype if dtype is None else legal_dtype(dtype, "dtype")
    if wanted is not None and output.dtype is not None and wanted != output.dtype:
        raise TypeError(f"dtype is {wanted}, out has {output.dtype}; legal: the same for both")
    how = (depth, boundary, chunks, roi, memory, workers, executor, selection)
    with Task(func, source, *how) as task:
        return Voxels(task, wanted, output, manner).run(progress)


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
    mask: Any = None,
    retries: int = 0,
    progress: bool = True,
    dedupe: float | Sequence[float] | None = None,
    out: str | os.PathLike[str] | None = None,
    version: str | None = None,
    force: bool = False,
    check: bool = False,
    keep_going: bool = False,
) -> Any:
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
    image, depth, chunks, boundary, roi, memory, workers, executor, retries, keep_going, progress
        As in `map_overlap`.
    mask : array_like, path or Volume, optional
        Of the shape of `image`, whatever it may be. Points in voxels where it is zero are dropped.
        For chunks that lie wholly outside, ``func`` is not called.
    dedupe : float or sequence of float, optional
        For functions that place a point differently in another block: as in `merge_points`, of points
        that different chunks found within so many voxels on each axis, the one with the largest
        number in the first column behind the coordinates is kept.
    out : path, optional
        A file for the table, ``.csv`` or ``.parquet``, which need not fit into memory. Until it is
        complete there is ``OUT.partial`` instead, and what chunks found waits in ``OUT.volchunk``;
        until then the same call goes on with that, and afterwards has nothing to do.
    version : str, optional
        Needed where `out` is a path, as in `map_overlap`.
    force, check : bool, optional
        Of a path as `out`, as in `map_overlap`; with `check` the file is made anew as well.

    Returns
    -------
    ndarray, or out
        Where `out` is a path, that. Otherwise an array of shape (points, columns): int64 if every table was of integers, else float64. Coordinates
        are those of the whole volume, also with a `roi`; rows are sorted by them, then by the
        further columns. Points beyond the volume's edges are dropped. Coordinates that are no
        whole numbers are rounded once more when they are shifted.

        The file has the same rows in the same order. Its columns are "index" from 0 on; "axis-0",
        "axis-1", … for the axes, as napari reads points; and behind these "value", "value-1", … as
        far as there are further columns: integers or float64, as the array.

    Raises
    ------
    ValueError
        For tables of another number of axes or columns, coordinates that are not finite, a
        tolerance that is negative. For an `out` that names no format of tables of points; for
        integers beyond 2**53 on the way to a file.
    FileExistsError
        If what stands at the path `out` is not this call's; says what differs.
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

    Into a file, which the same call would go on with if it were interrupted:

    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = pathlib.Path(folder.name, "bright.csv")
    >>> volchunk.map_points(np.argwhere, image, depth=2, out=path, version="1") == path
    True
    >>> print(path.read_text())
    index,axis-0,axis-1
    0,3,4
    1,10,15
    2,19,29
    <BLANKLINE>
    >>> folder.cleanup()
    """
    source = Image(image)
    tolerance = None if dedupe is None else tolerance_of(dedupe, len(source.axes))
    output = table_output(out, source)
    manner = Manner(
        output, version=version, force=force, check=check, retries=retries, keep_going=keep_going
    )
    how = (depth, boundary, chunks, roi, memory, workers, executor, Selection(mask))
    with Task(func, source, *how) as task:
        table = Points(task, tolerance, output, manner).run(progress)
    return table if output.path is None else out
