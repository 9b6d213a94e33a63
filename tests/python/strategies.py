"""Random geometries, dtypes, memory layouts."""

import numpy as np
from hypothesis import strategies as st

DTYPES = [
    "?",
    "u1",
    "u2",
    "u4",
    "u8",
    "i1",
    "i2",
    "i4",
    "i8",
    "f2",
    "f4",
    "f8",
    "g",
    "c8",
    "c16",
    ">u2",
    ">f8",
    "M8[s]",
    "m8[us]",
    "S3",
    "U2",
    "V5",
    [("a", "<u2"), ("b", ">f4")],
    [("t", "M8[s]"), ("n", "i1", (2,))],
    "O",
]
NUMBERS = ["?", "u1", "u2", "u4", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u2", ">f8"]


@st.composite
def geometries(draw, axes=(1, 4), size=12):
    """Shape, chunk length and overlap of each axis."""
    n = draw(st.integers(*axes))
    limit = size if n < 4 else 5
    whole = st.tuples(*[st.integers(1, limit)] * n)
    return draw(whole), draw(whole), draw(st.tuples(*[st.integers(0, limit)] * n))


def values(rng, shape, dtype):
    """Random items of any dtype."""
    dtype = np.dtype(dtype)
    if dtype == object:
        out = np.empty(shape, dtype=object)
        out.reshape(-1)[:] = [str(v) for v in rng.integers(0, 9, out.size)]
        return out
    if dtype.kind in "?biufc":
        small = rng.integers(0, 100, shape)
        return small.astype(dtype)
    if dtype.kind == "U":
        return rng.integers(0, 99, shape).astype(dtype)
    count = int(np.prod(shape))
    raw = rng.integers(1, 100, count * dtype.itemsize, dtype=np.uint8)
    return raw.view(dtype).reshape(shape)


LAYOUTS = ["C", "F", "reversed", "strided", "read-only", "permuted", "broadcastable"]


def laid_out(array, layout):
    """The same values in other memory."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed":
        return array[::-1].copy()[::-1]
    if layout == "strided":
        room = np.zeros(tuple(2 * n for n in array.shape), dtype=array.dtype)
        view = room[tuple(slice(0, None, 2) for _ in array.shape)]
        view[...] = array
        return view
    if layout == "permuted":
        axes = tuple(range(array.ndim))[::-1]
        axes = axes[1:] + axes[:1]
        return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))
    array = array.copy()
    if layout == "read-only":
        array.flags.writeable = False
    return array
