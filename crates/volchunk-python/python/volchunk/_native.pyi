import sys
from typing import Any, final

import numpy.typing as npt

__all__ = ["join_cores", "merge_points", "merged_lengths"]

if sys.platform != "win32":
    __all__ += ["SharedMemory"]

    @final
    class SharedMemory:
        """Exports a writable buffer."""

        def __new__(cls, size: int) -> SharedMemory: ...
        @staticmethod
        def open(descriptor: int, size: int) -> SharedMemory: ...
        def grown(self, size: int) -> SharedMemory: ...
        def fileno(self) -> int: ...
        def __len__(self) -> int: ...

def merged_lengths(
    counts: list[int], shapes: list[list[int]], overlap: list[int] | None
) -> list[list[int]]: ...
def join_cores(
    chunks: list[npt.NDArray[Any]],
    lengths: list[list[int]],
    out: npt.NDArray[Any],
    threads: int,
) -> None: ...
def merge_points(
    counts: list[int],
    tables: list[npt.NDArray[Any] | None],
    out: npt.NDArray[Any],
    floats: bool,
) -> None: ...
