"""volchunk.chunking beside what it replaces: NumPy, Python loops, MagellanMapper's own module.

    python benches/python_chunking.py [--runs 7] [--size 512] [merge merge2 split blobs shared]

Needs the package (`pip install .`); MagellanMapper's figures need `pip install magellanmapper`, and
are left out without it.
"""

import numpy as np

import calls

GRIDS = {
    "{size}^3 uint16 64x256x256": ((64, 256, 256), (8, 32, 32)),
    "{size}^3 uint16 16x64x64": ((16, 64, 64), (4, 16, 16))}


def module(name):
    if name.startswith("magmap"):
        from magmap.cv import chunking
    else:
        import volchunk
        from volchunk import chunking

        volchunk.settings.cpus = 1 if name.endswith("1 thread") else None
    return chunking


def split_volume(size, grid):
    """A volume, and chunks of it in memory of their own, as workers hand them back."""
    from volchunk import chunking

    volume = np.arange(size**3, dtype=np.uint32).astype(np.uint16).reshape((size,) * 3)
    chunk, overlap = GRIDS[grid]
    chunks, _ = chunking.stack_splitter(volume.shape, chunk, overlap)
    for index in np.ndindex(chunks.shape):
        chunks[index] = volume[chunks[index]].copy()
    return volume, chunks, np.array(chunk), np.array(overlap)


def merge(name, size, grid):
    volume, chunks, chunk, overlap = split_volume(size, grid)
    run = module(name).merge_split_stack
    return lambda: run(chunks, chunk, overlap), lambda merged: np.array_equal(merged, volume)


def merge2(name, size, grid):
    volume, chunks, chunk, overlap = split_volume(size, grid)
    out = np.ones((1, *volume.shape), dtype=np.uint16)
    run = module(name).merge_split_stack2

    def assign():
        for z, y, x in np.ndindex(chunks.shape):
            part = chunks[z, y, x][tuple(map(slice, chunk))]
            at = (z, y, x) * chunk
            out[(0, *map(slice, at, at + part.shape))] = part

    ours = assign if name == "numpy" else lambda: run(chunks, overlap, 1, out)
    return ours, lambda _: np.array_equal(out[0], volume)


def split(name, size, grid):
    shape = (100, 100, 100)

    def loop():
        slices = np.empty(shape, dtype=object)
        offsets = np.zeros((*shape, 3))
        for z in range(shape[0]):
            for y in range(shape[1]):
                for x in range(shape[2]):
                    slices[z, y, x] = slice(z, z + 1), slice(y, y + 1), slice(x, x + 1)
                    offsets[z, y, x] = z, y, x
        return slices, offsets

    run = module(name).stack_splitter
    call = loop if name == "python loop" else lambda: run(shape, np.ones(3, int), None)
    return (
        call,
        lambda got: (
            got[0][1, 2, 3] == (slice(1, 2), slice(2, 3), slice(3, 4))
            and got[1][9, 8, 7].tolist() == [9, 8, 7]
        ),
    )


def blobs(name, size, grid):
    rng = np.random.default_rng(0)
    tables = np.empty((8, 8, 8), dtype=object)
    for index in np.ndindex(tables.shape):
        tables[index] = rng.random((1954, 11))

    def fill():
        rows = sum(map(len, tables.flat))
        out, at = np.empty((rows, 14)), 0
        for index, table in np.ndenumerate(tables):
            out[at : at + len(table), :11] = table
            out[at : at + len(table), 11:] = index
            at += len(table)
        return out

    run = module(name).merge_blobs
    expected = fill()
    return fill if name == "numpy" else lambda: run(tables), lambda got: np.array_equal(
        got, expected
    )


def shared(name, size, grid):
    import multiprocessing

    multiprocessing.set_start_method("fork")
    array = np.ones((64, 1024, 512), dtype=np.uint16)
    chunking = module(name)

    def build():
        pool = chunking.get_mp_pool(*chunking.SharedArrsContainer.build_pool_init({"image": array}))
        total = pool.apply_async(total_of, args=(name,)).get()
        pool.close()
        return total

    return build, lambda total: total == array.size


def total_of(name):
    return int(module(name).SharedArrsContainer.convert_shared_arr("image").sum())


BENCHES = {
    "merge": (merge, ["volchunk", "volchunk 1 thread", "magmap"], list(GRIDS)),
    "merge2": (merge2, ["volchunk", "volchunk 1 thread", "numpy"], list(GRIDS)),
    "split": (split, ["volchunk", "python loop", "magmap"], ["10^6 chunks"]),
    "blobs": (blobs, ["volchunk", "numpy", "magmap"], ["10^6 rows in 512 chunks"]),
    "shared": (shared, ["volchunk", "magmap"], ["64 MiB uint16"]),
}


if __name__ == "__main__":
    calls.main(__doc__, "chunking", BENCHES)
