import sys
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, TypeAlias, TypedDict, final, type_check_only

import numpy.typing as npt

__all__ = [
    "Job",
    "Known",
    "Source",
    "array_source",
    "dedupe_points",
    "default_axes",
    "detect",
    "forget_all",
    "found",
    "join_cores",
    "known_ops",
    "merge_points",
    "merged_lengths",
    "object_source",
    "parse_bytes",
    "program",
    "result_info",
    "stop_all",
]

_Watch: TypeAlias = Mapping[str, Callable[..., object] | None]

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

@final
class Job:
    def __new__(
        cls, source: Source, work: list[str] | Mapping[str, Any], divide: Mapping[str, Any]
    ) -> Job: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def chunks(self) -> list[int]: ...
    @property
    def room(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def origin(self) -> list[int]: ...
    def report(
        self,
        input: str,
        function: str | None,
        output: str,
        roi: bool,
        mask: str | None,
        skip_empty: str | None,
        watch: _Watch,
    ) -> tuple[dict[str, Any], str]: ...
    def first(self, manner: Mapping[str, Any], watch: _Watch) -> None: ...
    def visit(self, manner: Mapping[str, Any], watch: _Watch) -> None: ...
    def write_array(
        self, array: npt.NDArray[Any], manner: Mapping[str, Any], watch: _Watch
    ) -> None: ...
    def write_object(self, object: Any, manner: Mapping[str, Any], watch: _Watch) -> None: ...
    def known_ops(self, watch: _Watch) -> list[str]: ...
    def write_file(self, record: Mapping[str, Any], watch: _Watch) -> None: ...

@final
class Known:
    def __new__(
        cls,
        source: Source,
        name: str,
        how: str,
        word: str | None,
        axes: str | None,
        voxel_size: list[float] | None,
        ops: list[str] = ...,
    ) -> Known: ...

def found(
    record: Mapping[str, Any],
) -> tuple[list[int] | None, str | None, tuple[int, bool] | None, int] | None: ...
def known_ops(record: Mapping[str, Any]) -> list[str] | None: ...

def array_source(array: npt.NDArray[Any], dtype: str) -> Source: ...
def object_source(
    object: Any, shape: list[int], dtype: str, chunk: list[int] | None
) -> Source: ...
def program(args: list[str]) -> int: ...
def result_info(source: Source, ops: list[str]) -> Info: ...
def forget_all() -> None: ...
def stop_all() -> None: ...
def parse_bytes(memory: str) -> int: ...
def default_axes(ndim: int) -> list[str]: ...

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
def dedupe_points(
    tables: list[npt.NDArray[Any]],
    columns: int,
    tolerance: list[float],
    value: int | None,
    group: list[int],
    mean: bool,
    threads: int,
    allocate: Callable[[int], npt.NDArray[Any]],
) -> npt.NDArray[Any]: ...
def detect(
    job: Job,
    manner: Mapping[str, Any],
    watch: _Watch,
    allocate: Callable[[int], npt.NDArray[Any]],
) -> tuple[list[tuple[str, str]], npt.NDArray[Any]]: ...
