"""What a worker process of `_processes` does, and what passes between it and its parent."""

import os
import pickle
import select
import signal
import socket
import struct
import threading
import traceback
import weakref
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import threadpoolctl  # type: ignore[import-untyped]

from volchunk import magmap
from volchunk._settings import settings
from volchunk._shared import Memory, fixed_size

# Results lie behind the block, where any dtype is aligned and no cache line is shared.
_ALIGN = 64
_LENGTH = struct.Struct("=Q")
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
# What multiprocessing says in a worker, which it does not let outlive its parent.
_DAEMONIC = "daemonic processes are not allowed to have children"
_NO_CHILDREN = (
    'func starts processes by multiprocessing, in a worker of executor="processes"; legal there: '
    'threads, subprocess; or executor="threads"'
)

Function = Callable[..., Any]
Array = npt.NDArray[Any]


class Channel:
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


def serve(
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
    channel = Channel(end)
    threading.Thread(target=_end_with_parent, args=(end.fileno(),), daemon=True).start()
    failed: Failure | None = None
    func: Any = carrier
    try:
        _limit_variables(cap)
        if install:
            magmap.install()
        if isinstance(carrier, Carrier):
            func = carrier.load()
        _limit_loaded(cap)
    except BaseException as error:
        failed = Failure(error)
    while message := channel.receive():
        reply: Any = failed
        if failed is None:
            dtype, shape, size, info = pickle.loads(message)
            memory.grow(size)
            block = np.ndarray(shape, dtype, memory.map)
            try:
                result = np.asarray(func(block, info) if with_info else func(block))
                reply = _put(result, memory, behind(block.nbytes))
            except BaseException as error:
                if isinstance(error, AssertionError) and _DAEMONIC in str(error):
                    error.add_note(_NO_CHILDREN)
                reply = Failure(error)
        channel.send(pickle.dumps(reply, pickle.HIGHEST_PROTOCOL))


def _put(result: Array, memory: Memory, start: int) -> tuple[Any, tuple[int, ...], int, int]:
    """Copies a result behind the block, of which it may be a view."""
    if not fixed_size(result.dtype):
        raise TypeError(
            f"func returned items of dtype {result.dtype}, which lie outside of the array; "
            "legal: any dtype of fixed size"
        )
    memory.grow(start + result.nbytes)
    np.ndarray(result.shape, result.dtype, memory.map, start)[...] = result
    return name_of(result.dtype), result.shape, start, len(memory.map)


def name_of(dtype: np.dtype[Any]) -> Any:
    """What stands for a dtype in a message: its name, which costs less, or itself with fields."""
    return dtype.str if dtype.fields is None else dtype


def behind(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


class Failure:
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


class Carrier:
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
