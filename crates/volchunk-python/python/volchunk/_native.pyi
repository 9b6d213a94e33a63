from typing import Any

import numpy.typing as npt

__all__ = ["join_cores", "merge_points", "merged_lengths"]

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
