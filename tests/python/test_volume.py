"""volchunk.open against NumPy on the same voxels, for every format."""

import itertools
import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import volchunk
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SHAPE = (7, 11, 13)
FORMATS = [
    *("npy", "npy big-endian", "npy column-major"),
    *("tiff", "tiff folder", "zarr", "zarr shards"),
]


def write(kind, folder, array):
    """Writes the array with the format's reference library; its path."""
    if kind.startswith("npy"):
        path = folder / "volume.npy"
        if kind.endswith("endian"):
            array = array.astype(array.dtype.newbyteorder(">"))
        np.save(path, np.asfortranarray(array) if kind.endswith("major") else array)
    elif kind == "tiff":
        path = folder / "volume.tif"
        tifffile.imwrite(path, array, compression="zlib", metadata={"axes": "ZYX"})
    elif kind == "tiff folder":
        path = folder / "planes"
        path.mkdir()
        for z, plane in enumerate(array):
            tifffile.imwrite(path / f"plane{z:03}.tif", plane)
    else:
        path = folder / "volume.zarr"
        shards = (4, 8, 10) if kind.endswith("shards") else None
        stored = zarr.create_array(
            path, shape=array.shape, chunks=(2, 4, 5), shards=shards, dtype=array.dtype
        )
        stored[...] = array
    return path


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """By format, the same voxels in memory and in a file."""
    rng = np.random.default_rng(0)
    array = rng.integers(0, 60000, SHAPE, dtype=np.uint16)
    opened = {}
    for kind in FORMATS:
        opened[kind] = volchunk.open(write(kind, tmp_path_factory.mktemp("volumes"), array))
    return array, opened


def same(volume, array, index):
    """Asserts that both give the same, or fail with the same type of exception."""
    try:
        wanted = array[index]
    except (IndexError, ValueError, TypeError) as e:
        with pytest.raises(type(e)):
            volume[index]
        return
    try:
        got = volume[index]
    except IndexError as e:
        # Where arrays select nothing, NumPy does not look whether they reach outside.
        assert wanted.size == 0 and "out of bounds" in str(e)
        return
    assert type(got) is type(wanted) and got.dtype == wanted.dtype and got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_volume_is_the_array_that_was_written(volumes, kind):
    array, opened = volumes
    volume = opened[kind]
    assert volume.shape == SHAPE and len(volume) == 7 and volume.ndim == 3
    assert volume.dtype == np.uint16 and volume.dtype.isnative
    assert (volume.size, volume.nbytes) == (array.size, array.nbytes)
    assert volume.axes == ("z", "y", "x")
    np.testing.assert_array_equal(np.asarray(volume), array)
    np.testing.assert_array_equal(np.stack(list(volume)), array)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=150, deadline=None)
@given(index=hnp.basic_indices(SHAPE, allow_newaxis=True))
def test_basic_indices_are_numpys(volumes, kind, index):
    array, opened = volumes
    same(opened[kind], array, index)


@st.composite
def loose_indices(draw):
    """Indices that may reach outside, step far, repeat, mix arrays and slices."""
    ends = st.none() | st.integers(-20, 20)
    steps = st.none() | st.integers(-20, -1) | st.integers(1, 20)
    entry = st.one_of(
        st.integers(-15, 15),
        st.builds(slice, ends, ends, steps),
        st.just(Ellipsis),
        st.none(),
        st.lists(st.integers(-8, 7), max_size=4),
        st.builds(np.int8, st.integers(-7, 6)),
        hnp.arrays(np.uint8, st.just((2, 1)), elements=st.integers(0, 6)),
        hnp.arrays(bool, st.sampled_from([(7,), (11,), (13,), (7, 11)])),
    )
    entries = draw(st.lists(entry, max_size=5))
    return entries[0] if len(entries) == 1 and draw(st.booleans()) else tuple(entries)


@pytest.mark.parametrize("kind", ["npy", "zarr"])
@settings(max_examples=600, deadline=None)
@given(index=loose_indices())
def test_any_index_is_numpys(volumes, kind, index):
    array, opened = volumes
    same(opened[kind], array, index)


@pytest.mark.parametrize("index", [True, np.False_, 1.0, "z", (0, 2.5), np.array([0.5]), {}])
def test_what_is_no_index(volumes, index):
    array, opened = volumes
    with pytest.raises(IndexError, match="legal: integers, slices"):
        opened["npy"][index]


def test_a_slice_of_no_step(volumes):
    with pytest.raises(ValueError, match="step"):
        volumes[1]["npy"][::0]


def test_large_regions_are_read_by_threads(tmp_path, monkeypatch):
    monkeypatch.setattr("volchunk._volume._SLAB", 1 << 12)
    monkeypatch.setattr("volchunk._volume._GAP", 64)
    monkeypatch.setattr(volchunk.settings, "_set", {"cpus": 3})
    array = np.random.default_rng(1).integers(0, 255, (30, 41, 50), dtype=np.uint8)
    for kind in FORMATS:
        folder = tmp_path / kind
        folder.mkdir()
        volume = volchunk.open(write(kind, folder, array))
        for index in [..., np.s_[::3], np.s_[3:29, ::-2, ::7], np.s_[::9, ::10, 4]]:
            same(volume, array, index)


def test_array_protocol(volumes):
    array, opened = volumes
    volume = opened["zarr"]
    assert np.asarray(volume, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.array(volume, copy=True), array)
    with pytest.raises(ValueError, match="copy"):
        np.array(volume, copy=False)
    assert np.asarray(volume)[0, 0, 0] == np.max(volume[:1, :1, :1])


def test_dtypes(tmp_path):
    for dtype in ["?", "u1", "u4", "u8", "i1", "i2", "i4", "i8", "f4", "f8", ">f8"]:
        array = np.arange(24).reshape(2, 3, 4).astype(dtype)
        np.save(tmp_path / "a.npy", array)
        volume = volchunk.open(tmp_path / "a.npy")
        assert volume.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(volume[::-1, 1:], array[::-1, 1:])


def test_what_the_file_says_and_what_the_user_says(tmp_path):
    path = tmp_path / "volume.ome.tif"
    tifffile.imwrite(
        path,
        np.zeros((2, 3, 4, 5), np.uint8),
        metadata={"axes": "CZYX", "PhysicalSizeZ": 5, "PhysicalSizeY": 2, "PhysicalSizeX": 1.5},
    )
    volume = volchunk.open(path)
    assert volume.axes == ("c", "z", "y", "x")
    assert volume.voxel_size == (5, 2, 1.5)
    assert volume.scale == (None, 5, 2, 1.5) and volume.origin == (0, 0, 0, 0)
    assert volume.units == (None, "micrometer", "micrometer", "micrometer")
    other = volchunk.open(str(path), axes="tzyx", voxel_size=np.float32(2))
    assert other.axes == ("t", "z", "y", "x") and other.voxel_size == (2, 2, 2)
    assert volchunk.open(path, axes=other.axes, voxel_size=(1, 2, 3)).voxel_size == (1, 2, 3)
    assert "volume.ome.tif" in repr(other) and "2 × 2 × 2 µm" in repr(other)
    assert volchunk.open(path, axes="abcd").voxel_size is None


def test_chunks(volumes):
    _, opened = volumes
    assert opened["zarr"].chunks == opened["zarr shards"].chunks == (2, 4, 5)
    assert opened["npy"].chunks is None


@pytest.mark.parametrize("kind", FORMATS)
def test_dask(volumes, kind):
    import dask
    import dask.array as da

    array, opened = volumes
    lazy = da.from_array(opened[kind], chunks=(3, 4, 5))
    assert lazy.dtype == array.dtype
    with dask.config.set(scheduler="threads"):
        np.testing.assert_array_equal((lazy[1:, ::-2] + 1).compute(), array[1:, ::-2] + 1)
        # dask hands fancy indices on.
        np.testing.assert_array_equal(lazy[[5, 1]].compute(), array[[5, 1]])
    np.testing.assert_array_equal(da.from_array(opened[kind]).compute(), array)


def test_pickled_by_path(volumes, tmp_path, monkeypatch):
    array, opened = volumes
    np.save(tmp_path / "a.npy", array)
    monkeypatch.chdir(tmp_path)
    volume = volchunk.open("a.npy", axes="abc", voxel_size=3)
    state = pickle.dumps(volume)
    assert len(state) < 500
    monkeypatch.chdir("/")
    again = pickle.loads(state)
    assert (again.axes, again.scale, again.path) == (volume.axes, volume.scale, volume.path)
    np.testing.assert_array_equal(again, array)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(np.asarray, (volume,)), array)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda d: volchunk.open(d / "none.npy"), FileNotFoundError, "none.npy"),
        (lambda d: volchunk.open(d), ValueError, "empty"),
        (lambda d: volchunk.open(3), TypeError, "path is 3; legal"),
        (lambda d: volchunk.open(good(d), axes="zy"), ValueError, "axes zy: names 2 axes"),
        (lambda d: volchunk.open(good(d), axes="zyy"), ValueError, "axes zyy.*twice"),
        (lambda d: volchunk.open(good(d), axes=3), TypeError, "axes is 3; legal"),
        (lambda d: volchunk.open(good(d), voxel_size=0), ValueError, "voxel_size: 0 µm"),
        (lambda d: volchunk.open(good(d), voxel_size="5"), TypeError, "voxel_size is '5'; legal"),
        (lambda d: volchunk.open(good(d), voxel_size=(1, 2)), ValueError, "voxel_size has 2"),
        (lambda d: volchunk.open(good(d), voxel_size=[1, None, 2]), TypeError, "voxel_size is"),
        (lambda d: volchunk.open(truncated(d)), ValueError, "a.npy"),
        (lambda d: volchunk.open(of_dtype(d, "c16")), ValueError, "c16"),
    ],
)
def test_bad_input(tmp_path, make, error, message):
    with pytest.raises(error, match=message):
        make(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_what_may_not_be_read(tmp_path):
    good(tmp_path).chmod(0)
    with pytest.raises(PermissionError, match="a.npy"):
        volchunk.open(tmp_path / "a.npy")


def test_damage_is_told_where_it_is_read(tmp_path):
    path = write("zarr", tmp_path, np.ones(SHAPE, np.uint16))
    next(path.glob("c/1/1/1")).write_bytes(b"nonsense")
    volume = volchunk.open(path)
    assert volume[0, 0, 0] == 1
    with pytest.raises(ValueError, match="storage chunk c/1/1/1"):
        volume[2:4]


def good(folder):
    return of_dtype(folder, "u2")


def of_dtype(folder, dtype):
    np.save(folder / "a.npy", np.zeros((2, 3, 4), dtype))
    return folder / "a.npy"


def truncated(folder):
    path = good(folder)
    path.write_bytes(path.read_bytes()[:-1])
    return path


SPARSE = """
import sys, time, resource, volchunk
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
volume = volchunk.open(sys.argv[1])
before, bytes_before = peak(), volume._source.bytes_read()
for index in [(5, 6, 7), (slice(0, 2000, 400), 3), (slice(None, None, -700), slice(0, 99), 5),
              (slice(None, None, 500), slice(None, None, 500), slice(None, None, 500)),
              ([0, 1999], slice(0, 9))]:
    volume[index]
print(volume._source.bytes_read() - bytes_before, peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource is Unix's; no sparse files")
def test_no_more_is_read_than_is_needed(tmp_path):
    """16 GB that are a hole: a small index takes neither time nor memory."""
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.uint16, (2000, 2000, 2000)).flush()
    done = subprocess.run(
        [sys.executable, "-c", SPARSE, str(path)], capture_output=True, text=True, check=True
    )
    read, memory = map(int, done.stdout.split())
    assert read < 4 << 20
    assert memory < 16


def test_a_storage_chunk_is_decoded_once(volumes, monkeypatch):
    """However an index strides, no storage chunk is read twice."""
    array, opened = volumes
    volume = pickle.loads(pickle.dumps(opened["zarr"]))
    before = volume._source.bytes_read()
    np.testing.assert_array_equal(volume[...], array)
    whole = volume._source.bytes_read() - before
    for steps in itertools.product((1, 2, 3), repeat=3):
        before = volume._source.bytes_read()
        volume[tuple(slice(None, None, s) for s in steps)]
        assert volume._source.bytes_read() - before <= whole
