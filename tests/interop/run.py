"""Runs every check_*.py beside this file against a built volchunk.

    python tests/interop/run.py path/to/volchunk [NAME...]

A check is a module with `main(program: str, work: pathlib.Path) -> None`: it gets the program and
an empty folder that is removed afterwards, and raises if anything is wrong. NAME limits the run to
the checks so named (`zarr` for check_zarr.py). The last line reads `N passed, N failed`; the exit
code is 1 if any failed, and 2 if there was nothing to run.
"""

import importlib
import pathlib
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent


def main(arguments: list[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    program = pathlib.Path(arguments[0]).resolve()
    if not program.is_file():
        print(f"{program} is not a file; build it with: cargo build -p volchunk-cli", file=sys.stderr)
        return 2
    found = {path.stem.removeprefix("check_"): path.stem for path in sorted(HERE.glob("check_*.py"))}
    unknown = [name for name in arguments[1:] if name not in found]
    if unknown or not found:
        print(f"no check called {', '.join(unknown) or 'anything'}; there are: {', '.join(found)}",
              file=sys.stderr)
        return 2
    chosen = arguments[1:] or list(found)

    sys.path.insert(0, str(HERE))
    failed = 0
    for name in chosen:
        begin = time.monotonic()
        try:
            check = importlib.import_module(found[name]).main
            with tempfile.TemporaryDirectory(prefix=f"volchunk-{name}-") as work:
                check(str(program), pathlib.Path(work))
        except Exception:  # a check may raise anything; SystemExit and Ctrl-C stop the run
            failed += 1
            traceback.print_exc()
            print(f"FAILED {name} ({time.monotonic() - begin:.1f} s)", flush=True)
        else:
            print(f"ok {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
