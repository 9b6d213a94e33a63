"""volchunk.merge_points beside a k-d tree with a greedy loop, and MagellanMapper's own pruning.

    python benches/python_points.py [--runs 7] [dedupe]

Needs the package (`pip install .`) and SciPy; MagellanMapper's figure needs `pip install
magellanmapper`, and is left out without it.

The points are those of 8 x 8 x 8 chunks of 100^3 voxels that reach 5 voxels into the next, as
MagellanMapper's do: cells at random, each found by every chunk that holds it, up to a voxel from
where it is. The tolerance is 5 voxels, MagellanMapper's. The tables have its eleven columns.
"""

import contextlib
import io

import numpy as np

import calls

GRID, CHUNK, OVERLAP, TOLERANCE = 8, 100, 5, 5
SHAPE = (GRID * CHUNK,) * 3
CELLS = {"10^6 rows in 512 chunks": 870_000}
CHANNEL, SCORE = 6, 4


def found_by_chunks(cells):
    """A table for each chunk, in MagellanMapper's columns: z, y, x, radius, confirmed (the score
    here), truth, channel, absolute z, y, x, and one of its own."""
    rng = np.random.default_rng(0)
    at = rng.uniform(0, GRID * CHUNK, (cells, 3))
    tables = np.empty((GRID,) * 3, dtype=object)
    chunk = (at // CHUNK).astype(int)
    # A cell in the first voxels of a chunk lies in the overlap of the one before, too.
    for step in np.ndindex(2, 2, 2):
        before = chunk - step
        seen = ((before >= 0) & ((at - before * CHUNK) < CHUNK + OVERLAP)).all(axis=1)
        place, own = at[seen], before[seen]
        jittered = place + rng.uniform(-1, 1, place.shape)
        rows = np.zeros((len(place), 11))
        rows[:, :3] = rows[:, 7:10] = np.clip(np.round(jittered), 0, GRID * CHUNK - 1)
        rows[:, 3], rows[:, SCORE] = 5, rng.random(len(place))
        number = np.ravel_multi_index(tuple(own.T), tables.shape)
        order = np.argsort(number, kind="stable")
        parts = np.split(rows[order], np.searchsorted(number[order], np.arange(1, tables.size)))
        for index, part in zip(np.ndindex(tables.shape), parts):
            known = tables[index]
            tables[index] = part if known is None else np.concatenate((known, part))
    return tables


def greedy(tables, bands):
    """By a k-d tree over all points, or those near a seam alone; strength as in merge_points."""
    from scipy.spatial import cKDTree

    points = np.concatenate(tables.ravel().tolist())
    chunk = np.repeat(np.arange(tables.size), [len(table) for table in tables.flat])
    near = np.arange(len(points))
    if bands:
        # A point lies up to two voxels beyond the chunk that found it.
        margin = TOLERANCE + 2
        wide = (points[:, :3] + margin) % CHUNK < OVERLAP + 2 * margin
        wide &= points[:, :3] > CHUNK / 2
        near = np.flatnonzero(wide.any(axis=1))
    pairs = cKDTree(points[near, :3]).query_pairs(TOLERANCE, p=np.inf, output_type="ndarray")
    pairs = near[pairs]
    pairs = pairs[chunk[pairs[:, 0]] != chunk[pairs[:, 1]]]
    score = points[:, SCORE]
    strong = np.where(score[pairs[:, 0]] >= score[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    weak = pairs.sum(axis=1) - strong
    order = np.argsort(-score[strong])
    alive = np.ones(len(points), dtype=bool)
    for stronger, weaker in zip(strong[order].tolist(), weak[order].tolist()):
        if alive[stronger]:
            alive[weaker] = False
    return points[alive]


def magmap(tables):
    """MagellanMapper's pruning, with its progress unprinted."""
    from magmap.cv import chunking, stack_detect

    # The grid that it would have had: chunks end at the overlap, or at the volume's end.
    image = np.broadcast_to(np.uint8(0), SHAPE)
    slices, offsets = chunking.stack_splitter(SHAPE, np.full(3, CHUNK), np.full(3, OVERLAP))
    tolerance = np.full(3, TOLERANCE)
    with contextlib.redirect_stdout(io.StringIO()):
        pruned, _ = stack_detect.StackPruner.prune_blobs_mp(
            image, tables, np.full(3, OVERLAP), tolerance, slices, offsets, [0], tolerance)
    return pruned


def dedupe(name, size, case):
    tables = found_by_chunks(CELLS[case])

    def ours():
        return volchunk.merge_points(tables, dedupe=TOLERANCE, value=SCORE, channel=CHANNEL)

    def right(result):
        # MagellanMapper has a rule of its own, and adds columns.
        if name == "magmap":
            return 0.8 * CELLS[case] < len(result) < sum(map(len, tables.flat))
        expected = greedy(tables, bands=False)
        expected = expected[np.lexsort(expected.T[::-1])]
        return np.array_equal(result[np.lexsort(result.T[::-1])], expected)

    if name.startswith("volchunk"):
        import volchunk

        volchunk.settings.cpus = 1 if name.endswith("1 thread") else None
        return ours, right
    if name == "magmap":
        from magmap.cv import stack_detect  # noqa: F401

        return lambda: magmap(tables), right
    import scipy.spatial  # noqa: F401

    return lambda: greedy(tables, bands=name.endswith("seams")), right


BENCHES = {
    "dedupe": (
        dedupe,
        ["volchunk", "volchunk 1 thread", "cKDTree", "cKDTree at the seams", "magmap"],
        list(CELLS),
    ),
}


if __name__ == "__main__":
    calls.main(__doc__, "points", BENCHES)
