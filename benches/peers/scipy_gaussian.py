"""Peer: scipy.ndimage.gaussian_filter per chunk with halo, by hand, on threads, in memory.

    python benches/peers/scipy_gaussian.py IN.npy SIGMA CHUNK WORKERS REPEATS

SciPy lets go of the interpreter's lock, so plain threads are the best that it can do. Prints one
line `seconds=…` for each repeat, behind one repeat that warms up.
"""

import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import ndimage


def main() -> None:
    image = np.load(sys.argv[1])
    sigma, chunk = float(sys.argv[2]), tuple(int(n) for n in sys.argv[3].split(","))
    workers, repeats = int(sys.argv[4]), int(sys.argv[5])
    halo = int(4 * sigma + 0.5)
    cores = list(itertools.product(*(
        [slice(start, min(start + step, size)) for start in range(0, size, step)]
        for size, step in zip(image.shape, chunk))))

    def work(core: tuple[slice, ...]) -> None:
        outer = tuple(slice(max(c.start - halo, 0), c.stop + halo) for c in core)
        result = ndimage.gaussian_filter(image[outer], sigma, output=np.float32)
        out[core] = result[tuple(slice(c.start - o.start, c.stop - o.start)
                                 for c, o in zip(core, outer))]

    for repeat in range(repeats + 1):
        begin = time.perf_counter()
        out = np.empty(image.shape, np.float32)  # fresh memory, as a caller would have it
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, cores))
        if repeat:
            print(f"seconds={time.perf_counter() - begin:.6f}", flush=True)


if __name__ == "__main__":
    main()
