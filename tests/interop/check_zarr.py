"""Reads Zarrs that volchunk wrote with zarr-python: python check_zarr.py PATH [PATH ...]

PATH is an OME-Zarr group, every level of which is checked, or a plain array. Voxel i (C order)
must be (7 i + 3) mod 251, as in tests/data/make_zarr.py; `complete` must be true.
"""

import sys

import numpy as np
import zarr


def check(array):
    v = (7 * np.arange(array.size) + 3) % 251
    kind, item = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        v = v % 2
    elif kind == "i":
        v = v - 100 if item > 1 else (v - 100) // 2
    elif kind == "f":
        v = v / 4 - 10
    np.testing.assert_array_equal(array[...], v.reshape(array.shape).astype(array.dtype))


for path in sys.argv[1:]:
    node = zarr.open(path, mode="r", zarr_format=3)
    assert node.attrs["volchunk"]["complete"] is True, path
    if isinstance(node, zarr.Array):
        check(node)
    else:
        [multiscales] = node.attrs["ome"]["multiscales"]
        names = [axis["name"] for axis in multiscales["axes"]]
        for dataset in multiscales["datasets"]:
            array = node[dataset["path"]]
            assert list(array.metadata.dimension_names) == names, path
            scale = dataset["coordinateTransformations"][0]
            assert scale["type"] == "scale" and len(scale["scale"]) == array.ndim, path
            check(array)
    print("ok", path)
