"""What map_overlap refuses, and how it says so."""

import os

import numpy as np
import pytest
import volchunk
import zarr
from overlap_tools import IMAGE, Like, a_volume


def test_misaligned_output_is_refused(tmp_path):
    store = zarr.create_array(tmp_path / "o.zarr", shape=(20, 30), chunks=(8, 8), dtype="u1")
    image = np.zeros((20, 30), np.uint8)
    with pytest.raises(ValueError, match="chunks.*does not align"):
        volchunk.map_overlap(lambda b: b, image, depth=0, chunks=5, out=store)
    volchunk.map_overlap(lambda b: b + 1, image, depth=0, out=store)
    assert (store[:] == 1).all()


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
        (ValueError, "o.jpg", {"out": "o.jpg", "version": "1"}),
        (TypeError, "version is not given, and out is a path", {"out": "o.npy"}),
        (TypeError, "version is 1; legal", {"out": "o.npy", "version": 1}),
        (ValueError, "force is True, but out is no path", {"force": True}),
        (ValueError, "check is True, but out is no path", {"check": True}),
        (ValueError, "retries is -1", {"retries": -1}),
        (ValueError, "mask is .5. float64|the mask is .5", {"mask": np.ones(5)}),
        (TypeError, "mask is of type set", {"mask": {1}}),
        (ValueError, "fill 256: the result is uint8", {"mask": IMAGE, "fill": 256, "dtype": "u1", "image": IMAGE.astype("u1")}),
        (TypeError, "fill is 'a'; legal: a number", {"mask": IMAGE, "fill": "a"}),
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
        (tmp_path / "a.zarr", store),
        (volchunk.open(tmp_path / "a.zarr"), store),
    ]:
        with pytest.raises(ValueError, match="out shares memory or a file with image"):
            volchunk.map_overlap(lambda b: b, image, depth=1, out=out)
        if out is not mapped and not isinstance(out, np.ndarray):
            with pytest.raises(ValueError, match="out shares memory or a file with image"):
                volchunk.multiply(image, 2, out=out)
    # Two arrays of one store are not one.
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    one, two = (group.create_array(name, shape=(4, 5), dtype="u2") for name in "ab")
    one[:] = 3
    for image in (one, tmp_path / "g.zarr" / "a"):
        volchunk.map_overlap(lambda b: b + 1, image, depth=1, out=two)
        assert np.unique(two[:]).tolist() == [4]
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


def test_a_dtype_that_changes_is_refused():
    def func(block, info):
        return block.astype("f4" if info.index[0] else "f8")

    with pytest.raises(TypeError, match="func returned dtype float.*; legal: the same for all"):
        volchunk.map_overlap(func, np.zeros(9), depth=0, chunks=3, workers=1)
    out = volchunk.map_overlap(func, np.ones(9), depth=0, chunks=3, dtype="f4")
    assert out.dtype == np.float32 and (out == 1).all()
