"""Reads with zarr-python the Zarrs that volchunk-io's tests write: every dtype, one to five axes,
with and without shards.

Voxel i (C order) must be (7 i + 3) mod 251, as in tests/data/make_zarr.py; `complete` must be true.
"""

import os
import pathlib
import subprocess

import numpy as np
import zarr

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def check(array: zarr.Array) -> None:
    v = (7 * np.arange(array.size) + 3) % 251
    kind, item = array.dtype.kind, array.dtype.itemsize
    if kind == "b":
        v = v % 2
    elif kind == "i":
        v = v - 100 if item > 1 else (v - 100) // 2
    elif kind == "f":
        v = v / 4 - 10
    np.testing.assert_array_equal(array[...], v.reshape(array.shape).astype(array.dtype))


def main(program: str, work: pathlib.Path) -> None:
    # A test of the library writes them, since the program has no flag for voxels of its own.
    subprocess.run(["cargo", "test", "--quiet", "--locked", "-p", "volchunk-io",
                    "outputs_for_zarr_python"], cwd=REPOSITORY, check=True,
                   stdout=subprocess.DEVNULL, env={**os.environ, "VOLCHUNK_INTEROP": str(work)})
    paths = sorted(work.glob("*.zarr"))
    assert len(paths) >= 100, f"only {len(paths)} Zarrs were written"
    for path in paths:
        node = zarr.open(path, mode="r", zarr_format=3)
        assert node.attrs["volchunk"]["complete"] is True, path
        if isinstance(node, zarr.Array):
            check(node)
            continue
        [multiscales] = node.attrs["ome"]["multiscales"]
        names = [axis["name"] for axis in multiscales["axes"]]
        for dataset in multiscales["datasets"]:
            array = node[dataset["path"]]
            assert list(array.metadata.dimension_names) == names, path
            scale = dataset["coordinateTransformations"][0]
            assert scale["type"] == "scale" and len(scale["scale"]) == array.ndim, path
            check(array)
