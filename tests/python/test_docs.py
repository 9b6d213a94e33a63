"""The examples of the docstrings run."""

import doctest

import pytest
from volchunk import _merge, _pool, _processes, _settings, _shared, _split, chunking


MODULES = [_merge, _pool, _processes, _settings, _shared, _split, chunking]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    import numpy as np

    failed, tried = doctest.testmod(module, extraglobs={"np": np})
    assert tried > 0 and failed == 0


def test_every_public_name_is_documented():
    assert [n for n in chunking.__all__ if not getattr(chunking, n).__doc__] == []
