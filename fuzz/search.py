"""Searches for inputs that break a parser, for a given CPU time each, and records what it took.

    python fuzz/search.py [TARGET...] [--minutes 10] [--work FOLDER] [--record FILE.csv]

Needs a nightly compiler and cargo-fuzz. One target after the other; without names, all. The searches
begin from the corpus beside this file and the fixtures of the tests; what they find of interest goes
to --work, never into the repository. An input that fails is named, and the exit code is 1: to mend
it, add the file to the corpus of its target, where the tests replay it.
"""

import argparse
import datetime
import json
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent / "tests" / "data"
LONGEST = {"npy": 4096, "tiff": 16384, "journal": 4096, "job": 4096, "ops": 512,
           "csv": 4096, "npz": 20480}
"""Bytes of an input; 8192 where it is not said."""
SEEDS = {"npy": "npy/*.npy", "tiff": "tiff/**/*.tif", "zarr_v2": "zarr/**/.zarray",
         "zarr_v2_attributes": "zarr/**/.zattrs", "zarr_v3": "zarr/**/zarr.json",
         "csv": "blobs/*.csv", "parquet": "table/*.parquet", "npz": "table/*.npz"}
"""Fixtures of the tests, below tests/data."""


def seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def build() -> pathlib.Path:
    """Builds all targets; the folder that they are in."""
    line = ["cargo", "+nightly", "metadata", "--format-version", "1", "--no-deps"]
    host = next(line.split()[1] for line in subprocess.run(
        ["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
        if line.startswith("host:"))
    found = subprocess.run(line, cwd=HERE, check=True, capture_output=True, text=True).stdout
    subprocess.run(["cargo", "+nightly", "fuzz", "build", "--release"], cwd=HERE.parent, check=True)
    return pathlib.Path(json.loads(found)["target_directory"]) / host / "release"


def search(programs: pathlib.Path, target: str, minutes: float, work: pathlib.Path) -> tuple[dict[str, int], str]:
    """Runs one target in rounds until its CPU time is used; its figures, and how it ended."""
    found, seeds = work / target, work / f"{target}-seeds"
    found.mkdir(parents=True, exist_ok=True)
    seeds.mkdir(exist_ok=True)
    for number, path in enumerate(sorted(DATA.glob(SEEDS.get(target, "none")))):
        if path.stat().st_size <= LONGEST.get(target, 8192):
            shutil.copyfile(path, seeds / f"{number}-{path.name}")
    figures = {"executions": 0, "coverage": 0, "features": 0}
    begin = seconds()
    while (left := minutes * 60 - (seconds() - begin)) > 1:
        done = subprocess.run(
            [str(programs / target), str(found), str(HERE / "corpus" / target), str(seeds),
             f"-max_total_time={int(left) + 1}", f"-max_len={LONGEST.get(target, 8192)}",
             "-timeout=60", "-rss_limit_mb=2048", "-malloc_limit_mb=80", "-print_final_stats=1",
             f"-artifact_prefix={work}/failed-{target}-"],
            cwd=work, stderr=subprocess.PIPE, text=True)
        for line in done.stderr.splitlines():
            if match := re.search(r"number_of_executed_units: (\d+)", line):
                figures["executions"] += int(match[1])
            if match := re.search(r"cov: (\d+) ft: (\d+)", line):
                figures["coverage"], figures["features"] = int(match[1]), int(match[2])
        if done.returncode != 0:
            return figures, done.stderr[-3000:]
    figures["CPU seconds"] = round(seconds() - begin)
    return figures, "passed"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=10, help="CPU minutes for each")
    parser.add_argument("--work", type=pathlib.Path, help="where finds go [default: a new folder]")
    parser.add_argument("--record", type=pathlib.Path, help="append the figures to this CSV")
    parser.add_argument("--built", type=pathlib.Path,
                        help="folder of targets that are built [default: builds them]")
    options = parser.parse_args(arguments)
    programs = (options.built or build()).resolve()
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="volchunk-fuzz-"))
    targets = options.targets or [t.stem for t in sorted((HERE / "fuzz_targets").glob("*.rs"))]
    failed = 0
    for target in targets:
        figures, ended = search(programs, target, options.minutes, work.resolve())
        failed += ended != "passed"
        print(f"{target}: {figures} {ended}", flush=True)
        if options.record:
            today = datetime.date.today().isoformat()
            figures["failures"] = int(ended != "passed")
            with options.record.open("a") as file:
                for what, n in figures.items():
                    file.write(f"{today},fuzz,{target},{what},{n},\n")
    print(f"{len(targets) - failed} passed, {failed} failed; finds are in {work}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
