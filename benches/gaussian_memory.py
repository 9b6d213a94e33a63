"""Gaussian, uint16 to float32, in memory: volchunk beside SciPy per chunk on the same threads.

    python benches/gaussian_memory.py

Ours is the bench of volchunk-ops by this name; `--ours` takes any command that filters a
volume of the same size with the same sigma, and prints a line `seconds=<float>` for each repeat. In
it `{input}` becomes the path of the volume as NPY, and `{sigma}`, `{chunk}`, `{workers}`, `{size}`
and `{repeats}` their values. Both run in fresh processes, alternating; all repeats count.
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from measure import alternate, report

HERE = pathlib.Path(__file__).resolve().parent
OURS = (f"cargo bench --quiet --manifest-path '{HERE.parent / 'Cargo.toml'}' -p volchunk-ops "
        "--bench gaussian_memory -- {size} {sigma} {chunk} {workers} {repeats}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ours", default=OURS, help="command that prints seconds=<float> lines")
    parser.add_argument("--size", type=int, default=512, help="voxels along each axis")
    parser.add_argument("--sigma", type=float, default=2.0)
    parser.add_argument("--chunk", default="64,256,256")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5, help="processes of each")
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats in a process")
    parser.add_argument("--dir", type=pathlib.Path, help="keeps the volume here; default: temporary")
    o = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="volchunk-bench-") as temporary:
        folder = o.dir or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        image = folder / f"cells-{o.size}.npy"
        if not image.exists():
            print(f"making {image}", flush=True)
            partial = image.with_suffix(".partial.npy")
            subprocess.run([sys.executable, HERE / "synthetic.py", partial, "--size", str(o.size)],
                           check=True)
            partial.rename(image)
        ours = o.ours.format(input=image, sigma=o.sigma, chunk=o.chunk, workers=o.workers,
                             size=o.size, repeats=o.repeats)
        commands = {
            "volchunk": shlex.split(ours),
            "scipy per chunk": [sys.executable, str(HERE / "peers/scipy_gaussian.py"), str(image),
                                str(o.sigma), o.chunk, str(o.workers), str(o.repeats)],
        }
        samples = alternate(commands, o.rounds, before=lambda name: None)
        seconds = {name: {"time_s": [float(s) for run in runs
                                     for s in re.findall(r"seconds=([0-9.eE+-]+)", run.output)]}
                   for name, runs in samples.items()}
        if not seconds["volchunk"]["time_s"]:
            sys.exit(f"{ours}: printed no line seconds=<float>")
        report("gaussian_memory", f"{o.size}^3 sigma {o.sigma:g} workers {o.workers}", "volchunk",
               seconds)


if __name__ == "__main__":
    main()
