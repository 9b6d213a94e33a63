"""Calls of a function in other processes: what `map_overlap` does for ``executor="processes"``."""

import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, get_start_method, reduction
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt
import threadpoolctl  # type: ignore[import-untyped]

from volchunk import magmap
from volchunk._pool import supported_start_method
from volchunk._settings import available_cpus, settings
from volchunk._shared import Memory

# Results lie behind the block, where any dtype is aligned and no cache line is shared.
_ALIGN = 64
# How often a caller that waits looks whether the process is still there, in case its end of the
# channel was inherited by a process that it started.
_LOOK_US = 500_000
_LAST_WORDS_S = 10
_LENGTH = struct.Struct("=Q")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

Function = Callable[..., Any]
Array = npt.NDArray[Any]


class Workers:
    """Processes that call one function, for as many threads at once.

    The processes start when this is made, so make it before other threads. Blocks and results
    pass through memory that both sides map; pipes carry only what they are. Threads of numerical
    libraries are limited, so that those of all workers together are no more than the processors.

    Parameters
    ----------
    func : callable
        ``func(block)``, or ``func(block, info)`` if `with_info`; returns an array or what NumPy
        makes one of, of a dtype of fixed size. The block is writable, and gone with the call.
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
            # Now, so that it does not inherit that interrupts are held back.
            forkserver.ensure_running()
        self._with_info = with_info
        self._lock = threading.Lock()
        self._of_thread: dict[int, _Worker] = {}
        self._all: list[_Worker] = []
        try:
            with _interrupts_held_back():
                for _ in range(count):
                    self._all.append(_Worker(func, count, with_info, method))
        except BaseException:
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
        ours, theirs = socket.socketpair()
        # timeval, as the C library has it: seconds, microseconds.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, _LOOK_US))
        self._channel = _Channel(ours)
        carrier = func if method == "fork" else _Carrier(func, method)
        caps = max(1, available_cpus() // count)
        install = method != "fork" and magmap.installed()
        # Of any context, the same class with another way to start.
        self._process: Any = get_context(method).Process(  # type: ignore[attr-defined]
            target=_serve,
            args=(theirs, self._memory, carrier, with_info, caps, install),
            name="volchunk worker",
            daemon=True,
        )
        try:
            self._process.start()
        except BaseException:
            ours.close()
            self._process.close()
            raise
        finally:
            theirs.close()

    def call(self, block: Array, info: object | None, with_info: bool) -> Array:
        if self._stopped:
            raise BrokenProcessPool("the worker processes were stopped")
        self._memory.grow(_behind(block.nbytes))
        np.ndarray(block.shape, block.dtype, self._memory.map)[...] = block
        told = _name(block.dtype), block.shape, len(self._memory.map), info if with_info else None
        message = pickle.dumps(told, pickle.HIGHEST_PROTOCOL)
        try:
            reply = self._exchange(message)
        except (EOFError, OSError) as error:
            raise self._died(info) from error
        except BaseException:
            # Interrupted: the answer would be taken for that of the next call.
            self.kill()
            raise
        if isinstance(reply, _Failure):
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
        except ValueError:
            # Closed: it has ended.
            pass

    def dismiss(self) -> None:
        try:
            self._channel.send(b"")
        except OSError:
            # It has ended.
            pass

    def join(self) -> None:
        if self._end() is None:
            self._process.kill()
            self._end()
        self._stopped = True
        self._channel.end.close()
        self._process.close()


class _Channel:
    """Messages of bytes over a socket; a system call to send one, and one to receive it."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._descriptor = end.fileno()
        self._received = b""
        _open_ends.add(end)

    def send(self, message: bytes) -> None:
        data = _LENGTH.pack(len(message)) + message
        while data:
            data = data[os.write(self._descriptor, data) :]

    def receive(self) -> bytes:
        """The next message; BlockingIOError if none came in time, to be called again then."""
        while True:
            if len(self._received) >= _LENGTH.size:
                stop = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
                if len(self._received) >= stop:
                    message = self._received[_LENGTH.size : stop]
                    self._received = self._received[stop:]
                    return message
            more = os.read(self._descriptor, 1 << 16)
            if not more:
                raise EOFError
            self._received += more


def _serve(
    end: socket.socket,
    memory: Memory,
    carrier: Any,
    with_info: bool,
    cap: int,
    install: bool,
) -> None:
    """What a worker process does until it is dismissed, or the parent is gone."""
    # Ctrl-C reaches every process of the terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    channel = _Channel(end)
    threading.Thread(target=_end_with_parent, args=(end.fileno(),), daemon=True).start()
    failed: _Failure | None = None
    func: Any = carrier
    try:
        _limit_variables(cap)
        if install:
            magmap.install()
        if isinstance(carrier, _Carrier):
            func = carrier.load()
        _limit_loaded(cap)
    except BaseException as error:
        failed = _Failure(error)
    while message := channel.receive():
        reply: Any = failed
        if failed is None:
            dtype, shape, size, info = pickle.loads(message)
            memory.grow(size)
            block = np.ndarray(shape, dtype, memory.map)
            try:
                result = np.asarray(func(block, info) if with_info else func(block))
                reply = _put(result, memory, _behind(block.nbytes))
            except BaseException as error:
                reply = _Failure(error)
        channel.send(pickle.dumps(reply, pickle.HIGHEST_PROTOCOL))


def _put(result: Array, memory: Memory, start: int) -> tuple[Any, tuple[int, ...], int, int]:
    """Copies a result behind the block, of which it may be a view."""
    if result.dtype.hasobject or result.dtype.kind not in "?biufcmMSUV":
        raise TypeError(
            f"func returned items of dtype {result.dtype}, which lie outside of the array; "
            "legal: any dtype of fixed size"
        )
    memory.grow(start + result.nbytes)
    np.ndarray(result.shape, result.dtype, memory.map, start)[...] = result
    return _name(result.dtype), result.shape, start, len(memory.map)


def _name(dtype: np.dtype[Any]) -> Any:
    """What stands for a dtype in a message: its name, which costs less, or itself with fields."""
    return dtype.str if dtype.fields is None else dtype


def _behind(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


class _Failure:
    """An exception on its way to the parent."""

    def __init__(self, error: BaseException) -> None:
        self._trace = "".join(traceback.format_exception(error))
        self._text = "".join(traceback.format_exception_only(error)).strip()
        try:
            self._error = pickle.dumps(error)
        except Exception:
            self._error = b""

    def throw(self) -> NoReturn:
        error: Any = None
        try:
            error = pickle.loads(self._error)
        except Exception:
            # Lost on the way, such as one whose __init__ takes other arguments than its args.
            pass
        if not isinstance(error, BaseException):
            error = RuntimeError(self._text)
        raise error from _WorkerTraceback(self._trace)


class _WorkerTraceback(Exception):
    """The traceback of an exception in the process that it was raised in, as text."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _Carrier:
    """A function on its way to a process that is not forked.

    It is pickled on its own: what cannot be is named, and what cannot be unpickled in the worker
    is an exception there, which the parent gets, rather than the worker's end.
    """

    def __init__(self, func: Function, method: str) -> None:
        self._func, self._method = func, method

    def __getstate__(self) -> bytes:
        try:
            return bytes(reduction.ForkingPickler.dumps(self._func))
        except Exception as error:
            raise TypeError(
                f"func is {self._func!r}, which cannot be pickled for processes that start by "
                f"{self._method}: {error}; legal: a function at the top level of a module, "
                'volchunk.settings.mp_start = "fork" where the system has it, or '
                'executor="threads"'
            ) from error

    def __setstate__(self, state: bytes) -> None:
        self._pickled = state

    def load(self) -> Any:
        return pickle.loads(self._pickled)


# This process's ends of channels to workers, or a worker's to its parent. A process that held a
# copy of one would keep the other side from seeing that this process has ended.
_open_ends: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_inherited() -> None:
    for end in list(_open_ends):
        end.close()
    _open_ends.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


def _end_with_parent(descriptor: int) -> None:
    """Ends this process as soon as the other end of the channel is closed."""
    poll = select.poll()
    # Nothing to read is asked for: only a hang-up is reported.
    poll.register(descriptor, 0)
    poll.poll()
    os._exit(1)


def _start_method() -> str:
    if settings.mp_start is not None:
        return supported_start_method(settings.mp_start)
    return get_start_method(allow_none=True) or supported_start_method(None)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Ctrl-C waits until the processes have started, which do not get it at all."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _limit_variables(cap: int) -> None:
    """At most `cap` threads in libraries that this process has yet to load, and in this package."""
    settings.cpus = cap
    for name in _THREAD_VARIABLES:
        value = os.environ.get(name, "")
        os.environ[name] = str(min(int(value), cap) if value.isdecimal() else cap)


def _limit_loaded(cap: int) -> None:
    """The same for libraries that it has loaded."""
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if (library.num_threads or 0) > cap:
            library.set_num_threads(cap)


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
