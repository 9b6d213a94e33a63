"""Random small jobs, many of them killed, against NumPy and SciPy on the whole volume.

    python tests/interop/soak.py path/to/volchunk --runs 2000 --seed 1 [--record FILE.csv]

A run is one output: a random volume in a random format, a random chain of ops, chunk, workers, memory
cap, region, mask, skipped value, output format; whole, or in parts that are finished; from flags or a
job file; and about half are killed (SIGKILL) at random moments before the command that is let through.
Everything but the moments of the kills follows from the seed and the run's number: `--only N` repeats
one. After every kill an output that says it is complete must be right. In the end it must be right bit
for bit; at times it is then gone through with `--check` or `verify`.

Exits with 1 if any run differs or is refused; its files are kept then, and named.
"""

import argparse
import datetime
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import oracle
import tifffile
import zarr
from check_gaussian import BOUNDARIES, DTYPES, filter_of_an_axis
from common import finest

MOST = (300, 60, 22, 10, 6)
"""Voxels of an axis, by the number of axes."""


class Wrong(Exception):
    """What the program did is not what was promised."""


def random_image(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        image = (rng.standard_normal(shape) * 300).astype(dtype)
    elif dtype.kind == "b":
        image = rng.random(shape) < 0.5
    else:
        least, most = oracle.limits(dtype)
        low, high = (max(least, -50), min(most, 200)) if rng.random() < 0.6 else (least, most)
        image = rng.integers(low, high, shape, dtype, endpoint=True)
    # A part that is everywhere the same, for what skips it, and where rounding shows.
    image[tuple(slice(0, int(n * rng.uniform(0.2, 0.9))) for n in shape)] = image.flat[-1]
    return image


def store_input(rng: np.random.Generator, work: pathlib.Path, name: str, image: np.ndarray) -> str:
    """Writes `image` in a random format; the name of what was written."""
    formats = ["npy", "fortran", "v2", "v3", "shards"]
    # tifffile says of a page of one column that its axes are others.
    if image.ndim > 1 and image.dtype != bool and image.shape[-1] > 1:
        formats += ["tif", "tif"]
    if image.ndim == 3 and image.dtype != bool:
        formats.append("planes")
    kind = str(rng.choice(formats))
    if kind in ("npy", "fortran"):
        np.save(work / f"{name}.npy", np.asfortranarray(image) if kind == "fortran" else image)
        return f"{name}.npy"
    if kind == "tif":
        compression = rng.choice([None, "zlib"])
        tifffile.imwrite(work / f"{name}.tif", image, photometric="minisblack",
                         compression=compression)
        return f"{name}.tif"
    if kind == "planes":
        (work / name).mkdir()
        for z, plane in enumerate(image):
            tifffile.imwrite(work / name / f"z{z}.tif", plane, photometric="minisblack")
        return name
    chunk = [int(rng.integers(1, n + 1)) for n in image.shape]
    # Not so small that a volume becomes thousands of files.
    while np.prod([-(-n // c) for n, c in zip(image.shape, chunk)]) > 60:
        chunk = [min(n, c + 1) for n, c in zip(image.shape, chunk)]
    shards = [c * int(rng.integers(1, 4)) for c in chunk] if kind == "shards" else None
    array = zarr.create_array(work / f"{name}.zarr", shape=image.shape, chunks=chunk,
                              shards=shards, dtype=image.dtype,
                              zarr_format=2 if kind == "v2" else 3, fill_value=0)
    array[...] = image
    return f"{name}.zarr"


def numbers(values: list) -> str:
    return ",".join(map(repr, values))


def random_op(rng: np.random.Generator, image: np.ndarray, axes: str):
    """An op as text, its result on `image`, the axes' names behind it."""
    ndim, dtype = image.ndim, image.dtype
    name = str(rng.choice(["gaussian"] * 4 + ["downsample", "rescale", "rescale", "transpose",
                                               "cast", "clip", "threshold", "subtract",
                                               "multiply"]))
    if name == "gaussian":
        filters = [(0.0, 0, 0) if rng.random() < 0.25 else filter_of_an_axis(rng)
                   for _ in range(ndim)]
        sigma, order, radius = map(list, zip(*filters))
        modes = [str(mode) for mode in rng.choice(BOUNDARIES, ndim)]
        cval = round(rng.uniform(-300, 300), 2)
        target = np.dtype(str(rng.choice(DTYPES))) if rng.random() < 0.3 else None
        text = ",".join(f"constant({cval})" if m == "constant" else m for m in modes)
        text = (f"gaussian:sigma={numbers(sigma)}:order={numbers(order)}"
                f":radius={numbers(radius)}:boundary={text}")
        text += f":dtype={target}" if target else ""
        target = target or oracle.float_for(dtype)
        return text, oracle.gaussian(image, sigma, order, radius, modes, cval, target), axes
    if name == "downsample":
        factor = [int(k) for k in rng.integers(1, 4, ndim)]
        return f"downsample:factor={numbers(factor)}", oracle.downsample(image, factor), axes
    if name == "rescale":
        factor = [round(float(f), 2) for f in rng.choice([1, 0.5, 2, rng.uniform(0.3, 2)], ndim)]
        order = int(rng.integers(0, 2))
        text = f"rescale:factor={numbers(factor)}:order={order}"
        return text, oracle.rescale(image, factor, order), axes
    if name == "transpose":
        order = rng.permutation(ndim)
        axes = "".join(axes[k] for k in order)
        return f"transpose:axes={axes}", image.transpose(order), axes
    if name == "cast":
        target = np.dtype(str(rng.choice(DTYPES)))
        return f"cast:dtype={target}", oracle.cast(image, target), axes
    value = rng.choice([round(rng.uniform(-100, 200), 1), int(rng.integers(-100, 200)),
                        int(oracle.limits(dtype)[1] if dtype.kind != "f" else 0)])
    value = int(value) if float(value).is_integer() else float(value)
    if name == "clip":
        low, high = sorted([value, round(float(rng.uniform(-100, 200)), 1)])
        given = {"min": low, "max": high}
        if rng.random() < 0.4:
            given.pop(str(rng.choice(["min", "max"])))
        text = ":".join(f"{key}={v!r}" for key, v in given.items())
        return f"clip:{text}", oracle.clip(image, given.get("min"), given.get("max")), axes
    if name == "threshold":
        return f"threshold:value={value!r}", oracle.threshold(image, value), axes
    function = np.subtract if name == "subtract" else np.multiply
    return f"{name}:value={value!r}", oracle.arithmetic(image, value, function), axes


class Case:
    """One run: what is made, what is asked for, what must come out."""

    def __init__(self, program: str, seed: int, number: int, work: pathlib.Path):
        self.program, self.work = program, work
        self.rng = np.random.default_rng([seed, number])
        # Of the moments of kills alone, which no repetition meets again.
        self.clock = np.random.default_rng()
        self.flags: list[str] = []
        self.limits: list[str] = []
        self.counts = {"kills": 0, "kills that came too late": 0, "parts": 0, "masks": 0, "regions": 0}

    def make(self) -> None:
        rng, work = self.rng, self.work
        ndim = int(rng.integers(1, 6))
        shape = tuple(int(n) for n in rng.integers(1, MOST[ndim - 1] + 1, ndim))
        image = random_image(rng, shape, np.dtype(str(rng.choice(DTYPES))))
        self.flags = ["run", store_input(rng, work, "in", image), ""]
        described = json.loads(self.call("info", self.flags[1], "--json"))
        axes = "".join(axis["name"] for axis in described["axes"])
        if tuple(described["shape"]) != shape:
            # A TIFF says nothing of some axes of one voxel.
            image = image.reshape(described["shape"])
        empty = image.flat[-1]
        if rng.random() < 0.3 and image.dtype.kind != "b":
            self.flags += ["--skip-empty", repr(empty.item())]
        for _ in range(int(rng.integers(0, 4))):
            if image.size > 100_000:
                break
            text, image, axes = random_op(rng, image, axes)
            self.flags += ["--op", text]
        self.expected = self.select(image)
        self.flags[2] = self.output = self.random_output(axes)
        self.divide()

    def select(self, image: np.ndarray) -> np.ndarray:
        """A mask and a region, at times."""
        rng = self.rng
        if rng.random() < 0.25:
            self.counts["masks"] = 1
            mask = np.zeros(image.shape, str(rng.choice(["bool", "uint8", "float32"])))
            corner = [np.sort(rng.integers(0, n + 1, 2)) for n in image.shape]
            mask[tuple(slice(*c) for c in corner)] = 1
            mask[rng.random(image.shape) < 0.02] = 1
            fill = int(rng.choice([0, 1] if image.dtype == bool else [0, 1, 7]))
            self.flags += ["--mask", store_input(rng, self.work, "mask", mask)]
            self.flags += ["--fill", str(fill)] if fill else []
            image = np.where(mask != 0, image, image.dtype.type(fill))
        if rng.random() < 0.25:
            self.counts["regions"] = 1
            starts = [int(rng.integers(0, n)) for n in image.shape]
            stops = [int(rng.integers(a + 1, n + 1)) for a, n in zip(starts, image.shape)]
            image = image[tuple(map(slice, starts, stops))]
            self.flags += ["--roi", ",".join(f"{a}:{b}" for a, b in zip(starts, stops))]
        return image

    def random_output(self, axes: str) -> str:
        formats = ["zarr", "zarr", "npy"]
        rest = axes[:-2]
        ordered = axes[-2:] == "yx" and list(rest) == sorted(rest, key="tcz".find)
        if ordered and set(rest) <= set("tcz") and self.expected.dtype != bool:
            formats.append("tif")
        return f"out.{self.rng.choice(formats)}"

    def divide(self) -> None:
        """Chunk, storage chunk, shard, workers, memory."""
        rng, shape = self.rng, self.expected.shape
        if rng.random() < 0.8:
            chunk = [int(rng.integers(1, n + 1)) for n in shape]
            while np.prod([-(-n // c) for n, c in zip(shape, chunk)]) > 400:
                chunk = [min(n, c + 1) for n, c in zip(shape, chunk)]
            self.flags += ["--chunk", numbers(chunk)]
            if self.output == "out.zarr" and rng.random() < 0.4:
                stored = [int(rng.choice([d for d in range(1, c + 1) if c % d == 0]))
                          for c in chunk]
                kind = rng.choice(["--storage-chunk", "--shard"])
                if kind == "--storage-chunk":
                    self.flags += ["--storage-chunk", numbers(stored)]
                else:
                    self.flags += ["--storage-chunk", numbers(stored), "--shard", numbers(chunk)]
        self.limits = ["--workers", str(rng.integers(1, 4))]
        if rng.random() < 0.3:
            self.limits += ["--memory", str(rng.choice(["64MiB", "200MB"]))]
        if rng.random() < 0.1:
            self.limits += ["--durable", "chunk"]
        if rng.random() < 0.1:
            self.limits += ["--retries", "1", "--keep-going"]
        if rng.random() < 0.2:
            self.call("plan", *self.flags[1:], "--write-job", "job.json")
            self.flags = ["run", "--job", "job.json"]

    def call(self, *arguments: str) -> str:
        line = [self.program, *arguments]
        done = subprocess.run(line, cwd=self.work, capture_output=True, text=True)
        if done.returncode != 0:
            raise Wrong(f"left {done.returncode}: {' '.join(arguments)}\n{done.stderr.strip()}")
        return done.stdout

    def killed(self, *arguments: str) -> None:
        """Begins a command and kills it; in most cases before its end."""
        with subprocess.Popen([self.program, *arguments], cwd=self.work, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as child:
            time.sleep(float(np.exp(self.clock.uniform(np.log(0.001), np.log(0.05)))))
            child.send_signal(signal.SIGKILL)
        complete = self.is_complete()
        self.counts["kills that came too late" if complete else "kills"] += 1
        if complete:
            self.compare("after a kill")

    def is_complete(self) -> bool:
        place = self.work / self.output
        if self.output != "out.zarr":
            return place.exists()
        try:
            root = json.loads((place / "zarr.json").read_text())
        except FileNotFoundError:
            return False
        return root["attributes"]["volchunk"]["complete"] is True

    def compare(self, when: str) -> None:
        place, expected = self.work / self.output, self.expected
        if self.output == "out.npy":
            found = np.load(place)
        elif self.output == "out.tif":
            found = tifffile.imread(place)
            if found.size == expected.size:
                found = found.reshape(expected.shape)
        else:
            found = finest(place)[...]
        if (found.shape, found.dtype) != (expected.shape, expected.dtype):
            raise Wrong(f"{when}: {found.dtype} {found.shape}, not "
                        f"{expected.dtype} {expected.shape}")
        if not np.array_equal(found, expected, equal_nan=expected.dtype.kind == "f"):
            wrong = np.argwhere(~np.equal(found, expected))
            place = tuple(wrong[0])
            raise Wrong(f"{when}: {len(wrong)} of {expected.size} voxels differ, the first at "
                        f"{place}: {found[place]!r}, not {expected[place]!r}")

    def run(self) -> None:
        rng = self.rng
        kills = int(rng.integers(1, 4)) if rng.random() < 0.5 else 0
        command = [*self.flags, *self.limits]
        if rng.random() < 0.2:
            parts = int(rng.integers(1, 5))
            self.counts["parts"] = 1
            for part in rng.permutation(parts):
                line = [*command, "--part", f"{part}/{parts}"]
                for _ in range(kills):
                    self.killed(*line)
                    if self.is_complete():
                        raise Wrong("complete before it is finished")
                self.call(*line)
            for _ in range(kills):
                self.killed("finish", self.output)
            self.call("finish", self.output)
        else:
            for _ in range(kills):
                self.killed(*command)
            self.call(*command)
        self.compare("in the end")
        if self.counts["parts"] == 0 and rng.random() < 0.15:
            before = self.call(*command, "--check")
            if "computed anew" in before:
                raise Wrong(f"--check found damage where there is none: {before}")
            self.compare("after --check")
        if rng.random() < 0.1:
            self.verify()

    def verify(self) -> None:
        """What is stored is what was written, and shows no seams."""
        lines = self.call("verify", self.output).splitlines()
        stored = any(t.startswith("digests") and "all as written" in t for t in lines)
        anew = [t for t in lines if t.startswith("shifted grid") and "computed anew" in t]
        other = any("bit for bit the same" not in t for t in anew)
        # Under a mask nothing is computed anew; else at least one region is.
        none = not self.counts["masks"] and not any(int(t.split()[2]) > 0 for t in anew)
        if not stored or other or none:
            raise Wrong("\n".join(["verify told something else:", *lines]))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one run, to repeat it")
    parser.add_argument("--record", type=pathlib.Path, help="append the figures to this CSV")
    options = parser.parse_args(arguments)
    chosen = range(options.runs) if options.only is None else [options.only]
    counts, differences = soak(options.program, options.seed, chosen)
    for line in differences:
        print(line)
    print(f"{len(chosen)} runs, {len(differences)} differences; "
          + ", ".join(f"{n} {what}" for what, n in counts.items()))
    if options.record:
        today = datetime.date.today().isoformat()
        figures = {"runs": len(chosen), **counts, "differences": len(differences)}
        with options.record.open("a") as file:
            for what, n in figures.items():
                file.write(f"{today},soak,seed {options.seed},{what},{n},\n")
    return 1 if differences else 0


def soak(program: str, seed: int, chosen) -> tuple[dict[str, int], list[str]]:
    """Runs the cases; what was counted, and what was wrong, a text each."""
    program = str(pathlib.Path(program).resolve())
    totals: dict[str, int] = {}
    differences = []
    for number in chosen:
        work = pathlib.Path(tempfile.mkdtemp(prefix=f"volchunk-soak-{number}-"))
        case = Case(program, seed, number, work)
        try:
            case.make()
            case.run()
        except Wrong as wrong:
            flags = " ".join(case.flags + case.limits)
            differences.append(f"run {number} of seed {seed}, kept in {work}: {flags}\n  {wrong}")
            print(differences[-1], file=sys.stderr, flush=True)
        else:
            shutil.rmtree(work)
        for what, n in case.counts.items():
            totals[what] = totals.get(what, 0) + n
    return totals, differences


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
