"""What the workers of test_executor.py call, in a module that spawned processes can import."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np


class Info:
    """As much of a chunk as the executor reads."""

    def __init__(self, index, core):
        self.index, self.core = index, core


def same(block):
    return block


def add_first(block, info):
    return block + info.index[0]


def pid(block):
    return [os.getpid()]


def slowly(block):
    time.sleep(float(block.flat[0]))
    return block


def as_told(block):
    """The result that the block's number names."""
    return RESULTS[int(block)]


RESULTS = [
    np.zeros((0, 4)),
    np.arange(12, dtype=">u2").reshape(3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array([(1, 2.5)], dtype=[("a", "<u2"), ("b", ">f8")]),
    np.array(["ab", "c"]),
    np.array(["2001-01-01"], dtype="M8[s]"),
    np.array([b"abc"], dtype="V5"),
    np.array(True),
    np.broadcast_to(np.arange(5, dtype="u1"), (300, 400, 5)),
    np.arange(10)[::-2],
    np.array([1 + 2j], dtype="c8"),
    np.arange(3, dtype="f2"),
    np.arange(3, dtype="g"),
]


def starts_a_process(block):
    with multiprocessing.Pool(1) as pool:
        return pool.map(abs, block)


def repeat_flipped(block):
    """A view of the block, larger than it, in another order."""
    return np.broadcast_to(block[::-1], (50, *block.shape))


def objects(block):
    return np.array([None])


class Odd(Exception):
    """Cannot be unpickled: its arguments are not its init's."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def raises(block):
    kind = int(block)
    if kind == 0:
        raise KeyError("lost")
    if kind == 1:
        raise Odd("this", "that")
    if kind == 2:
        error = ValueError("with a function")
        error.held = lambda: None
        raise error
    if kind == 3:
        sys.exit(7)
    return block


def dies(block):
    kind = int(block)
    if kind == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == 2:
        os._exit(3)
    if kind == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    if kind == 4:
        # What it started holds what it had open.
        if os.fork() == 0:
            time.sleep(20)
            os._exit(0)
        subprocess.Popen(["sleep", "20"], close_fds=False)
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def thread_limits(block):
    """Threads of the libraries loaded here and those to come, and of this package."""
    import threadpoolctl
    import volchunk

    (block @ block).sum()
    loaded = [library["num_threads"] for library in threadpoolctl.threadpool_info()]
    return [int(os.environ["OMP_NUM_THREADS"]), volchunk.settings.cpus, max(loaded, default=0)]


def interrupt_handling(block):
    os.kill(os.getpid(), signal.SIGINT)
    return [signal.getsignal(signal.SIGINT) == signal.SIG_IGN]


class Unpicklable:
    """Pickled, but not unpickled."""

    def __call__(self, block):
        return block

    def __reduce__(self):
        return (int, ("no number",))


def uses_magmap(block):
    import sys

    from volchunk import magmap

    return [magmap.installed(), "magmap.cv.chunking" in sys.modules]
