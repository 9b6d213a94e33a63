"""Shared arrays and pools under every start method, each in a program of its own."""

import json
import multiprocessing as mp
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import volchunk
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import DTYPES, LAYOUTS, laid_out, values
from volchunk.chunking import SharedArr, SharedArrsContainer, get_mp_pool, set_mp_start_method

PROGRAM = pathlib.Path(__file__).with_name("pool_program.py")
METHODS = mp.get_all_start_methods()
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and files of Unix")


def command(task, method):
    return [sys.executable, str(PROGRAM), task, method]


def environment(method, tmp_path):
    return {
        **os.environ,
        "VOLCHUNK_MP_START": method,
        "VOLCHUNK_CPUS": "2",
        "TMPDIR": str(tmp_path),
    }


def run(task, method, tmp_path):
    return subprocess.run(
        command(task, method),
        env=environment(method, tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("task", ["shared", "merges", "start"])
def test_in_a_program(task, method, tmp_path):
    done = run(task, method, tmp_path)
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr


def named_memory(tmp_path):
    """Every name that could be left behind."""
    places = [pathlib.Path("/dev/shm"), tmp_path]
    # Semaphores of multiprocessing itself are unlinked at once; forkserver's directory is its own.
    return {
        str(p)
        for place in places
        if place.exists()
        for p in place.rglob("*")
        if not p.name.startswith(("pymp-", "listener-", "sem."))
    }


@unix
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_left_after_an_exception(method, tmp_path):
    before = named_memory(tmp_path)
    done = run("fails", method, tmp_path)
    assert "as intended" in done.stderr and done.returncode == 1
    assert named_memory(tmp_path) <= before


@unix
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("victims", ["parent", "all"])
def test_nothing_is_left_after_a_kill(method, victims, tmp_path):
    before = named_memory(tmp_path)
    program = subprocess.Popen(
        command("wait", method),
        env=environment(method, tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = json.loads(program.stdout.readline())
    try:
        assert named_memory(tmp_path) <= before, "the memory has a name"
        if sys.platform == "linux":
            for pid in pids:
                maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
                assert "/memfd:volchunk (deleted)" in maps
                assert "/dev/shm" not in maps.replace("/dev/shm/sem.", "")
    finally:
        for pid in pids if victims == "all" else pids[:1]:
            os.kill(pid, signal.SIGKILL)
    program.wait()
    end = time.monotonic() + 20
    while any(alive(pid) for pid in pids[1:]):
        assert time.monotonic() < end, "workers outlive the parent, and hold the memory"
        time.sleep(0.05)
    assert named_memory(tmp_path) <= before


def alive(pid):
    try:
        os.kill(pid, 0)
        if sys.platform == "linux":
            # An orphan that nobody waits for holds no memory.
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from([d for d in DTYPES if d != "O"]),
    st.sampled_from(LAYOUTS),
    st.integers(0, 2**32),
)
def test_a_copy_of_any_array(shape, dtype, layout, seed):
    array = laid_out(
        np.asarray(values(np.random.default_rng(seed), tuple(shape), dtype)),
        layout if shape else "C",
    )
    shared = SharedArr(array)
    copy = shared.as_ndarray()
    assert (shared.shape, shared.dtype) == (array.shape, array.dtype) == (copy.shape, copy.dtype)
    assert copy.flags.c_contiguous and copy.flags.writeable
    assert copy.tobytes() == array.tobytes()
    assert not np.shares_memory(copy, array)
    assert (
        np.frombuffer(shared.arr, dtype=shared.dtype, count=array.size).tobytes() == array.tobytes()
        or not array.size
    )


def test_descriptors_are_closed():
    if sys.platform != "linux":
        pytest.skip("counts descriptors in /proc")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        SharedArr(np.zeros(10)).as_ndarray()[0] = 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_array_outlives_its_handle():
    array = SharedArr(np.arange(5)).as_ndarray()
    assert array.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("array", [np.array([None]), np.zeros(2, dtype=[("a", object)]), [{}]])
def test_objects_are_refused(array):
    with pytest.raises(TypeError, match="arr has dtype .*; legal: any dtype of fixed size"):
        SharedArr(array)


def test_only_starting_processes_get_it():
    with pytest.raises(RuntimeError, match="give it to the pool's initializer"):
        pickle.dumps(SharedArr(np.zeros(1)))


def test_setup_is_the_class_s_own():
    class A(SharedArrsContainer):
        pass

    class B(SharedArrsContainer):
        pass

    class C(A):
        pass

    initializer, (setup, shared) = A.build_pool_init({"k": np.arange(3), "n": None})
    assert A.convert_shared_arr("k") is None
    initializer(setup, shared)
    assert C.convert_shared_arr("k").tolist() == [0, 1, 2] and C.convert_shared_arr("n") is None
    assert B.shared_arrs is None and SharedArrsContainer.shared_arrs is None


@pytest.mark.parametrize(
    ("variable", "value", "legal"),
    [
        ("VOLCHUNK_CPUS", "none", "a whole number, 1 or more"),
        ("VOLCHUNK_CPUS", "0", "1 or more"),
        ("VOLCHUNK_CPUS", "1.5", "1 or more"),
        ("VOLCHUNK_MP_MAX_TASKS", "-1", "1 or more"),
        ("VOLCHUNK_MP_START", "thread", "fork, spawn, forkserver"),
    ],
)
def test_bad_environment_is_named(monkeypatch, variable, value, legal):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable} is '?{value}'?; legal: .*{legal}"):
        volchunk.settings.cpus, volchunk.settings.mp_max_tasks, volchunk.settings.mp_start


def test_code_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("VOLCHUNK_CPUS", "3")
    assert volchunk.settings.cpus == 3
    volchunk.settings.cpus = 1
    volchunk.settings.mp_max_tasks = 1
    try:
        with get_mp_pool() as pool:
            pids = [pool.apply_async(os.getpid).get(60) for _ in range(3)]
        assert len(set(pids)) == 3, "a process for each task"
        assert pool._processes == 1
    finally:
        volchunk.settings.reset()
    assert volchunk.settings.cpus == 3
    with pytest.raises(ValueError, match="settings.cpus is 0"):
        volchunk.settings.cpus = 0
    with pytest.raises(TypeError, match="settings.cpus is 1.5"):
        volchunk.settings.cpus = 1.5


def test_a_platform_without_the_method_uses_its_default():
    code = """if True:
        import multiprocessing as mp
        from volchunk.chunking import set_mp_start_method
        print(set_mp_start_method("no such"), mp.get_all_start_methods()[0])
    """
    got, default = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert got == default
    assert set_mp_start_method() in METHODS


def test_bad_initializer_is_named():
    with pytest.raises(TypeError, match="initializer is 3"):
        get_mp_pool(3)
