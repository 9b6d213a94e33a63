"""map_overlap and map_points: chunked equals whole, on any grid; and what they refuse."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tifffile
import volchunk
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

NUMPY = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap"}
DTYPES = ["bool", "uint8", "uint16", "int32", "uint64", "int8", "float32", "float64"]


def pad(image, depth, boundary):
    """The whole volume with its padding, by NumPy."""
    if boundary in NUMPY:
        return np.pad(image, depth, NUMPY[boundary])
    return np.pad(image, depth, constant_values=boundary)


def draw_image(data, max_side=14, dtypes=DTYPES):
    ndim = data.draw(st.integers(1, 4))
    shape = data.draw(st.lists(st.integers(1, max_side), min_size=ndim, max_size=ndim))
    dtype = data.draw(st.sampled_from(dtypes))
    seed = data.draw(st.integers(0, 99))
    return np.random.default_rng(seed).integers(0, 2 if dtype == "bool" else 90, shape).astype(dtype)


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


def a_volume():
    return np.random.default_rng(0).integers(0, 60000, (20, 33, 41)).astype(np.uint16)


def blur(block):
    return ndimage.gaussian_filter(block, 1, output=np.float32)


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
        got = volchunk.map_overlap(blur, image, depth=4, chunks=(8, 16, 16), out=tmp_path / name)
        assert got.path == os.fspath(tmp_path / name) and got.dtype == np.float32
        np.testing.assert_array_equal(got, want)
        part = np.s_[3:11, 10:]
        cut = volchunk.map_overlap(blur, image, depth=4, roi=part, out=tmp_path / f"c{name}")
        np.testing.assert_array_equal(cut, want[part])
        pair = volchunk.map_overlap(
            lambda b: np.stack([b, b + 1]), image, depth=1, out=tmp_path / f"p{name}"
        )
        np.testing.assert_array_equal(pair, np.stack([image, image + 1]))
    with pytest.raises(FileExistsError, match="o.npy"):
        volchunk.map_overlap(blur, image, depth=4, out=tmp_path / "o.npy")


def test_the_first_chunk_is_computed_once(tmp_path):
    calls = []

    def func(block, info):
        calls.append(info.index)
        return block

    image = a_volume()
    volchunk.map_overlap(func, image, depth=1, chunks=(8, 40, 50), out=tmp_path / "o.npy")
    assert sorted(calls) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_misaligned_output_is_refused(tmp_path):
    store = zarr.create_array(tmp_path / "o.zarr", shape=(20, 30), chunks=(8, 8), dtype="u1")
    image = np.zeros((20, 30), np.uint8)
    with pytest.raises(ValueError, match="chunks.*does not align"):
        volchunk.map_overlap(lambda b: b, image, depth=0, chunks=5, out=store)
    volchunk.map_overlap(lambda b: b + 1, image, depth=0, out=store)
    assert (store[:] == 1).all()


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


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_points_are_neither_lost_nor_doubled(data):
    n = data.draw(st.integers(1, 3))
    shape = data.draw(st.lists(st.integers(1, 20), min_size=n, max_size=n))
    image = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 9, shape)
    chunks = data.draw(st.lists(st.integers(1, 21), min_size=n, max_size=n))
    shift = data.draw(st.sampled_from([None, 0.25, 0.5, -0.5]))
    depth = data.draw(st.integers(1, 3))
    part = tuple(slice(data.draw(st.integers(0, s - 1)), None) for s in shape)

    def find(block):
        at = np.argwhere(block > 5)
        value = block[tuple(at.T)][:, None]
        return np.hstack([at, value] if shift is None else [at + shift, value * 1.0])

    whole = find(image)
    voxel = np.floor(whole[:, :n] + 0.5)
    inside = [
        (voxel[:, a] >= part[a].start) & (voxel[:, a] < shape[a]) for a in range(n)
    ]
    whole = whole[np.logical_and.reduce(inside)]
    whole = whole[np.lexsort(whole.T[::-1])]
    got = volchunk.map_points(
        find, image, depth=depth, chunks=chunks, roi=part, boundary=None, workers=2
    )
    if len(whole):
        assert got.dtype == whole.dtype
    np.testing.assert_array_equal(got, whole)


def test_no_points():
    got = volchunk.map_points(lambda b: [], np.zeros((5, 6)), depth=1, chunks=2)
    assert got.shape == (0, 2)


class Odd(Exception):
    pass


@pytest.mark.parametrize("call", [volchunk.map_overlap, volchunk.map_points])
def test_exceptions_arrive_as_raised(call):
    def func(block, info):
        if info.index == (1, 2):
            raise Odd("mine")
        return block if call is volchunk.map_overlap else []

    with pytest.raises(Odd, match="mine") as caught:
        call(func, np.zeros((8, 9)), depth=1, chunks=3, workers=3)
    assert caught.value.__notes__ == ["in chunk (1, 2) at [3:6, 6:9]"]


def test_errors_of_the_input_arrive_as_raised():
    class Broken:
        shape, dtype = (10, 10), np.dtype("u1")

        def __getitem__(self, index):
            raise Odd(str(index))

    with pytest.raises(Odd, match="slice") as caught:
        volchunk.map_overlap(lambda b: b, Broken(), depth=1, chunks=5, workers=1)
    assert caught.value.__notes__ == ["in chunk (0, 0) at [0:5, 0:5]"]

    class Short(Broken):
        def __getitem__(self, index):
            return np.zeros((3, 3), np.uint8)

    with pytest.raises(ValueError, match=r"image\[0:6, 0:6\] has shape \[3, 3\]; legal: \[6, 6\]"):
        volchunk.map_overlap(lambda b: b, Short(), depth=1, chunks=5)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("busy", [True, False])
def test_interrupt_stops_within_one_chunk(busy):
    began, done = time.monotonic(), []

    def func(block):
        # In Python code and outside of it.
        end = time.monotonic() + 0.1
        while busy and time.monotonic() < end:
            pass
        time.sleep(0 if busy else 0.1)
        done.append(1)
        return block

    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        volchunk.map_overlap(func, np.zeros(1000), depth=0, chunks=1, workers=2)
    assert time.monotonic() - began < 3
    assert 0 < len(done) < 100


METHODS = ["fork", "spawn", "forkserver"]


def blur_with_place(block, info):
    return ndimage.gaussian_filter(block, 1, output=np.float32) + info.index[0]


def bright(block):
    at = np.argwhere(block > 59000)
    return np.hstack([at, block[tuple(at.T)][:, None]])


def die(block, info):
    if info.index == (1, 0, 0):
        os.kill(os.getpid(), signal.SIGKILL)
    return block


@pytest.fixture(params=METHODS)
def start_method(request):
    volchunk.settings.mp_start = request.param
    yield request.param
    volchunk.settings.reset()


@pytest.mark.skipif(os.name == "nt", reason="no process executor")
def test_processes_do_as_threads_do(start_method, tmp_path):
    image = a_volume()
    for out in [None, tmp_path / "o.zarr"]:
        got = [
            volchunk.map_overlap(
                blur_with_place, image, depth=4, chunks=(8, 16, 16), executor=executor, workers=2,
                out=out if executor == "processes" else None,
            )
            for executor in ["threads", "processes"]
        ]
        np.testing.assert_array_equal(*got)
    got = [
        volchunk.map_points(bright, image, depth=1, chunks=9, executor=executor)
        for executor in ["threads", "processes"]
    ]
    assert len(got[0]) > 10
    np.testing.assert_array_equal(*got)


@pytest.mark.skipif(os.name == "nt", reason="no process executor")
def test_a_worker_that_dies_names_its_chunk(start_method):
    with pytest.raises(RuntimeError, match="chunk .1, 0, 0.*SIGKILL") as caught:
        volchunk.map_overlap(die, a_volume(), depth=1, chunks=(8, 40, 50), executor="processes")
    assert "in chunk (1, 0, 0) at [8:16, 0:33, 0:41]" in caught.value.__notes__


@pytest.mark.skipif(os.name == "nt", reason="no process executor")
@pytest.mark.parametrize("start_method", METHODS[1:], indirect=True)
def test_what_cannot_be_pickled_is_said(start_method):
    with pytest.raises(TypeError, match="func"):
        volchunk.map_overlap(lambda b: b, a_volume(), depth=1, executor="processes")


def test_a_measured_support_is_a_depth():
    def func(block):
        return np.roll(block, 2, 1) - np.roll(block, -1, 2)

    image = a_volume().astype(np.float32)
    support = volchunk.probe(func)
    got = volchunk.map_overlap(func, image, depth=support, chunks=7, boundary="wrap")
    np.testing.assert_array_equal(got, func(image))
    with pytest.raises(ValueError):
        volchunk.map_overlap(func, image, depth=volchunk.probe(lambda b: b - b.mean()))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_plan_is_what_runs(data):
    image = draw_image(data, dtypes=["uint16"])
    depth = data.draw(st.integers(0, 3))
    chunks = data.draw(st.one_of(st.just("auto"), st.integers(1, 9)))
    dtype = data.draw(st.sampled_from([None, "f4"]))
    plan = volchunk.plan(image, depth=depth, chunks=chunks, dtype=dtype, workers=2)
    seen = []

    def func(block, info):
        seen.append(tuple(s.stop - s.start for s in info.core))
        return block.astype("f4")

    volchunk.map_overlap(func, image, depth=depth, chunks=chunks, dtype=dtype, workers=2)
    assert plan["chunks"] == len(seen)
    assert tuple(np.minimum(plan["chunk"], image.shape)) == max(seen)
    assert plan["output"]["dtype"] == ("float32" if dtype else "float64")
    assert plan["output"]["shape"] == list(image.shape)


def test_a_plan_of_files_is_the_programs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", a_volume())
    arguments = ["in.npy", "out.zarr", "--op", "gaussian:sigma=2", "--roi", "0:9,:,1:"]
    program = [sys.executable, "-m", "volchunk", "plan", *arguments, "--memory", "1GB"]
    told = subprocess.run(program, capture_output=True, text=True, check=True).stdout.splitlines()
    plan = volchunk.plan(
        "in.npy", "gaussian:sigma=2", out="out.zarr", roi=np.s_[0:9, :, 1:], memory="1GB"
    )
    for ours, theirs in zip(str(plan).splitlines(), told, strict=True):
        if not ours.startswith("peak memory"):
            assert ours.replace(f"{tmp_path}/", "") == theirs
    with pytest.raises(ValueError, match="ops is .* and depth"):
        volchunk.plan("in.npy", "gaussian:sigma=2", depth=1)
    with pytest.raises(ValueError, match="did you mean 'gaussian'"):
        volchunk.plan("in.npy", "gausian:sigma=2")


def test_no_thread_stays():
    before = threading.active_count()
    tasks = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
    volchunk.map_overlap(lambda b: b, np.zeros(100), depth=0, chunks=1, workers=4)
    assert threading.active_count() == before
    if tasks:
        assert len(os.listdir("/proc/self/task")) <= tasks


IMAGE = np.zeros((6, 7))


@pytest.mark.parametrize(
    ("kind", "words", "arguments"),
    [
        (TypeError, "depth is 1.0; legal", {"depth": 1.0}),
        (TypeError, "depth is True", {"depth": True}),
        (TypeError, "depth is 'a'", {"depth": "a"}),
        (ValueError, "depth is -1", {"depth": -1}),
        (ValueError, "depth has 3 values", {"depth": (1, 2, 3)}),
        (ValueError, "depth has .1, 2, 3. for an axis", {"depth": {0: (1, 2, 3)}}),
        (IndexError, "depth names the axis 2; legal: -2 to 1", {"depth": {2: 1}}),
        (TypeError, "depth names the axis 'q'", {"depth": {"q": 1}}),
        (ValueError, "boundary is 'none'; legal: reflect", {"boundary": "none"}),
        (TypeError, "boundary is <object", {"boundary": object()}),
        (ValueError, "chunks is 'big'", {"chunks": "big"}),
        (ValueError, "chunks is 0", {"chunks": 0}),
        (TypeError, "chunks is 2.5", {"chunks": (2.5, 3)}),
        (TypeError, "roi has 3 on axis 0", {"roi": (3, slice(None))}),
        (IndexError, "roi is 0:99 on axis 1; legal: within 0:7", {"roi": np.s_[:, 0:99]}),
        (IndexError, "roi has 3 slices", {"roi": np.s_[:, :, :]}),
        (ValueError, "holds no voxel", {"roi": np.s_[3:3]}),
        (ValueError, "step 2", {"roi": np.s_[::2]}),
        (ValueError, "memory", {"memory": "8 bananas"}),
        (TypeError, "memory is 1.5", {"memory": 1.5}),
        (MemoryError, "memory", {"memory": 1}),
        (ValueError, "workers is 0", {"workers": 0}),
        (ValueError, "executor is 'gpu'; legal: 'threads', 'processes'", {"executor": "gpu"}),
        (TypeError, "dtype has dtype complex", {"dtype": complex}),
        (TypeError, "dtype has dtype nonsense", {"dtype": "nonsense"}),
        (TypeError, "out is of type list", {"out": [1]}),
        (TypeError, "out has dtype", {"out": np.empty((6, 7), object)}),
        (ValueError, r"out has shape \(6, 8\); legal: the result's, \(6, 7\)", {"out": np.empty((6, 8))}),
        (ValueError, "out is read-only", {"out": np.broadcast_to(0.0, (6, 7))}),
        (ValueError, "out shares memory", {"out": IMAGE}),
        (TypeError, "dtype is float32, out has float64", {"out": np.empty((6, 7)), "dtype": "f4"}),
        (ValueError, "o.jpg", {"out": "o.jpg"}),
        (FileNotFoundError, "missing.npy", {"image": "missing.npy"}),
        (FileNotFoundError, "out is nowhere/o.npy, but there is no folder nowhere", {"out": "nowhere/o.npy"}),
        (TypeError, "image is of type set", {"image": {1}}),
        (TypeError, "image is a masked array", {"image": np.ma.zeros((6, 7))}),
        (ValueError, "constant 256; legal.*from 0 to 255", {"boundary": 256, "image": IMAGE.astype("u1")}),
        (ValueError, "constant 0.5", {"boundary": 0.5, "image": IMAGE.astype("u1")}),
        (TypeError, "boundary is True", {"boundary": True}),
        (ValueError, r"boundary is 'constant\(3\)'", {"boundary": "constant(3)"}),
        (TypeError, "roi has slice.1.5", {"roi": np.s_[1.5:3]}),
        (TypeError, "func returned None", {"func": lambda b: None}),
        (TypeError, "func returned a masked", {"func": lambda b: np.ma.array(b)}),
        (ValueError, "cannot be told apart", {"out": np.empty((3, 3, 3)), "image": IMAGE[:3, :3]}),
        (ValueError, "share memory with others", {"out": np.lib.stride_tricks.as_strided(np.zeros(7), (6, 7), (0, 8))}),
        (TypeError, "image has dtype object", {"image": np.array([[None]])}),
        (TypeError, "image has dtype complex128", {"image": np.zeros((2, 2), complex)}),
        (ValueError, "image has no axes", {"image": np.array(3.0)}),
        (ValueError, "no voxels", {"image": np.zeros((0, 3))}),
        (TypeError, "func is 3", {"func": 3}),
        (ValueError, r"func returned shape \(1,\) for a block of shape \(8, 9\)", {"func": lambda b: np.zeros(1)}),
        (ValueError, "func returned shape", {"func": lambda b: b[1:-1, 1:-1]}),
        (TypeError, "what func returned has dtype complex", {"func": lambda b: b * 1j}),
        (TypeError, "func returned dtype float64, the result is to be uint8", {"dtype": "u1"}),
    ],
)
def test_bad_input(kind, words, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = {"func": lambda b: b, "image": IMAGE, "depth": 1, **arguments}
    with pytest.raises(kind, match=words):
        volchunk.map_overlap(asked.pop("func"), asked.pop("image"), **asked)
    assert os.listdir(tmp_path) == []


class Like:
    """An array-like that is no array."""

    def __init__(self, array, **more):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        vars(self).update(more)

    def __getitem__(self, index):
        return self.array[index]

    def __setitem__(self, index, value):
        self.array[index] = value


def test_an_output_that_is_the_image_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", a_volume())
    like = Like(a_volume())
    store = zarr.create_array(tmp_path / "a.zarr", shape=(20, 33, 41), dtype="u2")
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r+")
    for image, out in [
        (like, like),
        (tmp_path / "a.npy", mapped),
        (volchunk.open(tmp_path / "a.npy"), mapped[:]),
        (np.load(tmp_path / "a.npy", mmap_mode="r"), mapped),
        (store, zarr.open_array(tmp_path / "a.zarr")),
    ]:
        with pytest.raises(ValueError, match="out shares memory or a file with image"):
            volchunk.map_overlap(lambda b: b, image, depth=1, out=out)
        if out is not mapped and not isinstance(out, np.ndarray):
            with pytest.raises(ValueError, match="out shares memory or a file with image"):
                volchunk.multiply(image, 2, out=out)
    # Interleaved is not shared.
    both = np.zeros((10, 2))
    volchunk.map_overlap(lambda b: b + 1, both[:, 0], depth=1, out=both[:, 1])
    assert both.tolist() == [[0, 1]] * 10


@pytest.mark.parametrize("chunks", [(4,), (0, 1), (-1, 2), ("a", "b"), 3, ((3, 3), (4, 3)), (2, 2)])
def test_chunks_of_any_kind_are_no_harm(chunks):
    image = Like(np.arange(42.0).reshape(6, 7), chunks=chunks)
    out = volchunk.map_overlap(lambda b: b, image, depth=1, chunks=3)
    np.testing.assert_array_equal(out, image.array)


def test_an_image_of_another_dtype_than_it_says_is_refused():
    image = Like(np.full((6, 7), 0.7))
    image.dtype = np.dtype("u1")
    with pytest.raises(TypeError, match="has dtype float64; legal: the image's, uint8"):
        volchunk.map_overlap(lambda b: b, image, depth=1)


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


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_ends_processes_in_mid_chunk():
    def func(block):
        time.sleep(20)
        return block

    began = time.monotonic()
    threading.Timer(0.8, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        volchunk.map_overlap(func, np.zeros(4), depth=0, chunks=1, executor="processes", workers=2)
    assert time.monotonic() - began < 5


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_does_not_meet_what_the_function_catches():
    def func(block):
        try:
            time.sleep(0.1)
        except BaseException:
            pass
        return block

    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        volchunk.map_overlap(func, np.zeros(100), depth=0, chunks=1, workers=1)


def test_the_interpreter_ends_while_a_daemon_thread_runs():
    program = """if True:
        import threading, time, numpy as np, volchunk
        def func(block):
            time.sleep(0.05)
            return block
        run = lambda: volchunk.map_overlap(func, np.zeros((64, 64)), depth=1, chunks=16)
        threading.Thread(target=run, daemon=True).start()
        time.sleep(0.3)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and "Fatal" not in done.stderr


MEASURE = """if True:
    import sys, numpy as np, volchunk
    def figure(name):
        with open("/proc/self/status") as status:
            return next(int(l.split()[1]) for l in status if l.startswith(name)) << 10
    def func(block):
        return block.astype("f4")
    class Like:
        def __init__(self, array):
            self.array, self.shape, self.dtype = array, array.shape, array.dtype
        def __getitem__(self, index):
            return np.array(self.array[index])
    executor, kind, out = sys.argv[1:4]
    image = np.load(sys.argv[4])
    image = {"array": image, "npy": sys.argv[4], "object": Like(image)}[kind]
    if kind == "npy":
        del image; image = sys.argv[4]
    out = {"none": None, "empty": np.empty((96, 256, 256), "f4"),
           "fortran": np.empty((96, 256, 256), "f4", order="F")}[out]
    asked = dict(depth=4, dtype="f4", chunks=(32, 128, 128), out=out, executor=executor, workers=2)
    volchunk.map_overlap(func, np.zeros((4, 4)), depth=1, executor=executor)
    open("/proc/self/clear_refs", "w").write("5")
    plan = volchunk.plan(image, **asked)
    volchunk.map_overlap(func, image, **asked)
    print(figure("VmHWM"), plan["memory"]["peak"])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc")
@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("kind", ["array", "npy", "object"])
@pytest.mark.parametrize("out", ["none", "empty", "fortran"])
def test_the_measured_peak_is_within_the_plan(executor, kind, out, tmp_path):
    np.save(tmp_path / "in.npy", np.ones((96, 256, 256)))
    command = [sys.executable, "-c", MEASURE, executor, kind, out, str(tmp_path / "in.npy")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measured, projected = map(int, told.split())
    assert measured <= projected


def test_channels_that_exceed_the_cap_are_refused():
    image = np.zeros((64, 256, 256), np.float32)
    with pytest.raises(MemoryError, match="memory: the result.*legal: a path"):
        volchunk.map_overlap(
            lambda b: np.stack([b] * 30, -1), image, depth=0, chunks=64, memory=resident() + (200 << 20)
        )


def test_a_dtype_that_changes_is_refused():
    def func(block, info):
        return block.astype("f4" if info.index[0] else "f8")

    with pytest.raises(TypeError, match="func returned dtype float.*; legal: the same for all"):
        volchunk.map_overlap(func, np.zeros(9), depth=0, chunks=3, workers=1)
    out = volchunk.map_overlap(func, np.ones(9), depth=0, chunks=3, dtype="f4")
    assert out.dtype == np.float32 and (out == 1).all()


@pytest.mark.parametrize(
    ("kind", "words", "returned"),
    [
        (ValueError, r"func returned shape \(1, 1\); legal: .*2 columns", [[1]]),
        (ValueError, "func returned shape", [1, 2]),
        (ValueError, "not finite", [[np.nan, 1]]),
        (TypeError, "func returned dtype", [["a", "b"]]),
        (TypeError, "func returned dtype object", None),
        (ValueError, "in a table of uint64", np.array([[1, 1, 2**64 - 1]], "u8")),
    ],
)
def test_bad_points(kind, words, returned):
    with pytest.raises(kind, match=words):
        volchunk.map_points(lambda b: returned, IMAGE, depth=1)


def test_memory_cap_is_kept_in_the_plan():
    image = np.zeros((256, 256, 256), np.uint8)
    cap = resident() + (60 << 20)
    with pytest.raises(MemoryError, match="^memory: .*chunk .* would fit"):
        volchunk.map_overlap(lambda b: b, image, depth=0, chunks=256, dtype="u1", memory=cap)
    seen = []
    volchunk.map_overlap(lambda b: seen.append(b.nbytes) or b, image, depth=0, dtype="u1", memory=cap)
    assert max(seen) < 20 << 20


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
