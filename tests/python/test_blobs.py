"""merge_blobs against a loop over rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import blobs, grid
from strategies import laid_out
from volchunk.chunking import merge_blobs

DTYPES = ["u1", "i2", "i8", "u8", "f2", "f4", "f8", ">f8", "c16", "g"]


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_like_the_oracle(data):
    counts = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple))
    columns = data.draw(st.integers(0, 5))
    dtypes = data.draw(st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def table():
        if rng.random() < 0.3:
            return None
        values = rng.integers(0, 100, (rng.integers(0, 4), columns)).astype(rng.choice(dtypes))
        return laid_out(values, rng.choice(["C", "F", "reversed", "strided", "read-only"]))

    tables = grid([table() for _ in range(int(np.prod(counts)))], counts)
    merged, expected = merge_blobs(tables), blobs(tables)
    if expected is None:
        assert merged is None
        return
    assert merged.dtype == expected.dtype and merged.shape == expected.shape
    assert (merged == expected).all()


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        (
            [np.zeros((1, 4)), [[1.0, 2, 3, 4]]],
            TypeError,
            r"blob_rois\[0, 1\] is a list; legal: an array \(n, k\) or None",
        ),
        ([np.zeros(4), None], ValueError, r"blob_rois\[0, 0\] has shape \(4,\); legal: \(n, k\)"),
        (
            [np.zeros((1, 4)), np.zeros((2, 5))],
            ValueError,
            r"blob_rois\[0, 1\] has shape \(2, 5\); legal: \(n, 4\)",
        ),
        ([np.zeros((1, 4)), 0], TypeError, r"blob_rois\[0, 1\] is a int"),
    ],
)
def test_bad_entries_are_named(entries, error, message):
    with pytest.raises(error, match=message):
        merge_blobs(grid(entries, (1, 2)))
    with pytest.raises(TypeError, match="blob_rois is list"):
        merge_blobs(entries)
