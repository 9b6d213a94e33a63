"""map_points: every point once, on any grid; and what it refuses."""

import numpy as np
import pytest
import volchunk
from hypothesis import given, settings
from hypothesis import strategies as st
from overlap_tools import IMAGE


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_points_are_neither_lost_nor_doubled(data):
    n = data.draw(st.integers(1, 3))
    shape = data.draw(st.lists(st.integers(1, 20), min_size=n, max_size=n))
    image = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 9, shape)
    chunks = data.draw(st.lists(st.integers(1, 21), min_size=n, max_size=n))
    shift = data.draw(st.sampled_from([None, 0.25, 0.5, -0.5]))
    depth = data.draw(st.integers(1, 3))
    part = tuple(slice(data.draw(st.integers(0, s - 1)), None) for s in shape)

    def find(block):
        at = np.argwhere(block > 5)
        value = block[tuple(at.T)][:, None]
        return np.hstack([at, value] if shift is None else [at + shift, value * 1.0])

    whole = find(image)
    voxel = np.floor(whole[:, :n] + 0.5)
    inside = [
        (voxel[:, a] >= part[a].start) & (voxel[:, a] < shape[a]) for a in range(n)
    ]
    whole = whole[np.logical_and.reduce(inside)]
    whole = whole[np.lexsort(whole.T[::-1])]
    got = volchunk.map_points(
        find, image, depth=depth, chunks=chunks, roi=part, boundary=None, workers=2
    )
    if len(whole):
        assert got.dtype == whole.dtype
    np.testing.assert_array_equal(got, whole)


def test_no_points():
    got = volchunk.map_points(lambda b: [], np.zeros((5, 6)), depth=1, chunks=2)
    assert got.shape == (0, 2)


@pytest.mark.parametrize(
    ("kind", "words", "returned"),
    [
        (ValueError, r"func returned shape \(1, 1\); legal: .*2 columns", [[1]]),
        (ValueError, "func returned shape", [1, 2]),
        (ValueError, "not finite", [[np.nan, 1]]),
        (TypeError, "func returned dtype", [["a", "b"]]),
        (TypeError, "func returned dtype object", None),
        (ValueError, "in a table of uint64", np.array([[1, 1, 2**64 - 1]], "u8")),
    ],
)
def test_bad_points(kind, words, returned):
    with pytest.raises(kind, match=words):
        volchunk.map_points(lambda b: returned, IMAGE, depth=1)
