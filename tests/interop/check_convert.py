"""`volchunk convert` between the formats, beside NumPy, zarr-python and tifffile.

What the reference libraries wrote is converted to NPY, and what NumPy wrote is converted to every
format and read by its library: the voxels, and what is known of axes and voxel size, must survive.
"""

import pathlib

import numpy as np
import tifffile
import zarr
from common import finest, volchunk
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

SHAPE = (7, 18, 21)
INTEGERS = [f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u")]
DTYPES = ["bool", *INTEGERS, "float32", "float64"]


def volume(dtype: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Random bits of the dtype, so that every byte of a voxel matters; floats are finite."""
    rng = np.random.default_rng(len(dtype))
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return rng.standard_normal(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def equal(found: np.ndarray, expected: np.ndarray, what: object) -> None:
    """Same shape, values and dtype, whatever the byte order."""
    assert found.dtype.newbyteorder("=") == expected.dtype.newbyteorder("="), (what, found.dtype)
    assert found.shape == expected.shape, (what, found.shape)
    assert np.array_equal(found, expected), f"{what}: other voxels"


def writes(program: str, work: pathlib.Path) -> None:
    """Ours written, theirs read."""
    for dtype in DTYPES:
        image = volume(dtype)
        source = work / f"{dtype}.npy"
        np.save(source, image)
        volchunk(program, "convert", source, work / f"{dtype}.zarr", "--chunk", 5)
        equal(finest(work / f"{dtype}.zarr")[:], image, f"{dtype} as Zarr")
        volchunk(program, "convert", work / f"{dtype}.zarr", work / f"{dtype}-back.npy")
        equal(np.load(work / f"{dtype}-back.npy"), image, f"{dtype} from Zarr to NPY")
        # TIFF has no bool, and OME-XML no integers of 64 bits.
        if dtype == "bool" or dtype.endswith("int64"):
            continue
        volchunk(program, "convert", source, work / f"{dtype}.tif")
        with tifffile.TiffFile(work / f"{dtype}.tif") as file:
            assert file.is_bigtiff
            equal(file.asarray(), image, f"{dtype} as TIFF")

    volchunk(program, "convert", work / "uint16.npy", work / "sharded.zarr",
             "--chunk", "8,16,16", "--storage-chunk", "4,8,8", "--shard", "8,16,16")
    sharded = finest(work / "sharded.zarr")
    assert sharded.shards == (8, 16, 16) and sharded.chunks == (4, 8, 8), sharded
    equal(sharded[:], volume("uint16"), "sharded")


def metadata(program: str, work: pathlib.Path) -> None:
    """Axes and voxel size through OME-Zarr and OME-TIFF."""
    np.save(work / "size.npy", volume("uint16"))
    for ending in ("ome.zarr", "ome.tif"):
        volchunk(program, "convert", work / "size.npy", work / f"size.{ending}",
                 "--voxel-size", "5,2,2.5")
    group = zarr.open_group(work / "size.ome.zarr", mode="r", zarr_format=3)
    [multiscales] = group.attrs["ome"]["multiscales"]
    assert group.attrs["ome"]["version"] == "0.5"
    axes = [(a["name"], a["type"], a["unit"]) for a in multiscales["axes"]]
    assert axes == [(name, "space", "micrometer") for name in "zyx"], axes
    [scale, *_] = multiscales["datasets"][0]["coordinateTransformations"]
    assert scale == {"type": "scale", "scale": [5, 2, 2.5]}, scale
    with tifffile.TiffFile(work / "size.ome.tif") as file:
        assert file.series[0].axes == "ZYX", file.series[0].axes
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        size = [float(pixels[f"PhysicalSize{axis}"]) for axis in "ZYX"]
        assert size == [5, 2, 2.5], size


def reads(program: str, work: pathlib.Path) -> None:
    """Theirs written, ours read."""
    made: dict[str, np.ndarray] = {}

    def add(name: str, image: np.ndarray) -> pathlib.Path:
        made[name] = image
        return work / name

    for order, dtype in ((">", "uint16"), (">", "float64"), ("<", "int32")):
        image = volume(dtype).astype(np.dtype(dtype).newbyteorder(order))
        np.save(add(f"theirs-{order == '>'}-{dtype}.npy", image), image)
        fortran = np.asfortranarray(image)
        np.save(add(f"fortran-{order == '>'}-{dtype}.npy", image), fortran)
    image = volume("uint16")
    for codec in (ZstdCodec(), GzipCodec(), BloscCodec(cname="lz4"), BloscCodec(cname="zstd")):
        name = f"v3-{len(made)}.zarr"
        zarr.create_array(add(name, image), shape=SHAPE, chunks=(3, 8, 9), dtype="uint16",
                          compressors=codec)[:] = image
    zarr.create_array(add("v3-shards.zarr", image), shape=SHAPE, chunks=(2, 4, 5),
                      shards=(4, 8, 10), dtype="uint16")[:] = image
    zarr.create_array(add("v2.zarr", image), shape=SHAPE, chunks=(3, 8, 9), dtype=">u2",
                      zarr_format=2)[:] = image
    for compression in (None, "zlib", "lzw", "zstd"):
        name = f"theirs-{compression}.tif"
        options = {"predictor": True} if compression in ("zlib", "lzw") else {}
        tifffile.imwrite(add(name, image), image, compression=compression, tile=(16, 16),
                         byteorder=">", metadata={"axes": "ZYX"}, photometric="minisblack",
                         **options)
    tifffile.imwrite(add("imagej.tif", image), image, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(add("bigtiff.ome.tif", image), image, bigtiff=True, metadata={"axes": "ZYX"})
    for plane, voxels in enumerate(image):
        add("planes", image).mkdir(exist_ok=True)
        tifffile.imwrite(work / "planes" / f"plane{plane}.tif", voxels)

    for number, (name, expected) in enumerate(made.items()):
        result = work / f"read{number}.npy"
        volchunk(program, "convert", work / name, result, "--chunk", "4,7,9")
        equal(np.load(result), expected, name)


def main(program: str, work: pathlib.Path) -> None:
    writes(program, work)
    metadata(program, work)
    reads(program, work)
