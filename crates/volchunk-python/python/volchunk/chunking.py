"""Divide a region into chunks, process them on every core, and reassemble it.

A drop-in for ``magmap.cv.chunking`` of MagellanMapper: the same names, arguments and results.
Where that module's results are wrong, these are right; CORRECTNESS.md lists the differences.

>>> import numpy as np
>>> image = np.arange(5 * 4 * 4).reshape(5, 4, 4)
>>> sub_rois, _ = stack_splitter(image.shape, (2, 3, 3), (1, 1, 1))
>>> for index, chunk in np.ndenumerate(sub_rois):
...     sub_rois[index] = image[chunk]
>>> bool((merge_split_stack(sub_rois, (2, 3, 3), (1, 1, 1)) == image).all())
True
"""

from volchunk._merge import (
    get_split_stack_total_shape,
    merge_blobs,
    merge_split_stack,
    merge_split_stack2,
)
from volchunk._pool import get_mp_pool, is_fork, set_mp_start_method
from volchunk._shared import SharedArr, SharedArrsContainer, init_shared_container
from volchunk._split import stack_splitter

__all__ = [
    "SharedArr",
    "SharedArrsContainer",
    "get_mp_pool",
    "get_split_stack_total_shape",
    "init_shared_container",
    "is_fork",
    "merge_blobs",
    "merge_split_stack",
    "merge_split_stack2",
    "set_mp_start_method",
    "stack_splitter",
]
