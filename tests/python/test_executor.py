"""Calls in other processes: what they give, and that nothing hangs or is left, however they end."""

import gc
import json
import multiprocessing as mp
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import executor_functions as functions
import numpy as np
import pytest
import volchunk
from executor_functions import Info
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import DTYPES, LAYOUTS, laid_out, values
from volchunk import magmap
from volchunk._processes import Workers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix")
METHODS = mp.get_all_start_methods()
PROGRAM = pathlib.Path(__file__).with_name("executor_program.py")
CHUNK = Info((0, 1, 2), (slice(0, 4), slice(4, 8), slice(8, 12)))


@pytest.fixture(params=METHODS)
def method(request):
    volchunk.settings.mp_start = request.param
    yield request.param
    volchunk.settings.reset()


@pytest.fixture
def nothing_left():
    """Start what outlives a call by design (forkserver, resource tracker), then compare."""
    for start in METHODS:
        process = mp.get_context(start).Process(target=print, args=(), kwargs={"end": ""})
        process.start()
        process.join()
        process.close()
    descriptors, *children = held()
    yield
    gc.collect()
    # What tests before this one left in tracebacks may be gone by now.
    assert held()[0] <= descriptors and held()[1:] == tuple(children)


def alike(a, b):
    # By bytes, but for the padding that long doubles have.
    same = (a == b).all() if a.dtype.char == "g" else a.tobytes() == b.tobytes()
    return same and (a.dtype, a.shape) == (b.dtype, b.shape)


def held():
    if sys.platform != "linux":
        return 0, mp.active_children()
    children = pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), children, mp.active_children()


def test_results_of_any_dtype_and_shape(method, nothing_left):
    with Workers(functions.as_told, 1, with_info=False) as workers:
        for number, expected in enumerate(functions.RESULTS):
            result = workers(np.array(number))
            assert alike(result, expected), number
        del result


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 40), max_size=3),
            st.sampled_from([d for d in DTYPES if d != "O"]),
            st.sampled_from(LAYOUTS),
            st.integers(0, 2**32),
        ),
        max_size=30,
    )
)
def test_blocks_of_any_dtype_shape_and_layout(blocks):
    with Workers(functions.same, 2, with_info=False) as workers:
        for shape, dtype, layout, seed in blocks:
            block = np.asarray(values(np.random.default_rng(seed), tuple(shape), dtype))
            block = laid_out(block, layout if shape else "C")
            assert alike(workers(block), block)


def test_a_result_that_is_a_larger_view_of_the_block():
    block = np.arange(70_000, dtype=np.uint32)
    with Workers(functions.repeat_flipped, 1, with_info=False) as workers:
        assert (workers(block) == block[::-1]).all()


def test_info_goes_along(method):
    with Workers(functions.add_first, 1, with_info=True) as workers:
        assert workers(np.arange(3), Info((5,), (slice(0, 3),))).tolist() == [5, 6, 7]
    with Workers(functions.same, 1, with_info=False) as workers:
        assert workers(np.arange(3), lambda: "not picklable").tolist() == [0, 1, 2]


def test_many_calls_from_as_many_threads_as_processes(nothing_left):
    """Each result stays as it is until its own thread calls again, whatever the others do."""

    def calls(thread):
        rng = np.random.default_rng(thread)
        for _ in range(300):
            block = rng.integers(0, 9999, tuple(rng.integers(1, 30, 3)), dtype=np.uint16)
            result = workers(block)
            time.sleep(rng.random() * 1e-3)
            assert (result == block).all()
        return True

    with Workers(functions.same, 3, with_info=False) as workers:
        for _ in range(2):
            # New threads take over the workers of those that have ended.
            with ThreadPoolExecutor(3) as pool:
                assert list(pool.map(calls, range(3))) == [True] * 3


def test_processes_work_at_the_same_time():
    with Workers(functions.pid, 2, with_info=False) as workers:
        barrier = threading.Barrier(2)

        def one(_):
            barrier.wait()
            return workers(np.zeros(1)).item()

        with ThreadPoolExecutor(2) as pool:
            pids = set(pool.map(one, range(2)))
    assert len(pids) == 2 and os.getpid() not in pids


def test_more_threads_than_processes_are_refused():
    with Workers(functions.slowly, 1, with_info=False) as workers:
        thread = threading.Thread(target=workers, args=(np.array([0.5]),))
        thread.start()
        time.sleep(0.1)
        with pytest.raises(RuntimeError, match="more than 1 threads"):
            workers(np.zeros(1))
        thread.join()


def test_object_results_are_refused(method):
    with Workers(functions.objects, 1, with_info=False) as workers:
        with pytest.raises(TypeError, match="func returned items of dtype object.*legal"):
            workers(np.zeros(1))


def test_exceptions_arrive_as_raised(method, nothing_left):
    with Workers(functions.raises, 1, with_info=False) as workers:
        with pytest.raises(KeyError, match="lost") as caught:
            workers(np.array(0))
        assert "executor_functions.py" in str(caught.value.__cause__)
        with pytest.raises(RuntimeError, match="Odd: this and that") as caught:
            workers(np.array(1))
        assert "in raises" in str(caught.value.__cause__)
        with pytest.raises(RuntimeError, match="ValueError: with a function"):
            workers(np.array(2))
        with pytest.raises(SystemExit, match="7"):
            workers(np.array(3))
        assert workers(np.array(4)) == 4, "the worker goes on"
        del caught


def test_processes_of_a_worker_s_own_are_refused_with_what_is_legal(method, nothing_left):
    with Workers(functions.starts_a_process, 1, with_info=False) as workers:
        with pytest.raises(AssertionError, match="daemonic") as caught:
            workers(np.zeros(1))
        assert any("legal there: threads, subprocess" in n for n in caught.value.__notes__)
        del caught


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        (1, "was killed by SIGKILL .*memory ran out"),
        (2, "ended with exit code 3"),
        (3, "was killed by SIGTERM"),
        (4, "was killed by SIGKILL"),
    ],
)
@pytest.mark.parametrize("calls_before", [0, 3])
def test_a_death_is_an_error_that_names_the_chunk(method, kind, how, calls_before, nothing_left):
    with Workers(functions.dies, 2, with_info=False) as workers:
        for _ in range(calls_before):
            workers(np.array(0), CHUNK)
        begin = time.monotonic()
        message = rf"chunk \(0, 1, 2\), core \[0:4, 4:8, 8:12\], {how}"
        with pytest.raises(BrokenProcessPool, match=message):
            workers(np.array(kind), CHUNK)
        assert time.monotonic() - begin < 15


def test_a_death_while_idle(method, nothing_left):
    with Workers(functions.pid, 1, with_info=False) as workers:
        os.kill(workers(np.zeros(1)).item(), signal.SIGKILL)
        time.sleep(0.2)
        for _ in range(2):
            with pytest.raises(BrokenProcessPool, match="a chunk was killed by SIGKILL"):
                workers(np.zeros(1))


def test_stop_ends_calls_under_way(method, nothing_left):
    with Workers(functions.slowly, 2, with_info=False) as workers:
        workers(np.array([0.0]))
        threading.Timer(0.3, workers.stop).start()
        begin = time.monotonic()
        with pytest.raises(BrokenProcessPool, match="were stopped"):
            workers(np.array([60.0]))
        with pytest.raises(BrokenProcessPool, match="were stopped"):
            workers(np.array([0.0]))
        assert time.monotonic() - begin < 10


def test_an_exception_kills_what_is_under_way(method, nothing_left):
    def call():
        with pytest.raises(BrokenProcessPool):
            workers(np.array([60.0]))

    begin = time.monotonic()
    with pytest.raises(KeyError):
        with Workers(functions.slowly, 2, with_info=False) as workers:
            thread = threading.Thread(target=call)
            thread.start()
            time.sleep(0.1)
            raise KeyError
    thread.join()
    assert time.monotonic() - begin < 15


def test_results_outlive_the_workers():
    with Workers(functions.same, 1, with_info=False) as workers:
        result = workers(np.arange(10))
    del workers
    gc.collect()
    assert result.tolist() == list(range(10))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "fork"])
def test_what_cannot_be_pickled_is_named(method, nothing_left):
    volchunk.settings.mp_start = method
    try:
        with pytest.raises(TypeError, match=f"func is .*lambda.*start by {method}.*legal: .*fork"):
            Workers(lambda block: block, 2, with_info=False)
        with Workers(functions.Unpicklable(), 1, with_info=False) as workers:
            with pytest.raises(ValueError, match="no number"):
                workers(np.zeros(1))
    finally:
        volchunk.settings.reset()


@pytest.mark.skipif("fork" not in METHODS, reason="no fork")
def test_fork_takes_any_function():
    volchunk.settings.mp_start = "fork"
    offset = np.array(3)
    try:
        with Workers(lambda block: block + offset, 1, with_info=False) as workers:
            assert workers(np.array(1)) == 4
    finally:
        volchunk.settings.reset()


def test_threads_times_processes_are_no_more_than_the_processors(method, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cap = max(1, volchunk._settings.available_cpus() // 2)
    with Workers(functions.thread_limits, 2, with_info=False) as workers:
        variable, cpus, loaded = workers(np.ones((64, 64))).tolist()
    assert variable == cpus == cap and loaded <= cap
    assert "OMP_NUM_THREADS" not in os.environ and volchunk.settings.cpus is None


def test_workers_ignore_interrupts(method):
    with Workers(functions.interrupt_handling, 1, with_info=False) as workers:
        assert workers(np.zeros(1)).tolist() == [True]


def test_magmap_is_installed_in_workers_too(method):
    magmap.install()
    try:
        with Workers(functions.uses_magmap, 1, with_info=False) as workers:
            assert workers(np.zeros(1))[0]
    finally:
        magmap.uninstall()


def program(task, method, **more):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), task, method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def gone(pids):
    end = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, "workers outlive the parent"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
        if sys.platform == "linux":
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


@pytest.mark.parametrize("start", METHODS)
def test_workers_end_with_a_killed_parent_idle_or_busy(start):
    with program("wait", start) as parent:
        pids = json.loads(parent.stdout.readline())
        parent.kill()
        gone(pids)


@pytest.mark.parametrize("start", METHODS)
def test_an_interrupt_ends_all(start):
    """As Ctrl-C in a terminal: every process of the group gets it."""
    with program("wait", start, start_new_session=True) as parent:
        pids = json.loads(parent.stdout.readline())
        begin = time.monotonic()
        os.killpg(parent.pid, signal.SIGINT)
        _, errors = parent.communicate(timeout=30)
        assert time.monotonic() - begin < 10
        assert errors.count("KeyboardInterrupt") == 1 and parent.returncode != 0, errors
        gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_interrupts_leave_nothing(tmp_path):
    """At any moment: while processes start, work, end."""
    code = """
import os, random, signal, threading, time, numpy as np, volchunk
def call():
    volchunk.map_overlap(np.negative, np.zeros((40, 60, 80)), depth=1, chunks=20,
                         executor="processes", workers=2)
call()
before = len(os.listdir("/proc/self/fd"))
heard = 0
for k in range(60):
    timer = threading.Timer(random.uniform(0, 0.06), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        call()
        timer.join()
        time.sleep(0.01)
    except KeyboardInterrupt:
        heard += 1
    timer.join()
import gc, subprocess
gc.collect()
children = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "comm="], capture_output=True, text=True)
print(heard, len(os.listdir("/proc/self/fd")) - before, children.stdout.split().count("python"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heard, files, children = map(int, done.stdout.split())
    assert heard == 60 and files <= 2 and children == 0, done


@pytest.mark.parametrize("start", [m for m in METHODS if m != "fork"])
def test_a_main_module_that_fails_in_workers_is_an_error(start):
    with program("fails_in_workers", start) as parent:
        output, errors = parent.communicate(timeout=60)
        assert "BrokenProcessPool" in output and "exit code 1" in output, output + errors
        assert "__main__" in output and "only the first" in errors
