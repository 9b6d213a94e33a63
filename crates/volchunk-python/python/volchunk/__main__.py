"""The `volchunk` program: ``volchunk``, or ``python -m volchunk``."""

import sys

from volchunk import _native


def main() -> int:
    """Run the program with the arguments of this process.

    Returns
    -------
    int
        The exit code: 0 done, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C.
    """
    return _native.program(["volchunk", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
