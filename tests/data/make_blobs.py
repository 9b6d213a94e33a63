"""Makes blobs/*.csv: blobs at random, and which of them scikit-image's pruning keeps.

    pip install scikit-image && python tests/data/make_blobs.py

Columns: the coordinates, sigma, value, 1 if it is kept. scikit-image drops, of two of the same
sigma, the one that comes first; the rows are in order of value, so that this is the weaker.
"""

import pathlib

import numpy as np
from skimage.feature.blob import _prune_blobs

FOLDER = pathlib.Path(__file__).parent / "blobs"
CASES = {
    "2d": ((1, 1), 600, 1000),
    "3d": ((1, 1, 1), 150, 1000),
    "3d-anisotropic": ((0.5, 1, 1), 130, 1000),
}


def main():
    rng = np.random.default_rng(7)
    for name, (ratio, extent, count) in CASES.items():
        ndim = len(ratio)
        # Two at one place could not be told apart in what is left.
        at = np.stack(np.unravel_index(rng.choice(extent**ndim, count, False), (extent,) * ndim), 1)
        sigma = rng.choice([2.0, 3.0, 4.5], (count, 1))
        value = np.sort(rng.random(count)).round(6)[:, None]
        sigmas = sigma * ratio if len(set(ratio)) > 1 else sigma
        kept = _prune_blobs(np.hstack((at, sigmas)).astype(float), 0.5, sigma_dim=sigmas.shape[1])
        left = {tuple(row) for row in kept[:, :ndim].astype(int).tolist()}
        flag = [[int(tuple(row) in left)] for row in at.tolist()]
        rows = np.hstack((at, sigma, value, flag))
        lines = [",".join(f"{number:g}" for number in row) for row in rows.tolist()]
        (FOLDER / f"{name}.csv").write_text("\n".join(lines) + "\n")
        print(name, count, sum(map(sum, flag)))


if __name__ == "__main__":
    main()
