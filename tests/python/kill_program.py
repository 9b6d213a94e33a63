"""A program that test_kill.py kills: `python kill_program.py OUTPUT EXECUTOR`."""

import sys
import time

import numpy as np
import volchunk
from scipy import ndimage

CHUNKS = 96
"""Of the result."""


def image():
    return np.random.default_rng(0).integers(0, 60000, (48, 64, 64)).astype(np.uint16)


def blur(block):
    time.sleep(0.002)
    return ndimage.gaussian_filter(block, 1, output=np.float32)


def run(output, executor="threads"):
    return volchunk.map_overlap(
        blur,
        image(),
        depth=4,
        chunks=(8, 16, 16),
        out=output,
        version="1",
        executor=executor,
        workers=2,
        progress=False,
    )


if __name__ == "__main__":
    print("begins", flush=True)
    run(*sys.argv[1:])
