"""volchunk.map_overlap beside dask's, and beside a thread pool written by hand.

    python benches/python_overlap.py [--runs 7] [--size 512] [overhead gaussian]

Needs the package (`pip install .`) and SciPy; dask's figures need dask, and are left out without it.
`overhead` calls a function that does nothing on 4096 chunks of 16^3: microseconds a chunk are
seconds / 4096 * 10^6. `gaussian` is SciPy's, sigma 2, in chunks of 64 x 256 x 256.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import calls

WORKERS = len(os.sched_getaffinity(0))


def overhead(name, size, case):
    image = np.arange(256**3, dtype=np.uint32).astype(np.uint16).reshape((256,) * 3)
    out = np.ones_like(image)

    def nothing(block):
        return block

    if name == "dask":
        import dask.array

        lazy = dask.array.from_array(image, chunks=16)

        def ours():
            done = lazy.map_overlap(nothing, depth=1, boundary="reflect", dtype=image.dtype)
            return done.compute(num_workers=WORKERS)

        return ours, lambda got: np.array_equal(got, image)
    import volchunk

    def ours():
        return volchunk.map_overlap(
            nothing, image, depth=1, chunks=16, out=out, executor=name, workers=WORKERS
        )

    return ours, lambda got: np.array_equal(got, image)


def gaussian(name, size, case):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    image = rng.integers(0, 1000, (size,) * 3).astype(np.uint16)
    chunk, depth = (64, 256, 256), 8

    def blur(block):
        return gaussian_filter(block, 2, output=np.float32)

    def by_hand():
        out = np.empty(image.shape, np.float32)

        def one(index):
            start = np.multiply(index, chunk)
            stop = np.minimum(start + chunk, image.shape)
            low = np.maximum(start - depth, 0)
            block = image[tuple(map(slice, low, stop + depth))]
            core = tuple(map(slice, start - low, stop - low))
            out[tuple(map(slice, start, stop))] = blur(block)[core]

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(one, np.ndindex(*(-(-n // c) for n, c in zip(image.shape, chunk)))))
        return out

    def ours():
        import volchunk

        if name == "built-in":
            return volchunk.gaussian_filter(image, 2, output=np.float32, chunks=chunk, workers=WORKERS)
        return volchunk.map_overlap(blur, image, depth=depth, chunks=chunk, workers=WORKERS)

    import volchunk  # noqa: F401

    def right(got):
        part = np.s_[: size // 4, : size // 3, : size // 3]
        whole = blur(image[tuple(slice(0, s.stop + 8) for s in part)])
        return np.array_equal(got[part], whole[part])

    return by_hand if name == "by hand" else ours, right


BENCHES = {
    "overhead": (overhead, ["threads", "processes", "dask"], ["4096 chunks of 16^3 uint16"]),
    "gaussian": (gaussian, ["map_overlap", "by hand", "built-in"], ["{size}^3 uint16 64x256x256"]),
}

if __name__ == "__main__":
    calls.main(__doc__, "overlap", BENCHES)
