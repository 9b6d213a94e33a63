"""The weights of the Gaussian filter that volchunk promises, computed slowly and exactly."""

import decimal
import fractions

import numpy as np
from scipy.ndimage._filters import _gaussian_kernel1d


def same_weights(sigma: float, order: int, radius: int) -> bool:
    """Whether SciPy has the promised weights on this machine.

    Its exponential is not rounded correctly, and from order 2 on its weights depend on the CPU.
    """
    return weights(sigma, order, radius) == _gaussian_kernel1d(sigma, order, radius).tolist()


def fma(a: float, b: float, c: float) -> float:
    """a · b + c, rounded once."""
    return float(fractions.Fraction(a) * fractions.Fraction(b) + fractions.Fraction(c))


def dot(a: list[float], b: list[float]) -> float:
    """The scalar product with the roundings of OpenBLAS on x86-64 with AVX2."""
    whole = len(a) // 4 * 4
    sums = [0.0] * 4
    for k in range(whole):
        sums[k % 4] = fma(a[k], b[k], sums[k % 4])
    total = (sums[0] + sums[1]) + (sums[2] + sums[3])
    if len(a) - whole == 1:
        return fma(a[whole], b[whole], total)
    rest = 0.0
    for k in range(whole, len(a)):
        rest = fma(a[k], b[k], rest)
    return total + rest


def weights(sigma: float, order: int, radius: int) -> list[float]:
    """The weights that volchunk's documentation promises: exponentials rounded correctly."""
    factor = -0.5 / (sigma * sigma)
    with decimal.localcontext(prec=60):
        taps = np.array([float((decimal.Decimal(factor * (x * x))).exp())
                         for x in range(-radius, radius + 1)])
    taps = taps / taps.sum()
    step = 1.0 / -(sigma * sigma)
    rows = [[float(i + 1) if k == i + 1 else step if k == i - 1 else 0.0 for k in range(order + 1)]
            for i in range(order + 1)]
    q = [1.0] + [0.0] * order
    for _ in range(order):
        q = [dot(row, q) for row in rows]
    scale = [dot([float(x**k) for k in range(order + 1)], q) for x in range(-radius, radius + 1)]
    return [float(s * t) for s, t in zip(scale, taps)]
