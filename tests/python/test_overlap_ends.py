"""How a run of map_overlap ends before its time: exceptions, interrupts, the end of the interpreter."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import volchunk


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


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_interrupt_while_an_array_is_made_known_again(tmp_path):
    # A minute's worth of voxels in a MiB of memory.
    image = np.broadcast_to(np.ones(1 << 20, np.uint8), (1 << 18, 1 << 20))
    began = time.monotonic()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        volchunk.map_overlap(
            abs, image, depth=0, chunks=(4, 1 << 20), out=tmp_path / "o.npy", version="1"
        )
    assert time.monotonic() - began < 5
    assert list(tmp_path.iterdir()) == []


def test_no_thread_stays():
    before = threading.active_count()
    tasks = len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0
    volchunk.map_overlap(lambda b: b, np.zeros(100), depth=0, chunks=1, workers=4)
    assert threading.active_count() == before
    if tasks:
        assert len(os.listdir("/proc/self/task")) <= tasks


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
