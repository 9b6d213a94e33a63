"""Divide image volumes into overlapping chunks, work on every core, reassemble without seams.

- `gaussian_filter`, as SciPy's, on every core; `downsample`, `rescale`, `transpose`, `cast`, `clip`,
  `threshold`, `subtract`, `multiply`.
- To prepare an image: `erosion`, `dilation`, `opening`, `closing`, `white_tophat`, `median_filter`,
  `highpass`, `unsharp_mask`, `denoise_tv_chambolle`, `rescale_percentile`,
  `rescale_local_percentile`.
- `detect_blobs`: cells, or other blobs, as a table; the same whatever the chunks.
- `map_overlap`, `map_points`: a function of yours on every chunk of a volume.
- `merge_points`: the chunks' tables of points as one, without those that two chunks both found.
- `probe`: how far a function looks, measured: the depth that it needs.
- `plan`: what a run would do and cost, before it does.
- `open`: a volume in files, as an array that is read where it is indexed.
- `volchunk.chunking`: split, merge, shared arrays and process pools; every name of
  ``magmap.cv.chunking``.
- `volchunk.magmap`: puts it into an installed MagellanMapper.
- `volchunk.settings`: how many processes and threads, and how processes start.
"""

from volchunk._detect import detect_blobs
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
from volchunk._points_merge import merge_points
from volchunk._preparing import (
    closing,
    denoise_tv_chambolle,
    dilation,
    erosion,
    highpass,
    median_filter,
    opening,
    rescale_local_percentile,
    rescale_percentile,
    unsharp_mask,
    white_tophat,
)
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
    "closing",
    "denoise_tv_chambolle",
    "detect_blobs",
    "dilation",
    "downsample",
    "erosion",
    "gaussian_filter",
    "highpass",
    "map_overlap",
    "map_points",
    "merge_points",
    "median_filter",
    "multiply",
    "open",
    "opening",
    "plan",
    "probe",
    "rescale",
    "rescale_local_percentile",
    "rescale_percentile",
    "settings",
    "subtract",
    "threshold",
    "transpose",
    "unsharp_mask",
    "white_tophat",
]
