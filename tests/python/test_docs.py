"""The examples of the docstrings run."""

import doctest

import pytest
import volchunk
from volchunk import (
    _filters,
    _indexing,
    _merge,
    _ops,
    _overlap,
    _pool,
    _processes,
    _settings,
    _shared,
    _split,
    _volume,
    chunking,
)

MODULES = [
    *(_filters, _indexing, _merge, _ops, _overlap, _pool, _processes, _settings, _shared, _split),
    *(_volume, chunking),
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    import numpy as np

    failed, tried = doctest.testmod(module, extraglobs={"np": np, "volchunk": volchunk})
    assert tried > 0 and failed == 0


@pytest.mark.parametrize("module", [volchunk, chunking])
def test_every_public_name_is_documented(module):
    assert [n for n in module.__all__ if not getattr(module, n).__doc__] == []
