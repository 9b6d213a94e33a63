"""The examples of the docstrings run."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import volchunk
from volchunk import chunking

MODULES = [
    importlib.import_module(f"volchunk.{found.name}")
    for found in pkgutil.iter_modules(volchunk.__path__)
    if found.name not in ("__main__", "_native")
]


def test_examples():
    globs = {"np": np, "volchunk": volchunk}
    tried = {m.__name__: doctest.testmod(m, extraglobs=globs) for m in MODULES}
    assert [name for name, result in tried.items() if result.failed] == []
    assert sum(result.attempted for result in tried.values()) > 50


@pytest.mark.parametrize("module", [volchunk, chunking])
def test_every_public_name_is_documented(module):
    assert [n for n in module.__all__ if not getattr(module, n).__doc__] == []
