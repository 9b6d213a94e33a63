"""volchunk's preprocessing ops through files, against SciPy, scikit-image and NumPy on the whole volume."""

import pathlib

import numpy as np
from common import volchunk
from scipy import ndimage
from skimage import filters, morphology, restoration

DTYPES = ("uint8", "uint16", "int16", "int32", "uint64", "float32", "float64")


def volume(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Noise in the range of 8 bits: with ties, and without overflow where SciPy's values wrap."""
    noise = ndimage.gaussian_filter(rng.random(shape), 0.7) * 250
    return noise.astype(dtype)


class Program:
    """Runs one op on one volume, in random chunks."""

    def __init__(self, program: str, work: pathlib.Path, rng: np.random.Generator) -> None:
        self.program, self.work, self.rng = program, work, rng

    def __call__(self, image: np.ndarray, *ops: str, more: tuple[object, ...] = ()) -> np.ndarray:
        np.save(self.work / "in.npy", image)
        flags = [flag for op in ops for flag in ("--op", op)]
        chunk = ",".join(str(int(n)) for n in self.rng.integers(3, 40, image.ndim))
        volchunk(self.program, "run", self.work / "in.npy", self.work / "out.npy", *flags,
                 "--chunk", chunk, "--workers", int(self.rng.integers(1, 4)), "--force", *more)
        return np.load(self.work / "out.npy")


def same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    assert found.dtype == expected.dtype, (what, found.dtype, expected.dtype)
    different = np.count_nonzero(found != expected)
    assert found.shape == expected.shape and different == 0, f"{what}: {different} voxels differ"


def footprints() -> list[tuple[str, np.ndarray]]:
    found = []
    for radius in (1, 2, 3):
        found += [(f"footprint=octahedron:radius={radius}", morphology.octahedron(radius)),
                  (f"footprint=ball:radius={radius}", morphology.ball(radius)),
                  (f"footprint=cube:radius={radius}", np.ones((2 * radius + 1,) * 3, bool))]
    return [*found, ("footprint=cube:radius=0,1,3", np.ones((1, 3, 7), bool)),
            ("footprint=ball:radius=0,2,2", morphology.disk(2)[np.newaxis])]


def neighbourhoods(run: Program, rng: np.random.Generator) -> None:
    for dtype in DTYPES:
        image = volume(rng, dtype, (17, 24, 31))
        for keys, footprint in footprints():
            for op, oracle in (("erode", ndimage.grey_erosion), ("dilate", ndimage.grey_dilation),
                               ("open", ndimage.grey_opening), ("close", ndimage.grey_closing),
                               ("tophat", ndimage.white_tophat)):
                if op in ("close", "tophat") and rng.random() < 0.6:
                    continue
                expected = oracle(image, footprint=footprint, mode="reflect")
                same(run(image, f"{op}:{keys}"), expected, f"{dtype} {op}:{keys}")
        for radius in ((1, 1, 1), (2, 2, 2), (0, 3, 1)):
            expected = ndimage.median_filter(image, [2 * r + 1 for r in radius], mode="reflect")
            text = ",".join(map(str, radius))
            same(run(image, f"median:radius={text}"), expected, f"{dtype} median {text}")


def sharpened(run: Program, rng: np.random.Generator) -> None:
    for dtype in ("uint8", "uint16", "float32", "int32", "float64"):
        image = volume(rng, dtype, (14, 33, 40))
        out = np.float32 if np.dtype(dtype).itemsize < 4 or dtype == "float32" else np.float64
        whole = image.astype(out)
        blurred = ndimage.gaussian_filter(image, 2.5, output=out)
        same(run(image, "highpass:sigma=2.5"), whole - blurred, f"{dtype} highpass")
        expected = filters.unsharp_mask(whole, radius=2.5, amount=0.6, preserve_range=True)
        same(run(image, "unsharp:radius=2.5:amount=0.6"), expected, f"{dtype} unsharp")
        same(run(image, "erode:radius=1:above=120:sigma=1.5"),
             np.where(ndimage.gaussian_filter(image, 1.5, output=out) > 120,
                      ndimage.grey_erosion(image, footprint=morphology.octahedron(1)), image),
             f"{dtype} erode above")
    for dtype, shape in (("float32", (9, 20, 33)), ("float64", (9, 20, 33)), ("float64", (40, 51)),
                         ("float32", (300,))):
        image = volume(rng, dtype, shape) / np.dtype(dtype).type(250)
        for weight, iterations in ((0.1, 12), (0.5, 2), (2.0, 1)):
            expected = restoration.denoise_tv_chambolle(image, weight, eps=0,
                                                        max_num_iter=iterations)
            found = run(image, f"tv:weight={weight}:iterations={iterations}")
            same(found, expected, f"tv {dtype} {shape} {weight} {iterations}")


def stretched(image: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    value = np.asarray(image, float)
    return (np.clip(value, low, high) - low) / (high - low)


def whole_percentiles(run: Program, rng: np.random.Generator) -> None:
    for dtype in DTYPES:
        image = volume(rng, dtype, (11, 23, 37))
        low, high = np.percentile(image.astype(float), (3, 98.7))
        out = np.float32 if np.dtype(dtype).itemsize < 4 or dtype == "float32" else np.float64
        expected = stretched(image, low, high).astype(out)
        found = run(image, "percentile:low=3:high=98.7")
        same(found, expected, f"{dtype} percentile")
        # The statistic is that of the whole, whatever part of the result is asked for.
        part = run(image, "percentile:low=3:high=98.7", more=("--roi", "2:9,5:20,0:30"))
        same(part, expected[2:9, 5:20, 0:30], f"{dtype} percentile of a region")
    # Numbers over the whole range of their type, and NaN left out.
    wide = rng.integers(-2**63, 2**63 - 1, (9, 8, 40))
    low, high = np.percentile(wide.astype(float), (10, 90))
    near = np.abs(run(wide, "percentile:low=10:high=90") - stretched(wide, low, high))
    assert near.max() < 1e-12, near.max()
    gaps = rng.standard_normal((9, 8, 40)).astype("float32")
    gaps[gaps > 2] = np.nan
    low, high = np.nanpercentile(gaps.astype(float), (10, 90))
    found = run(gaps, "percentile:low=10:high=90")
    assert np.array_equal(found, stretched(gaps, low, high).astype("float32"), equal_nan=True)


def local_percentiles(run: Program, rng: np.random.Generator) -> None:
    """Cells by hand, interpolated by SciPy between their centres."""
    from scipy.interpolate import RegularGridInterpolator

    for dtype, shape, size in (("uint16", (20, 33, 41), (6, 10, 10)), ("float64", (25, 30), (7, 30))):
        image = volume(rng, dtype, shape)
        edges = []
        for n, s in zip(shape, size):
            count = max(1, n // s + (n % s > 0 and 2 * (n % s) >= s))
            edges.append([*range(0, count * s, s), n])
        counts = [len(e) - 1 for e in edges]
        low, high = np.empty(counts), np.empty(counts)
        for cell in np.ndindex(*counts):
            box = tuple(slice(e[k], e[k + 1]) for e, k in zip(edges, cell))
            low[cell], high[cell] = np.percentile(image[box].astype(float), (10, 95))
        centres = [np.array([(a + b - 1) / 2 for a, b in zip(e, e[1:])]) for e in edges]
        places = [np.clip(np.arange(n), c[0], c[-1]) for n, c in zip(shape, centres)]
        # An axis of one cell has nothing to interpolate between.
        long = [a for a in range(len(shape)) if counts[a] > 1]
        grid = np.stack(np.meshgrid(*(places[a] for a in long), indexing="ij"), -1)
        def between(values: np.ndarray) -> np.ndarray:
            field = RegularGridInterpolator([centres[a] for a in long], values.squeeze())(grid)
            return np.broadcast_to(field.reshape([shape[a] if a in long else 1
                                                  for a in range(len(shape))]), shape)
        floor = 0.9 * np.percentile(image.astype(float), 95)
        text = f"local-percentile:block={','.join(map(str, size))}:low=10:high=95"
        for more, top in (("", between(high)), (":floor=0.9", np.maximum(between(high), floor))):
            found = run(image, text + more)
            near = np.abs(found - stretched(image, between(low), top)).max()
            assert near < 1e-6, f"{text}{more}: {near}"


def main(program: str, work: pathlib.Path) -> None:
    rng = np.random.default_rng(22)
    run = Program(program, work, rng)
    neighbourhoods(run, rng)
    sharpened(run, rng)
    whole_percentiles(run, rng)
    local_percentiles(run, rng)
