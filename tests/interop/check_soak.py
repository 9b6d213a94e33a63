"""A short soak: random small jobs, many of them killed, against NumPy and SciPy. soak.py has more."""

import pathlib

import soak

RUNS = 60
SEED = 4


def main(program: str, _work: pathlib.Path) -> None:
    _, differences = soak.soak(program, SEED, range(RUNS))
    assert not differences, "\n".join(differences)
