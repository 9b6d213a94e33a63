"""Masks and empty chunks: what is left out, and that nothing else differs."""

import subprocess
import sys

import numpy as np
import pytest
import volchunk
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_tools import Like, a_volume, blur, draw_image


def balls(shape, seed=0):
    """A mask with pieces that fill some chunks, cut some, and spare some."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    for _ in range(3):
        corner = [rng.integers(0, n) for n in shape]
        mask[tuple(slice(c, c + rng.integers(1, 2 + n // 2)) for c, n in zip(corner, shape))] = True
    return mask


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_mask_is_applied_voxel_by_voxel(data):
    image = draw_image(data, dtypes=["uint8", "float32", "int32"])
    mask = balls(image.shape, data.draw(st.integers(0, 99)))
    fill = data.draw(st.sampled_from([0, 7]))
    channels = data.draw(st.sampled_from([None, 0, -1]))
    chunks = data.draw(st.integers(1, 9))
    called = []

    def func(block, info):
        called.append(info.core)
        return block + 1 if channels is None else np.stack([block, block + 1, block + 2], channels)

    out = None
    want = func(image, volchunk.ChunkInfo((), (), (), ()))
    called.clear()
    if data.draw(st.booleans()):
        out = np.empty(want.shape, want.dtype)
    kind = data.draw(st.sampled_from([lambda m: m, Like, lambda m: m * 2.5]))
    try:
        got = volchunk.map_overlap(
            func, image, depth=1, chunks=chunks, mask=kind(mask), fill=fill, out=out, workers=2
        )
    except ValueError as error:
        # Chunks, or a volume, whose sides are as many as the channels.
        assert "cannot be told apart" in str(error)
        return
    if not called and out is None:
        # Nothing told dtype and channels.
        want = np.full(image.shape, fill, float)
    elif channels is None:
        want = np.where(mask, want, np.array(fill, want.dtype))
    else:
        along = np.expand_dims(mask, channels)
        want = np.where(along, want, np.array(fill, want.dtype))
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    # Chunks that lie outside were not computed, and no chunk twice.
    assert all(mask[core].any() for core in called)
    assert len(called) == len({str(core) for core in called})


def test_a_mask_for_any_output(tmp_path):
    image = a_volume()
    mask = balls(image.shape, 4)
    np.save(tmp_path / "mask.npy", mask)
    want = np.where(mask, blur(image), np.float32(-1))
    how = {"depth": 4, "chunks": (8, 16, 16), "fill": -1, "version": "1"}
    for given_mask in [mask, tmp_path / "mask.npy", volchunk.open(tmp_path / "mask.npy")]:
        for executor in ["threads", "processes"]:
            got = volchunk.map_overlap(blur, image, mask=given_mask, executor=executor, **how)
            np.testing.assert_array_equal(got, want)
    for out in ["o.zarr", "o.npy", "o.tif"]:
        got = volchunk.map_overlap(blur, image, mask=mask, out=tmp_path / out, **how)
        np.testing.assert_array_equal(got, want)
    part = np.s_[3:15, 5:, :30]
    got = volchunk.map_overlap(blur, image, mask=mask, roi=part, **how)
    np.testing.assert_array_equal(got, want[part])
    filled = np.empty(image.shape, ">f4", order="F")
    assert volchunk.map_overlap(blur, image, mask=mask, out=filled, **how) is filled
    np.testing.assert_array_equal(filled, want)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_points_outside_of_a_mask_are_dropped(data):
    shape = data.draw(st.lists(st.integers(1, 14), min_size=1, max_size=3))
    seed = data.draw(st.integers(0, 99))
    image = np.random.default_rng(seed).integers(0, 9, shape)
    mask = balls(shape, seed)
    shift = data.draw(st.sampled_from([0, 0.25, -0.5]))
    called = []

    def find(block, info):
        called.append(info.core)
        return np.argwhere(block > 5) + shift

    got = volchunk.map_points(find, image, depth=1, chunks=data.draw(st.integers(1, 9)), mask=mask)
    voxels = np.argwhere((image > 5) & mask)
    np.testing.assert_array_equal(got, voxels + shift)
    assert all(mask[core].any() for core in called)


def test_ops_take_masks_and_skip_what_is_empty(tmp_path):
    image = np.full((20, 33, 41), 7, np.uint16)
    image[3, 4, 5] = 60000
    mask = balls(image.shape, 4)
    want = volchunk.gaussian_filter(image, 1)
    how = {"chunks": (8, 16, 16), "skip_empty": 7}
    np.testing.assert_array_equal(volchunk.gaussian_filter(image, 1, **how), want)
    masked = np.where(mask, want, np.uint16(3))
    for out in [None, tmp_path / "o.zarr", np.empty_like(image)]:
        got = volchunk.gaussian_filter(image, 1, mask=mask, fill=3, out=out, **how)
        np.testing.assert_array_equal(got, masked)
    got = volchunk.gaussian_filter(image, 1, mask=mask, fill=3, out=image, **how)
    assert got is image
    np.testing.assert_array_equal(image, masked)
    with pytest.raises(ValueError, match="skip_empty -1: the image is uint16"):
        volchunk.threshold(image, 3, skip_empty=-1)
    with pytest.raises(ValueError, match="fill 1000000000: the result is"):
        volchunk.threshold(image > 3, 1, mask=mask, fill=1e9)
    with pytest.raises(ValueError, match=r"mask is \[20, 33, 41\], the result is \[10, 17, 21\]"):
        volchunk.downsample(image, 2, mask=mask)
    small = volchunk.downsample(image, 2, mask=mask[::2, ::2, ::2])
    np.testing.assert_array_equal(
        small, np.where(mask[::2, ::2, ::2], volchunk.downsample(image, 2), 0)
    )


def test_what_is_outside_is_not_read():
    image = np.ones((40, 10), np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[:10] = True
    read = []

    class Counting(Like):
        def __getitem__(self, index):
            read.append(index[0])
            return super().__getitem__(index)

    volchunk.map_overlap(lambda b: b, Counting(image), depth=1, chunks=(10, 10), mask=mask)
    assert read and max(part.stop for part in read) == 11


def test_the_fill_may_be_nan(tmp_path):
    image, mask = np.ones((8, 9)), np.eye(8, 9)
    expected = np.where(mask, 2, np.nan)
    for out in (None, tmp_path / "o.npy", tmp_path / "o.npy"):
        got = volchunk.multiply(image, 2, mask=mask, fill=np.nan, out=out)
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="fill NaN: the result is"):
        volchunk.threshold(image, 1, mask=mask, fill=np.nan)
    with pytest.raises(ValueError, match="skip_empty"):
        volchunk.multiply(image, 2, skip_empty=np.nan)


def test_verify_knows_that_it_does_not_know_the_mask(tmp_path):
    """A mask that lies backwards in its file is not what the file holds."""
    np.save(tmp_path / "mask.npy", balls((40, 40, 40)))
    mask = np.load(tmp_path / "mask.npy", mmap_mode="r")[:, ::-1]
    np.save(tmp_path / "i.npy", np.arange(40**3, dtype=np.float32).reshape(40, 40, 40))
    volchunk.gaussian_filter(tmp_path / "i.npy", 1, mask=mask, out=tmp_path / "o.zarr")
    command = [sys.executable, "-m", "volchunk", "verify", tmp_path / "o.zarr"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "the program that made it held it" in told and "no seam" not in told
