"""The ops that prepare an image for detection, as functions."""

from collections.abc import Sequence
from typing import Any, Unpack

from volchunk._arguments import number
from volchunk._ops import How, listed, op, run_op

_FOOTPRINTS = ("octahedron", "ball", "cube")
_REFUSES = "a radius that is not a whole number of 0 to 1024, another footprint"


def _shaped(name: str, image: Any, footprint: str, radius: Any, how: How) -> Any:
    if footprint not in _FOOTPRINTS:
        raise ValueError(f"footprint is {footprint!r}; legal: {', '.join(_FOOTPRINTS)}")
    return run_op(image, f"{name}:footprint={footprint}:radius={listed(radius, 'radius')}", how)


@op(refuses=_REFUSES)
def erosion(
    image: Any, radius: int | Sequence[int], footprint: str = "octahedron", **how: Unpack[How]
) -> Any:
    """Grey erosion: the least voxel of a neighbourhood; the dtype stays.

    As `scipy.ndimage.grey_erosion` with that footprint of `skimage.morphology`, reflected at the
    edges. A float neighbourhood with a NaN gives NaN.

    Parameters
    ----------
    radius : int or sequence of int
        Voxels on either side of the centre, for all axes (of a volume that names its axes: those of
        space) or for each; 0 leaves an axis alone.
    footprint : {"octahedron", "ball", "cube"}, optional
        The neighbourhood.

    Examples
    --------
    >>> volchunk.erosion(np.array([5, 2, 7, 8, 9]), 1)
    array([2, 2, 2, 7, 8])
    """
    return _shaped("erode", image, footprint, radius, how)


@op(refuses=_REFUSES)
def dilation(
    image: Any, radius: int | Sequence[int], footprint: str = "octahedron", **how: Unpack[How]
) -> Any:
    """Grey dilation: the largest voxel of a neighbourhood; the dtype stays.

    Parameters
    ----------
    radius, footprint
        As in `erosion`.

    Examples
    --------
    >>> volchunk.dilation(np.array([5, 2, 7, 8, 9]), 1)
    array([5, 7, 8, 9, 9])
    """
    return _shaped("dilate", image, footprint, radius, how)


@op(refuses=_REFUSES)
def opening(
    image: Any, radius: int | Sequence[int], footprint: str = "octahedron", **how: Unpack[How]
) -> Any:
    """Grey opening: erosion, then dilation; the dtype stays.

    Parameters
    ----------
    radius, footprint
        As in `erosion`.

    Examples
    --------
    >>> volchunk.opening(np.array([1, 1, 7, 1, 8, 8, 8]), 1)
    array([1, 1, 1, 1, 8, 8, 8])
    """
    return _shaped("open", image, footprint, radius, how)


@op(refuses=_REFUSES)
def closing(
    image: Any, radius: int | Sequence[int], footprint: str = "octahedron", **how: Unpack[How]
) -> Any:
    """Grey closing: dilation, then erosion; the dtype stays.

    Parameters
    ----------
    radius, footprint
        As in `erosion`.

    Examples
    --------
    >>> volchunk.closing(np.array([9, 9, 1, 9, 2, 2, 2]), 1)
    array([9, 9, 9, 9, 2, 2, 2])
    """
    return _shaped("close", image, footprint, radius, how)


@op(refuses=_REFUSES)
def white_tophat(
    image: Any, radius: int | Sequence[int], footprint: str = "octahedron", **how: Unpack[How]
) -> Any:
    """White top-hat: voxel minus the opening, so what is bright and small; the dtype stays.

    Parameters
    ----------
    radius, footprint
        As in `erosion`.

    Examples
    --------
    >>> volchunk.white_tophat(np.array([1, 1, 7, 1, 8, 8, 8]), 1)
    array([0, 0, 6, 0, 0, 0, 0])
    """
    return _shaped("tophat", image, footprint, radius, how)


@op(refuses="a radius that is not a whole number of 0 or more, or one too large")
def median_filter(image: Any, radius: int | Sequence[int], **how: Unpack[How]) -> Any:
    """Median of a box: `scipy.ndimage.median_filter` of size ``2 * radius + 1``; the dtype stays.

    Parameters
    ----------
    radius : int or sequence of int
        As in `erosion`.

    Examples
    --------
    >>> volchunk.median_filter(np.array([5, 2, 7, 8, 9]), 1)
    array([5, 5, 7, 8, 9])
    """
    return run_op(image, f"median:radius={listed(radius, 'radius')}", how)


@op(refuses="a sigma that is negative or not finite")
def highpass(image: Any, sigma: float | Sequence[float], **how: Unpack[How]) -> Any:
    """Voxel minus its Gaussian: what varies over shorter distances than sigma.

    The result is float32, or float64 for float64 and integers of 32 bits or more.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation in voxels, as in `gaussian_filter`.

    Examples
    --------
    >>> volchunk.highpass(np.array([0, 0, 8, 0, 0], np.uint8), 1).round(2)
    array([-0.47, -1.94,  4.81, -1.94, -0.47], dtype=float32)
    """
    return run_op(image, f"highpass:sigma={listed(sigma, 'sigma')}", how)


@op(refuses="a radius that is negative or not finite, an amount that is not finite")
def unsharp_mask(
    image: Any, radius: float | Sequence[float] = 1.0, amount: float = 1.0, **how: Unpack[How]
) -> Any:
    """``image + (image - gaussian) * amount``.

    As `skimage.filters.unsharp_mask` with ``preserve_range=True``; integers of up to 16 bits become
    float32 here.

    Parameters
    ----------
    radius : float or sequence of float, optional
        Standard deviation of the Gaussian in voxels.
    amount : float, optional
        How much of the difference is added.

    Examples
    --------
    >>> volchunk.unsharp_mask(np.array([0, 0, 8, 0, 0], np.uint8), 1, 0.5).round(2)
    array([-0.23, -0.97, 10.4 , -0.97, -0.23], dtype=float32)
    """
    keys = f"radius={listed(radius, 'radius')}:amount={number(amount, 'amount')}"
    return run_op(image, f"unsharp:{keys}", how)


@op(refuses="a weight that is not above 0, iterations outside of 1 to 4096")
def denoise_tv_chambolle(
    image: Any, weight: float = 0.1, iterations: int = 20, **how: Unpack[How]
) -> Any:
    """Total-variation denoising, a fixed number of iterations.

    As `skimage.restoration.denoise_tv_chambolle` with ``eps=0`` and ``max_num_iter=iterations``,
    but that integers are not scaled to 0..1. The result is float32, or float64 for float64 and
    integers of 32 bits or more.

    Parameters
    ----------
    weight : float, optional
        More denoises more; in the units of the voxels.
    iterations : int, optional
        How many.

    Examples
    --------
    >>> volchunk.denoise_tv_chambolle(np.array([0.0, 1.0, 0.0, 5.0]), 0.5, 50).round(1)
    array([0.5, 0.5, 0.5, 4.5])
    """
    keys = f"weight={number(weight, 'weight')}:iterations={number(iterations, 'iterations')}"
    return run_op(image, f"tv:{keys}", how)


@op(refuses="percentiles outside of 0 to 100 or not ascending, a volume of NaN")
def rescale_percentile(
    image: Any,
    low: float = 5.0,
    high: float = 99.5,
    *,
    min: float = 0.0,
    max: float = 1.0,
    **how: Unpack[How],
) -> Any:
    """Clip to two percentiles of the whole image, and rescale to `min`..`max`.

    The percentiles are exact, found in passes of their own; NaN is left out, and stays NaN. A `roi`
    does not change them. The result is float32, or float64 for float64 and integers of 32 bits or
    more.

    Parameters
    ----------
    low, high : float, optional
        The percentiles, from 0 to 100.
    min, max : float, optional
        What they become.

    Examples
    --------
    >>> volchunk.rescale_percentile(np.array([0, 10, 20, 30, 200], np.uint8), 0, 75)
    array([0.        , 0.33333334, 0.6666667 , 1.        , 1.        ],
          dtype=float32)
    """
    return run_op(image, f"percentile:{_range(low, high, min, max)}", how)


@op(refuses="percentiles outside of 0 to 100 or not ascending, a negative block")
def rescale_local_percentile(
    image: Any,
    block: float | Sequence[float],
    low: float = 5.0,
    high: float = 99.5,
    *,
    min: float = 0.0,
    max: float = 1.0,
    floor: float | None = None,
    **how: Unpack[How],
) -> Any:
    """Clip to two percentiles of a voxel's surroundings, and rescale to `min`..`max`.

    The percentiles are those of the cells of a lattice from voxel 0 on, interpolated linearly
    between their centres. The result is as `rescale_percentile`'s.

    Parameters
    ----------
    block : float or sequence of float
        Size of a cell in voxels.
    low, high : float, optional
        The percentiles, from 0 to 100.
    min, max : float, optional
        What they become.
    floor : float, optional
        The high percentile is nowhere below this times that of the whole image.

    Examples
    --------
    >>> volchunk.rescale_local_percentile(np.array([0.0, 1.0, 2.0, 10.0, 15.0, 20.0]), 3, 0, 100)
    array([0.        , 0.5       , 0.        , 0.45454545, 0.5       ,
           1.        ])
    """
    keys = f"block={listed(block, 'block')}:{_range(low, high, min, max)}"
    if floor is not None:
        keys += f":floor={number(floor, 'floor')}"
    return run_op(image, f"local-percentile:{keys}", how)


def _range(low: float, high: float, min: float, max: float) -> str:
    given = {"low": low, "high": high, "min": min, "max": max}
    return ":".join(f"{key}={number(value, key)}" for key, value in given.items())
