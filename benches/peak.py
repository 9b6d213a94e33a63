"""Measured beside projected peak memory, over ops, formats, dtypes, shapes and workers.

    cargo build --release
    python benches/peak.py [--program target/release/volchunk]

A line for each run, with what the run itself reports: the kernel's peak of resident memory, and what
the plan projected. The promise is that measured never exceeds projected; the aim that a projection is
not more than twice what is used. A process holds a few MiB before it begins, so small volumes say
little. Appends the table to records/YYYY-MM-DD.csv.
"""

import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from measure import record, table

HERE = pathlib.Path(__file__).resolve().parent
SHAPES = ((128, 384, 384), (40, 512, 640), (3, 2, 48, 256, 300), (3000, 4000))
DTYPES = ("uint8", "uint16", "float32", "float64")
OPS = (
    [], ["gaussian:sigma=2"], ["gaussian:sigma=1:order=1:boundary=wrap:dtype=uint8"],
    ["cast:dtype=float64", "gaussian:sigma=1"], ["rescale:factor=1.5"],
    ["rescale:factor=0.4:order=0", "multiply:value=2"], ["downsample:factor=2"],
    ["downsample:factor=2", "gaussian:sigma=1", "threshold:value=9"], ["subtract:value=9"],
    ["clip:min=1:max=9"], ["transpose:axes="],
)
OF_IMAGES = (
    ["erode:radius=2"], ["tophat:radius=4"], ["median:radius=1"], ["highpass:sigma=8"],
    ["unsharp:radius=2:amount=0.5"], ["tv:iterations=5"], ["percentile:low=1:high=99"],
    ["local-percentile:block=32"], ["log:min-sigma=2:max-sigma=4:num-sigma=3:threshold=0.02"],
    ["dog:min-sigma=2:max-sigma=4:threshold=0.02"],
)
"""Of three axes of space alone; the last two make tables."""
CHUNKS = ("32", "64", "128", None)
UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

MAKE = """
import sys, numpy, tifffile, zarr
folder, shape, dtype = sys.argv[1], tuple(map(int, sys.argv[2].split(","))), sys.argv[3]
volume = (numpy.random.default_rng(1).random(shape) * 200).astype(dtype)
numpy.save(f"{folder}/in.npy", volume)
tifffile.imwrite(f"{folder}/in.tif", volume, photometric="minisblack")
chunk = tuple(min(n, 64) if a >= len(shape) - 3 else 1 for a, n in enumerate(shape))
out = zarr.create_array(f"{folder}/in.zarr", shape=shape, chunks=chunk, dtype=dtype,
                        compressors=zarr.codecs.ZstdCodec(level=1))
out[...] = volume
shards = zarr.create_array(f"{folder}/shards.zarr", shape=shape, dtype=dtype, chunks=chunk,
                           shards=tuple(2 * n for n in chunk))
shards[...] = volume
"""


def bytes_of(text: str) -> float:
    number, unit = text.split()
    return float(number) * UNITS[unit]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(HERE.parent / "target/release/volchunk"))
    options = parser.parse_args(arguments)
    work = pathlib.Path(tempfile.mkdtemp(prefix="volchunk-peak-"))
    rows = [["volume", "ops", "input", "output", "chunk", "workers", "measured", "projected", "ratio"]]
    ratios: dict[str, float] = {}
    k = 0
    for shape in SHAPES:
        for dtype in DTYPES:
            folder = work / f"{len(ratios)}"
            folder.mkdir()
            subprocess.run([sys.executable, "-c", MAKE, folder, ",".join(map(str, shape)), dtype],
                           check=True)
            info = json.loads(subprocess.run([options.program, "info", folder / "in.npy", "--json"],
                                             check=True, capture_output=True, text=True).stdout)
            turned = "".join(axis["name"] for axis in info["axes"])[::-1]
            for ops in OPS + (OF_IMAGES if len(shape) == 3 else ()):
                # Format, chunk and workers go around at different paces.
                source = ("in.npy", "in.zarr", "in.tif", "shards.zarr")[k % 4]
                plain = ops and ops[0].startswith("transpose")
                if ops and ops[0][:3] in ("log", "dog"):
                    output = "out.csv"
                else:
                    output = "out.zarr" if plain else ("out.npy", "out.zarr", "out.tif")[k // 2 % 3]
                chunk, workers = CHUNKS[(k + k // 4) % 4], ("1", "2", "4")[(k + k // 3) % 3]
                k += 1
                flags = [f for op in ops for f in ("--op", op + turned if plain else op)]
                flags += ["--chunk", chunk] if chunk else []
                command = [options.program, "run", source, output, *flags, "--workers", workers,
                           "--memory", "2GiB", "--force"]
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
                if done.returncode != 0:
                    sys.exit(f"{' '.join(command)}: {done.stderr}")
                found = re.search(r"Peak memory: (.+?) measured, (.+?) projected", done.stdout)
                measured, projected = found.groups()
                ratio = bytes_of(measured) / bytes_of(projected)
                volume = f"{'x'.join(map(str, shape))} {dtype}"
                rows.append([volume, " ".join(ops) or "none", source, output, chunk or "chosen",
                             workers, measured, projected, f"{ratio:.2f}"])
                ratios[" ".join(rows[-1][:6])] = ratio
            shutil.rmtree(folder)
    table(rows)
    values = sorted(ratios.values())
    large = [float(row[-1]) for row in rows[1:] if bytes_of(row[-2]) >= 100 << 20]
    for what, some in (("runs", values), ("of them project 100 MiB or more", sorted(large))):
        within = sum(0.5 <= ratio <= 1 for ratio in some)
        print(f"{len(some)} {what}: measured / projected from {some[0]:.2f} to {some[-1]:.2f}, "
              f"{within} from 0.5 to 1")
    record("peak", [(case, "measured / projected", ratio, "ratio") for case, ratio in ratios.items()])
    shutil.rmtree(work)
    return 1 if values[-1] > 1 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
