"""stack_splitter against a slow loop."""

import gc
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import split
from strategies import geometries
from volchunk.chunking import stack_splitter


def check(shape, max_pixels, overlap, result):
    slices, offsets = result
    expected = split(shape, max_pixels, overlap)
    assert slices.dtype == object and slices.flags.writeable
    assert offsets.dtype == np.float64 and offsets.shape == (*slices.shape, slices.ndim)
    assert list(np.ndindex(*slices.shape)) == list(expected)
    for index, wanted in expected.items():
        assert slices[index] == wanted
        assert isinstance(slices[index], tuple)
        assert all(
            type(s.start) is int and type(s.stop) is int and s.step is None for s in slices[index]
        )
        assert offsets[index].tolist() == [s.start for s in wanted]


@settings(max_examples=1500, deadline=None)
@given(
    geometries(), st.sampled_from(["tuple", "list", "u1", "i2", "f4", "f8", "reversed", "channels"])
)
def test_like_the_oracle(geometry, kind):
    shape, chunk, overlap = geometry
    convert = {
        "tuple": tuple,
        "list": list,
        "reversed": lambda v: np.array(v[::-1])[::-1],
        "channels": tuple,
    }.get(kind, lambda v: np.array(v, dtype=kind))
    given_shape = (*shape, 3) if kind == "channels" else convert(shape)
    check(shape, chunk, overlap, stack_splitter(given_shape, convert(chunk), convert(overlap)))


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 40), st.floats(1, 9), st.floats(0, 5)), min_size=1, max_size=3
    )
)
def test_fractions_are_truncated_after_the_arithmetic(axes):
    shape, chunk, overlap = zip(*axes)
    check(shape, chunk, overlap, stack_splitter(shape, chunk, np.array(overlap)))


def test_small_integers_do_not_overflow():
    shape, chunk = (1000, 300, 5), np.array([200, 100, 255], dtype=np.uint8)
    check(
        shape,
        chunk.tolist(),
        (100, 200, 0),
        stack_splitter(shape, chunk, np.array([100, 200, 0], np.uint8)),
    )
    chunk = np.array([20000, 30000, 1], dtype=np.int16)
    check((70000, 30001, 1), chunk.tolist(), (0, 0, 0), stack_splitter((70000, 30001, 1), chunk))


def test_slices_index_pickle_and_are_replaced():
    image = np.arange(60).reshape(3, 4, 5)
    slices, _ = stack_splitter(image.shape, [2, 2, 2], [1, 1, 1])
    assert (pickle.loads(pickle.dumps(slices)) == slices).all()
    for index in np.ndindex(slices.shape):
        slices[index] = image[slices[index]]
    assert slices[1, 1, 2].tolist() == [[[54], [59]]]


def test_an_axis_without_voxels_has_no_chunks():
    slices, offsets = stack_splitter((0, 3, 3), (2, 2, 2))
    assert slices.shape == (0, 2, 2) and offsets.shape == (0, 2, 2, 3)


def test_the_collector_is_left_as_it_was():
    gc.disable()
    try:
        stack_splitter((4,), (2,))
        assert not gc.isenabled()
    finally:
        gc.enable()
    stack_splitter((4,), (2,))
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ((9, 9, 9), (3, 0, 3)),
            ValueError,
            "max_pixels is 0 on axis 1; legal: a finite number from 1 on",
        ),
        (((9, 9, 9), (3, -2, 3)), ValueError, "max_pixels is -2 on axis 1"),
        (((9, 9, 9), (3, np.nan, 3)), ValueError, "max_pixels is nan on axis 1"),
        (((9, 9, 9), (3, np.inf, 3)), ValueError, "max_pixels is inf on axis 1"),
        (
            ((9, 9, 9), (3, 3, 3), (0, 0, -1)),
            ValueError,
            "overlap is -1 on axis 2; legal: a finite number from 0 on",
        ),
        (((9, -9, 9), (3, 3, 3)), ValueError, "shape is -9 on axis 1"),
        (((9, 9), (3, 3, 3)), ValueError, r"shape is \(9, 9\); legal: at least 3 numbers"),
        (((9, 9, 9), (3, 3, 3), (1, 1)), ValueError, "overlap is"),
        (((9, 9, 9), 3), TypeError, "max_pixels is 3; legal: a sequence"),
        (((9, 9, 9), (3, "3", 3)), TypeError, "max_pixels is '3' on axis 1"),
        ((None, (3, 3, 3)), TypeError, "shape is None"),
        (((9, 9, 9), (3, None, 3)), TypeError, "max_pixels is None on axis 1"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        stack_splitter(*arguments)
