"""SIGKILL at random moments of map_points and detect_blobs into a file: the same call goes on, ends
with the bytes of a run that nobody disturbed, and does no chunk twice that was committed.

Few kills here; as many as you like, by
``VOLCHUNK_KILLS=200 python -m pytest tests/python/test_kill_tables.py``.
"""

import itertools
import os
import pathlib
import random
import subprocess
import sys
import time

import kill_tables_program
import pytest
from table_tools import receipts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
PROGRAM = pathlib.Path(kill_tables_program.__file__)
KILLS = int(os.environ.get("VOLCHUNK_KILLS", 4))


def start(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert program.stdout.readline() == "begins\n"
    return program


@pytest.mark.parametrize(
    ("what", "name"),
    [
        ("threads", "out.csv"),
        ("processes", "out.parquet"),
        ("blobs", "out.csv"),
        ("blobs", "out_blobs.npz"),
    ],
)
def test_killed_runs_go_on(what, name, tmp_path):
    # An archive holds its name.
    (tmp_path / "whole").mkdir()
    kill_tables_program.run(what, tmp_path / "whole" / name)
    whole = (tmp_path / "whole" / name).read_bytes()
    assert len(whole) > 2000
    (tmp_path / "timed").mkdir()
    with start(what, tmp_path / "timed" / name, os.devnull) as program:
        began = time.monotonic()
    takes = time.monotonic() - began
    assert program.returncode == 0
    kills, torn = 0, 0
    for job in itertools.count():
        if kills >= KILLS and torn:
            break
        assert kills < 50 * KILLS, "no kill met a run under way"
        folder = tmp_path / str(job)
        folder.mkdir()
        output, log = folder / name, folder / "log"
        log.touch()
        before = []
        # One job is killed up to four times.
        for _ in range(4):
            called = len(log.read_text().split())
            with start(what, output, log) as program:
                time.sleep(random.random() * takes * 0.8)
                program.kill()
            done = receipts(output)
            assert done[: len(before)] == before, "receipts were rewritten"
            again = {int(number) for number in log.read_text().split()[called:]}
            assert not again & {record[0] for record in before}, "committed, and called again"
            before = done
            if program.returncode == 0:
                break
            kills += 1
            if len(done) < kill_tables_program.CHUNKS:
                torn += bool(done)
                assert not output.exists(), "unfinished, and does not say so"
        called = len(log.read_text().split())
        kill_tables_program.run(what, output, log)
        again = {int(number) for number in log.read_text().split()[called:]}
        assert not again & {record[0] for record in before}, "committed, and called again"
        assert output.read_bytes() == whole
        numbers = [record[0] for record in receipts(output)]
        assert sorted(numbers) == list(range(kill_tables_program.CHUNKS)), "once each"
