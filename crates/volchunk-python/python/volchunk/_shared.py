"""Arrays in memory that processes share, without a name that could be left behind."""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Hashable, Mapping
from multiprocessing import context, reduction
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from volchunk import _native
from volchunk._settings import threads


def init_shared_container(fn: Callable[..., object], *args: Any) -> None:
    """Initializer of a pool's processes: calls `fn` with `args`.

    Parameters
    ----------
    fn : callable
        Such as `SharedArrsContainer.setup_shared_arrs` of a subclass.
    *args
        Its arguments.
    """
    fn(*args)


def fixed_size(dtype: np.dtype[Any]) -> bool:
    """Whether the items of such an array lie in it, so that copying its bytes copies them."""
    return dtype.kind in "biufcmMSUV" and not dtype.hasobject


class SharedArr:
    """A copy of an array in memory that processes share.

    The memory has no name: it is passed on to processes as they start (inherited, or by file
    descriptor), and is gone with the last of them, however they end. It is not counted against
    ``/dev/shm``.

    Parameters
    ----------
    arr : array_like
        Any array of a dtype of fixed size, of either byte order; copied in C order.

    Attributes
    ----------
    arr : ctypes array
        The shared memory: of the dtype's C type or, where C has none, of bytes.
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Its dtype.

    Raises
    ------
    TypeError
        For dtypes whose items are Python objects or of variable length: other processes could
        not read them.

    Examples
    --------
    >>> shared = SharedArr(np.arange(6, dtype=">u2").reshape(2, 3))
    >>> shared.shape, shared.dtype
    ((2, 3), dtype('>u2'))
    >>> shared.as_ndarray()[1, 2] = 7
    >>> shared.as_ndarray()
    array([[0, 1, 2],
           [3, 4, 7]], dtype='>u2')
    """

    def __init__(self, arr: npt.ArrayLike) -> None:
        values = np.asarray(arr)
        if not fixed_size(values.dtype):
            raise TypeError(
                f"arr has dtype {values.dtype}, whose items lie outside of the array, where other "
                "processes cannot read them; legal: any dtype of fixed size"
            )
        self.shape: tuple[int, ...] = values.shape
        self.dtype: np.dtype[Any] = values.dtype
        self._memory = Memory(values.nbytes)
        _copy(values, self.as_ndarray())

    def as_ndarray(self) -> npt.NDArray[Any]:
        """The array, writable, on the shared memory itself; in every process the same."""
        return np.ndarray(self.shape, self.dtype, buffer=self._memory.map)

    @property
    def arr(self) -> Any:
        size = int(np.prod(self.shape, dtype=np.int64))
        try:
            kind = np.ctypeslib.as_ctypes_type(self.dtype)
        except (NotImplementedError, TypeError, ValueError):
            kind, size = ctypes.c_ubyte, size * self.dtype.itemsize
        if ctypes.sizeof(kind) * size > len(self._memory.map):
            kind, size = ctypes.c_ubyte, size * self.dtype.itemsize
        return (kind * size).from_buffer(self._memory.map)

    def __repr__(self) -> str:
        return f"SharedArr(shape={self.shape}, dtype={self.dtype})"


class SharedArrsContainer:
    """Holds shared arrays by key, as a class attribute, for the processes of a pool.

    A subclass that calls `setup_shared_arrs` holds arrays of its own, which its subclasses
    inherit and others do not see.

    Attributes
    ----------
    shared_arrs : dict or None
        The shared arrays by key.

    Examples
    --------
    >>> class Work(SharedArrsContainer):
    ...     pass
    >>> initializer, (setup, shared) = Work.build_pool_init({"image": np.zeros(3), "mask": None})
    >>> list(shared)
    ['image']
    >>> initializer(setup, shared)  # what each process of the pool does
    >>> Work.convert_shared_arr("image")
    array([0., 0., 0.])
    """

    shared_arrs: ClassVar[dict[Any, SharedArr] | None] = None

    @classmethod
    def setup_shared_arrs(cls, shared_arrs: dict[Any, SharedArr]) -> None:
        """Set the arrays of this class.

        Parameters
        ----------
        shared_arrs : dict
            Shared arrays by key.
        """
        cls.shared_arrs = shared_arrs

    @classmethod
    def build_pool_init(
        cls, arrs: Mapping[Any, npt.NDArray[Any] | None]
    ) -> tuple[Callable[..., None], tuple[Any, dict[Any, SharedArr]]]:
        """Copy arrays into shared memory, and make a pool's initializer that sets them up.

        Parameters
        ----------
        arrs : mapping
            Arrays by key; keys are any hashable, None values are left out.

        Returns
        -------
        initializer : callable
            `init_shared_container`.
        initargs : tuple
            ``(setup_shared_arrs, {key: SharedArr})``, in the order of `arrs`.
        """
        shared = {key: SharedArr(arr) for key, arr in arrs.items() if arr is not None}
        return init_shared_container, (cls.setup_shared_arrs, shared)

    @classmethod
    def convert_shared_arr(cls, arr_key: Hashable) -> npt.NDArray[Any] | None:
        """The shared array of a key.

        Parameters
        ----------
        arr_key : hashable
            A key of `shared_arrs`.

        Returns
        -------
        ndarray or None
            Writable, on the shared memory itself, the same at every call in every process; None
            if arrays are not set up, or none has this key.
        """
        shared = None if cls.shared_arrs is None else cls.shared_arrs.get(arr_key)
        return None if shared is None else shared.as_ndarray()


class Memory:
    """Anonymous shared memory, which can be handed to a process that is being started.

    Attributes
    ----------
    map : buffer
        The memory itself, at least `size` bytes, writable.
    """

    map: Any

    def __init__(self, size: int) -> None:
        if sys.platform == "win32":
            # Named for as long as a process has it open; Windows frees it then.
            self._name = f"volchunk-{os.getpid()}-{os.urandom(8).hex()}"
            self.map = mmap.mmap(-1, max(size, 1), tagname=self._name)
        else:
            self.map = _native.SharedMemory(size)

    if sys.platform != "win32":

        def grow(self, size: int) -> None:
            """At least `size` bytes; arrays on what was `map` before stay valid, on this memory."""
            if size > len(self.map):
                self.map = self.map.grown(size)

    def __getstate__(self) -> tuple[Any, int]:
        try:
            context.assert_spawning(self)
        except RuntimeError:
            raise RuntimeError(
                "a SharedArr can be passed only to processes as they start: give it to the pool's "
                "initializer (SharedArrsContainer.build_pool_init), not to its tasks"
            ) from None
        if sys.platform == "win32":
            return self._name, len(self.map)
        return reduction.DupFd(self.map.fileno()), len(self.map)

    def __setstate__(self, state: tuple[Any, int]) -> None:
        handle, size = state
        if sys.platform == "win32":
            self._name = handle
            self.map = mmap.mmap(-1, size, tagname=handle)
        else:
            descriptor = handle.detach()
            try:
                self.map = _native.SharedMemory.open(descriptor, size)
            finally:
                os.close(descriptor)


def _copy(values: npt.NDArray[Any], to: npt.NDArray[Any]) -> None:
    """Copies the items as they are; `to` has the same shape and dtype, in C order."""
    if to.nbytes == 0:
        return
    if values.ndim == 0:
        to[...] = values
        return
    raw = np.dtype((np.void, to.itemsize))
    _native.join_cores([values.view(raw)], [[n] for n in values.shape], to.view(raw), threads())
