"""map_overlap: chunked equals whole, on any grid, for every input and output."""

import os
import time

import numpy as np
import pytest
import tifffile
import volchunk
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_tools import DTYPES, NUMPY, Like, a_volume, blur, draw_image, pad


def spread(block, depth):
    """Depends on every voxel of the support, each with a weight of its own."""
    total = np.zeros(block.shape)
    for k, shift in enumerate(np.ndindex(*(lo + hi + 1 for lo, hi in depth))):
        by = [s - hi for s, (_, hi) in zip(shift, depth, strict=True)]
        total += (k + 1) * np.roll(block.astype(float), by, range(block.ndim))
    return total


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_chunked_is_whole(data):
    image = draw_image(data)
    n = image.ndim
    depth = [(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in range(n)]
    boundary = data.draw(st.sampled_from([*NUMPY, 1]))
    chunks = data.draw(st.lists(st.integers(1, 15), min_size=n, max_size=n))
    whole = spread(pad(image, depth, boundary), depth)
    whole = whole[tuple(slice(lo, s + lo) for (lo, _), s in zip(depth, image.shape, strict=True))]
    out = volchunk.map_overlap(
        lambda block: spread(block, depth),
        image,
        depth=depth,
        chunks=chunks,
        boundary=boundary,
        workers=data.draw(st.integers(1, 4)),
    )
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out, whole)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_info_says_where_a_block_lies(data):
    image = draw_image(data)
    n = image.ndim
    depth = [(data.draw(st.integers(0, 4)), data.draw(st.integers(0, 4))) for _ in range(n)]
    boundary = data.draw(st.sampled_from([*NUMPY, None]))
    chunks = data.draw(st.lists(st.integers(1, 15), min_size=n, max_size=n))
    roi = []
    for length in image.shape:
        start = data.draw(st.integers(0, length - 1))
        roi.append(slice(start, data.draw(st.integers(start + 1, length))))
    padded = None if boundary is None else pad(image, depth, boundary)
    seen = []

    def func(block, info):
        origin = [c.start - i.start for c, i in zip(info.core, info.core_in_block, strict=True)]
        stop = np.add(origin, block.shape)
        assert info.outer == tuple(
            slice(max(a, 0), min(b, s)) for a, b, s in zip(origin, stop, image.shape, strict=True)
        )
        if padded is None:
            np.testing.assert_array_equal(block, image[info.outer])
        else:
            at = [a + lo for a, (lo, _) in zip(origin, depth, strict=True)]
            whole = padded[tuple(slice(a, a + m) for a, m in zip(at, block.shape, strict=True))]
            np.testing.assert_array_equal(block, whole)
        np.testing.assert_array_equal(block[info.core_in_block], image[info.core])
        assert block.flags.writeable and block.flags.c_contiguous
        seen.append(info)
        return block

    out = volchunk.map_overlap(
        func, image, depth=depth, chunks=chunks, boundary=boundary, roi=roi, workers=2
    )
    np.testing.assert_array_equal(out, image[tuple(roi)])
    assert out.dtype == image.dtype
    grid = [
        range(-(-(r.stop - r.start) // c)) for r, c in zip(roi, chunks, strict=True)
    ]
    assert sorted(i.index for i in seen) == sorted(np.ndindex(*map(len, grid)))
    for info in seen:
        assert info.core == tuple(
            slice(r.start + i * c, min(r.start + (i + 1) * c, r.stop))
            for i, r, c in zip(info.index, roi, chunks, strict=True)
        )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_channels_and_dtypes(data):
    image = draw_image(data, max_side=8)
    leads = data.draw(st.booleans())
    count = data.draw(st.integers(1, 3))
    dtype = data.draw(st.sampled_from(DTYPES))

    def func(block):
        return np.stack([(block * (k + 1)).astype(dtype) for k in range(count)], 0 if leads else -1)

    chunks = data.draw(st.integers(1, 9))
    try:
        out = volchunk.map_overlap(func, image, depth=1, chunks=chunks)
    except ValueError as error:
        # A block whose sides equal the number of channels fits both ways.
        assert "cannot be told apart" in str(error)
        return
    assert out.dtype == dtype
    np.testing.assert_array_equal(out, func(image))


def inputs(image, folder):
    np.save(folder / "in.npy", image)
    tifffile.imwrite(folder / "in.tif", image, photometric="minisblack")
    store = zarr.create_array(
        folder / "in.zarr", shape=image.shape, chunks=(8, 16, 16), dtype=image.dtype
    )
    store[:] = image
    yield "array", image
    yield "fortran", np.asfortranarray(image)
    yield "reversed", image[::-1, :, ::-1].copy()[::-1, :, ::-1]
    yield "big endian", image.astype(">u2")
    yield "memmap", np.load(folder / "in.npy", mmap_mode="r")
    yield "npy", folder / "in.npy"
    yield "tiff", str(folder / "in.tif")
    yield "zarr path", folder / "in.zarr"
    yield "zarr array", store
    yield "volume", volchunk.open(folder / "in.npy")


def test_every_input_and_output(tmp_path):
    image = a_volume()
    want = blur(image)
    for name, given_image in inputs(image, tmp_path):
        got = volchunk.map_overlap(blur, given_image, depth=4, chunks=(8, 16, 16))
        np.testing.assert_array_equal(got, want, err_msg=name)
    store = zarr.create_array(
        tmp_path / "out.zarr", shape=image.shape, chunks=(8, 16, 16), dtype="f4"
    )
    outs = [
        np.empty(image.shape, np.float32),
        np.empty(image.shape, np.float32, order="F"),
        np.empty(image.shape, ">f4"),
        np.empty((20, 33, 82), np.float64)[:, :, ::2],
        np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, image.shape),
        store,
    ]
    for out in outs:
        got = volchunk.map_overlap(blur, image, depth=4, chunks=(8, 16, 16), out=out)
        assert got is out
        np.testing.assert_array_equal(out[:], want)
    for name in ["o.zarr", "o.npy", "o.tif"]:
        got = volchunk.map_overlap(
            blur, image, depth=4, chunks=(8, 16, 16), out=tmp_path / name, version="1"
        )
        assert got.path == os.fspath(tmp_path / name) and got.dtype == np.float32
        np.testing.assert_array_equal(got, want)
        part = np.s_[3:11, 10:]
        cut = volchunk.map_overlap(
            blur, image, depth=4, roi=part, out=tmp_path / f"c{name}", version="1"
        )
        np.testing.assert_array_equal(cut, want[part])
        pair = volchunk.map_overlap(
            lambda b: np.stack([b, b + 1]), image, depth=1, out=tmp_path / f"p{name}", version="1"
        )
        np.testing.assert_array_equal(pair, np.stack([image, image + 1]))
    with pytest.raises(FileExistsError, match="o.npy"):
        volchunk.map_overlap(blur, image, depth=3, out=tmp_path / "o.npy", version="1")


def test_the_first_chunk_is_computed_once(tmp_path):
    calls = []

    def func(block, info):
        calls.append(info.index)
        return block

    image = a_volume()
    how = {"depth": 1, "chunks": (8, 40, 50), "out": tmp_path / "o.npy", "version": "1"}
    volchunk.map_overlap(func, image, **how)
    assert sorted(calls) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_axes_of_files_have_meanings(tmp_path):
    image = np.arange(2 * 8 * 9 * 10, dtype=np.uint16).reshape(2, 8, 9, 10)
    tifffile.imwrite(tmp_path / "in.ome.tif", image, metadata={"axes": "CZYX"})
    shapes = set()

    def func(block):
        shapes.add(block.shape)
        return block

    # One depth is for the axes of space; of an array, for all.
    volchunk.map_overlap(func, tmp_path / "in.ome.tif", depth=1, chunks=(8, 9, 10))
    assert shapes == {(1, 10, 11, 12)}
    shapes.clear()
    volchunk.map_overlap(func, image, depth=1, chunks=(1, 8, 9, 10))
    assert shapes == {(3, 10, 11, 12)}
    shapes.clear()
    volchunk.map_overlap(func, tmp_path / "in.ome.tif", depth={"z": 2, -1: (0, 3)}, chunks=20)
    assert shapes == {(1, 12, 9, 13)}


def test_a_measured_support_is_a_depth():
    def func(block):
        return np.roll(block, 2, 1) - np.roll(block, -1, 2)

    image = a_volume().astype(np.float32)
    support = volchunk.probe(func)
    got = volchunk.map_overlap(func, image, depth=support, chunks=7, boundary="wrap")
    np.testing.assert_array_equal(got, func(image))
    with pytest.raises(ValueError):
        volchunk.map_overlap(func, image, depth=volchunk.probe(lambda b: b - b.mean()))


def test_objects_are_read_in_pieces():
    image = np.random.default_rng(0).integers(0, 99, (300, 200, 100), dtype=np.uint32)
    like, sizes = Like(image), []
    like.__class__ = type("Counting", (Like,), {
        "__getitem__": lambda self, index: sizes.append(self.array[index].nbytes) or self.array[index]
    })
    out = volchunk.map_overlap(lambda b: b, like, depth=1, chunks=300)
    np.testing.assert_array_equal(out, image)
    assert max(sizes) <= 8 << 20 and len(sizes) > 2


def test_progress_is_told(monkeypatch):
    import tqdm.auto

    seen = []

    class Bar:
        n = 0

        def __init__(self, total, **options):
            seen.append(total)

        def update(self, by):
            self.n += by
            seen.append(self.n)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            seen.append("closed")

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)

    def func(block):
        time.sleep(0.03)
        return block

    volchunk.map_overlap(func, np.zeros(20), depth=0, chunks=1, workers=2)
    assert seen[0] == 20 and seen[-2:] == [20, "closed"] and len(seen) > 4
    assert seen[1:-1] == sorted(seen[1:-1])
    monkeypatch.setattr(Bar, "update", lambda self, by: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        volchunk.map_overlap(func, np.zeros(20), depth=0, chunks=1)
    volchunk.map_overlap(func, np.zeros(20), depth=0, chunks=1, progress=False)
