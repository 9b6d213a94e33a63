"""The program as the package installs it."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(sysconfig.get_path("scripts"), "volchunk.exe" if os.name == "nt" else "volchunk")
MODULE = [sys.executable, "-m", "volchunk"]


def run(*args, command=MODULE):
    return subprocess.run(
        [*command, *map(str, args)], capture_output=True, text=True, encoding="utf-8", timeout=120
    )


@pytest.fixture
def volume(tmp_path):
    path = tmp_path / "cells.npy"
    np.save(path, np.arange(60, dtype=np.uint16).reshape(3, 4, 5))
    return path


@pytest.mark.parametrize("command", [MODULE, [SCRIPT]])
def test_help_names_the_program(command):
    done = run("--help", command=command)
    assert done.returncode == 0 and "Usage: volchunk <COMMAND>" in done.stdout
    assert "__main__" not in done.stdout + run("info", command=command).stderr


def test_info(volume):
    done = run("info", volume, "--json", "--voxel-size", "5,2,2")
    assert done.returncode == 0 and done.stderr == ""
    info = json.loads(done.stdout)
    assert info["shape"] == [3, 4, 5] and info["voxel_size_um"] == [5, 2, 2]


def test_a_run_filters(volume, tmp_path):
    done = run("run", volume, tmp_path / "out.npy", "--op", "threshold:value=30")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), np.load(volume) > 30)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["info", "none.npy"], 1, "none.npy: no such file"),
        (["info"], 2, "Usage: volchunk info"),
        (["run", "cells.npy", "out.npy", "--op", "nonsense"], 2, "--op"),
    ],
)
def test_failures_have_codes(volume, monkeypatch, args, code, message):
    monkeypatch.chdir(volume.parent)
    done = run(*args)
    assert done.returncode == code and message in done.stderr
    assert done.stdout == "" and "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to one process")
def test_ctrl_c_stops_a_run(tmp_path):
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.uint16, (400, 1000, 1000)).flush()
    out = tmp_path / "out.npy"
    process = subprocess.Popen(
        [*MODULE, "run", path, out, "--op", "gaussian:sigma=8", "--chunk", "40", "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    begin = time.monotonic()
    while not Path(f"{out}.partial").exists():
        assert process.poll() is None and time.monotonic() - begin < 60
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and not out.exists()


@pytest.mark.skipif(os.name == "nt", reason="a broken pipe is Unix's")
def test_nobody_reads_the_output(volume):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [*MODULE, "info", volume], stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 0 and done.stderr == ""
