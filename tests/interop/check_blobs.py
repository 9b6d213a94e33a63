"""`volchunk detect`: the same table, byte for byte, for any grid and number of workers; the blobs of
scikit-image's blob_log and blob_dog; and none where there is nothing.

    python tests/interop/check_blobs.py path/to/volchunk --long [VOLUME]

takes 100 random volumes with 10 grids each instead of 3 with 4, and VOLUME if it is given.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import scipy.ndimage as ndi
from common import volchunk
from skimage.feature import blob_dog, blob_log
from skimage.util import img_as_float

SHAPE = (40, 72, 80)
LEAST = 1e-5  # low, so that noise gives peaks too, and many that overlap
LOG = {"min_sigma": (1.5, 2, 2), "max_sigma": (2.5, 3.5, 3.5), "num_sigma": 3}
DOG = {"min_sigma": (1.2, 1.5, 1.5), "max_sigma": (4, 5, 5), "sigma_ratio": 1.6}


def cells(seed, shape, dtype="uint16"):
    """Gaussian cells, one to 3000 voxels, σ 1.5 to 4, on noise."""
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 30, shape).astype(np.float32)
    steps = np.meshgrid(*[np.arange(-12, 13)] * len(shape), indexing="ij")
    padded = np.pad(image, 12)
    for _ in range(max(int(np.prod(shape)) // 3000, 1)):
        at = [int(rng.integers(0, n)) for n in shape]
        sigma = rng.uniform(1.5, 4)
        blob = rng.uniform(200, 3000) * np.exp(-sum(s**2 for s in steps) / (2 * sigma**2))
        padded[tuple(slice(i, i + 25) for i in at)] += blob.astype(np.float32)
    image = padded[tuple(slice(12, -12) for _ in shape)]
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return (image / 65535).astype(dtype)
    return (np.clip(image, 0, 65535) / 65535 * np.iinfo(dtype).max).astype(dtype)


def flags(method, parameters):
    text = ["--method", method]
    for name, value in parameters.items():
        joined = ",".join(map(str, np.atleast_1d(value)))
        text += [f"--{name.replace('_', '-')}", joined]
    return text


def rows(path, ndim):
    """(coordinates …, σ …) of every blob, and the values."""
    names = path.read_text().split("\n", 1)[0].split(",")
    table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    if not table.size:
        return np.empty((0, 2 * ndim)), np.empty(0)
    wanted = [f"axis-{a}" for a in range(ndim)]
    wanted += [f"sigma-{a}" for a in range(ndim)] if "sigma-0" in names else ["sigma"] * ndim
    return table[:, [names.index(name) for name in wanted]], table[:, names.index("value")]


def same_for_every_grid(program, work, image, grids, rng, options):
    """One chunk and one worker, then `grids` random chunk shapes on 1 to 4 workers; returns the rows."""
    axes = "zyx"[-image.ndim:]
    first = None
    for number in range(grids + 1):
        out = work / f"grid{number}.csv"
        chunk, workers = image.shape, 1
        if number:
            least = [min(n, 6 if image.size < 1e6 else 16) for n in image.shape]
            chunk = [int(rng.integers(low, n + 1)) for low, n in zip(least, image.shape)]
            workers = 1 + number % 4
        grid = ",".join(map(str, chunk))
        volchunk(program, "detect", work / "image.npy", out, "--axes", axes, "--chunk", grid,
                 "--workers", workers, "--force", *options)
        found = out.read_bytes()
        first = found if first is None else first
        assert found == first, f"chunk {grid}, {workers} workers: another table than one chunk's"
    return first.count(b"\n") - 1


def invariance(program, work, volumes, grids):
    blobs = 0
    for seed in range(volumes):
        rng = np.random.default_rng([seed, 1])
        ndim = (3, 3, 2)[seed % 3]
        shape = tuple(int(n) for n in rng.integers(24, 90 if ndim == 3 else 300, ndim))
        image = cells(seed, shape, ("uint16", "uint8", "float32")[seed // 3 % 3])
        np.save(work / "image.npy", image)
        method = ("log", "dog")[seed % 2]
        sigmas = {"min_sigma": 1.5, "max_sigma": 4} | ({"num_sigma": 3} if method == "log" else {})
        options = flags(method, sigmas | {"threshold": 0.001, "overlap": 0.3})
        if seed % 4 == 2:
            options += ["--op", "highpass:sigma=6"]
            if image.dtype.kind != "f":  # a high-pass of integers is in their units
                options[options.index("--threshold") + 1] = str(0.001 * np.iinfo(image.dtype).max)
        count = same_for_every_grid(program, work, image, grids, rng, options)
        assert count, f"volume {seed} has no blobs: it checks nothing"
        blobs += count
    return blobs


def response(image, method, sigma):
    """Of one scale, in f64."""
    if method == "log":
        return -ndi.gaussian_laplace(image, sigma) * np.mean(sigma) ** 2
    first, second = (ndi.gaussian_filter(image, np.multiply(sigma, r), mode="reflect", truncate=4)
                     for r in (1, DOG["sigma_ratio"]))
    return (first - second) / (DOG["sigma_ratio"] - 1)


def same_blobs(program, work, seed, method, shape=SHAPE):
    """Peaks, then blobs, beside scikit-image: numbers of (both, one of them) of each."""
    image = cells([seed, 2], shape)
    np.save(work / "image.npy", image)
    parameters, function = {"log": (LOG, blob_log), "dog": (DOG, blob_dog)}[method]
    counts, ours, theirs = [], {}, {}
    for overlap in (1, 0.5):
        options = parameters | {"threshold": LEAST, "overlap": overlap}
        out = work / f"{method}{overlap}.csv"
        volchunk(program, "detect", work / "image.npy", out, "--axes", "zyx", "--chunk", 33, "--force",
                 *flags(method, options))
        ours[overlap] = {tuple(row) for row in np.round(rows(out, 3)[0], 9)}
        theirs[overlap] = {tuple(row) for row in np.round(function(image, **options), 9)}
        counts += [len(ours[overlap] & theirs[overlap]), len(ours[overlap] ^ theirs[overlap])]
    # f32 has 24 bits. A peak of one of the two must be within rounding of a neighbour or the threshold.
    alone = ours[1] ^ theirs[1]
    if alone:
        sigmas = sorted({row[3:] for row in ours[1] | theirs[1]})
        cube = np.stack([response(img_as_float(image), method, s) for s in sigmas], -1)
        for row in alone:
            peak = (*map(int, row[:3]), sigmas.index(row[3:]))
            around = np.sort(cube[tuple(slice(max(i - 1, 0), i + 2) for i in peak)], None)
            margin = min(abs(around[-1] - around[-2]), abs(cube[peak] - LEAST))
            assert margin < 2e-7, f"{method}, volume {seed}: {row} found by one, and no tie: {margin}"
    return counts


def nothing(program, work):
    """Constants, zeros and NaN have no blobs, and that is no error."""
    shape = (20, 30, 40)
    for name, value, dtype in [("zero", 0, "u2"), ("full", 65535, "u2"), ("nan", np.nan, "f4"),
                               ("constant", 0.3, "f8"), ("small", 7, "u1")]:
        path = work / f"{name}.npy"
        np.save(path, np.full(shape, value, dtype))
        for method, parameters in (("log", LOG), ("dog", DOG)):
            out = work / f"{name}-{method}.csv"
            line = [program, "detect", path, out, "--axes", "zyx", "--chunk", "16",
                    "--threshold", "1e-4", *flags(method, parameters)]
            done = subprocess.run(line, capture_output=True, text=True)
            assert done.returncode == 0, f"{name}, {method}: {done.stderr}"
            assert out.read_text().count("\n") == 1, f"{name}, {method}: blobs in {out.read_text()}"
            said = done.stdout + done.stderr
            assert "no blobs" in said.lower() or "0 blobs" in said, f"{name}, {method}: {said}"


def compare(program, work, seeds, shape=SHAPE):
    for method in ("log", "dog"):
        totals = np.sum([same_blobs(program, work, s, method, shape) for s in seeds], 0)
        both, alone, kept, differ = map(int, totals)
        print(f"  {method}: {both} peaks as scikit-image's, {alone} ties by one of the two; "
              f"pruned {kept} the same, {differ} by one of the two")
        assert both > 100 * len(seeds)
        assert differ <= 0.005 * (kept + differ), f"{method}: less than 99.5 % the same when pruned"


def main(program, work):
    invariance(program, work, 3, 4)
    compare(program, work, [0])
    nothing(program, work)


def long(program, work, volume=None):
    blobs = invariance(program, work, 100, 10)
    print(f"100 volumes with 10 grids each: {blobs} blobs, every table the same", flush=True)
    compare(program, work, range(3), (64, 200, 200))
    nothing(program, work)
    if volume is None:
        print("skipped: a real volume, because none is named")
        return
    np.save(work / "image.npy", np.load(volume))
    for method, least in (("log", ["--num-sigma", 3]), ("dog", [])):
        options = ["--method", method, "--min-sigma", "0.9,2,2", "--max-sigma", "1.5,3.4,3.4", *least,
                   "--threshold", "0.003"]
        rng = np.random.default_rng(9)
        count = same_for_every_grid(program, work, np.load(volume), 10, rng, options)
        print(f"{volume}: {method}, 10 grids: {count} blobs, every table the same", flush=True)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[2] != "--long":
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="volchunk-blobs-") as folder:
        long(str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(folder), *sys.argv[3:])
