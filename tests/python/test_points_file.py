"""map_points with a path as out: the rows of the array, and how it goes on."""

import os
import pathlib
import signal
import time

import numpy as np
import pytest
import volchunk
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_tools import Like, a_volume
from table_tools import program, read, receipts, status, undo, verify

HOW = {"depth": 2, "chunks": (8, 16, 16), "workers": 1, "version": "1"}


def bright(block):
    """Points between voxels, with a value."""
    at = np.argwhere(block > 59000)
    return np.hstack([at + 0.25, block[tuple(at.T)][:, None] / 7])


class Stop(Exception):
    pass


class Recorder:
    """A function that notes the chunks it is called for, and fails at one of them."""

    def __init__(self, function=bright, fails_at=None, error=Stop):
        self.function, self.fails_at, self.error, self.seen = function, fails_at, error, []

    def __call__(self, block, info):
        if info.index == self.fails_at:
            if self.error is KeyboardInterrupt:
                os.kill(os.getpid(), signal.SIGINT)
                # It is looked for every 50 ms.
                time.sleep(0.5)
            else:
                raise self.error("here")
        self.seen.append(info.index)
        return self.function(block)


def assert_holds(path, table, further):
    """The file has the rows of the array, and its dtype."""
    names, columns = read(path)
    ndim = table.shape[1] - further
    values = ["value", *(f"value-{k}" for k in range(1, further))][:further]
    if len(table):
        assert names == ["index", *(f"axis-{a}" for a in range(ndim)), *values]
    np.testing.assert_array_equal(columns[0], np.arange(len(table)))
    assert len(columns[0]) == len(table)
    for k, column in enumerate(columns[1:]):
        np.testing.assert_array_equal(column, table[:, k])
        if len(table):
            assert column.dtype == table.dtype


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_rows_of_the_array(tmp_path_factory, data):
    n = data.draw(st.integers(1, 3), "axes")
    shape = data.draw(st.lists(st.integers(1, 14), min_size=n, max_size=n), "shape")
    seed = data.draw(st.integers(0, 99), "seed")
    image = np.random.default_rng(seed).integers(0, 9, shape)
    kinds = data.draw(st.sampled_from(["integers", "floats", "both", "few", "none"]), "kinds")
    further = data.draw(st.integers(0, 3), "further")
    dedupe = data.draw(st.sampled_from([None, 0, 0.6, 1.5]), "dedupe")

    def find(block, info):
        rng = np.random.default_rng([seed, *info.index])
        if kinds == "none" or (kinds == "few" and rng.random() < 0.7):
            return [] if rng.random() < 0.5 else np.empty((0, n + 5))
        at = np.argwhere(block > 3)
        values = rng.integers(-3, 3, (len(at), further))
        if kinds == "integers" or (kinds == "both" and rng.random() < 0.5):
            return np.hstack([at, values])
        at = at + rng.choice([0, -0.5, -0.25, 0.4], at.shape)
        values = values * 0.5
        if dedupe is None and further:
            values[rng.random(values.shape) < 0.2] = rng.choice([np.nan, -np.nan, np.inf, -0.0])
        return np.hstack([at, values])

    how = {
        "depth": data.draw(st.integers(0, 3)),
        "chunks": data.draw(st.lists(st.integers(1, 15), min_size=n, max_size=n), "chunks"),
        "roi": tuple(slice(data.draw(st.integers(0, s - 1)), None) for s in shape),
        "boundary": data.draw(st.sampled_from([None, "reflect"])),
        "workers": data.draw(st.integers(1, 3)),
        "dedupe": dedupe,
    }
    if data.draw(st.booleans(), "masked"):
        how["mask"] = np.random.default_rng(1).integers(0, 3, shape) > 0
    table = volchunk.map_points(find, image, **how)
    path = tmp_path_factory.mktemp("points") / data.draw(st.sampled_from(["p.csv", "p.parquet"]))
    assert volchunk.map_points(find, image, **how, out=path, version="1") == path
    assert_holds(path, table, further)


def test_a_large_table_with_little_memory_is_the_same(tmp_path):
    """One plane of the first axis has more than a sweep may hold at once."""
    image = np.zeros((3, 200, 300), bool)
    for find in (np.argwhere, lambda block: np.argwhere(block) + [0, 0, 0.25]):
        image[1] = True
        path = tmp_path / "p.parquet"
        table = volchunk.map_points(find, image, depth=0, chunks=(3, 64, 64))
        volchunk.map_points(
            find, image, depth=0, chunks=(3, 64, 64), out=path, version="1", force=True
        )
        assert len(table) == 60000
        assert_holds(path, table, 0)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_executors(executor, tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    volchunk.map_points(bright, image, **{**HOW, "workers": 2}, out=path, executor=executor)
    assert_holds(path, volchunk.map_points(bright, image, depth=2), 1)


def whole(tmp_path, image, function=bright, **more):
    """The bytes of a run that nobody disturbed."""
    path = tmp_path / "whole.csv"
    volchunk.map_points(function, image, **{**HOW, **more}, out=path, force=True)
    return path.read_bytes()


@pytest.mark.parametrize("chunks", ["auto", (8, 16, 16)])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("dedupe", [None, 1])
def test_the_same_call_goes_on(chunks, error, dedupe, tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    first = Recorder(fails_at=(1, 1, 1), error=error)
    with pytest.raises(error) as caught:
        volchunk.map_points(first, image, **HOW, out=path, dedupe=dedupe)
    assert "the same call goes on" in caught.value.__notes__[-1]
    assert not path.exists() and (tmp_path / "p.csv.partial").exists()
    done = [record[0] for record in receipts(path)]
    assert status(path)["done"] == len(done) and not status(path)["complete"]
    assert 0 < len(done) < 27
    second = Recorder()
    volchunk.map_points(second, image, **{**HOW, "chunks": chunks}, out=path, dedupe=dedupe)
    # All of them, and those that were committed once.
    grid = list(np.ndindex(3, 3, 3))
    assert sorted(second.seen) == [grid[n] for n in range(27) if n not in done]
    assert path.read_bytes() == whole(tmp_path, image, Recorder(), dedupe=dedupe)
    assert status(path)["complete"] and not (tmp_path / "p.csv.partial").exists()
    third = Recorder()
    volchunk.map_points(third, image, **HOW, out=path, dedupe=dedupe)
    assert third.seen == []
    volchunk.map_points(third, image, **HOW, out=path, dedupe=dedupe, force=True)
    assert len(third.seen) == 27


def test_killed_before_the_file_was_written(tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    volchunk.map_points(bright, image, **HOW, out=path)
    bytes_of = path.read_bytes()
    undo(path, 27)
    (tmp_path / "p.csv.partial").write_bytes(bytes_of[:100])
    again = Recorder()
    again.__class__ = type("bright", (Recorder,), {})
    volchunk.map_points(again, image, **HOW, out=path)
    assert again.seen == [] and path.read_bytes() == bytes_of


class Late:
    """Finds nothing in the first chunks, and in one chunk floats; perhaps fails."""

    def __init__(self, fails_at=None, further=1):
        self.fails_at, self.further = fails_at, further

    def __call__(self, block, info):
        if info.index == self.fails_at:
            raise Stop
        if info.index[0] == 0:
            return []
        at = np.argwhere(block > 59900)
        table = np.hstack([at, np.full((len(at), self.further), 7)])
        return table * 1.0 if info.index == (1, 0, 0) else table


def test_what_the_first_rows_told_stands(tmp_path):
    """Columns come late, whole numbers become floats, and either survives interruptions."""
    image, path = a_volume(), tmp_path / "p.parquet"
    for at in [(0, 2, 2), (1, 0, 0), (1, 2, 0), (2, 1, 0)]:
        with pytest.raises(Stop):
            volchunk.map_points(Late(at), image, **HOW, out=path)
    with pytest.raises(ValueError, match="func returned 5 columns, and 4 for another chunk"):
        volchunk.map_points(Late(further=2), image, **HOW, out=path)
    volchunk.map_points(Late(), image, **HOW, out=path)
    table = volchunk.map_points(Late(), image, depth=2, chunks=(8, 16, 16))
    assert table.dtype == np.float64
    assert_holds(path, table, 1)


def test_no_points_at_all(tmp_path):
    path = tmp_path / "p.csv"
    volchunk.map_points(lambda block: [], a_volume(), **HOW, out=path)
    assert path.read_text() == "index,axis-0,axis-1,axis-2\n"
    assert verify(path)["digests"]["altered"] == []
    volchunk.map_points(lambda block: [], a_volume(), **HOW, out=path, check=True)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("version: \"1\" there, \"2\" here", {"version": "2"}),
        (r"depth: \[\[2, 2\], .* there, \[\[3, 3\]", {"depth": 3}),
        ("boundary: reflect, .* there, wrap", {"boundary": "wrap"}),
        ("dedupe: none there, 1, 1, 1.5 here", {"dedupe": (1, 1, 1.5)}),
        (r"chunk: \[8, 16, 16\] there, \[8, 16, 41\] here", {"chunks": (8, 16, 41)}),
        ("region: not given there", {"roi": np.s_[4:]}),
        ("mask: none there, an array here", {"mask": np.ones((20, 33, 41))}),
    ],
)
def test_another_job_is_refused_with_what_differs(words, more, tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    with pytest.raises(Stop):
        volchunk.map_points(Recorder(fails_at=(1, 1, 1)), image, **HOW, out=path)
    before = receipts(path)
    with pytest.raises(FileExistsError, match=f"{words}.*force=True begins anew"):
        volchunk.map_points(Recorder(), image, **{**HOW, **more}, out=path)
    with pytest.raises(FileExistsError, match="function: Recorder there, bright here"):
        volchunk.map_points(bright, image, **HOW, out=path)
    image[0, 0, 0] += 1
    with pytest.raises(FileExistsError, match="the input an array changed since it was begun"):
        volchunk.map_points(Recorder(), image, **HOW, out=path)
    with pytest.raises(FileExistsError, match='function: "Recorder" there, not given here'):
        volchunk.detect_blobs(image, min_sigma=1, max_sigma=2, out=path)
    assert receipts(path) == before


def test_bad_outputs_are_named(tmp_path):
    def never(block):
        raise AssertionError("called")

    def call(path, **more):
        volchunk.map_points(never, a_volume(), **{**HOW, **more}, out=path)

    with pytest.raises(FileNotFoundError, match="there is no folder .*no"):
        call(tmp_path / "no" / "p.csv")
    for name in ("p.zarr", "p.txt", "p", "p.npz"):
        with pytest.raises(ValueError, match=f"{name} .* legal: .csv, .parquet$"):
            call(tmp_path / name)
    with pytest.raises(ValueError, match="p_blobs.npz is an archive of blobs, .*legal: .csv, .par"):
        call(tmp_path / "p_blobs.npz")
    with pytest.raises(TypeError, match="version is not given"):
        call(tmp_path / "p.csv", version=None)
    with pytest.raises(TypeError, match="out is of type ndarray; legal: None, or a path"):
        call(np.zeros(3))
    for name in ("force", "check"):
        with pytest.raises(ValueError, match=f"{name} is True, but out is no path"):
            call(None, **{name: True})
    (tmp_path / "p.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="volchunk did not make it; force=True begins anew"):
        call(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == ["p.csv"]
    with pytest.raises(ValueError, match="is a table, and voxels are made; legal: .zarr, .npy"):
        volchunk.map_overlap(never, a_volume(), **HOW, out=tmp_path / "o.csv")


@pytest.mark.parametrize(
    ("words", "table", "more"),
    [
        (r"func returned integers beyond 2\*\*53; legal with a path", [[5, 5, 5, 2**53 + 1]], {}),
        (r"func returned integers beyond 2\*\*53; legal with a path", [[5, 5, 5, -(2**53) - 1]], {}),
        ("func returned 1024 columns; legal with a path as out: at most 1023", [[1] * 1024], {}),
        ("NaN in column 3, by which dedupe decides", [[5, 5, 5, np.nan]], {"dedupe": 1}),
    ],
)
def test_points_that_no_file_can_hold(words, table, more, tmp_path):
    with pytest.raises(ValueError, match=words):
        how = {**HOW, "chunks": 41, **more}
        volchunk.map_points(lambda b: table, a_volume(), **how, out=tmp_path / "p.csv")
    assert not receipts(tmp_path / "p.csv")


@pytest.mark.parametrize("where", ["spool", "file"])
def test_what_was_altered_is_found_and_mended(where, tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    volchunk.map_points(bright, image, **HOW, out=path)
    bytes_of = path.read_bytes()
    assert verify(path)["digests"]["altered"] == []
    altered = path if where == "file" else tmp_path / "p.csv.volchunk" / "0.spool"
    contents = bytearray(altered.read_bytes())
    contents[-20] ^= 1
    altered.write_bytes(contents)
    told = verify(path, check=False)
    assert len(told["digests"]["altered"]) == (where == "spool")
    assert 'bright, version "1", computed it' in told["shifted_grid"]["not_computed"]
    assert program("verify", path, check=False).returncode == 1
    again = Recorder()
    again.__class__ = type("bright", (Recorder,), {})
    volchunk.map_points(again, image, **HOW, out=path, check=True)
    assert len(again.seen) == (where == "spool")
    assert path.read_bytes() == bytes_of
    assert verify(path)["digests"]["altered"] == []


def test_the_others_go_on_where_one_fails(tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    first = Recorder(fails_at=(1, 1, 1))
    with pytest.raises(ValueError, match=r"1 of 27 chunks failed:\n  chunk \(1, 1, 1\) at .*here"):
        volchunk.map_points(first, image, **HOW, out=path, keep_going=True)
    assert (status(path)["done"], len(status(path)["failed"])) == (26, 1)
    second = Recorder()
    volchunk.map_points(second, image, **HOW, out=path)
    assert second.seen == [(1, 1, 1)]
    assert path.read_bytes() == whole(tmp_path, image)
    with pytest.raises(ValueError, match="1 of 27 chunks failed"):
        how = {"depth": 2, "chunks": (8, 16, 16), "keep_going": True}
        volchunk.map_points(Recorder(fails_at=(1, 1, 1)), image, **how)


def test_an_os_error_is_tried_again(tmp_path):
    left = [2]

    def find(block):
        if left[0]:
            left[0] -= 1
            raise OSError("away")
        return np.argwhere(block > 59000)

    path = tmp_path / "p.csv"
    volchunk.map_points(find, a_volume(), **HOW, out=path, retries=2)
    assert_holds(path, volchunk.map_points(find, a_volume(), depth=2), 0)


def test_a_mask_that_leaves_out_chunks(tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    mask = np.zeros(image.shape, np.uint8)
    mask[3:9, 20:, 5:30] = 1
    recorder = Recorder()
    volchunk.map_points(recorder, image, **HOW, mask=mask, out=path)
    assert 0 < len(recorder.seen) < 27
    table = volchunk.map_points(bright, image, depth=2, mask=mask)
    assert len(table)
    assert_holds(path, table, 1)


def test_of_what_is_only_indexed_the_version_tells(tmp_path):
    path = tmp_path / "p.csv"
    with pytest.raises(Stop):
        volchunk.map_points(Recorder(fails_at=(1, 1, 1)), Like(a_volume()), **HOW, out=path)
    second = Recorder()
    volchunk.map_points(second, Like(a_volume()), **HOW, out=str(path))
    assert 0 < len(second.seen) < 27


def test_the_program_reads_it(tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    volchunk.map_points(bright, image, **HOW, out=path)
    table = volchunk.map_points(bright, image, depth=2)
    least = np.median(table[:, 3])
    to = tmp_path / "some.parquet"
    program("points", path, to, "--min-value", least, "--roi", "5:15,:,:")
    kept = table[(table[:, 3] >= least) & (table[:, 0] >= 5) & (table[:, 0] < 15)]
    names, columns = read(to)
    assert names == ["index", "axis-0", "axis-1", "axis-2", "value"]
    np.testing.assert_array_equal(np.stack(columns[1:], 1), kept)
    counted = program("points", path, "--count").stdout
    assert "".join(filter(str.isdigit, counted.rsplit(":", 1)[1])) == str(len(table))


def test_two_at_once_are_refused(tmp_path):
    image, path = a_volume(), tmp_path / "p.csv"
    other = []

    def func(block, info):
        if info.index == (1, 0, 0):
            with pytest.raises(FileExistsError, match="another process is writing") as e:
                volchunk.map_points(func, image, out=path, **HOW)
            other.append(str(e.value))
        return bright(block)

    volchunk.map_points(func, image, out=pathlib.Path(path), **HOW)
    assert len(other) == 1
