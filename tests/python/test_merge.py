"""The merges against NumPy's concatenation, and against the volume that was split."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import concatenated, grid, split, total, trimmed
from strategies import DTYPES, LAYOUTS, NUMBERS, geometries, laid_out, values
from volchunk.chunking import get_split_stack_total_shape, merge_split_stack, merge_split_stack2

channels = st.sampled_from([(), (), (2,), (3, 2), (0,)])
layouts = st.sampled_from(LAYOUTS)
seeds = st.integers(0, 2**32 - 1)


def chunks_of(volume, geometry, layout="C"):
    pieces = split(*geometry)
    counts = tuple(n + 1 for n in max(pieces))
    return grid([laid_out(volume[cut], layout) for cut in pieces.values()], counts)


@settings(max_examples=2500, deadline=None)
@given(
    geometries(),
    st.sampled_from(DTYPES),
    layouts,
    channels,
    seeds,
    st.sampled_from(["tuple", "array", "none", "float"]),
)
def test_merge_gives_the_volume_back(geometry, dtype, layout, channels, seed, kind):
    shape, chunk, overlap = geometry
    volume = values(np.random.default_rng(seed), shape + channels, dtype)
    chunks = chunks_of(volume, geometry, layout)
    chunk, overlap = {
        "tuple": (chunk, list(overlap)),
        "array": (np.array(chunk), np.array(overlap)),
        "none": (chunk, None),
        "float": (np.array(chunk, float), np.array(overlap, float)),
    }[kind]
    merged = merge_split_stack(chunks, chunk, overlap)
    expected = concatenated(trimmed(chunks, chunk)) if chunks.size > 1 else chunks.item()
    assert merged.dtype == expected.dtype and merged.shape == volume.shape
    assert merged.tobytes() == expected.tobytes() if dtype != "O" else (merged == expected).all()
    assert (
        merged.astype(volume.dtype).tobytes() == volume.tobytes()
        if dtype != "O"
        else (merged == volume).all()
    )
    if chunks.size == 1:
        assert np.shares_memory(merged, chunks.item()) or merged.size == 0


@settings(max_examples=500, deadline=None)
@given(
    st.tuples(*[st.integers(1, 30)] * 2),
    st.tuples(*[st.floats(1, 9)] * 2),
    st.tuples(*[st.integers(0, 9)] * 2),
)
def test_merge_with_fractional_lengths(shape, chunk, overlap):
    volume = np.arange(shape[0] * shape[1]).reshape(shape)
    merged = merge_split_stack(chunks_of(volume, (shape, chunk, overlap)), chunk, overlap)
    assert (merged == volume).all()


@settings(max_examples=500, deadline=None)
@given(geometries(), st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4), seeds)
def test_mixed_dtypes_promote(geometry, dtypes, seed):
    volume = values(np.random.default_rng(seed), geometry[0], "?")
    chunks = chunks_of(volume, geometry)
    for index, dtype in zip(np.ndindex(chunks.shape), itertools.cycle(dtypes)):
        chunks[index] = chunks[index].astype(dtype)
    merged = merge_split_stack(chunks, geometry[1], geometry[2])
    used = {c.dtype for c in chunks.flat}
    assert merged.dtype == (np.result_type(*used) if chunks.size > 1 else used.pop())
    assert (merged == volume).all()


@settings(max_examples=2500, deadline=None)
@given(
    geometries(axes=(1, 3)),
    st.sampled_from(DTYPES),
    layouts,
    layouts,
    channels,
    seeds,
    st.integers(0, 1),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.booleans(),
)
def test_merge2_writes_the_volume_and_nothing_else(
    geometry, dtype, layout, out_layout, channels, seed, offset, margin, no_overlap
):
    shape, chunk, overlap = geometry
    if no_overlap:
        geometry = (shape, chunk, (0,) * len(shape))
        overlap = None
    rng = np.random.default_rng(seed)
    volume = values(rng, shape + channels, dtype)
    chunks = chunks_of(volume, geometry, layout)
    room = tuple(n + m for n, m in zip(shape, margin)) + channels
    room = (2, *room) if offset else room
    output = laid_out(values(rng, room, dtype), "C" if out_layout == "read-only" else out_layout)
    expected = output.copy()
    (expected[0] if offset else expected)[tuple(slice(n) for n in shape)] = volume
    assert merge_split_stack2(chunks, overlap, offset, output) is output
    assert output.tobytes() == expected.tobytes() if dtype != "O" else (output == expected).all()


@settings(max_examples=800, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from(NUMBERS),
    st.sampled_from(NUMBERS),
    channels,
    seeds,
    st.sampled_from([None, 0]),
)
def test_merge2_of_uneven_chunks_casts_as_numpy(lengths, dtype, out_dtype, channels, seed, overlap):
    rng = np.random.default_rng(seed)
    counts = tuple(map(len, lengths))
    chunks = grid([values(rng, s + channels, dtype) for s in itertools.product(*lengths)], counts)
    overlap = overlap if overlap is None else [overlap] * len(counts)
    shape = get_split_stack_total_shape(chunks, overlap)
    assert shape.dtype == np.int64 and shape.ndim == 1
    expected = concatenated(chunks)
    assert tuple(shape) == expected.shape
    output = np.full(tuple(shape), 1, dtype=out_dtype)
    merge_split_stack2(chunks, overlap, 0, output)
    assert (output == expected.astype(out_dtype)).all()


@settings(max_examples=1500, deadline=None)
@given(geometries(), channels)
def test_total_shape_is_that_of_a_volume_with_these_chunks(geometry, channels):
    shape, chunk, overlap = geometry
    chunks = chunks_of(np.zeros(shape + channels, "u1"), geometry)
    found = get_split_stack_total_shape(chunks, overlap)
    assert tuple(found[len(shape) :]) == channels
    shapes = {i: chunks[i].shape for i in np.ndindex(chunks.shape)}
    for axis, sizes in enumerate(total(shapes, chunks.shape, overlap)):
        # Some lengths are those of more than one volume; any of these is legal.
        assert found[axis] in sizes and shape[axis] in sizes
        if len(sizes) > 1:
            assume(False)


def test_total_shape_where_the_original_was_wrong():
    chunks = chunks_of(np.zeros((9, 9, 9)), ((9,) * 3, (4,) * 3, (2,) * 3))
    assert get_split_stack_total_shape(chunks, np.array([2, 2, 2])).tolist() == [9, 9, 9]
    five = grid([np.zeros((2, 2, 2, 3, 4))] * 2, (1, 1, 2))
    assert get_split_stack_total_shape(five).tolist() == [2, 2, 4, 3, 4]
    assert np.concatenate(([1], get_split_stack_total_shape(five))).tolist() == [1, 2, 2, 4, 3, 4]


def test_merge2_into_a_memmap(tmp_path):
    volume = np.random.default_rng(1).integers(0, 60000, (20, 30, 40), dtype=np.uint16)
    geometry = (volume.shape, (7, 8, 16), (2, 3, 4))
    file = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.uint16, (1, *volume.shape))
    assert merge_split_stack2(chunks_of(volume, geometry), geometry[2], 1, file) is file
    file.flush()
    assert (np.load(tmp_path / "out.npy")[0] == volume).all()


def test_large_merges_on_two_threads():
    volume = np.random.default_rng(2).integers(0, 60000, (100, 130, 140), dtype=np.uint16)
    geometry = (volume.shape, (16, 64, 50), (4, 16, 3))
    chunks = chunks_of(volume, geometry)
    assert (merge_split_stack(chunks, geometry[1], geometry[2]) == volume).all()
    assert (merge_split_stack2(chunks, geometry[2], 0, np.zeros_like(volume)) == volume).all()


def test_an_output_that_the_chunks_are_views_of():
    volume = np.arange(20)
    geometry = ((20,), (6,), (3,))
    moved = np.concatenate([[0, 0], volume])
    pieces = split(*geometry)
    chunks = grid([moved[2:][cut] for cut in pieces.values()], (4,))
    merge_split_stack2(chunks, (3,), 0, moved)
    assert (moved[:20] == volume).all()


def test_channels_broadcast_as_numpy_does():
    chunks = grid([np.full((2, 1), 5), np.full((1, 1), 6)], (2,))
    assert merge_split_stack2(chunks, None, 0, np.zeros((4, 3))).tolist() == [
        [5] * 3,
        [5] * 3,
        [6] * 3,
        [0] * 3,
    ]


def test_no_chunks():
    none = np.empty((0, 2, 2), dtype=object)
    assert merge_split_stack(none, (1, 1, 1), None) is None
    assert get_split_stack_total_shape(none).tolist() == [0, 0, 0]
    output = np.ones((2, 2, 2))
    assert merge_split_stack2(none, None, 0, output) is output and (output == 1).all()


A = np.zeros((2, 2))
READ_ONLY = np.zeros((2, 4))
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: merge_split_stack([[A]], (2, 2), None),
            TypeError,
            "sub_rois is list; legal: an array of objects",
        ),
        (lambda: merge_split_stack(A, (2, 2), None), TypeError, "sub_rois is array of float64"),
        (
            lambda: merge_split_stack(grid([A, None], (1, 2)), (2, 2), None),
            TypeError,
            r"sub_rois\[0, 1\] is a NoneType; legal: an array",
        ),
        (
            lambda: merge_split_stack(grid([A, (slice(2),)], (1, 2)), (2, 2), None),
            TypeError,
            r"sub_rois\[0, 1\] is a tuple",
        ),
        (
            lambda: merge_split_stack(grid([A, A[0]], (1, 2)), (2, 2), None),
            ValueError,
            r"sub_rois\[0, 1\] has shape \(2,\)",
        ),
        (
            lambda: merge_split_stack(grid([A, A[:1]], (1, 2)), (2, 2), None),
            ValueError,
            r"chunk \[0, 1\] has shape \[1, 2\]",
        ),
        (lambda: merge_split_stack(grid([A, A], (1, 2)), (2,), None), ValueError, "max_pixels"),
        (
            lambda: merge_split_stack(grid([A, A], (1, 2)), (2, 0), None),
            ValueError,
            "max_pixels is 0 on axis 1",
        ),
        (lambda: get_split_stack_total_shape(grid([A, A], (1, 2)), (0, 1)), ValueError, "axis 1"),
        (
            lambda: get_split_stack_total_shape(grid([A, A[:1]], (1, 2))),
            ValueError,
            r"chunk \[0, 1\]",
        ),
        (
            lambda: merge_split_stack2(grid([A, A], (1, 2)), None, 0, [[0]]),
            TypeError,
            "output is a list",
        ),
        (
            lambda: merge_split_stack2(grid([A, A], (1, 2)), None, 0, READ_ONLY),
            ValueError,
            "output is read-only",
        ),
        (
            lambda: merge_split_stack2(grid([A, A], (1, 2)), None, 0, np.zeros((2, 3))),
            ValueError,
            r"output has shape \(2, 3\), too small",
        ),
        (
            lambda: merge_split_stack2(grid([A, A], (1, 2)), None, 0, np.zeros(9)),
            ValueError,
            r"output has shape \(9,\).*as many axes",
        ),
        (
            lambda: merge_split_stack2(grid([A, A], (1, 2)), None, 1, np.zeros((0, 2, 4))),
            ValueError,
            r"output\[0\]",
        ),
        (
            lambda: merge_split_stack2(grid([A, A], (1, 2)), None, 1, np.zeros((1, 2, 3))),
            ValueError,
            r"output\[0\] has shape \(2, 3\)",
        ),
    ],
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
