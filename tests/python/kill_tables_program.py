"""A program that test_kill_tables.py kills: `python kill_tables_program.py WHAT OUTPUT LOG`."""

import os
import sys
import time

import numpy as np
import volchunk
from scipy import ndimage

CHUNKS = 96
"""Of the image."""

HOW = {"chunks": (8, 16, 16), "workers": 2, "progress": False}


def image():
    voxels = np.random.default_rng(0).normal(size=(48, 64, 64))
    return ndimage.gaussian_filter(voxels, 2).astype(np.float32)


class Find:
    """Peaks between voxels; each call is noted in a file before it is answered."""

    def __init__(self, log):
        self.log = log

    def __call__(self, block, info):
        with open(self.log, "a") as log:
            log.write(f"{np.ravel_multi_index(info.index, (6, 4, 4))}\n")
        time.sleep(0.002)
        largest = ndimage.maximum_filter(block, 5)
        at = np.argwhere((block == largest) & (block > 0.02))
        return np.hstack([at + 0.3, block[tuple(at.T)][:, None]])


def run(what, output, log=os.devnull):
    if what == "blobs":
        return volchunk.detect_blobs(
            image(), min_sigma=1, max_sigma=3, num_sigma=6, threshold=0.005, out=output, **HOW
        )
    return volchunk.map_points(
        Find(log), image(), depth=4, dedupe=1.5, out=output, version="1", executor=what, **HOW
    )


if __name__ == "__main__":
    print("begins", flush=True)
    run(*sys.argv[1:])
