"""map_overlap and map_points with executor="processes"."""

import os
import signal

import numpy as np
import pytest
import volchunk
from overlap_tools import METHODS, a_volume
from scipy import ndimage


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
                out=out if executor == "processes" else None, version="1",
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
