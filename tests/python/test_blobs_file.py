"""detect_blobs with a path as out: the program's file, and each goes on with the other's."""

import functools
import os
import signal
import threading
import time

import numpy as np
import pytest
import volchunk
from table_tools import program, read, receipts, status, undo, verify
from test_detect import FLAGS, SHAPE, SIGMAS, cells

NAMES = ["c.csv", "c.parquet", "c_blobs.npz"]


@functools.cache
def image():
    return cells()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", image())
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 10:50, :40] = 1
    np.save("mask.npy", mask)
    return tmp_path


def detect(out, given="in.npy", **more):
    return volchunk.detect_blobs(given, **{**SIGMAS, **more}, out=out)


def by_program(out, *flags, **more):
    return program("detect", "in.npy", out, *FLAGS, *flags, **more)


WAYS = [
    ((), {}),
    (("--threshold-rel", "0.3"), {"threshold_rel": 0.3}),
    (("--mask", "mask.npy"), {"mask": "mask.npy"}),
    (("--roi", "5:25,:,10:60", "--skip-empty", "0"),
     {"roi": np.s_[5:25, :, 10:60], "skip_empty": 0}),
    (("--op", "tophat:radius=5", "--op", "percentile:low=1:high=99"),
     {"before": ["tophat:radius=5", "percentile:low=1:high=99"]}),
    (("--log-scale", "--exclude-border", "3,0,9"),
     {"log_scale": True, "exclude_border": (3, 0, 9)}),
]


@pytest.mark.parametrize(("flags", "arguments"), WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_the_programs_file(name, flags, arguments, folder):
    by_program(name, *flags)
    expected = (folder / name).read_bytes()
    again = detect(name, **arguments)
    assert again == name and len(expected) > 500
    detect(name, **arguments, chunks=(16, 32, 32), force=True, workers=3)
    assert (folder / name).read_bytes() == expected
    assert by_program(name, *flags).stdout == f"{name}: already complete\n"
    assert verify(name)["digests"]["altered"] == []


@pytest.mark.parametrize(("flags", "arguments"), WAYS)
def test_each_goes_on_with_the_others(flags, arguments, folder):
    name = "c.csv"
    by_program(name, *flags, "--chunk", "16,32,32")
    expected = (folder / name).read_bytes()
    undo(name, 5)
    before = receipts(name)
    assert len(before) == 5 and status(name)["done"] == 5
    detect(name, **arguments)
    assert (folder / name).read_bytes() == expected
    assert receipts(name)[:5] == before and len(receipts(name)) > 5
    undo(name, 7)
    before = receipts(name)
    assert "7 chunks were done before, and stand" in by_program(name, *flags).stdout
    assert (folder / name).read_bytes() == expected
    assert receipts(name)[:7] == before


def test_the_rows_of_the_array(folder):
    for given in (image(), "in.npy", volchunk.open("in.npy", voxel_size=(4, 2, 2))):
        found = volchunk.detect_blobs(given, **SIGMAS)
        detect("c.parquet", given, chunks=16, force=True)
        names, columns = read("c.parquet")
        assert tuple(names) == found.dtype.names
        for name, column in zip(names, columns, strict=True):
            np.testing.assert_array_equal(column, found[name])
            assert column.dtype == found.dtype[name]


def test_nothing_to_find(folder):
    volchunk.detect_blobs(np.zeros((20, 20)), min_sigma=1, max_sigma=2, out="c.csv")
    lines = (folder / "c.csv").read_text().splitlines()
    assert lines == ["index,axis-0,axis-1,sigma,radius,value,channel"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupted_it_goes_on(folder):
    whole = detect("whole.csv", chunks=8)

    def interrupt():
        while len(receipts("c.csv")) < 3:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        detect("c.csv", chunks=8, workers=1, num_sigma=3)
    thread.join()
    assert "the same call goes on" in caught.value.__notes__[-1]
    done = receipts("c.csv")
    assert len(done) >= 3
    detect("c.csv", chunks=8)
    assert receipts("c.csv")[: len(done)] == done
    assert (folder / "c.csv").read_bytes() == (folder / whole).read_bytes()


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("ops: log:min-sigma=2:.* there, log:min-sigma=2.5:.* here", {"min_sigma": 2.5}),
        ("ops: .* there, log:.*threshold-rel=0.3.* here", {"threshold_rel": 0.3}),
        (r"chunk: \[16, 32, 32\] there, \[9, 9, 9\] here", {"chunks": 9}),
        ("region: not given there", {"roi": np.s_[4:]}),
        ("mask: none there, .*mask.npy here", {"mask": "mask.npy"}),
    ],
)
def test_another_job_is_refused_with_what_differs(words, more, folder):
    by_program("c.csv", "--chunk", "16,32,32")
    undo("c.csv", 5)
    with pytest.raises(FileExistsError, match=f"{words}.*force=True begins anew"):
        detect("c.csv", **more)
    with pytest.raises(FileExistsError, match="function: not given there"):
        volchunk.map_points(lambda b: [], "in.npy", depth=0, out="c.csv", version="1")
    np.save("in.npy", image() + 1)
    with pytest.raises(FileExistsError, match="in.npy changed since it was begun"):
        detect("c.csv")
    assert len(receipts("c.csv")) == 5


def test_bad_outputs_are_named(folder):
    with pytest.raises(FileNotFoundError, match="there is no folder no"):
        detect("no/c.csv")
    with pytest.raises(ValueError, match="c.zarr is to be .* legal: .csv, .parquet, _blobs.npz"):
        detect("c.zarr")
    with pytest.raises(TypeError, match="out is of type list"):
        detect(["c.csv"])
    with pytest.raises(ValueError, match="check is True, but out is no path"):
        detect(None, check=True)
    (folder / "c.csv").write_text("mine")
    for threshold in (None, 0.3):
        with pytest.raises(FileExistsError, match="volchunk did not make it; force=True begins"):
            detect("c.csv", threshold_rel=threshold)
    assert (folder / "c.csv").read_text() == "mine"


@pytest.mark.parametrize("by", ["python", "program"])
@pytest.mark.parametrize("name", NAMES)
def test_what_was_altered_is_found_and_mended(name, by, folder):
    detect(name, chunks=16)
    expected = (folder / name).read_bytes()
    for altered in (folder / name, folder / f"{name}.volchunk" / "0.spool"):
        contents = bytearray(altered.read_bytes())
        contents[-20] ^= 1
        altered.write_bytes(contents)
        assert program("verify", name, check=False).returncode == 1
        if by == "python":
            detect(name, check=True)
        else:
            by_program(name, "--check")
        assert (folder / name).read_bytes() == expected
        assert program("verify", name).returncode == 0
