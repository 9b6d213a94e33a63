"""Puts `volchunk.chunking` in place of ``magmap.cv.chunking`` in an installed MagellanMapper.

Call `install` before or after MagellanMapper is imported; pools that ``get_mp_pool`` makes install
it in their processes too.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

NAME = "magmap.cv.chunking"

_undo: list[Callable[[], object]] = []


def install() -> None:
    """Make every use of ``magmap.cv.chunking`` one of `volchunk.chunking`.

    Holds for modules of MagellanMapper that are imported later, and for those that already are:
    what they took from the original is replaced, and subclasses of its ``SharedArrsContainer`` get
    ours as their base. MagellanMapper need not be installed, nor is it imported. A second call
    covers what was imported by other means since the first.
    """
    from volchunk import chunking

    original = sys.modules.get(NAME)
    if original is not None and original is not chunking:
        _replace(original, chunking)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        finder = _Finder()
        sys.meta_path.insert(0, finder)
        _undo.append(lambda: sys.meta_path.remove(finder))


def uninstall() -> None:
    """Undo `install`; modules that were imported since keep what they then took."""
    from volchunk import chunking

    while _undo:
        _undo.pop()()
    if sys.modules.get(NAME) is chunking:
        # Imported while installed: the next import finds the original.
        del sys.modules[NAME]
        package = sys.modules.get("magmap.cv")
        if package is not None and getattr(package, "chunking", None) is chunking:
            del package.chunking


def installed() -> bool:
    """Whether `install` is in force."""
    return bool(_undo)


class InstallFirst:
    """Initializer of a pool's process, which installs as soon as it is unpickled there.

    That is before the initializer's arguments and the tasks are, whose unpickling may import
    modules of MagellanMapper.
    """

    def __init__(self, initializer: Callable[..., object] | None) -> None:
        self.initializer = initializer

    def __call__(self, *args: Any) -> None:
        if self.initializer is not None:
            self.initializer(*args)

    def __reduce__(self) -> Any:
        # The state, which holds the initializer itself, is unpickled after the call.
        return _installed_first, (), {"initializer": self.initializer}


def _installed_first() -> InstallFirst:
    install()
    return InstallFirst(None)


def _replace(original: ModuleType, ours: ModuleType) -> None:
    """Replaces the module and what others took from it, and notes how to undo it."""
    public: Sequence[str] = ours.__all__
    taken = {
        id(getattr(original, name)): getattr(ours, name)
        for name in public
        if hasattr(original, name)
    }
    taken[id(original)] = ours
    for name, module in list(sys.modules.items()):
        if module is None or module is original or name.partition(".")[0] != "magmap":
            continue
        for attribute, value in list(vars(module).items()):
            if id(value) in taken:
                setattr(module, attribute, taken[id(value)])
                _undo.append(lambda m=module, a=attribute, v=value: setattr(m, a, v))  # type: ignore[misc]
    base = original.SharedArrsContainer
    for subclass in base.__subclasses__():
        bases = subclass.__bases__
        subclass.__bases__ = tuple(ours.SharedArrsContainer if b is base else b for b in bases)
        _undo.append(lambda s=subclass, b=bases: setattr(s, "__bases__", b))  # type: ignore[misc]
    sys.modules[NAME] = ours
    _undo.append(lambda: sys.modules.__setitem__(NAME, original))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds our module under the original's name."""

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname == NAME else None

    def exec_module(self, module: ModuleType) -> None:
        from volchunk import chunking

        # The import system takes what stands here after a module has run.
        sys.modules[NAME] = chunking
