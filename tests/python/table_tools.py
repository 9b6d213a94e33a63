"""What the tests of tables in files share."""

import json
import os
import pathlib
import struct
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq

HEAD, RECORD, COMMITTED = 40, struct.Struct("<5QII"), 1


def receipts(output):
    """The journal's records of committed chunks, in their order."""
    path = pathlib.Path(f"{output}.volchunk", "0.journal")
    if not path.exists():
        return []
    journal = path.read_bytes()
    records = journal[HEAD + struct.unpack_from("<I", journal, 12)[0] :]
    # What a kill tore off is no record.
    records = records[: len(records) // RECORD.size * RECORD.size]
    return [record for record in RECORD.iter_unpack(records) if record[5] == COMMITTED]


def undo(output, kept):
    """Makes a complete table one of which `kept` chunks were committed when its run was killed."""
    path = pathlib.Path(f"{output}.volchunk", "0.journal")
    journal = path.read_bytes()
    end = HEAD + struct.unpack_from("<I", journal, 12)[0]
    while kept:
        kept -= RECORD.unpack_from(journal, end)[5] == COMMITTED
        end += RECORD.size
    path.write_bytes(journal[:end])
    os.rename(output, f"{output}.partial")


def read(path):
    """Names of the columns, and the rows, by NumPy or pyarrow."""
    if str(path).endswith(".parquet"):
        table = pq.read_table(path)
        columns = [table.column(name).to_numpy() for name in table.column_names]
        return table.column_names, columns
    lines = pathlib.Path(path).read_text().splitlines()
    names, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    columns = [np.array([row[k] for row in rows]) for k in range(len(names))]
    whole = [all(set(field) <= set("-0123456789") for field in column) for column in columns]
    return names, [c.astype(int if w else float) for c, w in zip(columns, whole, strict=True)]


def program(*arguments, check=True):
    """The program, in a process of its own: it takes Ctrl-C for itself, and keeps it."""
    command = [sys.executable, "-m", "volchunk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check)


def status(path):
    return json.loads(program("status", "--json", path).stdout)


def verify(path, check=True):
    return json.loads(program("verify", "--json", path, check=check).stdout)
