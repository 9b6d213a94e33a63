"""Divide image volumes into overlapping chunks, work on every core, reassemble without seams.

- `volchunk.open`: a volume in files as an array that is read where it is indexed.
- `volchunk.probe`: how far a function looks, measured.
- `volchunk.chunking`: split, merge, shared arrays and process pools; every name of
  ``magmap.cv.chunking``.
- `volchunk.magmap`: puts it into an installed MagellanMapper.
- `volchunk.settings`: how many processes and threads, and how processes start.
"""

from volchunk._probe import Support, probe
from volchunk._settings import Settings, settings
from volchunk._volume import Volume, open

__all__ = ["Settings", "Support", "Volume", "open", "probe", "settings"]
