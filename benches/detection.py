"""Finds 2,000 synthetic cells beside scikit-image: what is found, in what time.

    python benches/detection.py --program target/release/volchunk [--rounds 5] [--dir FOLDER]
                                [--magmap PYTHON]

The volume: 128 × 512 × 512 float32, Gaussian cells of σ 3 to 4.5 voxels, 0.1 to 1 high, at least 14
voxels apart, on noise of 0.03; from a seed. `volchunk detect` and blob_log (three σ from 3 to 4.5)
and blob_dog (σ from 2 to 6, three scales) take the same threshold. A cell is found where it and a blob
are each other's nearest, no further apart than the cell's σ. PYTHON, of an environment with MagellanMapper
(`pip install magellanmapper`), has its detection in chunks measured too, on two processes.

Each sample is a fresh process: `wall` is all of it, with reading the volume (and, of volchunk, the
journal and the CSV file); `call` is the time of the function alone (scikit-image, MagellanMapper), or of
the run as volchunk states it.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import measure

SHAPE = (128, 512, 512)
CELLS, APART, NOISE, THRESHOLD = 2000, 14, 0.03, 0.03
METHODS = {
    "log": {"min_sigma": 3, "max_sigma": 4.5, "num_sigma": 3},
    "dog": {"min_sigma": 2, "max_sigma": 6, "sigma_ratio": 1.6},
}


def make(folder: pathlib.Path) -> None:
    """Writes volume.npy, and cells.npy with a row z, y, x, σ for every cell."""
    import numpy as np
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(1)
    centres = np.empty((0, 3))
    while len(centres) < CELLS:
        one = rng.uniform(4, np.array(SHAPE) - 5)
        if not len(centres) or np.square(centres - one).sum(1).min() >= APART**2:
            centres = np.vstack([centres, one])
    assert len(cKDTree(centres).query_pairs(APART - 0.01)) == 0
    sigmas = rng.uniform(3, 4.5, CELLS)
    volume = rng.standard_normal(SHAPE, dtype=np.float32) * np.float32(NOISE)
    for centre, sigma, height in zip(centres, sigmas, rng.uniform(0.1, 1, CELLS)):
        parts, profiles = [], []
        for c, n in zip(centre, SHAPE):
            at = np.arange(max(int(c) - 20, 0), min(int(c) + 21, n))
            profiles.append(np.exp(-((at - c) ** 2) / (2 * sigma**2)).astype(np.float32))
            parts.append(slice(at[0], at[-1] + 1))
        z, y, x = profiles
        volume[tuple(parts)] += np.float32(height) * z[:, None, None] * y[:, None] * x
    np.save(folder / "volume.npy", volume)
    np.save(folder / "cells.npy", np.column_stack([centres, sigmas]))


def peer(folder: pathlib.Path, method: str) -> None:
    """scikit-image on the whole volume; prints the seconds of the call."""
    import numpy as np
    from skimage.feature import blob_dog, blob_log

    volume = np.load(folder / "volume.npy")
    begin = time.perf_counter()
    blobs = {"log": blob_log, "dog": blob_dog}[method](volume, threshold=THRESHOLD, **METHODS[method])
    print("call", time.perf_counter() - begin)
    np.savetxt(folder / f"skimage-{method}.csv", blobs[:, :3], delimiter=",",
               header="axis-0,axis-1,axis-2", comments="")


def score(folder: pathlib.Path, table: str) -> None:
    """Prints recall, precision and the number of blobs of a table."""
    import numpy as np
    from scipy.spatial import cKDTree

    cells = np.load(folder / "cells.npy")
    with open(folder / table) as file:
        names = file.readline().strip().split(",")
        columns = [names.index(f"axis-{a}") for a in range(3)]
        blobs = np.loadtxt(file, delimiter=",", usecols=columns, ndmin=2)
    distance, nearest = cKDTree(blobs).query(cells[:, :3])
    back = cKDTree(cells[:, :3]).query(blobs)[1]
    hits = int(((back[nearest] == np.arange(CELLS)) & (distance <= cells[:, 3])).sum())
    print(hits / CELLS, hits / len(blobs), len(blobs))


def ours(program: str, folder: pathlib.Path, method: str, table: str, chunk: int | None) -> list[str]:
    command = [program, "detect", str(folder / "volume.npy"), str(folder / table), "--axes", "zyx",
               "--method", method, "--threshold", str(THRESHOLD), "--workers", "2", "--force"]
    for name, value in METHODS[method].items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return command + (["--chunk", str(chunk)] if chunk else [])


def magmap(python: str, folder: pathlib.Path) -> list[str]:
    log = METHODS["log"]
    # It keeps preferences in the home folder.
    return ["env", f"HOME={folder}", "MPLBACKEND=agg", python,
            str(pathlib.Path(__file__).parent / "peers/magmap_detect.py"), str(folder / "volume.npy"),
            str(folder / "magmap-log.csv"), *(str(v) for v in log.values()), str(THRESHOLD), "2"]


def itself(folder: pathlib.Path, *arguments: str) -> list[str]:
    return [sys.executable, __file__, "--dir", str(folder), *arguments]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="target/release/volchunk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--magmap", metavar="PYTHON", help="a Python that has MagellanMapper")
    parser.add_argument("--dir", type=pathlib.Path, help="where volume and tables are kept")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        {"make": make, "peer": peer, "score": score}[options.part[0]](options.dir, *options.part[1:])
        return
    with tempfile.TemporaryDirectory(prefix="volchunk-detection-") as temporary:
        folder = options.dir or pathlib.Path(temporary)
        if not (folder / "cells.npy").exists():
            subprocess.run(itself(folder, "--part", "make"), check=True)
        for method in METHODS:
            peers = {"scikit-image": itself(folder, "--part", "peer", method)}
            if options.magmap and method == "log":
                peers["MagellanMapper"] = magmap(options.magmap, folder)
            bench(options.program, folder, method, options.rounds, peers)


def bench(
    program: str, folder: pathlib.Path, method: str, rounds: int, peers: dict[str, list[str]]
) -> None:
    table = f"volchunk-{method}.csv"
    commands = {"volchunk": ours(program, folder, method, table, None), **peers}
    samples = measure.alternate(commands, rounds, before=lambda name: None)
    figures = {}
    for name, taken in samples.items():
        said = r"^call (\S+)|^Searched .* in ([\d.]+) s"
        calls = [re.search(said, sample.output, re.MULTILINE) for sample in taken]
        figures[name] = {"wall_s": [s.seconds for s in taken], "peak_MB": [s.peak_mb for s in taken],
                         "call_s": [float(call[1] or call[2]) for call in calls]}
    measure.report("detection", f"{method} 128x512x512", "volchunk", figures)

    tables = {"scikit-image": f"skimage-{method}.csv", "default chunk": table}
    if "MagellanMapper" in peers:
        tables["MagellanMapper"] = "magmap-log.csv"
    for chunk in (128, 64, 48, 32):
        tables[f"chunk {chunk}"] = f"chunk{chunk}-{method}.csv"
        measure.measure(ours(program, folder, method, tables[f"chunk {chunk}"], chunk))
    first = (folder / table).read_bytes()
    rows, records = [["", "recall", "precision", "blobs", "the table of the default chunk"]], []
    for name, path in tables.items():
        line = subprocess.run(itself(folder, "--part", "score", path), check=True,
                              capture_output=True, text=True).stdout.split()
        same = "" if name in peers else str((folder / path).read_bytes() == first)
        rows.append([name, *(f"{float(n):.4f}" for n in line[:2]), line[2], same])
        records += [(f"{method} {name}", metric, float(n), unit) for metric, n, unit in
                    zip(("recall", "precision", "blobs"), line, ("", "", ""))]
    measure.table(rows)
    measure.record("detection", records)


if __name__ == "__main__":
    main()
