"""merge_points against a loop over pairs of rows."""

import numpy as np
import pytest
import volchunk
from hypothesis import given, settings
from hypothesis import strategies as st


def same(a, b, tolerance, channel):
    """Whether two rows, each behind the number of its chunk, are one point."""
    if a[0] == b[0] or (channel is not None and a[1][channel] != b[1][channel]):
        return False
    return all(abs(p - q) <= t for p, q, t in zip(a[1], b[1], tolerance))


def greedy(tables, tolerance, value, channel):
    """From the strongest to the weakest, each beside all that were kept."""
    rows = [(number, tuple(row)) for number, table in enumerate(tables) for row in table]
    rows.sort(key=lambda row: (-row[1][value], row[1], row[0]))
    kept = []
    for row in rows:
        if not any(same(row, other, tolerance, channel) for other in kept):
            kept.append(row)
    return sorted(row for _, row in kept)


def tables_of(data, ndim, whole):
    """Tables of coordinates, score and channel, on few places, so that many lie close."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    tables = []
    for _ in range(data.draw(st.integers(0, 4))):
        count = int(rng.integers(0, 40))
        at = rng.integers(-5, 12, (count, ndim)) if whole else rng.uniform(-5, 12, (count, ndim))
        score, channel = rng.integers(0, 5, (count, 1)), rng.integers(0, 2, (count, 1))
        tables.append(np.hstack((at, score, channel)))
    return tables


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 4), st.booleans(), st.booleans())
def test_the_strongest_are_kept(data, ndim, whole, by_channel):
    tables = tables_of(data, ndim, whole)
    tolerance = data.draw(st.lists(st.sampled_from([0, 0.5, 1, 3]), min_size=ndim, max_size=ndim))
    channel = ndim + 1 if by_channel else None
    merged = volchunk.merge_points(
        tables, dedupe=tolerance, ndim=ndim, channel=channel, workers=data.draw(st.integers(1, 3))
    )
    expected = greedy(tables, tolerance, ndim, channel)
    assert [tuple(row) for row in merged] == expected
    assert merged.dtype == (np.float64 if len(merged) and not whole else np.int64)


@settings(max_examples=50, deadline=None)
@given(st.data(), st.sampled_from(["strongest", "mean"]))
def test_neither_the_order_of_rows_nor_workers_show(data, mode):
    tables = tables_of(data, 2, False)
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(table) for table in tables]
    options = {"dedupe": 2, "ndim": 2, "mode": mode, "value": -2, "channel": -1}
    merged = volchunk.merge_points(tables, **options, workers=1)
    again = volchunk.merge_points(shuffled, **options, workers=3)
    assert merged.tobytes() == again.tobytes()


def test_means_are_of_mutual_nearest():
    # 0 and 1 are each other's nearest; 2.5's nearest is 1, which has a nearer one.
    tables = [[[0, 0.2]], [[1.0, 0.9]], [[2.5, 0.5]], [[9.0, 0.1]]]
    merged = volchunk.merge_points(tables, dedupe=2, ndim=1, mode="mean")
    assert merged.tolist() == [[0.5, 0.9], [2.5, 0.5], [9.0, 0.1]]


def test_tables_are_joined_and_sorted():
    grid = np.empty((1, 1, 3), dtype=object)
    grid[0, 0, 0], grid[0, 0, 2] = np.array([[3, 1, 1], [1, 9, 9]]), np.array([[1, 2, 3]])
    merged = volchunk.merge_points(grid)
    assert merged.dtype == np.int64
    assert merged.tolist() == [[1, 2, 3], [1, 9, 9], [3, 1, 1]]
    # Nothing is as far as to be told apart, but within one chunk.
    assert volchunk.merge_points(grid, dedupe=99).tolist() == [[1, 2, 3]]


def test_no_points():
    assert volchunk.merge_points([], dedupe=1).shape == (0, 3)
    assert volchunk.merge_points([None, []], dedupe=1, ndim=2).shape == (0, 2)
    empty = volchunk.merge_points([np.empty((0, 5)), []], dedupe=1)
    assert empty.shape == (0, 5) and empty.dtype == np.float64


def test_map_points_keeps_one_of_two():
    image = np.zeros(20)
    image[10] = 1

    def shifting(block, info):
        """Finds the cell half a voxel nearer to its own chunk than it is."""
        at = np.argwhere(block).astype(float)
        shift = -0.6 if info.index == (0,) else 0.1
        return np.hstack((at + shift, np.full((len(at), 1), 0.5 - shift)))

    found = {
        tolerance: volchunk.map_points(shifting, image, depth=3, chunks=10, dedupe=tolerance)
        for tolerance in (None, 0.5, 1)
    }
    assert found[None].tolist() == found[0.5].tolist() == [[9.4, 1.1], [10.1, 0.4]]
    assert found[1].tolist() == [[9.4, 1.1]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dedupe": -1}, ValueError, r"dedupe is -1.0 on axis 0; legal: finite, 0 or more"),
        ({"dedupe": [1, 1]}, ValueError, r"dedupe has 2 values; legal: 1 or 3"),
        ({"dedupe": float("nan")}, ValueError, r"dedupe is nan"),
        ({"dedupe": "1"}, TypeError, r"dedupe is '1'; legal: a number"),
        ({"mode": "mode"}, ValueError, r"mode is 'mode'; legal: 'strongest', 'mean'"),
        ({"value": 4}, IndexError, r"value is column 4; legal: -4 to 3"),
        ({"channel": -5}, IndexError, r"channel is column -5"),
        ({"channel": 0.5}, TypeError, r"channel is 0.5; legal: a whole number"),
        ({"ndim": 5}, ValueError, r"tables have 4 columns; legal: 5 or more"),
        ({"ndim": 0}, ValueError, r"ndim is 0"),
        ({"workers": 0}, ValueError, r"workers is 0"),
    ],
)
def test_arguments_that_cannot_be_right(arguments, error, message):
    with pytest.raises(error, match=message):
        volchunk.merge_points([np.zeros((2, 4))], **{"dedupe": 1, **arguments})


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ([[1, np.nan, 1, 1]], ValueError, r"tables\[1\] holds nan in row 0, column 1; legal: fini"),
        ([[1, 1, np.inf, 1]], ValueError, r"tables\[1\] holds inf in row 0, column 2"),
        ([[1, 1, 1, np.nan]], ValueError, r"tables\[1\] holds nan in row 0, column 3; legal: numb"),
        ([[1, 1, 1]], ValueError, r"tables\[1\] has 3 columns; legal: 4"),
        ([1.0, 2, 3], ValueError, r"tables\[1\] has shape \(3,\); legal: \(points, columns\)"),
        ([["a"]], TypeError, r"tables\[1\] has dtype <U1; legal: a table of numbers"),
        (np.array([[2**63]], "u8"), ValueError, r"tables\[1\] holds 9223372036854775808; legal"),
    ],
)
def test_tables_that_cannot_be_right(table, error, message):
    with pytest.raises(error, match=message):
        volchunk.merge_points([np.zeros((2, 4)), table], dedupe=1)


def test_what_is_no_sequence_of_tables():
    with pytest.raises(TypeError, match=r"tables is an array of float64; legal: a sequence"):
        volchunk.merge_points(np.zeros((2, 4)), dedupe=1)
    with pytest.raises(TypeError, match=r"tables is a int"):
        volchunk.merge_points(3, dedupe=1)
    large = [np.full((1, 3), 2**53 + 1)]
    with pytest.raises(ValueError, match=r"tables\[0\] holds integers beyond 2\*\*53"):
        volchunk.merge_points(large, dedupe=1)
    assert volchunk.merge_points(large).tolist() == [[2**53 + 1] * 3]
