"""Gaussian, Zarr v3 zstd to Zarr v3 zstd, whole processes: volchunk beside dask and zarrs_filter.

    cargo build --release
    python benches/gaussian_zarr.py --size 512
    python benches/gaussian_zarr.py --size 1024 --rounds 3

Every run is a fresh process on the same volume, chunk shape, zstd level and number of workers; the
runs alternate. Wall time and peak resident memory of the whole process are measured. At the end
every output is compared with scipy.ndimage.gaussian_filter; volchunk's and dask's must be equal.
zarrs_filter takes part if it is installed (cargo install zarrs_tools --features filter). It knows
another boundary only, so it is compared where the edge has no part; and it does not divide its weights
by their sum, which is 6e-5 short of 1 at 4 sigma, so it is compared to three digits.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from measure import alternate, report

HERE = pathlib.Path(__file__).resolve().parent


def compare(source: str, sigma: float, outputs: list[str]) -> None:
    """Compares outputs with SciPy's result, slab by slab; runs in a process of its own."""
    import numpy as np
    import zarr
    from scipy import ndimage

    def array(path: str) -> zarr.Array:
        node = zarr.open(path, mode="r")
        return node if isinstance(node, zarr.Array) else node["0"]

    image = array(source)
    size, halo = image.shape[0], int(4 * sigma + 0.5)
    arrays = {pathlib.Path(path).stem: array(path) for path in outputs}
    different, furthest = dict.fromkeys(arrays, 0), dict.fromkeys(arrays, 0.0)
    for start in range(0, size, 64):
        stop = min(start + 64, size)
        low, high = max(start - halo, 0), min(stop + halo, size)
        whole = ndimage.gaussian_filter(image[low:high], sigma, output=np.float32)
        whole = whole[start - low : stop - low]
        for name, result in arrays.items():
            ours, expected = result[start:stop], whole
            if name == "zarrs_filter":
                z = slice(max(halo - start, 0), max(size - halo - start, 0))
                inner = (z, slice(halo, -halo), slice(halo, -halo))
                ours, expected = ours[inner], expected[inner]
            different[name] += int(np.count_nonzero(ours != expected))
            distance = np.abs(ours - expected) / np.maximum(np.abs(expected), 1)
            furthest[name] = max(furthest[name], float(distance.max(initial=0)))
    wrong = []
    for name in arrays:
        print(f"{name}: {different[name]} of {size**3} voxels differ from SciPy's, "
              f"by at most {furthest[name]:.1e} of their value")
        if furthest[name] > 1e-3 or (name != "zarrs_filter" and different[name]):
            wrong.append(name)
    if wrong:
        sys.exit(f"wrong result: {', '.join(wrong)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volchunk", default=HERE.parent / "target/release/volchunk",
                        type=pathlib.Path, help="the program; default: target/release/volchunk")
    parser.add_argument("--zarrs-filter", default=shutil.which("zarrs_filter"),
                        help="zarrs_filter, if it isn't on the PATH")
    parser.add_argument("--size", type=int, default=512, help="voxels along each axis")
    parser.add_argument("--sigma", type=float, default=2.0)
    parser.add_argument("--chunk", default="64,256,256", help="storage chunks, and chunks")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=pathlib.Path, help="keeps the input here; default: temporary")
    parser.add_argument("--compare", nargs="+", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.compare:
        return compare(o.compare[0], o.sigma, o.compare[1:])
    if not o.volchunk.is_file():
        sys.exit(f"{o.volchunk} does not exist; cargo build --release, or name it by --volchunk")

    with tempfile.TemporaryDirectory(prefix="volchunk-bench-", dir=o.dir and o.dir.parent) as work:
        folder = o.dir or pathlib.Path(work)
        folder.mkdir(parents=True, exist_ok=True)
        image = folder / f"cells-{o.size}-{o.chunk.replace(',', 'x')}.zarr"
        if not image.exists():
            print(f"making {image}", flush=True)
            partial = image.with_suffix(".partial.zarr")
            shutil.rmtree(partial, ignore_errors=True)
            subprocess.run([sys.executable, HERE / "synthetic.py", partial, "--size", str(o.size),
                            "--chunk", o.chunk], check=True)
            partial.rename(image)

        out = {name: f"{work}/{name}.zarr" for name in ("volchunk", "dask", "zarrs_filter")}
        commands = {
            "volchunk": [str(o.volchunk), "run", str(image), out["volchunk"],
                         "--op", f"gaussian:sigma={o.sigma:g}", "--chunk", o.chunk,
                         "--workers", str(o.workers), "--force", "--quiet"],
            "dask": [sys.executable, str(HERE / "peers/dask_gaussian.py"), str(image), out["dask"],
                     str(o.sigma), str(o.workers)],
        }
        if o.zarrs_filter:
            half = int(4 * o.sigma + 0.5)
            commands["zarrs_filter"] = [
                o.zarrs_filter, "--chunk-limit", str(o.workers), "gaussian",
                "--data-type", "float32", "--chunk-shape", o.chunk, "--bytes-to-bytes-codecs",
                '[{"name": "zstd", "configuration": {"level": 1, "checksum": false}}]', str(image), out["zarrs_filter"],
                ",".join([f"{o.sigma:g}"] * 3), ",".join([str(half)] * 3)]
        else:
            print("zarrs_filter is not installed; measuring without it")

        samples = alternate(commands, o.rounds,
                            before=lambda name: shutil.rmtree(out[name], ignore_errors=True))
        report("gaussian_zarr", f"{o.size}^3 sigma {o.sigma:g} chunk {o.chunk} workers {o.workers}",
               "volchunk",
               {name: {"wall_s": [s.seconds for s in runs], "peak_MB": [s.peak_mb for s in runs]}
                for name, runs in samples.items()})
        sys.exit(subprocess.run(
            [sys.executable, __file__, "--sigma", str(o.sigma), "--compare", str(image),
             *(out[name] for name in commands)]).returncode)


if __name__ == "__main__":
    main()
