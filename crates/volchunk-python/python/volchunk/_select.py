"""What a run leaves out, how it goes on, what of it is kept: arguments of all that write images."""

from collections.abc import Mapping
from typing import Any

from volchunk import _native
from volchunk._arguments import number, whole
from volchunk._image import Image, Output

class Selection:
    """Which voxels of a result count, checked.

    Parameters
    ----------
    mask : None, or what an `Image` may be
        Non-zero is inside.
    fill : float, optional
        Outside of it; None where no voxels are made.
    skip_empty : float, optional
        The value of chunks that count as empty.
    """

    def __init__(self, mask: Any, fill: Any = None, skip_empty: Any = None) -> None:
        self.mask = None if mask is None else Image(mask, "mask")
        self.fill = None if fill is None else repr(number(fill, "fill"))
        self.skip_empty = None if skip_empty is None else repr(number(skip_empty, "skip_empty"))

    def divide(self) -> dict[str, Any]:
        """What a job is told of it."""
        mask = None if self.mask is None else self.mask.source
        return {"mask": mask, "fill": self.fill, "skip_empty": self.skip_empty}


class Manner:
    """How a run goes about failures, and about what stands at its output, checked."""

    def __init__(
        self,
        output: Output,
        *,
        version: str | None,
        force: bool,
        check: bool,
        retries: int,
        keep_going: bool,
    ) -> None:
        if version is not None and not isinstance(version, str):
            raise TypeError(f"version is {version!r}; legal: a string, None")
        for name, value in (("force", force), ("check", check)):
            if value and output.path is None:
                raise ValueError(f"{name} is {value}, but out is no path; legal: with a path")
        self.version = version
        self.native = {
            "force": bool(force),
            "check": bool(check),
            "retries": min(whole(retries, "retries", 0), 2**32 - 1),
            "keep_going": bool(keep_going),
        }


class Record:
    """What stands for a job in the journal beside its output, by which it is known again.

    Parameters
    ----------
    image, output, selection, manner
        The job's.
    ops : list of str
        Its ops as text, if it has such.
    function : mapping, optional
        Else what stands for a function, as `Task.record` has it.
    roi, chunks : optional
        As they were asked for, on the axes of the result; of a function, without channels.
    table : bool, optional
        Whether it makes a table of points, not an image.
    """

    def __init__(
        self,
        image: Image,
        output: Output,
        selection: Selection,
        manner: Manner,
        *,
        ops: list[str],
        function: Mapping[str, Any] | None = None,
        roi: list[tuple[int, int]] | None,
        chunks: list[int] | None,
        table: bool = False,
    ) -> None:
        mask = selection.mask
        self.native = {
            "path": output.path,
            "table": table,
            "input": image.known(manner.version, ops),
            "ops": ops,
            "function": function,
            "roi": roi,
            "chunks": chunks,
            "chosen": chunks is not None,
            "mask": None if mask is None else mask.known(manner.version, []),
            "fill": None if mask is None else selection.fill,
            "skip_empty": selection.skip_empty,
            "manner": manner.native,
        }

    def tell(self, ops: list[str]) -> None:
        """Takes the ops with what they were told of the whole image."""
        self.native = {**self.native, "ops": ops}

    def found(self) -> tuple[Any, Any, Any, int] | None:
        """What an earlier run of the job settled, complete or not: chunks, dtype and channels; and the
        columns of what it found for a table, 0 while that is nothing. None, where none was.

        Raises
        ------
        FileExistsError
            If something else stands there.
        """
        return _native.found(self.native)

    def settle(self, chunks: list[int], function: Mapping[str, Any] | None) -> None:
        """Takes in what was open when the job was asked for."""
        self.native = {**self.native, "chunks": chunks, "function": function}
