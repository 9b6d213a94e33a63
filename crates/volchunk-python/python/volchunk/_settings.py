"""How many processes and threads, and how processes start."""

import os
import sys
from collections.abc import Callable
from typing import Any

START_METHODS = ("fork", "spawn", "forkserver")


class Settings:
    """Set from code, or else by environment variables, or else defaults; read at each use.

    Attributes
    ----------
    cpus : int or None
        Most processes of a pool and threads of a call; None, the default, for as many as the
        process may use. ``VOLCHUNK_CPUS``.
    mp_start : str or None
        Start method of processes: "fork", "spawn" or "forkserver"; None, the default, for the
        platform's. ``VOLCHUNK_MP_START``.
    mp_max_tasks : int or None
        Tasks after which a process of a pool is replaced; None, the default, for never.
        ``VOLCHUNK_MP_MAX_TASKS``.

    Where MagellanMapper's ``magmap.settings.config`` is imported, its values come before
    those of the environment.

    Examples
    --------
    >>> settings = Settings()
    >>> settings.cpus = 2
    >>> settings.cpus
    2
    """

    def __init__(self) -> None:
        self._set: dict[str, int | str | None] = {}

    @property
    def cpus(self) -> int | None:
        value: int | None = self._get("cpus", "VOLCHUNK_CPUS", _count, lambda config: config.cpus)
        return value

    @cpus.setter
    def cpus(self, value: int | None) -> None:
        self._set["cpus"] = None if value is None else _count("settings.cpus", value)

    @property
    def mp_start(self) -> str | None:
        value: str | None = self._get("mp_start", "VOLCHUNK_MP_START", _method, _magmap_start)
        return value

    @mp_start.setter
    def mp_start(self, value: str | None) -> None:
        self._set["mp_start"] = None if value is None else _method("settings.mp_start", value)

    @property
    def mp_max_tasks(self) -> int | None:
        value: int | None = self._get(
            "mp_max_tasks", "VOLCHUNK_MP_MAX_TASKS", _count, _magmap_max_tasks
        )
        return value

    @mp_max_tasks.setter
    def mp_max_tasks(self, value: int | None) -> None:
        self._set["mp_max_tasks"] = (
            None if value is None else _count("settings.mp_max_tasks", value)
        )

    def reset(self) -> None:
        """Forgets what was set from code."""
        self._set.clear()

    def _get(
        self,
        name: str,
        variable: str,
        check: Callable[[str, Any], Any],
        from_magmap: Callable[[Any], Any],
    ) -> Any:
        if name in self._set:
            return self._set[name]
        config = sys.modules.get("magmap.settings.config")
        if config is not None:
            # MagellanMapper's own values are its own to check.
            return from_magmap(config)
        text = os.environ.get(variable, "").strip()
        return check(variable, text) if text else None


settings = Settings()
"""The settings of this process."""


def available_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Threads that a call may use."""
    return settings.cpus or available_cpus()


def _magmap_start(config: Any) -> Any:
    profile = getattr(config, "roi_profile", None)
    return None if profile is None else profile["mp_start"]


def _magmap_max_tasks(config: Any) -> Any:
    profile = config.get_roi_profile(0)
    return None if not profile else profile["mp_max_tasks"]


def _count(name: str, value: Any) -> int:
    # That module imports this one.
    from volchunk._arguments import whole

    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            raise ValueError(f"{name} is {value!r}; legal: a whole number, 1 or more") from None
    return whole(value, name, 1)


def _method(name: str, value: Any) -> str:
    if value not in START_METHODS:
        raise ValueError(f"{name} is {value!r}; legal: {', '.join(START_METHODS)}")
    return str(value)
