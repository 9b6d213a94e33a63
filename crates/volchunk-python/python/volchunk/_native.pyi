from os import PathLike
from typing import Any, TypedDict, final, type_check_only

import numpy.typing as npt

__all__ = ["Source", "join_cores", "merge_points", "merged_lengths", "program"]

@type_check_only
class Info(TypedDict):
    shape: list[int]
    dtype: str
    axes: list[str]
    kinds: list[str]
    scale: list[float | None]
    unit: list[str | None]
    origin: list[float]
    voxel_size_um: list[float] | None
    storage_chunk: list[int] | None
    shard: list[int] | None

@final
class Source:
    def __new__(
        cls,
        path: str | PathLike[str],
        axes: str | None,
        voxel_size: list[float] | None,
    ) -> Source: ...
    def info(self) -> Info: ...
    def read(self, start: list[int], out: npt.NDArray[Any]) -> None: ...
    def bytes_read(self) -> int: ...

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
def program(args: list[str]) -> int: ...
