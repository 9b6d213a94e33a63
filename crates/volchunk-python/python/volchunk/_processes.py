"""Calls of a function in other processes: what `map_overlap` does for ``executor="processes"``."""

import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, get_start_method
from types import TracebackType
from typing import Any, Self

import numpy as np

from volchunk import magmap
from volchunk._pool import supported_start_method
from volchunk._settings import available_cpus, settings
from volchunk._shared import Memory
from volchunk._worker import Array, Carrier, Channel, Failure, Function, behind, name_of, serve

# How often a caller that waits looks whether the process is still there, in case its end of the
# channel was inherited by a process that it started.
_LOOK_US = 500_000
_LAST_WORDS_S = 10


class Workers:
    """Processes that call one function, for as many threads at once.

    The processes start when this is made, so make it before other threads. Blocks and results
    pass through memory that both sides map; sockets carry only what they are. Threads of numerical
    libraries are limited, so that those of all workers together are no more than the processors.

    A context manager: at its end, which comes after all calls have returned, the processes end; at
    an exception they are killed.

    Parameters
    ----------
    func : callable
        ``func(block)``, or ``func(block, info)`` if `with_info`; returns an array or what NumPy
        makes one of, of a dtype of fixed size. The block is writable, and gone with the call. It
        may start threads and `subprocess`, but no processes of `multiprocessing`: the workers are
        daemonic, so that they end with this process, and such have no children.
    count : int
        Number of processes.
    with_info : bool
        Whether `func` takes `info`, which then has to be picklable.

    Raises
    ------
    TypeError
        If processes don't fork, and `func` cannot be pickled.
    NotImplementedError
        On Windows, where memory of this kind cannot grow.

    Examples
    --------
    >>> with Workers(np.transpose, 1, with_info=False) as workers:
    ...     workers(np.arange(6).reshape(2, 3))
    array([[0, 3],
           [1, 4],
           [2, 5]])
    """

    def __init__(self, func: Function, count: int, *, with_info: bool) -> None:
        if sys.platform == "win32":
            raise NotImplementedError(
                'executor is "processes", which Windows lacks the shared memory for; '
                'legal there: "threads"'
            )
        method = _start_method()
        if method == "forkserver":
            # Windows lacks it.
            from multiprocessing import forkserver

            # Now, so that it does not inherit that interrupts are held back.
            forkserver.ensure_running()
        self._with_info = with_info
        self._lock = threading.Lock()
        self._of_thread: dict[int, _Worker] = {}
        self._all: list[_Worker] = []
        try:
            with _interrupts_held_back():
                for _ in range(count):
                    worker = _Worker(func, count, with_info, method)
                    self._all.append(worker)
                    worker.start()
        except BaseException:
            with _interrupts_held_back():
                self._end(kill=True)
            raise
        self._free = list(self._all)

    def __call__(self, block: Array, info: object | None = None) -> Array:
        """Call the function in a worker.

        Thread-safe, for at most `count` threads at once.

        Parameters
        ----------
        block : ndarray
            Its argument, copied.
        info : object, optional
            Its second argument if `with_info`. Its attributes ``index`` and ``core`` name the
            chunk in errors.

        Returns
        -------
        ndarray
            A view of shared memory, valid until the same thread's next call; as long as no more
            than `count` threads call, also while others do.

        Raises
        ------
        BrokenProcessPool
            If the worker died; it says how.
        TypeError
            If the result is not of a dtype of fixed size.
        BaseException
            What the function raised, with the worker's traceback as its cause; a RuntimeError of
            the same text if it cannot be pickled.
        """
        worker = self._worker_of_this_thread()
        try:
            return worker.call(block, info, self._with_info)
        finally:
            worker.busy = False

    def stop(self) -> None:
        """Kill the processes now, from any thread; calls under way raise BrokenProcessPool."""
        for worker in self._all:
            worker.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with _interrupts_held_back():
            self._end(kill=kind is not None)

    def _worker_of_this_thread(self) -> "_Worker":
        # By identity, not by threading.local: a thread of Rust is a new one to Python whenever it
        # attaches, but keeps its identity.
        thread = threading.get_ident()
        with self._lock:
            worker = self._of_thread.pop(thread, None)
            if worker is None and self._free:
                worker = self._free.pop()
            if worker is None:
                # Taken over from the thread that has not called for longest.
                idle = (t for t, w in self._of_thread.items() if not w.busy)
                longest = next(idle, None)
                if longest is None:
                    raise RuntimeError(f"more than {len(self._all)} threads call at once")
                worker = self._of_thread.pop(longest)
            self._of_thread[thread] = worker
            worker.busy = True
            return worker

    def _end(self, kill: bool) -> None:
        for worker in self._all:
            if kill:
                worker.kill()
            else:
                worker.dismiss()
        for worker in self._all:
            worker.join()


class _Worker:
    """One process, and this end of the channel to it."""

    def __init__(self, func: Function, count: int, with_info: bool, method: str) -> None:
        self.busy = False
        self._imports_main = method != "fork"
        self._answered = False
        self._memory = Memory(0)
        self._stopped = False
        self._has_started = False
        ours, theirs = socket.socketpair()
        self._theirs = theirs
        # timeval, as the C library has it: seconds, microseconds.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, _LOOK_US))
        self._channel = Channel(ours)
        carrier = func if method == "fork" else Carrier(func, method)
        caps = max(1, available_cpus() // count)
        install = method != "fork" and magmap.installed()
        # Of any context, the same class with another way to start.
        self._process: Any = get_context(method).Process(  # type: ignore[attr-defined]
            target=serve,
            args=(theirs, self._memory, carrier, with_info, caps, install),
            name="volchunk worker",
            daemon=True,
        )

    def start(self) -> None:
        try:
            self._process.start()
            self._has_started = True
        finally:
            self._theirs.close()

    def call(self, block: Array, info: object | None, with_info: bool) -> Array:
        if self._stopped:
            raise BrokenProcessPool("the worker processes were stopped")
        self._memory.grow(behind(block.nbytes))
        np.ndarray(block.shape, block.dtype, self._memory.map)[...] = block
        told = name_of(block.dtype), block.shape, len(self._memory.map), info if with_info else None
        message = pickle.dumps(told, pickle.HIGHEST_PROTOCOL)
        try:
            reply = self._exchange(message)
        except (EOFError, OSError) as error:
            raise self._died(info) from error
        except BaseException:
            # Interrupted: the answer would be taken for that of the next call.
            self.kill()
            raise
        if isinstance(reply, Failure):
            reply.throw()
        dtype, shape, start, size = reply
        self._memory.grow(size)
        return np.ndarray(shape, dtype, self._memory.map, start)

    def _exchange(self, message: bytes) -> Any:
        self._channel.send(message)
        while True:
            try:
                reply = pickle.loads(self._channel.receive())
                self._answered = True
                return reply
            except BlockingIOError:
                if not self._process.is_alive():
                    raise EOFError from None

    def _died(self, info: object | None) -> BrokenProcessPool:
        if self._stopped:
            return BrokenProcessPool("the worker processes were stopped")
        chunk = _chunk(info)
        code = self._end()
        if code is None:
            how = "closed its channel"
        elif code < 0:
            how = f"was killed by {_signal_name(-code)}"
            if -code == signal.SIGKILL:
                how += " (by hand, or by the system because memory ran out)"
        else:
            how = f"ended with exit code {code}"
            if self._imports_main and not self._answered:
                how += (
                    "; its message is on standard error (such a process imports the main module, "
                    'whose work must stand under `if __name__ == "__main__":`)'
                )
        return BrokenProcessPool(f"the worker process {self._process.pid} for {chunk} {how}")

    def _end(self) -> int | None:
        """Waits until the process has ended, though not for what it started; its exit code."""
        code: int | None
        deadline = time.monotonic() + _LAST_WORDS_S
        while (code := self._process.exitcode) is None and time.monotonic() < deadline:
            self._process.join(0.01)
        return code

    def kill(self) -> None:
        self._stopped = True
        try:
            self._process.kill()
        except (AttributeError, ValueError):
            # It was not started, or is closed: it has ended.
            pass

    def dismiss(self) -> None:
        try:
            self._channel.send(b"")
        except OSError:
            # It has ended.
            pass

    def join(self) -> None:
        if self._has_started and self._end() is None:
            self._process.kill()
            self._end()
        self._stopped = True
        self._theirs.close()
        self._channel.end.close()
        self._process.close()


def _start_method() -> str:
    if settings.mp_start is not None:
        return supported_start_method(settings.mp_start)
    return get_start_method(allow_none=True) or supported_start_method(None)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """No Ctrl-C while processes start, which inherit that they get none, or end.

    Held back in this thread, it may come by another, and Python would call its handler in the main
    thread at once: until a process is known, or has been waited for, that would lose it. So the handler
    is called behind.
    """
    came: list[tuple[Any, ...]] = []
    handler = signal.getsignal(signal.SIGINT)
    # Elsewhere no handler is called; None is one that Python did not install.
    replaces = threading.current_thread() is threading.main_thread() and handler is not None
    if replaces:
        signal.signal(signal.SIGINT, lambda *args: came.append(args))
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if replaces:
            signal.signal(signal.SIGINT, handler)
        if came and callable(handler):
            handler(*came[0])
        elif came and handler == signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGINT)


def _chunk(info: object | None) -> str:
    """Names the chunk that `info` tells of."""
    index, core = getattr(info, "index", None), getattr(info, "core", None)
    if index is None or core is None:
        return "a chunk"
    ranges = ", ".join(f"{part.start}:{part.stop}" for part in core)
    return f"chunk {tuple(index)}, core [{ranges}],"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
