"""What volchunk's ops promise, on the whole volume at once, with NumPy and SciPy alone."""

import itertools
from fractions import Fraction

import numpy as np
from scipy import ndimage


def float_for(dtype: np.dtype) -> np.dtype:
    """The float that holds results of `dtype`."""
    return np.dtype("f4" if dtype == "f4" or dtype.itemsize <= 2 else "f8")


def limits(dtype: np.dtype) -> tuple[int, int]:
    if dtype == bool:
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def cast(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rounds half to even and saturates; NaN becomes 0; true is what is not 0."""
    with np.errstate(all="ignore"):
        if dtype == bool:
            return image != 0
        if dtype.kind == "f":
            return image.astype(dtype)
    low, high = limits(dtype)
    if image.dtype.kind != "f":
        return np.clip(image.astype(object), low, high).astype(dtype)
    whole = np.rint(np.nan_to_num(image.astype("f8"), nan=0, posinf=np.inf, neginf=-np.inf))
    # float64 has no 2^63 - 1: what is not below 2^63 saturates.
    above, below = whole >= float(high) + 1, whole <= float(low)
    within = np.where(above | below, 0, whole)
    result = within.astype(dtype)
    result[whole >= float(high)] = high
    result[above], result[below] = high, low
    return result


def clip(image: np.ndarray, low: float | None, high: float | None) -> np.ndarray:
    for bound, choose in ((low, np.maximum), (high, np.minimum)):
        if bound is None:
            continue
        if image.dtype.kind == "f":
            voxel = image.dtype.type(bound)
        else:
            least, most = limits(image.dtype)
            voxel = image.dtype.type(min(max(round(bound), least), most))
        image = choose(image, voxel)
    return image


def threshold(image: np.ndarray, value: float) -> np.ndarray:
    wide = image.astype("f8") if image.dtype.kind == "f" else image.astype(int).astype(object)
    if image.dtype == "u8":
        wide = image.astype(object)
    return (wide > value).astype("u1")


def arithmetic(image: np.ndarray, value: float, function: np.ufunc) -> np.ndarray:
    with np.errstate(all="ignore"):
        return function(image.astype("f8"), float(value)).astype(float_for(image.dtype))


def downsample(image: np.ndarray, factor: list[int]) -> np.ndarray:
    """Means of groups, the last one of what is there; summed in raster order."""
    factor = [min(k, n) for k, n in zip(factor, image.shape)]
    shape = [-(-n // k) for n, k in zip(image.shape, factor)]
    exact = image.dtype.kind != "f"
    sums = np.zeros(shape, object if exact else "f8")
    counts = np.zeros(shape, int)
    with np.errstate(all="ignore"):
        for offset in itertools.product(*map(range, factor)):
            part = image[tuple(slice(o, None, k) for o, k in zip(offset, factor))]
            place = tuple(slice(0, n) for n in part.shape)
            sums[place] += part.astype(int).astype(object) if exact and image.dtype != "u8" \
                else part.astype(object if exact else "f8")
            counts[place] += 1
        if not exact:
            return (sums / counts).astype(image.dtype)
    quotient, rest = sums // counts, sums % counts
    up = (2 * rest > counts) | ((2 * rest == counts) & (quotient % 2 == 1))
    return (quotient + up.astype(int)).astype(image.dtype)


def rescale(image: np.ndarray, factor: list[float], order: int) -> np.ndarray:
    """Voxel x of m lies at (x + 1/2) n / m - 1/2 of n; linear along one axis after the other."""
    result = image if order == 0 else image.astype("f8")
    for axis, f in enumerate(factor):
        n = image.shape[axis]
        m = n if f == 1 else max(1, int(np.floor(n * f + 0.5)))
        if order == 0:
            at = [(2 * x + 1) * n // (2 * m) for x in range(m)]
            result = result.take(at, axis)
            continue
        at = [Fraction((2 * x + 1) * n - m, 2 * m) for x in range(m)]
        low = np.array([p.numerator // p.denominator for p in at])
        weight = np.array([float(p - int(k)) for p, k in zip(at, low)])
        a, b = (result.take(np.clip(k, 0, n - 1), axis) for k in (low, low + 1))
        weight = weight.reshape([-1 if k == axis else 1 for k in range(image.ndim)])
        with np.errstate(all="ignore"):
            result = np.where(weight == 0, a, a + (b - a) * weight)
    return result if order == 0 else cast(result, image.dtype)


def gaussian(image: np.ndarray, sigma, order, radius, modes, cval, dtype) -> np.ndarray:
    with np.errstate(all="ignore"):
        result = ndimage.gaussian_filter(image, sigma, order, dtype, modes, cval, radius=radius)
    # SciPy stores other bytes than 0 and 1 too.
    return result.view("u1") != 0 if dtype == bool else result
