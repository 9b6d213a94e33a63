"""Benches of calls in Python: each sample a fresh process, candidates alternating.

A sample makes its input unmeasured, runs once, and checks the result. A bench is a function
`(name, size, case) -> (call, right)`, the names of its candidates, and its cases.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time

import measure

# Candidates that need a package which may be missing.
NEEDS = {"magmap": "magmap", "dask": "dask"}


def memory(field):
    """A field of this process's memory in MB, on Linux."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field)) * 1024 / 1e6


def sample(benches, bench, name, case, size):
    """In a process of its own: seconds, and MB that the call added at its peak (0.1 for less)."""
    call, right = benches[bench][0](name, size, case)
    # From here on, the peak starts at what is resident now.
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = memory("VmRSS:")
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    added = max(memory("VmHWM:") - before, 0.1)
    if not right(result):
        sys.exit(f"{name} is wrong")
    print(json.dumps([seconds, added]))


def main(description, group, benches):
    """Runs the benches that the command line names, and records what they gave."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("benches", nargs="*", default=list(benches), help=", ".join(benches))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--size", type=int, default=512, help="length of the cube")
    parser.add_argument("--sample", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.sample:
        return sample(benches, *arguments.sample, arguments.size)
    for bench in arguments.benches:
        _, names, cases = benches[bench]
        names = [n for n in names if n not in NEEDS or importlib.util.find_spec(NEEDS[n])]
        for case in cases:
            samples = {name: {"wall_s": [], "added_MB": []} for name in names}
            for _ in range(arguments.runs):
                for name in names:
                    command = [sys.executable, sys.argv[0], "--size", str(arguments.size)]
                    command += ["--sample", bench, name, case]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        sys.exit(done.stdout + done.stderr)
                    seconds, added = json.loads(done.stdout.splitlines()[-1])
                    samples[name]["wall_s"].append(seconds)
                    samples[name]["added_MB"].append(added)
            measure.report(f"{group}-{bench}", case.format(size=arguments.size), names[0], samples)
