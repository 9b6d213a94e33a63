"""volchunk's gaussian through files, against scipy.ndimage.gaussian_filter on the whole volume."""

import itertools
import pathlib

import numpy as np
import zarr
from common import finest, volchunk
from scipy import ndimage

BOUNDARIES = ("reflect", "mirror", "nearest", "wrap", "constant")
SHAPE = (23, 31, 40)
SIGMA = (0.8, 1.5, 2.0)


def volume(dtype: str) -> np.ndarray:
    """Noise over most of the dtype's range, the same in every run."""
    noise = np.random.default_rng(20).random(SHAPE)
    if np.issubdtype(dtype, np.floating):
        return (noise * 1000 - 500).astype(dtype)
    info = np.iinfo(dtype)
    return (info.min / 2 + noise * (info.max / 2 - info.min / 2)).astype(dtype)


def compare(ours: np.ndarray, whole: np.ndarray, what: str) -> None:
    """At least 99.9 % of the voxels have SciPy's bits; the rest are one unit in the last place off."""
    assert ours.shape == whole.shape and ours.dtype == whole.dtype, (what, ours.dtype, ours.shape)
    equal = np.mean(ours == whole)
    near = np.abs(ours - whole) <= np.spacing(np.maximum(np.abs(ours), np.abs(whole)))
    assert near.all(), f"{what}: {np.count_nonzero(~near)} voxels are further off than one unit"
    assert equal >= 0.999, f"{what}: only {equal:.4%} of the voxels are equal"


def main(program: str, work: pathlib.Path) -> None:
    sigma = ",".join(map(str, SIGMA))
    # Sums are f64 everywhere; between the axes and out stand f32, and f64 for f64 and wide integers.
    for dtype, out in (("uint8", "f4"), ("uint16", "f4"), ("float32", "f4"), ("int32", "f8"),
                       ("float64", "f8")):
        image = volume(dtype)
        source = work / f"{dtype}.npy"
        np.save(source, image)
        for boundary in BOUNDARIES:
            whole = ndimage.gaussian_filter(image, SIGMA, output=out, mode=boundary)
            result = work / f"{dtype}-{boundary}.npy"
            volchunk(program, "run", source, result, "--chunk", "7,16,9",
                     "--op", f"gaussian:sigma={sigma}:boundary={boundary}")
            compare(np.load(result), whole, f"{dtype} {boundary}")

    # The same result from every grid and every worker count, bit for bit, and in a Zarr too.
    image = volume("uint16")
    expected = np.load(work / "uint16-reflect.npy")
    grids = itertools.product(("64,64,64", "5,5,5", "1,31,40"), (1, 2, 3))
    for i, (chunk, workers) in enumerate(grids):
        result = work / f"grid{i}.npy"
        volchunk(program, "run", work / "uint16.npy", result, "--op", f"gaussian:sigma={sigma}",
                 "--chunk", chunk, "--workers", workers)
        assert np.array_equal(np.load(result), expected), (chunk, workers)
    stored = zarr.create_array(work / "in.zarr", shape=SHAPE, chunks=(8, 8, 8), dtype="uint16")
    stored[:] = image
    volchunk(program, "run", work / "in.zarr", work / "out.zarr", "--op", f"gaussian:sigma={sigma}")
    assert np.array_equal(finest(work / "out.zarr")[:], expected), "Zarr to Zarr differs from NPY to NPY"
