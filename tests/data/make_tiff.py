"""Makes the TIFF fixtures in tests/data/tiff with tifffile (2026.3.3) and imagecodecs.

    python tests/data/make_tiff.py

Voxel number n of a volume, counted in C order, holds ``v = (40503 n + n² // 8) mod 65521``: the
low bits of v for unsigned dtypes, of v - 32760 for signed ones, v / 4 - 100 for floats. So the
tests know every voxel without a second file.
"""

from pathlib import Path

import numpy as np
import tifffile

OUT = Path(__file__).parent / "tiff"


def volume(shape, dtype):
    n = np.arange(np.prod(shape), dtype=np.int64)
    v = (40503 * n + n * n // 8) % 65521
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        v = v / 4 - 100
    elif dtype.kind == "i":
        v = v - 32760
    return v.astype(dtype).reshape(shape)


def write(name, shape, dtype, **options):
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(OUT / name, volume(shape, dtype), **options)


def folder(name, shape, dtype, **options):
    (OUT / name).mkdir(exist_ok=True)
    for z, plane in enumerate(volume(shape, dtype)):
        tifffile.imwrite(OUT / name / f"plane{z}.tif", plane, photometric="minisblack", **options)


def main():
    OUT.mkdir(exist_ok=True)
    tifffile.TIFF.AUTHOR = ""
    plain = {"metadata": None, "software": False}
    zyx = (3, 23, 31)

    # Twelve planes: in natural order, plane10 comes after plane9.
    folder("planes-big-endian", (12, 9, 11), "uint16", byteorder=">", **plain)

    for dtype in "uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64".split():
        order = ">" if dtype in ("uint32", "int16", "float64") else "<"
        write(f"pages-{dtype}.tif", (2, 7, 9), dtype, byteorder=order, **plain)
    write("bigtiff.tif", zyx, "uint16", bigtiff=True, **plain)
    write("bigtiff-big-endian.tif", zyx, "int32", bigtiff=True, byteorder=">", **plain)
    write("strips.tif", zyx, "uint16", rowsperstrip=5, **plain)
    write("strips-scattered.tif", zyx, "uint16", rowsperstrip=5, **plain)
    scatter(OUT / "strips-scattered.tif")
    write("tiles.tif", zyx, "uint16", tile=(16, 16), **plain)
    write("tiles-deflate.tif", zyx, "uint16", tile=(16, 16), compression="zlib", **plain)
    packed = {"rowsperstrip": 6, **plain}
    write("deflate.tif", zyx, "uint16", compression="zlib", **packed)
    write("deflate-horizontal.tif", zyx, "uint16", compression="zlib", predictor=2, **packed)
    write(
        "deflate-horizontal-big-endian.tif",
        zyx, "int32", compression="zlib", predictor=2, byteorder=">", **packed,
    )
    write("lzw-horizontal.tif", zyx, "uint8", compression="lzw", predictor=2, **packed)
    write("lzw.tif", zyx, "int16", compression="lzw", **packed)
    write("packbits.tif", zyx, "uint8", compression="packbits", **packed)
    write("zstd.tif", zyx, "uint16", compression="zstd", **packed)
    write("zstd-uint64.tif", zyx, "uint64", compression="zstd", predictor=2, **packed)
    write("deflate-float.tif", zyx, "float32", compression="zlib", predictor=3, **packed)
    write(
        "tiles-float-big-endian.tif",
        zyx, "float32", tile=(16, 16), compression="zstd", predictor=3, byteorder=">", **plain,
    )
    write("deflate-float64.tif", zyx, "float64", compression="zlib", predictor=3, **packed)
    write("rgb.tif", (23, 31, 3), "uint8", photometric="rgb", **plain)
    write("rgb-deflate.tif", (2, 23, 31, 3), "uint16", photometric="rgb",
          compression="zlib", predictor=2, **packed)
    write("shaped.tif", (2, 3, 7, 9), "uint16", metadata={"axes": "TZYX"}, software=False)

    hyper = {"imagej": True, "resolution": (2.0, 4.0), "software": False}
    write("imagej-tzcyx.tif", (2, 3, 2, 7, 9), "uint16", byteorder=">",
          metadata={"axes": "TZCYX", "spacing": 5.0, "unit": "micron", "finterval": 0.5}, **hyper)
    # An ImageJ stack above 4 GB has one directory: here only the count of pages is like that.
    write("imagej-single.tif", (6, 7, 9), "uint16",
          metadata={"axes": "ZYX", "spacing": 3.0, "unit": "um"}, **hyper)
    one_directory(OUT / "imagej-single.tif")

    write("ome.ome.tif", (2, 3, 2, 7, 9), "uint16", ome=True, software=False, metadata={
        "axes": "TCZYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm",
        "PhysicalSizeZ": 2000.0, "PhysicalSizeZUnit": "nm",
        "TimeIncrement": 1.5, "TimeIncrementUnit": "s"})
    write("ome-deflate.ome.tif", (3, 23, 31), "float32", ome=True, compression="zlib",
          software=False, metadata={"axes": "ZYX"})

    # What is refused, by name.
    write("refused-jpeg2000.tif", (16, 16), "uint8", compression="jpeg2000", **plain)
    write("refused-planar.tif", (3, 16, 16), "uint8", photometric="rgb", planarconfig="separate",
          **plain)
    tifffile.imwrite(OUT / "refused-bilevel.tif", np.zeros((16, 16), bool), **plain)
    with tifffile.TiffWriter(OUT / "refused-mixed.tif") as tif:
        tif.write(volume((16, 16), "uint8"), **plain)
        tif.write(volume((16, 17), "uint8"), **plain)
    total = sum(p.stat().st_size for p in OUT.rglob("*.tif"))
    print(f"{total} bytes")
    assert total < 300_000


def one_directory(path):
    """Cuts the chain of directories behind the first."""
    with tifffile.TiffFile(path) as tif:
        first = tif.pages.first
        count = len(first.tags)
        assert not tif.is_bigtiff and first.dataoffsets[0] + 6 * 7 * 9 * 2 <= path.stat().st_size
        at = first.offset + 2 + 12 * count
    raw = bytearray(path.read_bytes())
    raw[at : at + 4] = bytes(4)
    path.write_bytes(raw)


def scatter(path):
    """Moves the strips of the first page to the end of the file, in reverse order."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        tag = page.tags["StripOffsets"]
        offsets, counts = page.dataoffsets, page.databytecounts
        at, size = tag.valueoffset, {3: 2, 4: 4}[int(tag.dtype)]
    raw = bytearray(path.read_bytes())
    moved = {}
    for k in reversed(range(len(offsets))):
        moved[k] = len(raw)
        raw += raw[offsets[k] : offsets[k] + counts[k]]
    for k in range(len(offsets)):
        raw[offsets[k] : offsets[k] + counts[k]] = bytes(counts[k])
        raw[at + k * size : at + (k + 1) * size] = moved[k].to_bytes(size, "little")
    path.write_bytes(raw)


if __name__ == "__main__":
    main()
