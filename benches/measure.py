"""Measures commands side by side: fresh processes, alternating, wall time and peak memory."""

import csv
import dataclasses
import datetime
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

RECORDS = pathlib.Path(__file__).resolve().parent / "records"


@dataclasses.dataclass
class Sample:
    """One process: wall seconds from start to end, and highest resident memory in MB (10⁶ bytes)."""

    seconds: float
    peak_mb: float
    output: str


def measure(command: Sequence[str]) -> Sample:
    """Runs `command` and returns what it cost. A failing command ends the bench.

    Linux hands the parent's peak on to a child at exec. So the program that calls this must stay
    small itself: volumes are made and compared in processes of their own.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} left {process.returncode}\n{output}")
    # ru_maxrss counts KiB on Linux and bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Sample(seconds, usage.ru_maxrss * unit / 1e6, output)


def alternate(
    commands: Mapping[str, Sequence[str]], rounds: int, before: Callable[[str], None]
) -> dict[str, list[Sample]]:
    """Runs every command once a round, so that a slow minute of the machine meets all of them.

    `before(name)` runs unmeasured; the disk is then given time to write what is still dirty.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in commands}
    for i in range(rounds):
        for name, command in commands.items():
            before(name)
            os.sync()
            samples[name].append(measure(command))
            print(f"  round {i + 1}/{rounds} {name}: {samples[name][-1].seconds:.2f} s", flush=True)
    return samples


def table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows in columns; the first row is the head."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def report(bench: str, case: str, ours: str, figures: Mapping[str, Mapping[str, list[float]]]) -> None:
    """Prints medians, minima and ratios against `ours`, and appends them to today's record.

    `figures[name][metric]` are the samples; a metric ends in its unit, as in `wall_s`, `peak_MB`.
    """
    print(f"\n{bench} {case}; {machine()}")
    head = ["", "metric", "median", "minimum", "n", f"ratio of medians to {ours}", "of minima"]
    rows, records = [head], []
    for name, metrics in figures.items():
        for metric, values in metrics.items():
            base = figures[ours][metric]
            median, least = statistics.median(values), min(values)
            ratios = median / statistics.median(base), least / min(base)
            rows.append([name, metric, f"{median:.3f}", f"{least:.3f}", str(len(values)),
                         f"{ratios[0]:.2f}", f"{ratios[1]:.2f}"])
            label, unit = metric.rsplit("_", 1)
            records.append((f"{case} {name}", f"{label} median", median, unit))
            records.append((f"{case} {name}", f"{label} minimum", least, unit))
            if name != ours:
                records.append((f"{case} {name} / {ours}", f"{label} median", ratios[0], "ratio"))
                records.append((f"{case} {name} / {ours}", f"{label} minimum", ratios[1], "ratio"))
    table(rows)
    record(bench, records)


def record(bench: str, rows: Sequence[tuple[str, str, float, str]]) -> None:
    """Appends (case, metric, value, unit) to records/YYYY-MM-DD.csv."""
    today = datetime.date.today().isoformat()
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{today}.csv"
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(["date", "bench", "case", "metric", "value", "unit"])
        for case, metric, value, unit in rows:
            writer.writerow([today, bench, case, metric, f"{value:.4g}", unit])
    print(f"recorded in {path.relative_to(RECORDS.parent.parent)}")


def machine() -> str:
    """Processor, cores that this process may use, and installed memory, for the head of a report."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {cores} cores, {memory:.0f} GiB"
