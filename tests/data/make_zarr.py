"""Writes tests/data/zarr: small arrays as zarr-python stores them, and manifest.json.

Voxel i of an array (C order) is v = (7 i + 3) mod 251: bool v odd, signed integers v - 100,
floats v / 4 - 10. Needs zarr 3 and numcodecs. Run from anywhere: python make_zarr.py
"""

import json
import shutil
import warnings
from pathlib import Path

import numcodecs
import numpy as np
import zarr
from zarr.codecs import (
    BloscCodec,
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

warnings.simplefilter("ignore")
ROOT = Path(__file__).parent / "zarr"
SHAPE, CHUNK = (5, 6, 7), (3, 6, 4)
manifest = []


def voxels(shape, dtype):
    v = (7 * np.arange(np.prod(shape, dtype=np.int64)) + 3) % 251
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        v = v % 2
    elif dtype.kind == "i":
        v = v - 100
        if dtype.itemsize == 1:
            v = v // 2
    elif dtype.kind == "f":
        v = v / 4 - 10
    return v.reshape(shape).astype(dtype)


def note(path, array, **more):
    manifest.append(
        {
            "path": str(path),
            "dtype": array.dtype.newbyteorder("=").name,
            "shape": array.shape,
            "chunk": array.chunks,
            "shard": getattr(array, "shards", None),
        }
        | more
    )


def v2(name, dtype, compressor, order="C", **more):
    array = zarr.create(
        store=ROOT / f"v2-{name}.zarr", shape=SHAPE, chunks=CHUNK, dtype=dtype, order=order,
        compressor=compressor, zarr_format=2, fill_value=0, **more,
    )  # fmt: skip
    array[...] = voxels(SHAPE, dtype)
    note(f"v2-{name}.zarr", array)


def v3(name, dtype, codecs, chunk=CHUNK, partly=False, **more):
    array = zarr.create(
        store=ROOT / f"v3-{name}.zarr", shape=SHAPE, chunks=chunk, dtype=dtype, codecs=codecs,
        zarr_format=3, **{"fill_value": 0} | more,
    )  # fmt: skip
    if partly:
        array[:3] = voxels(SHAPE, dtype)[:3]
        note(f"v3-{name}.zarr", array, written=3, fill=more["fill_value"])
    else:
        array[...] = voxels(SHAPE, dtype)
        note(f"v3-{name}.zarr", array)


def plain():
    v2("zlib", "<u2", numcodecs.Zlib(1))
    v2("gzip", "<i4", numcodecs.GZip(1), dimension_separator="/")
    v2("zstd", "<u2", numcodecs.Zstd(3))
    v2("none", "|u1", None)
    v2("bool", "|b1", numcodecs.Zstd(1))
    v2("blosc-lz4", "<u2", numcodecs.Blosc("lz4", 5, numcodecs.Blosc.SHUFFLE))
    v2("blosc-zstd", "<f4", numcodecs.Blosc("zstd", 3, numcodecs.Blosc.BITSHUFFLE))
    v2("big", ">u2", numcodecs.Zstd(3))
    v2("big-none", ">f8", None)
    v2("fortran", "<u2", numcodecs.Zstd(3), order="F")
    v2("fortran-big", ">i2", numcodecs.GZip(1), order="F")

    little, zstd = BytesCodec(endian="little"), ZstdCodec(level=3)
    v3("zstd", "u2", [little, zstd], dimension_names=["z", "y", "x"])
    v3("zstd-checksum", "bool", [BytesCodec(), ZstdCodec(level=1, checksum=True)], fill_value=False)
    v3("gzip", "i2", [little, GzipCodec(level=1)])
    v3("blosc", "f4", [little, BloscCodec(cname="lz4", typesize=4)])
    v3("none", "f8", [little])
    v3("i1", "i1", [BytesCodec(), zstd])
    v3("u8", "u8", [little, zstd])
    v3("big", "u4", [BytesCodec(endian="big"), zstd])
    v3("transpose", "i8", [TransposeCodec(order=(2, 0, 1)), little, zstd])
    v3("crc32c", "u2", [little, zstd, Crc32cCodec()])
    v3("partly", "u2", [little, zstd], partly=True, fill_value=77)
    v3("key-v2", "u2", [little, zstd], chunk_key_encoding={"name": "v2", "separator": "."})
    shard = dict(chunk=(6, 6, 8))
    for location in ("end", "start"):
        sharding = ShardingCodec(
            chunk_shape=(3, 3, 4), codecs=[little, zstd], index_location=location
        )
        v3(f"shard-{location}", "u2", [sharding], **shard)
    v3("shard-gzip", "f4", [ShardingCodec(chunk_shape=(3, 3, 4), codecs=[little, GzipCodec()])], **shard)
    v3("shard-none", "u1", [ShardingCodec(chunk_shape=(3, 3, 4), codecs=[BytesCodec()])], **shard)
    v3("shard-partly", "u2", [ShardingCodec(chunk_shape=(3, 3, 4), codecs=[little, zstd])],
       partly=True, fill_value=77, **shard)  # fmt: skip


def ome(version):
    """Two levels of czyx; scales and translations on the datasets and on the multiscales."""
    format = 2 if version == "0.4" else 3
    name = f"ome-{version}.zarr"
    group = zarr.create_group(ROOT / name, zarr_format=format)
    space = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    datasets = []
    for k, shape in enumerate([(2, 4, 6, 6), (2, 2, 3, 3)]):
        scale = {"type": "scale", "scale": [1.0] + [f * 2**k for f in (2.5, 0.5, 0.5)]}
        shift = {"type": "translation", "translation": [0.0] + [f * k / 2 for f in (2.5, 0.5, 0.5)]}
        datasets.append({"path": f"s{k}", "coordinateTransformations": [scale, shift]})
        array = group.create_array(f"s{k}", shape=shape, chunks=(1, *shape[1:]), dtype="u2")
        array[...] = voxels(shape, "u2")
        note(f"{name}/s{k}", array)
    multiscales = [
        {
            "axes": [{"name": "c", "type": "channel"}, *space],
            "datasets": datasets,
            "coordinateTransformations": [
                {"type": "scale", "scale": [1.0, 2.0, 1.0, 1.0]},
                {"type": "translation", "translation": [0.0, 100.0, 0.0, 0.0]},
            ],
        }
    ]
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4"} | multiscales[0]]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    plain()
    ome("0.4")
    ome("0.5")
    group = zarr.create_group(ROOT / "group.zarr", zarr_format=3)
    for path in ("a", "b/c"):
        group.create_array(path, shape=(2,), chunks=(2,), dtype="u1")
    zarr.create(store=ROOT / "complex.zarr", shape=(2,), chunks=(2,), dtype="c8", zarr_format=3)
    zarr.create(store=ROOT / "delta.zarr", shape=(2,), chunks=(2,), dtype="<u2", zarr_format=2,
                filters=[numcodecs.Delta("<u2")])  # fmt: skip
    (ROOT / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


main()
