"""Compares the blobs op with scikit-image: the peaks of blob_log and blob_dog before they are pruned.

    cargo build -p volchunk-ops --example blobs_raw
    python blobs_oracle.py PATH/TO/blobs_raw [NUMBER OF RANDOM VOLUMES, default 60]

Prints how many peaks both found, and how many one alone; these must be ties: in f64 the response
there is within the rounding of f32 of a neighbour's, or of the threshold.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import scipy.ndimage as ndi
import skimage.feature.blob as blob
from skimage.util import img_as_float

DTYPES = "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64".split()


def voxels(rng, dtype, shape):
    """Noise, over the whole range of an integer; half of it smooth, as images are."""
    dtype = np.dtype(dtype)
    noise = rng.random(shape)
    if rng.random() < 0.5:
        noise = ndi.gaussian_filter(noise, 1.0)
        noise = (noise - noise.min()) / max(np.ptp(noise), 1e-9)
    if dtype == bool:
        return noise < 0.5
    if dtype.kind == "f":
        return (noise * 2 - 0.5).astype(dtype)
    limits = np.iinfo(dtype)
    values = limits.min + noise * (float(limits.max) - limits.min)
    return np.clip(values, limits.min, float(limits.max) * (1 - 1e-9)).astype(dtype)


def unpruned(function, image, low, high, *rest, **options):
    """The rows that the function would prune, σ of all axes with them."""
    kept = blob._prune_blobs
    blob._prune_blobs = lambda array, overlap, sigma_dim: array
    try:
        return function(image, low, high, *rest, **options)
    finally:
        blob._prune_blobs = kept


def response(image, sigma, ratio):
    """Of one scale, in f64."""
    image = img_as_float(image).astype(float)
    if ratio is None:
        return -ndi.gaussian_laplace(image, sigma) * np.mean(sigma) ** 2
    first, second = (ndi.gaussian_filter(image, np.multiply(sigma, r), mode="reflect", truncate=4)
                     for r in (1, ratio))
    return (first - second) / (ratio - 1)


def ours(program, image, method, low, high, number, threshold, chunk, border):
    with tempfile.TemporaryDirectory() as work:
        path = pathlib.Path(work) / "image"
        path.write_bytes(image.tobytes())
        join = lambda values: ",".join(map(repr, map(float, values)))
        whole = lambda values: ",".join(str(int(v)) for v in values)
        command = [program, path, whole(image.shape), image.dtype.name, method, join(low), join(high),
                   repr(number), repr(float(threshold)), whole(chunk), whole(border)]
        text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return np.array([line.split() for line in text.splitlines()], float).reshape(-1, image.ndim + 2)


def main(program, count=60):
    rng = np.random.default_rng(7)
    both = alone = 0
    for case in range(int(count)):
        ndim = int(rng.integers(1, 4))
        shape = rng.integers(1, [400, 60, 26][ndim - 1], ndim)
        image = voxels(rng, rng.choice(DTYPES), tuple(shape))
        isotropic = rng.random() < 0.4
        low = np.round(rng.uniform(0.4, 2.5, 1 if isotropic else ndim), 2) * np.ones(ndim)
        high = low + np.round(rng.uniform(0, 2, 1 if isotropic else ndim), 2)
        threshold = float(rng.choice([0.0, 0.01, 0.05, 0.1]))
        border = [int(n) for n in rng.integers(0, 3, ndim) * (rng.random() < 0.3)]
        options = {"threshold": threshold, "exclude_border": tuple(border)}
        if rng.random() < 0.5:
            number, ratio, method = int(rng.integers(1, 5)), None, "log"
            theirs = unpruned(blob.blob_log, image, low, high, number, **options)
            sigmas = np.linspace(low, high, number)
        else:
            number = ratio = round(float(rng.uniform(1.2, 1.9)), 2)
            method = "dog"
            theirs = unpruned(blob.blob_dog, image, low, high, number, **options)
            k = int(np.mean(np.log(high / low) / np.log(ratio) + 1))
            sigmas = np.array([low * ratio**i for i in range(k)])
        chunk = rng.integers(4, 40, ndim)
        table = ours(program, image, method, low, high, number, threshold, chunk, border)

        scale = [int(np.argmin(np.abs(sigmas - row[ndim:]).sum(1))) for row in theirs]
        first = {(*map(int, row[:ndim]), k) for row, k in zip(theirs, scale)}
        second = {tuple(map(int, row[:-1])) for row in table}
        cube = np.stack([response(image, s, ratio) for s in sigmas], -1)
        # f32 has 24 bits, and a filter as many terms as it has taps.
        near = 1e-6 * max(1.0, np.abs(img_as_float(image)).max()) * (1 + np.mean(high) ** 2 / np.min(low) ** 2)
        values = cube[tuple(np.array(sorted(second), int).reshape(-1, ndim + 1).T)]
        order = np.lexsort(table[:, :-1].T[::-1]) if len(table) else []
        error = np.abs(values - table[order, -1]).max(initial=0)
        assert error < near, f"case {case}: values differ by {error}"
        for peak in first ^ second:
            around = tuple(slice(max(i - 1, 0), i + 2) for i in peak)
            others = np.sort(cube[around], None)
            margin = abs(cube[peak] - others[-1]) or abs(others[-1] - others[-2])
            flat = np.ptp(cube[(*around[:-1], peak[-1])]) < near
            tie = margin < near or abs(cube[peak] - threshold) < near or flat
            assert tie, f"case {case}: {method} {image.dtype} {shape} {peak} found by one: {margin}"
        both += len(first & second)
        alone += len(first ^ second)
    print(f"{both} peaks found by both, {alone} ties by one of them, in {count} volumes")


if __name__ == "__main__":
    main(*sys.argv[1:])
