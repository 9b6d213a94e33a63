"""Makes tests/data/npy with NumPy. Run: python tests/data/make_npy.py

The voxel at (i0, i1, ...) is (sum of i_a * 37**(axes - 1 - a) + 5) * 2_654_435_761 mod 2**32, taken
modulo the dtype's range: v mod 2**bits for unsigned, minus half the range for signed, v mod 2 for
bool, v / 8 for floats (exact in float64; float32 takes v mod 2**24 first).
"""

from pathlib import Path

import numpy as np
from numpy.lib import format as npy

HERE = Path(__file__).parent / "npy"
SHAPES = {1: (23,), 2: (5, 7), 3: (3, 4, 5), 4: (2, 3, 4, 5), 5: (2, 1, 3, 4, 5)}
DTYPES = ["b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8"]


def voxels(shape, dtype):
    index = np.indices(shape).astype("u8")
    weight = [37 ** (len(shape) - 1 - a) for a in range(len(shape))]
    v = sum((i * np.uint64(w) for i, w in zip(index, weight)), np.uint64(5))
    v = v * np.uint64(2_654_435_761) % np.uint64(2**32)
    dtype = np.dtype(dtype)
    bits = dtype.itemsize * 8
    if dtype.kind == "b":
        return v % np.uint64(2) == 1
    if dtype.kind == "f":
        return ((v % np.uint64(2**24) if bits == 32 else v) / 8).astype(dtype)
    if bits < 64:
        v = v % np.uint64(2**bits)
    if dtype.kind == "i":
        return (v.astype("i8") - 2 ** (min(bits, 33) - 1)).astype(dtype)
    return v.astype(dtype)


def save(name, array, version=(1, 0)):
    with open(HERE / f"{name}.npy", "wb") as file:
        npy.write_array(file, array, version)


def main():
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.npy"):
        old.unlink()
    for dtype in DTYPES:
        for order, sign in [("le", "<"), ("be", ">")]:
            save(f"{dtype}-{order}", voxels(SHAPES[3], dtype).astype(sign + dtype))
    for ndim, shape in SHAPES.items():
        save(f"{ndim}d", voxels(shape, "u2"))
        save(f"{ndim}d-fortran-be", np.asfortranarray(voxels(shape, "u2").astype(">u2")))
    save("0d", voxels((), "u2"))
    for major in (1, 2, 3):
        save(f"version-{major}", voxels(SHAPES[3], "i4"), (major, 0))
    save("unknown-f2", voxels(SHAPES[3], "f4").astype("f2"))
    save("unknown-complex", voxels(SHAPES[3], "f4").astype("c8"))
    save("unknown-structured", np.zeros((2, 3), [("é", "<u2"), ("b", "<f4", (2,))]), (3, 0))
    save("empty-axis", np.zeros((3, 0, 5), "u2"))


main()
