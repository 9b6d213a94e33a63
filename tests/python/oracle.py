"""What the results must be, in plain NumPy and slow loops, from the description alone."""

import itertools
import math

import numpy as np


def split(shape, max_pixels, overlap):
    """Slices by index, and starts by index; floats in, as callers pass them."""
    axes = []
    for size, m, o in zip(shape, max_pixels, overlap):
        count = math.ceil(size / m)
        axis = []
        for i in range(count):
            stop = (i + 1) * m + o
            axis.append((int(i * m), int(size if i == count - 1 or stop > size else stop)))
        axes.append(axis)
    return {
        index: tuple(slice(*axes[a][i]) for a, i in enumerate(index))
        for index in np.ndindex(*map(len, axes))
    }


def grid(entries, counts):
    """An object array that holds `entries` in C order."""
    out = np.empty(counts, dtype=object)
    for index, entry in zip(np.ndindex(*counts), entries):
        out[index] = entry
    return out


def concatenated(chunks, index=()):
    """A grid of arrays as one array, by NumPy's concatenation, last axis first."""
    axis = len(index)
    if axis == chunks.ndim:
        return chunks[index]
    parts = [concatenated(chunks, (*index, i)) for i in range(chunks.shape[axis])]
    return np.concatenate(parts, axis=axis)


def trimmed(chunks, max_pixels):
    """Every chunk without what exceeds its own voxels."""
    out = np.empty(chunks.shape, dtype=object)
    for index in np.ndindex(*chunks.shape):
        own = [math.floor((i + 1) * m) - math.floor(i * m) for i, m in zip(index, max_pixels)]
        out[index] = chunks[index][tuple(slice(0, n) for n in own)]
    return out


def total(shapes, counts, overlap):
    """The one size that splits into chunks of these lengths, per axis, by trying them all."""
    sizes = []
    for axis, (n, o) in enumerate(zip(counts, overlap)):
        lengths = [
            shapes[tuple(i if a == axis else 0 for a in range(len(counts)))][axis] for i in range(n)
        ]
        found = [
            size
            for m in range(1, max(lengths) + 1)
            for size in range((n - 1) * m + 1, n * m + 1)
            if [min(i * m + m + o, size) - i * m for i in range(n)] == lengths
        ]
        sizes.append(set(found))
    return sizes


def blobs(tables):
    """Rows behind one another, each with the index of its chunk."""
    rows, columns = [], None
    dtypes = [np.dtype(np.int64)]
    for index in itertools.product(*map(range, tables.shape)):
        table = tables[index]
        if table is None:
            continue
        columns = table.shape[1]
        dtypes.append(table.dtype)
        for row in table:
            rows.append([*row, *index])
    if columns is None:
        return None
    dtype = np.result_type(*dtypes)
    out = np.zeros((len(rows), columns + tables.ndim), dtype=dtype)
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            out[i, j] = value
    return out
