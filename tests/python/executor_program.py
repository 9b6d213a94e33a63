"""A program that test_executor.py runs: `python executor_program.py TASK METHOD`."""

import json
import multiprocessing as mp
import signal
import sys
import threading

import executor_functions as functions
import numpy as np
import volchunk
from volchunk._processes import Workers

if sys.argv[1:2] == ["fails_in_workers"] and __name__ != "__main__":
    raise ImportError("only the first process imports this")


def wait():
    """Tells the workers' process numbers; one of them is busy, one idle."""
    with Workers(functions.slowly, 2, with_info=False) as workers:
        threads = [threading.Thread(target=workers, args=(np.array([0.0]),)) for _ in range(2)]
        for thread in threads:
            thread.start()
            thread.join()
        pids = sorted(p.pid for p in mp.active_children())
        assert len(pids) == 2
        print(json.dumps(pids), flush=True)
        workers(np.array([60.0]))


def fails_in_workers():
    try:
        with Workers(functions.same, 2, with_info=False) as workers:
            workers(np.zeros(1))
    except RuntimeError as error:
        print(type(error).__name__, error)


if __name__ == "__main__":
    # A shell has what it starts in the background ignore Ctrl-C, and Python then leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    task, volchunk.settings.mp_start = sys.argv[1:]
    globals()[task]()
