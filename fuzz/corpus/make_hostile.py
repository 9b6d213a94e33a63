"""Writes the hostile seeds beside this file: `python make_hostile.py`. Of NPY they are by hand."""

import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
HUGE = 1 << 60


def classic(fields, following=0, at=8):
    """A little-endian TIFF with one directory of (tag, type, count, value)."""
    data = struct.pack("<2sHI", b"II", 42, at).ljust(at, b"\0") + struct.pack("<H", len(fields))
    return data + b"".join(struct.pack("<HHII", *f) for f in fields) + struct.pack("<I", following)


def big(fields, following=0):
    """The same as BigTIFF."""
    data = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(fields))
    return data + b"".join(struct.pack("<HHQQ", *f) for f in fields) + struct.pack("<Q", following)


def image(width, height, compression=1):
    """The fields of an 8-bit image of one strip of 16 bytes at offset 8."""
    return [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression),
            (273, 4, 1, 8), (278, 4, 1, height), (279, 4, 1, 16)]


def tiff():
    most = 0xFFFFFFFF
    yield "loop", classic(image(4, 4), following=8)
    # Two directories that follow each other in turn.
    first = classic(image(4, 4), following=98)
    yield "loop-of-two", first + classic(image(4, 4), following=8)[8:]
    yield "big-loop", big(image(4, 4), following=16)
    yield "beyond-the-end", classic(image(4, 4), following=most)
    yield "huge-image", classic(image(most, most))
    yield "huge-image-deflate", classic(image(most, most, 8))
    yield "huge-strip-count", classic(image(4, 4)[:4] + [(273, 4, most, 8), (279, 4, most, 8)])
    yield "big-huge-count", big(image(4, 4)[:4] + [(273, 16, 1 << 61, 8), (279, 16, 1 << 61, 8)])
    yield "big-huge-image", big([(256, 16, 1, HUGE), (257, 16, 1, HUGE)] + image(4, 4)[2:])
    yield "huge-description", classic([*image(4, 4), (270, 2, most, 8)])
    yield "huge-directory", struct.pack("<2sHIH", b"II", 42, 8, 0xFFFF)
    yield "big-huge-directory", struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, (1 << 64) - 1)
    yield "no-tile-width", classic([*image(4, 4)[:4], (322, 3, 1, 0), (323, 3, 1, 0),
                                    (324, 4, 1, 8), (325, 4, 1, 16)])
    text = b"ImageJ=1.54\nimages=4294967295\nslices=1152921504606846976\n\0"
    described = [*image(4, 4), (270, 2, len(text), 8 + 2 + 8 * 12 + 4)]
    yield "imagej-huge", classic(sorted(described)) + text


def v3(shape, chunk, **changes):
    return {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": "uint8",
            "fill_value": 0, "chunk_key_encoding": {"name": "default"},
            "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration":
                                           {"level": 1, "checksum": False}}],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}}, **changes}


def sharded(chunk):
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    return [{"name": "sharding_indexed", "configuration": {
        "chunk_shape": chunk, "codecs": [{"name": "bytes"}], "index_codecs": index,
        "index_location": "end"}}]


def zarr_v3():
    yield "huge-shape", v3([HUGE] * 3, [4, 4, 4])
    yield "huge-axis", v3([HUGE], [4])
    yield "huge-chunk", v3([4, 4, 4], [HUGE] * 3)
    yield "chunk-beyond-memory", v3([HUGE], [HUGE])
    yield "huge-shard", v3([HUGE, 4, 4], [HUGE, 4, 4], codecs=sharded([1, 1, 1]))
    yield "no-chunk-in-shard", v3([4, 4, 4], [4, 4, 4], codecs=sharded([0, 4, 4]))
    yield "no-voxels", v3([4, 0, 4], [4, 4, 4])
    yield "many-axes", v3([1] * 1000, [1] * 1000)


def v2(shape, chunks, **changes):
    return {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<u2",
            "compressor": {"id": "zlib", "level": 1}, "fill_value": 0, "order": "C",
            "filters": None, **changes}


def zarr_v2():
    yield "huge-shape", v2([HUGE] * 3, [4, 4, 4])
    yield "huge-chunk", v2([4, 4, 4], [HUGE] * 3)
    yield "chunk-of-nothing", v2([4, 4, 4], [0, 4, 4])
    yield "wide-dtype", v2([4, 4, 4], [4, 4, 4], dtype="<u1152921504606846976")


def zarr_v2_attributes():
    def scaled(path, scale):
        axes = [{"name": name, "type": "space"} for name in "zyx"]
        steps = [{"type": "scale", "scale": scale}]
        return {"multiscales": [{"version": "0.4", "axes": axes, "datasets": [
            {"path": path, "coordinateTransformations": steps}]}]}
    yield "path-upwards", scaled("../../..", [1, 1, 1])
    yield "path-to-itself", scaled(".", [1, 1, 1])
    yield "scale-beyond-f64", scaled("0", [1e308, -1, 0])
    yield "scales-that-lack", scaled("0", [])


for make in (tiff, zarr_v3, zarr_v2, zarr_v2_attributes):
    folder = HERE / make.__name__
    folder.mkdir(exist_ok=True)
    for name, seed in make():
        data = seed if isinstance(seed, bytes) else json.dumps(seed).encode()
        (folder / name).write_bytes(data)
