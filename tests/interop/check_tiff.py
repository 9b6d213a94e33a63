"""Reads with tifffile the TIFFs that volchunk-io's tests write: every dtype but bool, two to five
axes.

The test of the library runs this file itself, as a program, on what it wrote:

    python tests/interop/check_tiff.py FILE AXES SHAPE DTYPE SCALE [FILE AXES SHAPE DTYPE SCALE] …

AXES as ``zyx``, SHAPE and SCALE (µm, or s for t; ``-`` for none) by commas, as ``3,23,31``.
Voxels follow the formula of tests/data/make_tiff.py. Exits with 1 at the first difference.
"""

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import tifffile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "data"))
from make_tiff import volume  # noqa: E402


def check(path, axes, shape, dtype, scale):
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        assert tif.is_bigtiff and tif.byteorder == "<", f"{path}: not a little-endian BigTIFF"
        assert page.dataoffsets[0] % 16 == 0, f"{path}: voxels are not aligned"
        series = tif.series[0]
        assert len(tif.series) == 1, f"{path}: {len(tif.series)} series"
        full = "".join(a for a, n in zip(axes, shape) if n > 1 or a in "yx")
        found = series.axes.lower()
        assert found in (axes, full), f"{path}: axes {found}, not {axes}"
        got = tif.asarray()
        want = volume(shape, dtype).reshape(got.shape)
        assert got.dtype == want.dtype, f"{path}: {got.dtype}, not {want.dtype}"
        assert np.array_equal(got, want), f"{path}: voxels differ"
        if scale is not None and tif.is_ome:
            root = ET.fromstring(tif.ome_metadata)
            pixels = next(e for e in root.iter() if e.tag.endswith("}Pixels"))
            for axis, step in zip(axes, scale):
                key = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
                if axis == "c":
                    continue
                assert float(pixels.get(key)) == step, f"{path}: {key} {pixels.get(key)}"
                assert pixels.get(key + "Unit") == ("s" if axis == "t" else "µm"), path


def check_files(arguments):
    step = 5
    assert arguments and len(arguments) % step == 0, __doc__
    for k in range(0, len(arguments), step):
        path, axes, shape, dtype, scale = arguments[k : k + step]
        shape = tuple(int(n) for n in shape.split(","))
        scale = None if scale == "-" else [float(v) for v in scale.split(",")]
        check(path, axes, shape, dtype, scale)
    print(f"{len(arguments) // step} files are what tifffile reads")


def main(program: str, work: pathlib.Path) -> None:
    # A test of the library writes them, since the program has no flag for voxels of its own.
    test = "tifffile_reads_what_is_written"
    done = subprocess.run(["cargo", "test", "--locked", "-p", "volchunk-io", "--lib", test, "--",
                           "--nocapture"], cwd=REPOSITORY, capture_output=True, text=True,
                          env={**os.environ, "VOLCHUNK_PYTHON": sys.executable})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files are what tifffile reads" in done.stdout, f"{test} was skipped: {done.stdout}"


if __name__ == "__main__":
    check_files(sys.argv[1:])
