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


def journal():
    """Odd first byte: range, a quarter of the text's length, text, records of number and kind."""
    def form(start, end, text, records, torn=b""):
        text = text.ljust(-(-len(text) // 4) * 4)
        return (struct.pack("<BQQB", 1, start, end, len(text) // 4) + text
                + b"".join(struct.pack("<QB", *r) for r in records) + torn)
    most = (1 << 64) - 1
    head = json.dumps({
        "volchunk": "0.1.0", "level": 0, "volume": [4, 5, 6], "region": [[0, 4], [0, 5], [0, 6]],
        "chunk": [2, 2, 2], "job": {"volchunk_job": 1, "input": "i.npy", "ops": [],
                                    "output": "a.npy"}}).encode()
    yield "sound", form(0, 18, head, [(0, 1), (0, 2), (5, 0), (17, 2), (5, 2)], b"torn")
    yield "backwards", form(9, 2, head, [(5, 2)])
    yield "last-of-all", form(most - 1, most, b"", [(most - 1, 2), (0, 1)])
    yield "far", form(0, most, b"", [(1 << 22, 2), (1 << 40, 2)])
    yield "raw-header", b"volchunk" + struct.pack("<IIQQQ", 1, 1 << 20, 0, most, 0)


def job():
    def plain(**changes):
        return {"volchunk_job": 1, "input": "i.npy", "ops": ["gaussian:sigma=1"],
                "output": "o.zarr", **changes}
    yield "plain", plain()
    yield "everything", plain(axes="zyx", voxel_size=[5, 2, 2], roi=[[0, 2], [1, 5], [0, 6]],
                              chunk=[2, 2, 2], storage_chunk=[1, 2, 2], shard=[2, 2, 2],
                              mask="m.npy", fill="7", skip_empty="nan", pyramid=True)
    yield "huge-chunk", plain(chunk=[(1 << 64) - 1] * 3, shard=[(1 << 64) - 1] * 3)
    yield "backwards", plain(roi=[[3, 1], [(1 << 64) - 1, 0], [0, 6]], output="o.npy")
    yield "huge-op", plain(ops=["rescale:factor=1e300", "gaussian:sigma=1e300"])
    yield "of-the-future", {"volchunk_job": 1 << 63}
    yield "nested", b"[" * 5000


def ops():
    yield "one-of-each", (
        b"gaussian:sigma=1um,0,2.5:order=1:truncate=3:boundary=wrap:dtype=int8\n"
        b"downsample:factor=2\nrescale:size=0.5um:order=0\ncast:dtype=float64\n"
        b"clip:min=-1:max=1e4\nthreshold:value=0.1\nsubtract:value=3\nmultiply:value=1e-300")
    yield "transpose", b"transpose:axes=xyz\ntranspose:axes=z,y,x"
    yield "huge-sigma", b"gaussian:sigma=1e18"
    yield "huge-radius", b"gaussian:sigma=1:radius=18446744073709551615"
    yield "huge-factor", b"rescale:factor=1e300\nrescale:factor=1e-300"
    yield "huge-group", b"downsample:factor=18446744073709551615"
    yield "growing", b"rescale:factor=1000\n" * 7
    yield "constant", b"gaussian:sigma=0.3:radius=7:boundary=constant(-1e308),mirror,nearest"


def csv():
    yield "open-quote", b'axis-0,axis-1,"value\n1,2,3\n'
    yield "header-only", b"index,axis-0,axis-1,axis-2,value"
    yield "many-columns", b"axis-0" + b",a" * 2000 + b"\n" + b"1" + b",1" * 2000
    yield "same-names", b"axis-0,axis-0,axis-1\n1,2,3\n"
    yield "gap-in-axes", b"axis-0,axis-2\n1,2\n"
    yield "no-numbers", b"axis-0,value\n1,nan\n2,1e999\n-inf,0x10\n,,\n\0,\xff\n"


def parquet():
    def file(footer, length=None):
        length = len(footer) if length is None else length
        return b"PAR1" + footer + struct.pack("<I", length) + b"PAR1"
    yield "magic-only", b"PAR1PAR1"
    yield "empty-footer", file(b"")
    yield "huge-footer", file(b"\x15\x02", 0xFFFFFFFF)
    # A list (field 2 of structs) that claims 2^63 elements; structs without an end.
    yield "huge-list", file(b"\x15\x02\x19\xfc" + b"\xff" * 9 + b"\x7f")
    yield "nested", file(b"\x1c" * 4000)


def npz():
    def directory(count, size, at, comment=b""):
        return struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, at, len(comment)) + comment
    def entry(name, packed, size, at, method=0):
        return struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, method, 0, 0, 0, packed, size,
                           len(name), 0, 0, 0, 0, 0, at) + name
    most = 0xFFFFFFFF
    yield "no-entries", directory(0, 0, 0)
    yield "many-entries", directory(0xFFFF, most, most)
    one = entry(b"segments.npy", most, most, 0)
    yield "huge-entry", one + directory(1, len(one), 0)
    many = b"".join(entry(b"segments.npy", 16, 16, 0) for _ in range(50))
    yield "one-name", many + directory(50, len(many), 0)


for make in (tiff, zarr_v3, zarr_v2, zarr_v2_attributes, journal, job, ops, csv, parquet, npz):
    folder = HERE / make.__name__
    folder.mkdir(exist_ok=True)
    for name, seed in make():
        data = seed if isinstance(seed, bytes) else json.dumps(seed).encode()
        (folder / name).write_bytes(data)
