"""What a plan of a function says is what runs, within the memory that it says."""

import json
import subprocess
import sys

import numpy as np
import pytest
import volchunk
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_tools import a_volume, draw_image, resident


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
    with pytest.raises(ValueError, match="skip_empty is 0; legal with depth: None"):
        volchunk.plan("in.npy", depth=1, skip_empty=0)
    with pytest.raises(ValueError, match="did you mean 'gaussian'"):
        volchunk.plan("in.npy", "gausian:sigma=2")


def test_a_plan_counts_what_is_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = a_volume()
    mask = np.zeros(image.shape, bool)
    mask[:8, :16, :20] = True
    np.save("in.npy", image)
    np.save("mask.npy", mask)
    arguments = ["in.npy", "out.npy", "--op", "gaussian:sigma=2", "--chunk", "8,16,16", "--json"]
    arguments += ["--mask", "mask.npy", "--skip-empty", "0", "--memory", "1GB"]
    program = [sys.executable, "-m", "volchunk", "plan", *arguments]
    told = json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)
    plan = volchunk.plan(
        "in.npy",
        "gaussian:sigma=2",
        out="out.npy",
        chunks=(8, 16, 16),
        mask="mask.npy",
        skip_empty=0,
        memory="1GB",
    )
    assert plan["chunks_outside_mask"] == told["chunks_outside_mask"] == 25
    assert plan["skip_empty"] == told["skip_empty"] == "0"
    assert "mask.npy: 25 of 27 chunks lie wholly outside" in str(plan)
    assert volchunk.plan(image, depth=1, chunks=(8, 16, 16), mask=mask)["chunks_outside_mask"] == 25


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


def test_memory_cap_is_kept_in_the_plan():
    image = np.zeros((256, 256, 256), np.uint8)
    cap = resident() + (60 << 20)
    with pytest.raises(MemoryError, match="^memory: .*chunk .* would fit"):
        volchunk.map_overlap(lambda b: b, image, depth=0, chunks=256, dtype="u1", memory=cap)
    seen = []
    volchunk.map_overlap(lambda b: seen.append(b.nbytes) or b, image, depth=0, dtype="u1", memory=cap)
    assert max(seen) < 20 << 20
