"""Processes: how they start, and a pool of them."""

import multiprocessing as mp
import multiprocessing.pool
import sys
from collections.abc import Callable, Iterable
from typing import Any

from volchunk import magmap
from volchunk._settings import available_cpus, settings


def set_mp_start_method(val: str | None = None) -> str:
    """Set the start method of processes, unless one is already set.

    Parameters
    ----------
    val : str, optional
        "fork", "spawn" or "forkserver"; None for `volchunk.settings.mp_start`. A method
        that the platform lacks, or None there too, gives the platform's default.

    Returns
    -------
    str
        The method that is in force.

    Examples
    --------
    >>> set_mp_start_method("spawn") in ("fork", "spawn", "forkserver")
    True
    """
    if mp.get_start_method(allow_none=True) is None:
        mp.set_start_method(supported_start_method(settings.mp_start if val is None else val))
    return mp.get_start_method()


def is_fork() -> bool:
    """Whether processes are forked, so that they see what this process holds.

    Returns
    -------
    bool
        Of the method in force or, if none is yet, of the one that `get_mp_pool` would set;
        nothing is set by asking.
    """
    method = mp.get_start_method(allow_none=True)
    return (method or supported_start_method(settings.mp_start)) == "fork"


def get_mp_pool(
    initializer: Callable[..., object] | None = None, initargs: Iterable[Any] | None = None
) -> multiprocessing.pool.Pool:
    """A pool of processes as `volchunk.settings` say; its processes start now.

    Parameters
    ----------
    initializer : callable, optional
        Called with `initargs` in each process as it starts, such as what
        `SharedArrsContainer.build_pool_init` gives.
    initargs : iterable, optional
        Arguments of `initializer`.

    Returns
    -------
    multiprocessing.pool.Pool

    Examples
    --------
    >>> with get_mp_pool() as pool:
    ...     pool.apply_async(abs, args=(-3,)).get()
    3
    """
    if initializer is not None and not callable(initializer):
        raise TypeError(f"initializer is {initializer!r}; legal: a function or None")
    processes = settings.cpus or available_cpus()
    if sys.platform == "win32":
        # Windows waits for no more than 63 handles at once, two of which the pool needs.
        processes = min(processes, 61)
    if set_mp_start_method() != "fork" and magmap.installed():
        initializer = magmap.InstallFirst(initializer)
    return mp.Pool(
        processes=processes,
        initializer=initializer,
        initargs=() if initargs is None else tuple(initargs),
        maxtasksperchild=settings.mp_max_tasks,
    )


def supported_start_method(method: str | None) -> str:
    """`method` if the platform has it, or else its default, which it lists first."""
    methods = mp.get_all_start_methods()
    return method if method in methods else methods[0]
