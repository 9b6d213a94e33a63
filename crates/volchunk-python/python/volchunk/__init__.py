"""Divide image volumes into overlapping chunks, work on every core, reassemble without seams.

- `volchunk.chunking`: split, merge, shared arrays and process pools; every name of
  ``magmap.cv.chunking``.
- `volchunk.magmap`: puts it into an installed MagellanMapper.
- `volchunk.settings`: how many processes and threads, and how processes start.
"""

from volchunk._settings import Settings, settings

__all__ = ["Settings", "settings"]
