"""Threads of numerical libraries beside the threads that work on chunks."""

import threading

import numpy as np
import pytest
import threadpoolctl
import volchunk
from volchunk._settings import available_cpus
from volchunk._threads import LibraryThreads


def limits():
    """Threads of each BLAS that is loaded."""
    libraries = threadpoolctl.threadpool_info()
    return [lib["num_threads"] for lib in libraries if lib["user_api"] == "blas"]


@pytest.fixture
def two_threads():
    """Every BLAS may start two, or the test says nothing."""
    np.ones((9, 9)) @ np.ones((9, 9))
    with threadpoolctl.threadpool_limits(2):
        if 2 not in limits():
            pytest.skip("no BLAS that starts threads")
        yield limits()


@pytest.mark.parametrize("call", ["map_overlap", "map_points"])
def test_a_run_caps_them_and_restores(call, two_threads):
    seen = []

    def func(block):
        seen.append(max(limits()))
        return block if call == "map_overlap" else []

    workers = max(2, available_cpus())
    getattr(volchunk, call)(func, np.zeros(50), depth=0, chunks=1, workers=workers)
    assert set(seen) == {1}
    assert limits() == two_threads
    with pytest.raises(ZeroDivisionError):
        volchunk.map_overlap(lambda b: 1 / 0, np.zeros(9), depth=0, chunks=1, workers=workers)
    assert limits() == two_threads


def test_runs_at_the_same_time_share_the_least_and_the_last_restores(two_threads):
    first, second = LibraryThreads(1), LibraryThreads(available_cpus())
    first.__enter__()
    second.__enter__()
    assert max(limits()) == 1
    first.__exit__(None, None, None)
    assert max(limits()) == 1
    second.__exit__(None, None, None)
    assert limits() == two_threads


def test_openmp_is_capped_in_the_thread_that_works():
    calls = []

    class Library:
        def set_num_threads(self, count):
            calls.append((threading.get_ident(), count))

    with LibraryThreads(available_cpus()) as threads:
        threads._of_thread = [Library()]
        worker = threading.Thread(target=threads.limit)
        worker.start()
        worker.join()
    assert calls == [(worker.ident, 1)]
