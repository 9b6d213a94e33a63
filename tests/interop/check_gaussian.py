"""volchunk's gaussian through files, against scipy.ndimage.gaussian_filter on the whole volume.

As a program, it runs as many random cases as one likes:

    python tests/interop/check_gaussian.py path/to/volchunk 1500
"""

import itertools
import pathlib
import sys
import tempfile

import numpy as np
import zarr
from common import finest, volchunk
from gaussian_weights import same_weights
from scipy import ndimage

BOUNDARIES = ("reflect", "mirror", "nearest", "wrap", "constant")
DTYPES = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
          "float32", "float64")
SHAPE = (23, 31, 40)


def promised(sigma: float) -> float:
    """The least sigma from this on for which SciPy has the promised weights: that hangs on NumPy's
    exponential, which hangs on the CPU."""
    some = (round(sigma + k / 100, 2) for k in range(100))
    return next(s for s in some if same_weights(s, 0, int(4.0 * s + 0.5)))


SIGMA = tuple(map(promised, (0.8, 1.5, 2.0)))


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


def filter_of_an_axis(rng: np.random.Generator) -> tuple[float, int, int]:
    """sigma, order and radius for which SciPy has the promised weights."""
    for _ in range(100):
        sigma = round(rng.uniform(0.05, 3), rng.integers(1, 6))
        order = int(rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 6]))
        radius = int(rng.integers(0, 12)) if rng.random() < 0.3 else int(4.0 * sigma + 0.5)
        if same_weights(sigma, order, radius):
            return sigma, order, radius
    raise AssertionError("none of 100 random filters has SciPy's weights")


def random_voxels(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        return (rng.standard_normal(shape) * 300).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    limits = np.iinfo(dtype)
    # Flat parts, where a last bit decides what truncation makes of a voxel; and the whole range.
    low, high = (0, 100) if rng.random() < 0.5 else (limits.min, limits.max)
    image = rng.integers(low, high, shape, dtype, endpoint=True)
    image[tuple(slice(0, n // 2) for n in shape)] = high
    return image


def random_cases(program: str, work: pathlib.Path, count: int) -> None:
    """Orders, radii, boundaries per axis and dtypes: the bits of SciPy."""
    rng = np.random.default_rng(21)
    for case in range(count):
        ndim = int(rng.integers(1, 5))
        shape = tuple(int(n) for n in rng.integers(1, [90, 40, 20, 9][ndim - 1], ndim))
        dtype, output = (np.dtype(str(d)) for d in rng.choice(DTYPES, 2))
        image = random_voxels(rng, shape, dtype)
        filters = [(0.0, 0, 0) if rng.random() < 0.2 else filter_of_an_axis(rng)
                   for _ in range(ndim)]
        sigma, order, radius = zip(*filters)
        modes = [str(mode) for mode in rng.choice(BOUNDARIES, ndim)]
        cval = round(rng.uniform(-300, 300), 2)
        expected = ndimage.gaussian_filter(image, sigma, order, output, modes, cval, radius=radius)

        boundary = ",".join(f"constant({cval})" if m == "constant" else m for m in modes)
        op = (f"gaussian:sigma={','.join(map(repr, sigma))}:order={','.join(map(str, order))}"
              f":radius={','.join(map(str, radius))}:boundary={boundary}:dtype={output}")
        np.save(work / "random.npy", image)
        volchunk(program, "run", work / "random.npy", work / "random-out.npy", "--op", op,
                 "--chunk", int(rng.integers(2, 30)), "--force")
        found = np.load(work / "random-out.npy")
        if output == bool:
            expected = expected.view("uint8") != 0  # SciPy stores other bytes than 0 and 1 too.
        assert found.dtype == output and found.shape == shape, op
        different = np.count_nonzero(~np.equal(found, expected))
        assert np.array_equal(found, expected, equal_nan=output.kind == "f"), (
            f"case {case}: {dtype} {shape} {op}: {different} voxels differ")


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

    # SciPy's own defaults: the dtype of the input; and truncate.
    image = volume("uint16")
    volchunk(program, "run", work / "uint16.npy", work / "truncated.npy",
             "--op", f"gaussian:sigma={sigma}:truncate=2.5:dtype=uint16")
    assert np.array_equal(np.load(work / "truncated.npy"),
                          ndimage.gaussian_filter(image, SIGMA, truncate=2.5))
    random_cases(program, work, 80)

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


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        random_cases(sys.argv[1], pathlib.Path(folder), int(sys.argv[2]))
    print(f"{sys.argv[2]} random cases, no voxel differs from SciPy's")
