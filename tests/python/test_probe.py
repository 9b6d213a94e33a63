"""volchunk.probe on functions whose support is known."""

import dataclasses
import functools
import itertools
import types

import numpy as np
import pytest
from scipy import ndimage
from volchunk import Support, probe


def depths(func, **options):
    support = probe(func, **options)
    assert support.unbounded == ()
    return [support[axis] for axis in range(len(support))]


@pytest.mark.parametrize("mode", ["reflect", "nearest", "constant", "wrap"])
def test_gaussian(mode):
    found = depths(lambda x: ndimage.gaussian_filter(x, (0, 1, 2.5), mode=mode))
    assert found == [(0, 0), (4, 4), (10, 10)]


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f8", "?"])
def test_dtypes(dtype):
    assert depths(lambda x: ndimage.maximum_filter(x, (5, 1)), ndim=2, dtype=dtype) == [
        (2, 2),
        (0, 0),
    ]


def test_one_side_further_than_the_other():
    found = depths(lambda x: ndimage.uniform_filter1d(x, 9, axis=0, origin=-3), ndim=2)
    # Of 9 voxels, 4 - 3 lie before.
    assert found == [(1, 7), (0, 0)]


@pytest.mark.parametrize(
    ("func", "wanted"),
    [
        (np.sqrt, [(0, 0), (0, 0)]),
        (lambda x: ndimage.median_filter(x, (5, 3)), [(2, 2), (1, 1)]),
        (lambda x: ndimage.shift(x, (3, 0), order=0), [(3, 0), (0, 0)]),
        (lambda x: np.roll(x, (1, -2), axis=(0, 1)), [(1, 0), (0, 2)]),
        (lambda x: ndimage.correlate1d(x, [1, 0, 0, 0, 0], axis=1), [(0, 0), (2, 0)]),
        # Opening: the erosion's reach on the dilation's.
        (lambda x: ndimage.grey_opening(x, (3, 1)), [(2, 2), (0, 0)]),
        (lambda x: x.fill(3) or x, [(0, 0), (0, 0)]),
        (lambda x: x > 7, [(0, 0), (0, 0)]),
    ],
)
def test_known_supports(func, wanted):
    assert depths(func, ndim=2) == wanted


@pytest.mark.parametrize(
    "func",
    [
        lambda x: x - x.mean(),
        lambda x: x > np.percentile(x, 50),
        lambda x: x[::-1],
        lambda x: x + np.arange(len(x), dtype=x.dtype),
        lambda x: np.cumsum(x, axis=0),
        lambda x: np.fft.fftshift(x),
        lambda x: ndimage.uniform_filter1d(x, 33, axis=0),
    ],
)
def test_no_depth_is_enough(func):
    support = probe(func, ndim=1, max_depth=12)
    assert support.unbounded == (0,) and support.depth == {}
    with pytest.raises(ValueError, match="no depth up to 12 voxels is enough on axis 0"):
        support[0]
    assert "x.mean()" in str(support)


def test_one_axis_only():
    support = probe(lambda x: ndimage.gaussian_filter1d(x, 1, axis=1) - x.mean(axis=0), ndim=2)
    assert support.unbounded == (0,) and support.depth == {1: (4, 4)}
    assert list(support) == [0, 1]
    assert "axis 1: 4 voxels before, 4 after" in str(support) and "lower bound" in str(support)


def test_a_stride_shows_in_shifted_chunks():
    """No change looks further than a voxel, but where a chunk starts matters."""

    def func(x):
        out = x.copy()
        out[1::2] += x[:-1:2]
        return out

    assert probe(func, ndim=1, max_depth=5).unbounded == (0,)


def test_a_reach_that_only_bright_voxels_show():
    assert depths(lambda x: x + (np.roll(x, 3) > 5000), ndim=1) == [(3, 0)]


def test_same_again_and_frozen():
    func = lambda x: ndimage.gaussian_filter(x, 1)  # noqa: E731
    assert probe(func, ndim=2) == probe(func, ndim=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        probe(func, ndim=1).depth = {}


def test_a_support_is_a_mapping_to_those_who_compare():
    """To equal one, whatever reads as one; and never one that lacks the unbounded axes."""
    support = probe(lambda x: np.roll(x, 2, axis=1), ndim=2)
    same = {0: (0, 0), 1: (2, 0)}
    assert support == same and same == support and support != {0: (0, 0)} and support != 3
    assert support == types.MappingProxyType(same) and dict(support) == same
    with pytest.raises(TypeError, match="unhashable type: 'Support'"):
        hash(support)
    endless = probe(lambda x: x - x.mean(axis=0), ndim=2)
    assert endless.depth == {1: (0, 0)} and endless != {1: (0, 0)} and endless != support
    assert endless == probe(lambda x: x - x.mean(axis=0), ndim=2) != probe(np.sqrt, ndim=1)


def test_a_function_that_takes_info_says_which():
    func = lambda block, info: block + info  # noqa: E731
    assert probe(functools.partial(func, info=1), ndim=1) == {0: (0, 0)}


def test_shape_is_what_the_function_gets():
    seen = set()
    probe(lambda x: seen.add(x.shape) or x, ndim=2, shape=(3, 5), max_depth=1)
    assert {s[1] for s in seen if s[0] > 20} == {5} and {s[0] for s in seen if s[1] > 20} == {3}


@pytest.mark.parametrize(
    ("func", "options", "error", "message"),
    [
        (lambda x: x[1:], {}, ValueError, r"func returned shape"),
        (lambda x: x.astype(object), {}, TypeError, "dtype object"),
        (lambda x, calls=itertools.count(): x + next(calls), {}, ValueError, "different results"),
        (lambda block, info: block, {}, TypeError, r"place.* Legal: func\(block\), such as"),
        ("sqrt", {}, TypeError, "func is 'sqrt'; legal: a function"),
        (np.sqrt, {"dtype": "c8"}, TypeError, "dtype is complex64"),
        (np.sqrt, {"max_depth": -1}, ValueError, "max_depth is -1"),
        (np.sqrt, {"max_depth": 1.5}, TypeError, "max_depth is 1.5"),
        (np.sqrt, {"ndim": 0}, ValueError, "ndim is 0"),
        (np.sqrt, {"shape": (3, 4)}, ValueError, r"shape is \(3, 4\); legal: 3 lengths"),
    ],
)
def test_bad_input(func, options, error, message):
    with pytest.raises(error, match=message):
        probe(func, **options)


def test_exceptions_pass():
    with pytest.raises(ZeroDivisionError):
        probe(lambda x: 1 // 0)
