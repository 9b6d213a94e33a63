"""Tables of points, as others read them: Parquet with pyarrow, CSV by napari's rules, archives of
blobs with NumPy as MagellanMapper loads them. And theirs, as volchunk reads them.
"""

import csv
import json
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import volchunk

N = 20_000
NAMES = ["index", "axis-0", "axis-1", "axis-2", "sigma", "radius", "value", "channel"]


def points():
    rng = np.random.default_rng(0)
    sigma = rng.choice([2.0, 3.0, 1 / 3], N)
    value = rng.normal(size=N).astype("f4")
    value[:4] = [np.nan, np.inf, -np.inf, 1e-40]
    return {
        "index": np.arange(N),
        "axis-0": np.sort(rng.integers(0, 500, N)).astype(float),
        "axis-1": rng.uniform(-1e6, 1e6, N),
        "axis-2": rng.integers(0, 2**40, N).astype(float),
        "sigma": sigma,
        "radius": sigma * 3**0.5,
        "value": value,
        "channel": rng.integers(0, 3, N),
    }


def check_csv(path, expected):
    # As napari's reader: the csv module, and every column axis-* a coordinate.
    with open(path, newline="") as file:
        names, *rows = csv.reader(file)
    assert names == NAMES, names
    table = np.array(rows)
    axes = [name.startswith("axis-") for name in names]
    data = table[:, axes].astype(float)
    for a in range(3):
        assert np.array_equal(data[:, a], expected[f"axis-{a}"]), a
    for k, name in enumerate(names):
        found = table[:, k].astype(expected[name].dtype)
        assert np.array_equal(found, expected[name], equal_nan=name == "value"), name


def check_parquet(path, expected, types):
    table = pq.read_table(path)
    assert table.column_names == NAMES, table.column_names
    for name in NAMES:
        column = table[name]
        assert column.null_count == 0
        assert str(column.type) == types[name], (name, column.type)
        found = column.to_numpy()
        assert np.array_equal(found, expected[name], equal_nan=name == "value"), name
    metadata = json.loads(pq.read_metadata(path).metadata[b"volchunk"])
    assert [axis["name"] for axis in metadata["axes"]] == ["z", "y", "x"]


def check_blobs(path, expected, resolutions=None):
    # Not allow_pickle: MagellanMapper doesn't either.
    with np.load(path) as archive:
        found = {key: archive[key] for key in archive}
    assert found["ver"] == 5 and found["ver"].shape == ()
    segments = found["segments"]
    assert segments.dtype == np.float64 and segments.shape == (N, 8) and segments.flags.c_contiguous
    columns = list(found["columns"])
    assert columns == "z y x radius confirmed truth channel region".split()
    assert found["columns"].dtype == "<U9"
    pairs = [("z", "axis-0"), ("y", "axis-1"), ("x", "axis-2"), ("radius",) * 2, ("channel",) * 2]
    for theirs, ours in pairs:
        assert np.array_equal(segments[:, columns.index(theirs)], expected[ours]), theirs
    for name in ("confirmed", "truth", "region"):
        assert (segments[:, columns.index(name)] == -1).all(), name
    assert str(found["basename"]) == path.name.removesuffix("_blobs.npz")
    if resolutions is not None:
        assert np.array_equal(found["resolutions"], [resolutions])


def main(program, work):
    expected = points()
    types = {name: "double" for name in NAMES} | {
        "index": "int64", "channel": "int64", "value": "float"
    }
    plain = {name: pa.array(values) for name, values in expected.items()}
    for version, codec in [("1.0", "snappy"), ("2.0", "zstd"), ("1.0", "gzip"), ("1.0", "none")]:
        theirs, ours = work / f"{codec}.parquet", work / f"{codec}.csv"
        pq.write_table(pa.table(plain), theirs, compression=codec, data_page_version=version,
                       row_group_size=7_000, data_page_size=10_000)
        volchunk(program, "points", theirs, ours)
        check_csv(ours, expected)
        volchunk(program, "points", theirs, work / f"{codec}-ours.parquet")
        check_parquet(work / f"{codec}-ours.parquet", expected, types)
    # What text keeps of an f32 is a double.
    volchunk(program, "points", work / "zstd.csv", work / "text.parquet")
    text = {**expected, "value": np.array([float(str(v)) for v in expected["value"]])}
    check_parquet(work / "text.parquet", text, types | {"value": "double"})

    volchunk(program, "points", work / "zstd.parquet", work / "ours_blobs.npz")
    check_blobs(work / "ours_blobs.npz", expected)
    # Theirs, with a voxel size, through all formats.
    with np.load(work / "ours_blobs.npz") as archive:
        arrays = {**archive, "resolutions": np.array([[5.0, 2.0, 1.5]]), "colocs": None}
    np.savez(work / "theirs_blobs.npz", **arrays)
    volchunk(program, "points", work / "theirs_blobs.npz", work / "theirs.parquet")
    volchunk(program, "points", work / "theirs.parquet", work / "again_blobs.npz")
    check_blobs(work / "again_blobs.npz", expected, [5.0, 2.0, 1.5])

    # Two tables of nothing.
    empty = {name: values[:0] for name, values in plain.items()}
    pq.write_table(pa.table(empty), work / "empty.parquet")
    volchunk(program, "points", work / "empty.parquet", work / "empty.csv")
    volchunk(program, "points", work / "empty.csv", work / "empty_blobs.npz")
    volchunk(program, "points", work / "empty_blobs.npz", work / "empty-again.parquet")
    assert len(pq.read_table(work / "empty-again.parquet")) == 0
    with np.load(work / "empty_blobs.npz") as archive:
        assert archive["segments"].shape == (0, 8)

    count = [program, "points", work / "zstd.parquet", "--count"]
    text = subprocess.run(count, capture_output=True, text=True, check=True).stdout
    of = np.bincount(expected["channel"])
    lines = [f"{work / 'zstd.parquet'}: 20,000 points"]
    lines += [f"channel {c}: {n:,}" for c, n in enumerate(of)]
    assert text.splitlines() == lines, text
