"""What the checks share: running the program, and opening what it wrote."""

import pathlib
import subprocess

import zarr


def volchunk(program: str, command: str, *arguments: object) -> None:
    """Runs `volchunk COMMAND ARGUMENTS --quiet`; raises with its message if it fails."""
    line = [program, command, *map(str, arguments), "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(line)} left {done.returncode}: {done.stderr.strip()}")


def finest(path: pathlib.Path) -> zarr.Array:
    """The array of a Zarr: itself, or the finest level of an OME-Zarr 0.5; it must be complete."""
    node = zarr.open(path, mode="r", zarr_format=3)
    assert node.attrs["volchunk"]["complete"] is True, f"{path} is not complete"
    if isinstance(node, zarr.Array):
        return node
    [multiscales] = node.attrs["ome"]["multiscales"]
    return node[multiscales["datasets"][0]["path"]]
