"""Peer: dask.array.map_overlap with scipy.ndimage.gaussian_filter, threads, Zarr v3 to Zarr v3.

    python benches/peers/dask_gaussian.py IN.zarr OUT.zarr SIGMA WORKERS

Set up as an expert would: no padding by dask (SciPy pads at the true edges, and the halo is real
data everywhere else, so the result is SciPy's whole-volume result), one task per storage chunk, the
input's chunks and volchunk's zstd level (1) for the output, no lock.
"""

import sys

import dask
import dask.array as da
import numpy as np
import zarr
from scipy import ndimage


def main() -> None:
    source, target, sigma, workers = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    array = zarr.open_array(source, mode="r")
    halo = int(4 * sigma + 0.5)
    out = zarr.create_array(target, shape=array.shape, chunks=array.chunks, dtype="float32",
                            compressors=zarr.codecs.ZstdCodec(level=1))
    result = da.from_array(array, chunks=array.chunks).map_overlap(
        lambda outer: ndimage.gaussian_filter(outer, sigma, output=np.float32),
        depth=halo, boundary="none", dtype=np.float32)
    with dask.config.set(scheduler="threads", num_workers=workers):
        da.store(result, out, lock=False)


if __name__ == "__main__":
    main()
