"""What the tests of map_overlap share."""

import os

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage

NUMPY = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}


DTYPES = ["bool", "uint8", "uint16", "int32", "uint64", "int8", "float32", "float64"]


def pad(image, depth, boundary):
    """The whole volume with its padding, by NumPy."""
    if boundary in NUMPY:
        return np.pad(image, depth, NUMPY[boundary])
    return np.pad(image, depth, constant_values=boundary)


def draw_image(data, max_side=14, dtypes=DTYPES):
    ndim = data.draw(st.integers(1, 4))
    shape = data.draw(st.lists(st.integers(1, max_side), min_size=ndim, max_size=ndim))
    dtype = data.draw(st.sampled_from(dtypes))
    seed = data.draw(st.integers(0, 99))
    return np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 90, shape).astype(dtype)


def a_volume():
    return np.random.default_rng(0).integers(0, 60000, (20, 33, 41)).astype(np.uint16)


def blur(block):
    return ndimage.gaussian_filter(block, 1, output=np.float32)


METHODS = ["fork", "spawn", "forkserver"]


IMAGE = np.zeros((6, 7))


class Like:
    """An array-like that is no array."""

    def __init__(self, array, **more):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        vars(self).update(more)

    def __getitem__(self, index):
        return self.array[index]

    def __setitem__(self, index, value):
        self.array[index] = value


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
