"""Makes the volume that the benches filter: cells on a noisy background, the same for a seed.

    python benches/synthetic.py OUT.zarr --size 512 --chunk 64,256,256    # Zarr v3, zstd level 3
    python benches/synthetic.py OUT.npy --size 512

uint16, zyx, size³ voxels. Noise has the spread of a light-sheet camera, so that it compresses as
badly as real data does. Made slab by slab, in memory of a few slabs.
"""

import argparse
import pathlib

import numpy as np

SLAB = 64  # planes; fixed, because the noise is drawn per slab
REACH = 10  # voxels from a cell's centre to the end of its blob


def slabs(size: int, seed: int):
    """Yields (first plane, voxels) of each slab."""
    rng = np.random.default_rng(seed)
    count = size**3 // 20_000
    centres = rng.uniform(0, size, (count, 3))
    radii = rng.uniform(2.0, 4.0, count)
    heights = rng.uniform(200, 3000, count)
    steps = np.arange(-REACH, REACH + 1)
    for number, start in enumerate(range(0, size, SLAB)):
        stop = min(start + SLAB, size)
        noise = np.random.default_rng([seed, number])
        voxels = noise.standard_normal((stop - start, size, size), dtype=np.float32) * 20 + 300
        near = (centres[:, 0] > start - REACH) & (centres[:, 0] < stop + REACH)
        for centre, radius, height in zip(centres[near], radii[near], heights[near]):
            parts, profiles = [], []
            for axis, (low, high) in enumerate(((start, stop), (0, size), (0, size))):
                at = int(centre[axis]) + steps
                at = at[(at >= low) & (at < high)]
                profiles.append(np.exp(-((at - centre[axis]) ** 2) / (2 * radius**2)))
                parts.append(slice(at[0] - low, at[-1] + 1 - low) if len(at) else slice(0, 0))
            z, y, x = profiles
            voxels[tuple(parts)] += height * z[:, None, None] * y[:, None] * x
        yield start, np.clip(np.rint(voxels), 0, 65535).astype(np.uint16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=512, help="voxels along each axis")
    parser.add_argument("--chunk", default="64,256,256", help="storage chunk of a Zarr")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shape = (options.size,) * 3
    if options.output.suffix == ".zarr":
        import zarr

        chunk = tuple(min(int(n), options.size) for n in options.chunk.split(","))
        out = zarr.create_array(options.output, shape=shape, chunks=chunk, dtype="uint16",
                                compressors=zarr.codecs.ZstdCodec(level=3))
    else:
        out = np.lib.format.open_memmap(options.output, mode="w+", dtype=np.uint16, shape=shape)
    for start, voxels in slabs(options.size, options.seed):
        out[start : start + len(voxels)] = voxels


if __name__ == "__main__":
    main()
