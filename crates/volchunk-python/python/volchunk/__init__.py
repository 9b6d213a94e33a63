"""Divide image volumes into overlapping chunks, work on every core, reassemble without seams.

- `gaussian_filter`, as SciPy's, on every core; `downsample`, `rescale`, `transpose`, `cast`, `clip`,
  `threshold`, `subtract`, `multiply`.
- `map_overlap`, `map_points`: a function of yours on every chunk of a volume.
- `probe`: how far a function looks, measured: the depth that it needs.
- `plan`: what a run would do and cost, before it does.
- `open`: a volume in files, as an array that is read where it is indexed.
- `volchunk.chunking`: split, merge, shared arrays and process pools; every name of
  ``magmap.cv.chunking``.
- `volchunk.magmap`: puts it into an installed MagellanMapper.
- `volchunk.settings`: how many processes and threads, and how processes start.
"""

from volchunk._filters import gaussian_filter
from volchunk._job import Plan, plan
from volchunk._ops import (
    cast,
    clip,
    downsample,
    multiply,
    rescale,
    subtract,
    threshold,
    transpose,
)
from volchunk._overlap import map_overlap, map_points
from volchunk._probe import Support, probe
from volchunk._settings import Settings, settings
from volchunk._task import ChunkInfo
from volchunk._volume import Volume, open

__all__ = [
    "ChunkInfo",
    "Plan",
    "Settings",
    "Support",
    "Volume",
    "cast",
    "clip",
    "downsample",
    "gaussian_filter",
    "map_overlap",
    "map_points",
    "multiply",
    "open",
    "plan",
    "probe",
    "rescale",
    "settings",
    "subtract",
    "threshold",
    "transpose",
]
