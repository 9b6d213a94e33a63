"""SIGKILL at random moments of a map_overlap into a file: the same call goes on, ends with the bits
of a run that nobody disturbed, and writes no chunk twice that was committed.

Few kills here; as many as you like, for each output and executor, by
``VOLCHUNK_KILLS=200 python -m pytest tests/python/test_kill.py``.
"""

import os
import pathlib
import random
import subprocess
import sys
import time

import kill_program
import numpy as np
import pytest
import volchunk
from table_tools import receipts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
PROGRAM = pathlib.Path(kill_program.__file__)
KILLS = int(os.environ.get("VOLCHUNK_KILLS", 4))


def start(output, executor):
    command = [sys.executable, str(PROGRAM), str(output), executor]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert program.stdout.readline() == "begins\n"
    return program


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("name", ["out.zarr", "out.npy"])
def test_killed_runs_go_on(name, executor, tmp_path):
    whole = np.asarray(kill_program.run(tmp_path / "whole.npy"))
    began = time.monotonic()
    with start(tmp_path / "timed.npy", executor) as program:
        pass
    takes = time.monotonic() - began
    assert program.returncode == 0
    kills = 0
    while kills < KILLS:
        output = tmp_path / f"{kills}-{name}"
        before = []
        # One job is killed up to four times.
        for _ in range(4):
            with start(output, executor) as program:
                time.sleep(random.random() * takes * 0.5)
                program.kill()
            done = receipts(output)
            assert done[: len(before)] == before, "receipts were rewritten"
            before = done
            if program.returncode == 0:
                break
            kills += 1
            if name.endswith(".npy") and len(done) < kill_program.CHUNKS:
                assert not output.exists(), "unfinished, and does not say so"
        # What the killed left, such as workers that hold on to something, is no hindrance.
        result = kill_program.run(output, executor)
        assert np.asarray(result).tobytes() == whole.tobytes()
        numbers = [record[0] for record in receipts(output)]
        assert sorted(numbers) == list(range(kill_program.CHUNKS)), "once each"
        assert receipts(output)[: len(before)] == before, "receipts were rewritten"
        assert volchunk.open(output).shape == whole.shape
