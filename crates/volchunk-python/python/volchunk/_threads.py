"""Threads of numerical libraries, beside threads that work on chunks."""

import sys
import threading
from types import TracebackType
from typing import Any, Self

import threadpoolctl  # type: ignore[import-untyped]

from volchunk._settings import available_cpus

_lock = threading.Lock()
# The caps of the runs under way, and what to restore when the last of them ends.
_caps: list[int] = []
_before: list[tuple[Any, int]] = []
# Looking takes milliseconds: again only where modules were loaded since, by their number then.
_found: tuple[int, list[Any]] = (0, [])


class LibraryThreads:
    """A context in which numerical libraries that are loaded (BLAS, OpenMP) start no more threads
    than leave a processor to each of `workers` threads.

    A BLAS has one limit for the process: it is restored at the end, of several contexts of the
    last. OpenMP has one for each thread: `limit` sets that of the calling thread.

    Parameters
    ----------
    workers : int
        Threads that call such libraries at once.

    Examples
    --------
    >>> with LibraryThreads(2) as threads:
    ...     threads.limit()
    """

    def __init__(self, workers: int) -> None:
        self._cap = max(1, available_cpus() // workers)
        self._of_thread: list[Any] = []

    def __enter__(self) -> Self:
        libraries = _libraries()
        self._of_thread = [lib for lib in libraries if lib.user_api == "openmp"]
        with _lock:
            if not _caps:
                shared = (lib for lib in libraries if lib.user_api == "blas")
                _before[:] = [(lib, lib.num_threads) for lib in shared if lib.num_threads]
            _caps.append(self._cap)
            _apply()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _lock:
            _caps.remove(self._cap)
            _apply()

    def limit(self) -> None:
        """Limit what the calling thread starts."""
        for library in self._of_thread:
            library.set_num_threads(self._cap)


def _libraries() -> list[Any]:
    """Those that are loaded and that start threads."""
    global _found
    modules = len(sys.modules)
    if _found[0] != modules:
        _found = modules, threadpoolctl.ThreadpoolController().lib_controllers
    return _found[1]


def _apply() -> None:
    """Gives every BLAS as many threads as the runs under way allow, or as it had before them."""
    for library, before in _before:
        library.set_num_threads(min([before, *_caps]))
