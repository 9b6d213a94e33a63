"""`volchunk colocalize`: the pairs of SciPy's k-d trees, the means of NumPy over an ellipsoid, whatever
the order of the rows, the workers and the format of the image; and MagellanMapper's `colocs`.
"""

import itertools
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from common import volchunk
from scipy.spatial import cKDTree

N = 6_000
SHAPE = (3, 24, 70, 90)
UM = (5.0, 2.0, 2.0)
AXES = ("axis-0", "axis-1", "axis-2")


def points(seed=0):
    rng = np.random.default_rng(seed)
    # A quarter of channel 1 lies near points of channel 0, so that there is something to find.
    at = rng.uniform(-0.5, np.array(SHAPE[1:]) - 0.5, (N, 3))
    channel = rng.integers(0, 3, N)
    zero, one = np.flatnonzero(channel == 0), np.flatnonzero(channel == 1)
    near = one[: len(one) // 4]
    moved = at[rng.choice(zero, len(near), replace=False)] + rng.normal(0, 0.3, (len(near), 3))
    at[near] = np.clip(moved, -0.49, np.array(SHAPE[1:]) - 0.51)
    table = {name: at[:, a] for a, name in enumerate(AXES)}
    table["radius"] = rng.uniform(0.3, 5, N)
    table["channel"] = channel
    table |= {f"um-{a}": at[:, a] * UM[a] + 7 for a in range(3)}
    return {"index": rng.permutation(N) * 3, **table}


def read(path):
    table = pq.read_table(path) if path.suffix == ".parquet" else pa.csv.read_csv(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def mutual(at, channel, a, b):
    """Rows of the pairs of channels a and b, and their distances; `at` in tolerances."""
    rows = [np.flatnonzero(channel == c) for c in (a, b)]
    trees = [cKDTree(at[r]) for r in rows]
    there, to = trees[1].query(at[rows[0]], distance_upper_bound=1.0)
    _, back = trees[0].query(at[rows[1]], distance_upper_bound=1.0)
    first = np.flatnonzero(np.isfinite(there))
    first = first[back[to[first]] == first]
    return rows[0][first], rows[1][to[first]], there[first]


def check_pairs(found, table, at):
    channel, index = table["channel"], table["index"]
    expected = {}
    for c in range(3):
        own = channel == c
        expected[c] = own.astype(int), np.where(own, index, -1), np.where(own, 0.0, np.nan)
    for a, b in itertools.combinations(range(3), 2):
        first, second, distance = mutual(at, channel, a, b)
        assert 100 < len(first) < N / 3
        for c, rows, others in [(b, first, second), (a, second, first)]:
            expected[c][0][rows], expected[c][1][rows] = 1, index[others]
            expected[c][2][rows] = distance
    for c, (flag, other, distance) in expected.items():
        assert np.array_equal(found[f"coloc-{c}"], flag), c
        assert np.array_equal(found[f"coloc-{c}-index"], other), c
        ours = found[f"coloc-{c}-distance"]
        assert np.allclose(ours, distance, rtol=1e-9, atol=1e-12, equal_nan=True), c


def means(image, table, radii):
    """Of every row, in every channel."""
    found = np.empty((N, SHAPE[0]))
    n = np.array(SHAPE[1:])
    for i in range(N):
        centre = np.array([table[name][i] for name in AXES])
        low = np.maximum(np.floor(centre - radii[i]), 0).astype(int)
        high = np.minimum(np.ceil(centre + radii[i]) + 1, n).astype(int)
        axes = [
            ((np.arange(low[a], high[a]) - centre[a]) / radii[i, a]) ** 2 for a in range(3)
        ]
        inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] <= 1
        own = np.floor(centre + 0.5).astype(int) - low
        inside[tuple(own)] = True
        part = image[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        found[i] = part[:, inside].mean(axis=1, dtype=np.float64)
    return found


def main(program, work):
    table = points()
    at = np.stack([table[name] for name in AXES], axis=1)
    pq.write_table(pa.table(table), work / "cells.parquet")
    pa.csv.write_csv(pa.table(table), work / "cells.csv")

    def run(source, output, *arguments):
        volchunk(program, "colocalize", work / source, work / output, *arguments)
        return work / output

    voxels = ["--tolerance", "0.8,1.7,1.2"]
    ours = run("cells.parquet", "voxels.csv", *voxels)
    check_pairs(read(ours), table, at / [0.8, 1.7, 1.2])
    um = np.stack([table[f"um-{a}"] for a in range(3)], axis=1)
    for source in ("cells.csv", "cells.parquet"):
        check_pairs(read(run(source, f"um-{source}", "--tolerance", "4um")), table, um / 4)
    check_pairs(
        read(run("cells.csv", "given.csv", "--tolerance", "8um", "--voxel-size", "10,5,4")),
        table, at * [10, 5, 4] / 8,
    )
    # The same bytes for any number of workers; the same rows for any order.
    for workers in (1, 3):
        again = run("cells.parquet", f"{workers}.csv", *voxels, "--workers", workers)
        assert again.read_bytes() == ours.read_bytes()
    order = np.random.default_rng(1).permutation(N)
    pq.write_table(pa.table(table).take(order), work / "shuffled.parquet")
    shuffled = read(run("shuffled.parquet", "shuffled.csv", *voxels))
    for name, values in read(ours).items():
        assert np.array_equal(values[order], shuffled[name], equal_nan=True), name

    # As MagellanMapper holds it, and back.
    flags = np.stack([read(ours)[f"coloc-{c}"] for c in range(3)], axis=1)
    archive = run("cells.parquet", "ours_blobs.npz", *voxels)
    with np.load(archive) as arrays:
        colocs = arrays["colocs"]
        assert colocs.dtype == np.uint8 and np.array_equal(colocs, flags)
        np.savez(work / "theirs_blobs.npz", **{**arrays, "colocs": 1 - colocs})
    volchunk(program, "points", work / "theirs_blobs.npz", work / "theirs.csv")
    back = read(work / "theirs.csv")
    assert all(np.array_equal(back[f"coloc-{c}"], 1 - flags[:, c]) for c in range(3))

    # By intensity: exact sums of integers, floats but for the order of their sum.
    rng = np.random.default_rng(2)
    integers = rng.integers(0, 65536, SHAPE, dtype=np.uint16)
    isotropic = np.repeat(table["radius"][:, None], 3, axis=1)
    expected = means(integers, table, isotropic)
    np.save(work / "image.npy", integers)
    # The image's origin is 0.
    inside = table | {f"um-{a}": table[f"um-{a}"] - 7 for a in range(3)}
    pa.csv.write_csv(pa.table(inside), work / "cells.csv")
    volchunk(program, "convert", work / "image.npy", work / "image.zarr", "--axes", "czyx",
             "--voxel-size", "5,2,2", "--storage-chunk", "8,16,32")
    outputs = []
    for k, (image, workers, memory) in enumerate(
        [("image.npy", 1, "1GiB"), ("image.zarr", 3, "1GiB"), ("image.zarr", 2, "120MiB")]
    ):
        outputs.append(run("cells.csv", f"mean-{k}.csv", "--image", work / image, "--axes", "czyx",
                           "--workers", workers, "--memory", memory))
        assert outputs[k].read_bytes() == outputs[0].read_bytes(), k
    found = read(outputs[0])
    for c in range(3):
        assert np.array_equal(found[f"mean-{c}"], expected[:, c]), c
        least = np.percentile(expected[table["channel"] == c, c], 5)
        lies = (expected[:, c] >= least) | (table["channel"] == c)
        assert np.array_equal(found[f"coloc-{c}"], lies), c
    flat = read(run("cells.csv", "ellipsoids.csv", "--image", work / "image.zarr",
                    "--radius", "6um,6um,3um", "--threshold", "30000,0%,inf"))
    expected = means(integers, table, np.tile([6 / 5, 3, 1.5], (N, 1)))
    for c, least in enumerate([30000, expected[table["channel"] == 1, 1].min(), np.inf]):
        assert np.array_equal(flat[f"mean-{c}"], expected[:, c]), c
        lies = (expected[:, c] >= least) | (table["channel"] == c)
        assert np.array_equal(flat[f"coloc-{c}"], lies), c
    floats = rng.normal(size=SHAPE)
    np.save(work / "floats.npy", floats)
    found = read(run("cells.csv", "floats.csv", "--image", work / "floats.npy"))
    expected = means(floats, table, isotropic)
    for c in range(3):
        assert np.allclose(found[f"mean-{c}"], expected[:, c], rtol=1e-9, atol=1e-12), c

    check_detection(program, work)


def check_detection(program, work):
    """From the image to the pairs: cells of two channels, a third that is not searched."""
    rng = np.random.default_rng(3)
    image = rng.normal(300, 10, (3, 20, 80, 80))
    grid = np.stack(np.meshgrid(*map(np.arange, (20, 80, 80)), indexing="ij"), axis=-1)
    places = [(10, y, x) for y in (15, 40, 65) for x in (15, 40, 65)]
    for k, place in enumerate(places):
        cell = 3000 * np.exp(-((grid - place) ** 2).sum(axis=-1) / 8)
        image[0] += cell
        image[2] += cell
        if k % 2 == 0:
            image[1] += np.roll(cell, 1, axis=2)
    np.save(work / "stain.npy", image.astype(np.uint16))
    sigma = ["--min-sigma", 2, "--max-sigma", 2, "--num-sigma", 1, "--threshold", "0.01"]
    detect = ["detect", work / "stain.npy", work / "found.csv", *sigma]
    volchunk(program, *detect, "--channel", "0,1")
    found = read(work / "found.csv")
    assert np.array_equal(np.bincount(found["channel"]), [9, 5]), found["channel"]
    line = [program, "colocalize", work / "found.csv", work / "pairs.csv", "--tolerance", "2"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "channels 0 and 1: 5 of 9 and of 5 points are paired" in text, text
    line[3:] = [work / "mean.csv", "--image", work / "stain.npy", "--threshold", "1000"]
    text = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert "channel 0: 5 of 9 points lie in channel 1 too" in text, text
    assert "channel 1: 5 of 5 points lie in channel 2 too" in text, text
