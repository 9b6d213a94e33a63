"""A path as out: the same call goes on, has nothing to do when all is done; another is refused."""

import functools
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import volchunk
import zarr
from overlap_tools import Like, a_volume, blur

OUTPUTS = ["o.zarr", "o.npy", "o.tif"]


class Stop(Exception):
    pass


class Recorder:
    """A function that notes the chunks it is called for, and fails at one of them."""

    def __init__(self, function=blur, fails_at=None):
        self.function, self.fails_at, self.seen = function, fails_at, []

    def __call__(self, block, info):
        if info.index == self.fails_at:
            raise Stop("here")
        self.seen.append(info.index)
        return self.function(block)


HOW = {"depth": 4, "chunks": (8, 16, 16), "workers": 1, "version": "1"}


def interrupted(path, image, function=blur, **more):
    """The chunks of a run that failed."""
    first = Recorder(function, fails_at=(1, 1, 1))
    with pytest.raises(Stop) as caught:
        volchunk.map_overlap(first, image, out=path, **{**HOW, **more})
    assert caught.value.__notes__[-1] == (
        "the output is unfinished; the same call goes on, force=True begins anew"
    )
    return first.seen


def pair(block):
    return np.stack([block, block + 1])


def last(block):
    return np.stack([block, block + 1], -1)


@pytest.mark.parametrize(
    ("name", "function"),
    [(n, f) for n in OUTPUTS for f in (blur, pair, last) if (n, f) != ("o.tif", last)],
)
@pytest.mark.parametrize("chunks", ["auto", (8, 16, 16)])
def test_the_same_call_goes_on(name, function, chunks, tmp_path):
    image, path = a_volume(), tmp_path / name
    done = interrupted(path, image, function)
    assert 0 < len(done) < 27
    second = Recorder(function)
    got = volchunk.map_overlap(second, image, out=path, **{**HOW, "chunks": chunks})
    np.testing.assert_array_equal(got, function(image))
    # All of them, each once.
    assert sorted(done + second.seen) == list(np.ndindex(3, 3, 3))
    third = Recorder(function)
    again = volchunk.map_overlap(third, image, out=path, **HOW)
    assert third.seen == [] and again.path == got.path
    fourth = Recorder(function)
    volchunk.map_overlap(fourth, image, out=path, **HOW, force=True)
    assert len(fourth.seen) == 27


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("version: \"1\" there, \"2\" here", {"version": "2"}),
        (r"depth: \[\[4, 4\], .* there, \[\[3, 3\]", {"depth": 3}),
        ("boundary: reflect, .* there, wrap", {"boundary": "wrap"}),
        ("boundary: .* there, none, none, none here", {"boundary": None}),
        ("dtype: float32 there, float64 here", {"dtype": float}),
        (r"chunk: \[8, 16, 16\] there, \[8, 16, 41\] here", {"chunks": (8, 16, 41)}),
        ("region: not given there", {"roi": np.s_[4:]}),
        ("mask: none there, an array here", {"mask": np.ones((20, 33, 41))}),
    ],
)
def test_another_job_is_refused_with_what_differs(words, more, tmp_path):
    image, path = a_volume(), tmp_path / "o.zarr"
    interrupted(path, image)
    with pytest.raises(FileExistsError, match=f"{words}.*force=True begins anew"):
        volchunk.map_overlap(Recorder(), image, out=path, **{**HOW, **more})
    with pytest.raises(FileExistsError, match="function: Recorder there, blur here"):
        volchunk.map_overlap(functools.partial(blur), image, out=path, **HOW)
    with pytest.raises(FileExistsError, match='function: "Recorder" there, not given here'):
        volchunk.gaussian_filter(image, 1, out=path)


def mapped(image, folder):
    np.save(folder / "in.npy", image)
    return np.load(folder / "in.npy", mmap_mode="r")


def on_disk(image, folder):
    np.save(folder / "in.npy", image)
    return folder / "in.npy"


@pytest.mark.parametrize(
    "given",
    [
        lambda image, folder: image,
        lambda image, folder: np.asfortranarray(image),
        lambda image, folder: image.astype(">u2"),
        lambda image, folder: image[::-1].copy()[::-1],
        mapped,
        on_disk,
    ],
)
def test_an_image_is_known_again(given, tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    done = interrupted(path, given(image, tmp_path))
    other = image.copy()
    other[-1, -1, -1] ^= 1
    stamp = os.stat(tmp_path / "in.npy").st_mtime_ns if os.path.exists(tmp_path / "in.npy") else 0
    with pytest.raises(FileExistsError, match="the input .* changed since it was begun"):
        volchunk.map_overlap(Recorder(), given(other, tmp_path), out=path, **HOW)
    back = given(image, tmp_path)
    if stamp:
        os.utime(tmp_path / "in.npy", ns=(stamp, stamp))
    second = Recorder()
    got = volchunk.map_overlap(second, back, out=path, **HOW)
    np.testing.assert_array_equal(got, blur(image))
    assert len(done) + len(second.seen) == 27


def test_how_an_array_lies_in_memory_does_not_matter(tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    interrupted(path, image)
    got = volchunk.map_overlap(Recorder(), np.asfortranarray(image), out=path, **HOW)
    np.testing.assert_array_equal(got, blur(image))


def test_of_what_is_only_indexed_the_version_tells(tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    done = interrupted(path, Like(image))
    second = Recorder()
    volchunk.map_overlap(second, Like(image), out=path, **HOW)
    assert len(done) + len(second.seen) == 27
    # An op has no version: without one, nothing tells.
    volchunk.multiply(Like(image), 2, out=tmp_path / "p.npy")
    with pytest.raises(FileExistsError, match="nothing tells whether the input, a Like, changed"):
        volchunk.multiply(Like(image), 2, out=tmp_path / "p.npy")
    for _ in range(2):
        volchunk.multiply(Like(image), 2, out=tmp_path / "q.npy", version="1")
    with pytest.raises(FileExistsError, match="the input a Like changed since it was made"):
        volchunk.multiply(Like(image), 2, out=tmp_path / "q.npy", version="2")


def test_an_output_over_the_input_is_refused(tmp_path):
    image = a_volume()
    store = zarr.create_array(tmp_path / "in.zarr", shape=image.shape, dtype=image.dtype)
    for given, path in [
        (on_disk(image, tmp_path), tmp_path / "in.npy"),
        (mapped(image, tmp_path), tmp_path / "in.npy"),
        (store, tmp_path / "in.zarr"),
    ]:
        with pytest.raises(ValueError, match="legal: a (path|place) apart from it"):
            volchunk.map_overlap(blur, given, out=path, **HOW, force=True)
        assert path.exists()
    with pytest.raises(ValueError, match="in.npy, which is read; legal: a place apart"):
        path = tmp_path / "in.npy"
        volchunk.map_overlap(blur, image, mask=path, out=path, **HOW, force=True)


def test_what_was_altered_is_found_by_check(tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    volchunk.map_overlap(blur, image, out=path, **HOW)
    with open(path, "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.write(b"\x55")
    assert (np.load(path) != blur(image)).any()
    second = Recorder()
    second.__class__ = type("blur", (Recorder,), {})
    volchunk.map_overlap(second, image, out=path, **HOW, check=True)
    assert second.seen == [(2, 2, 2)]
    np.testing.assert_array_equal(np.load(path), blur(image))


def test_a_function_that_gives_something_else_now_is_refused(tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    interrupted(path, image)
    for function, words in [
        (lambda block: block * 1.0, "dtype float64, and float32 for another"),
        (pair, "func returned shape"),
    ]:
        with pytest.raises((TypeError, ValueError), match=words):
            volchunk.map_overlap(Recorder(function), image, out=path, **HOW)


def test_the_others_go_on_where_one_fails(tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    first = Recorder(fails_at=(1, 1, 1))
    with pytest.raises(ValueError, match=r"1 of 27 chunks failed:\n  chunk \(1, 1, 1\) at .*here"):
        volchunk.map_overlap(first, image, out=path, **HOW, keep_going=True)
    assert len(first.seen) == 26
    told = status(path)
    assert (told["done"], told["missing"], len(told["failed"])) == (26, 0, 1)
    second = Recorder()
    volchunk.map_overlap(second, image, out=path, **HOW)
    assert second.seen == [(1, 1, 1)]
    filled = np.zeros(image.shape, np.float32)
    with pytest.raises(ValueError, match="1 of 27 chunks failed"):
        again = Recorder(fails_at=(1, 1, 1))
        how = {"depth": 4, "chunks": (8, 16, 16), "keep_going": True}
        volchunk.map_overlap(again, image, out=filled, **how)
    whole = blur(image)
    whole[8:16, 16:32, 16:32] = 0
    np.testing.assert_array_equal(filled, whole)


def test_an_os_error_is_tried_again():
    failed = []

    def func(block, info):
        if info.index == (2,) and len(failed) < 2:
            failed.append(info.index)
            raise OSError("the server is away")
        return block

    got = volchunk.map_overlap(func, np.arange(9), depth=0, chunks=3, retries=2)
    assert got.tolist() == list(range(9)) and len(failed) == 2
    failed.clear()
    with pytest.raises(OSError, match="the server is away") as caught:
        volchunk.map_overlap(func, np.arange(9), depth=0, chunks=3, retries=1)
    assert caught.value.__notes__ == ["in chunk (2) at [6:9]"]


def status(path):
    command = [sys.executable, "-m", "volchunk", "status", "--json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def verify(path):
    command = [sys.executable, "-m", "volchunk", "verify", "--json", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_program_understands_what_python_wrote(tmp_path):
    image, path = a_volume(), tmp_path / "o.zarr"
    done = interrupted(path, image)
    assert (status(path)["complete"], status(path)["done"]) == (False, len(done))
    volchunk.map_overlap(Recorder(), image, out=path, **HOW)
    assert status(path)["complete"] and status(path)["done"] == 27
    told = verify(path)
    assert told["digests"]["chunks"] == 27 and told["digests"]["altered"] == []
    assert 'Recorder, version "1", computed it' in told["shifted_grid"]["not_computed"]
    # An op on an array that only Python had, and on a file, which the program can do too.
    np.save(tmp_path / "in.npy", image)
    for given, key in [(image, "not_computed"), (tmp_path / "in.npy", "differing")]:
        volchunk.gaussian_filter(given, 1, out=path, chunks=(8, 16, 16), force=True)
        assert key in verify(path)["shifted_grid"]


def test_an_op_goes_on_with_what_the_program_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("in.npy", a_volume())
    begun = ["run", "in.npy", "o.zarr", "--op", "threshold:value=30000", "--chunk", "8,16,16"]
    program = [sys.executable, "-m", "volchunk", *begun]
    assert subprocess.run([*program, "--part", "0/2"], capture_output=True).returncode == 0
    with pytest.raises(FileExistsError, match="is written in 2 parts"):
        volchunk.threshold("in.npy", 30000, out="o.zarr")
    subprocess.run([*program, "--force"], capture_output=True, check=True)
    before = os.stat("o.zarr.volchunk/0.journal").st_mtime_ns
    got = volchunk.threshold("in.npy", 30000, out="o.zarr")
    np.testing.assert_array_equal(got, a_volume() >= 30000)
    assert os.stat("o.zarr.volchunk/0.journal").st_mtime_ns == before
    # And the other way round.
    volchunk.threshold("in.npy", 30000, out="o.zarr", chunks=(8, 16, 16), force=True)
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert done.stdout == "o.zarr: already complete\n"


def test_two_at_once_are_refused(tmp_path):
    image, path = a_volume(), tmp_path / "o.npy"
    other = []

    def func(block, info):
        if info.index == (1, 0, 0):
            with pytest.raises(FileExistsError, match="another process is writing") as e:
                volchunk.map_overlap(func, image, out=path, **HOW)
            other.append(str(e.value))
        return blur(block)

    volchunk.map_overlap(func, image, out=path, **HOW)
    assert len(other) == 1


def test_a_complete_output_is_looked_at(tmp_path):
    image, path = a_volume(), tmp_path / "o.zarr"
    array = zarr.create_array(tmp_path / "i.zarr", shape=image.shape, dtype=image.dtype, chunks=(8, 16, 16))
    array[:] = image
    volchunk.map_overlap(Recorder(), tmp_path / "i.zarr", out=path, **HOW)

    def again():
        function = Recorder()
        got = volchunk.map_overlap(function, tmp_path / "i.zarr", out=path, **HOW)
        np.testing.assert_array_equal(got, blur(array[:]))
        return function.seen

    assert again() == []
    # A part of it is lost; a part of the image is written anew in place.
    (path / "0" / "c" / "1" / "1" / "1").unlink()
    assert again() == [(1, 1, 1)]
    array[16:, 32:, 32:] += 1
    assert again() == [i for i in np.ndindex(3, 3, 3) if min(i) >= 1]
    assert again() == []


def once(path, image, change, at=(1, 1, 1), **more):
    """A run that changes something in the middle of it."""

    def func(block, info):
        if info.index == at:
            change()
        return block

    return volchunk.map_overlap(func, image, out=path, **{**HOW, "depth": 0, **more})


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_array_that_changes_under_a_run_makes_no_complete_output(tmp_path, name):
    image, path = a_volume(), tmp_path / name
    before = image.copy()
    with pytest.raises(ValueError, match="image changed while it was read"):
        once(path, image, lambda: image.fill(7))
    # As it was: what chunks saw meanwhile is not believed.
    image[:] = before
    np.testing.assert_array_equal(once(path, image, lambda: None), before)
    mask = np.ones(image.shape, bool)
    path = tmp_path / ("m" + name)
    with pytest.raises(ValueError, match="mask changed while it was read"):
        once(path, image, lambda: mask.fill(False), mask=mask)
    mask.fill(True)
    np.testing.assert_array_equal(once(path, image, lambda: None, mask=mask), image)


def test_stores_into_a_mapped_file_are_seen(tmp_path):
    mapped = np.lib.format.open_memmap(tmp_path / "i.npy", "w+", np.uint16, a_volume().shape)
    mapped[:] = 1
    volchunk.gaussian_filter(mapped, 1, out=tmp_path / "a.zarr")
    mapped[:] = 2
    with pytest.raises(FileExistsError, match="i.npy changed"):
        volchunk.gaussian_filter(mapped, 1, out=tmp_path / "a.zarr")
    with pytest.raises(ValueError, match="i.npy changed while it was read"):
        once(tmp_path / "b.zarr", mapped, lambda: mapped.fill(7))


def test_without_a_journal_nothing_tells(tmp_path):
    image, path = a_volume(), tmp_path / "o.zarr"
    volchunk.multiply(image, 2, out=path)
    shutil.rmtree(tmp_path / "o.zarr.volchunk")
    with pytest.warns(UserWarning, match="its journal is gone"):
        volchunk.multiply(image, 2, out=path)


def test_all_of_it_is_no_region(tmp_path):
    image, path = a_volume(), tmp_path / "o.zarr"
    volchunk.multiply(image, 2, out=path, roi=np.s_[...])
    volchunk.multiply(image, 2, out=path)
    volchunk.multiply(image, 2, out=path, roi=np.s_[:, 0:, :])
    with pytest.raises(FileExistsError, match="region"):
        volchunk.multiply(image, 2, out=path, roi=np.s_[1:])
