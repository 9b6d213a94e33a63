"""How soon a run that goes on begins to work: from the start of the process to the first chunk that it
looks at, and to its first new receipt.

    cargo build --release
    python benches/resume.py [--program target/release/volchunk] [--size 1024] [--dir FOLDER]

Three outputs are begun, killed half-way (SIGKILL), and begun again: a gaussian of sigma 2 from Zarr to
Zarr (size³ uint16) in chunks of 64 x 256 x 256, the same in chunks of 64³, and a volume of one voxel a
chunk, NPY to NPY, of which 10⁶ chunks have receipts. The time includes that first chunk's own work.
Appends to records/YYYY-MM-DD.csv; --dir keeps the input for a next time.
"""

import argparse
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from measure import record

HERE = pathlib.Path(__file__).resolve().parent
RECORD = 48
"""Bytes of a receipt in a journal."""


def records(journal: pathlib.Path) -> int:
    try:
        return journal.stat().st_size // RECORD
    except FileNotFoundError:
        return 0


def until(process: subprocess.Popen, journal: pathlib.Path, count: int) -> float:
    """Waits until the journal has `count` records; the time then."""
    while records(journal) < count:
        if process.poll() is not None:
            sys.exit(f"{process.args} ended with {process.returncode} before it was half done")
        time.sleep(0.001)
    return time.perf_counter()


def resume(command: list[str], output: pathlib.Path, half: int) -> tuple[int, float, float]:
    """Kills `command` after `half` chunks; receipts then, and seconds to the begin of the next run and
    to its first receipt."""
    journal = output.with_name(output.name + ".volchunk") / "0.journal"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # The job's text takes some records' room, and is the same both times.
    until(process, journal, 1)
    text = records(journal)
    until(process, journal, text + half)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = records(journal)
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    # One record says that a run begins, the next one is a receipt.
    begun = until(process, journal, before + 1) - begin
    seconds = until(process, journal, before + 2) - begin
    process.send_signal(signal.SIGKILL)
    process.wait()
    return before - text, begun, seconds


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(HERE.parent / "target/release/volchunk"))
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--dir", type=pathlib.Path, help="folder for the volumes; the input stays")
    options = parser.parse_args(arguments)
    work = options.dir or pathlib.Path(tempfile.mkdtemp(prefix="volchunk-resume-"))
    volume, pixels = work / f"cells{options.size}.zarr", work / "pixels.npy"
    if not volume.exists():
        subprocess.run([sys.executable, HERE / "synthetic.py", volume, "--size",
                        str(options.size)], check=True)
    if not pixels.exists():
        code = "import numpy, sys; numpy.save(sys.argv[1], numpy.ones((1100, 1000), 'uint8'))"
        subprocess.run([sys.executable, "-c", code, pixels], check=True)
    gaussian = ["--op", "gaussian:sigma=2", "--chunk"]
    count = options.size**3
    cases = [
        (f"{options.size}^3 chunk 64 256 256", volume, ".zarr", [*gaussian, "64,256,256"],
         count // (64 * 256 * 256) // 2),
        (f"{options.size}^3 chunk 64 64 64", volume, ".zarr", [*gaussian, "64"],
         count // 64**3 // 2),
        ("1100000 chunks of a voxel", pixels, ".npy", ["--chunk", "1,1"], 1_000_000),
    ]
    lines: list[tuple[str, str, float, str]] = []
    for name, source, ending, flags, half in cases:
        output = work / f"out{ending}"
        command = [options.program, "run", str(source), str(output), *flags, "--workers", "2", "-q"]
        done, begun, seconds = resume(command, output, half)
        print(f"{name}: {done} receipts, begun after {begun:.3f} s, the first new receipt after "
              f"{seconds:.3f} s", flush=True)
        lines += [(name, "receipts", done, ""),
                  (name, "to the begin", begun, "s"),
                  (name, "to the first new receipt", seconds, "s")]
        for path in work.glob("out*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    record("resume", lines)
    if options.dir is None:
        shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
