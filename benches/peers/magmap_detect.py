"""MagellanMapper's detection in chunks, and its pruning, as a peer of `volchunk detect`.

    python magmap_detect.py VOLUME.npy CELLS.csv MIN_SIGMA MAX_SIGMA NUM_SIGMA THRESHOLD PROCESSES

Its own blocks (its default chunk of 150 µm here, at 1 µm a voxel), its own overlap, its own pruning; the
denoising before is switched off, which volchunk does not do either unless it is told. Prints the
seconds of detection and pruning. Needs `pip install magellanmapper`.
"""

import sys
import tempfile
import time

import numpy as np


def main(path, table, least, most, count, threshold, processes):
    from magmap.cv import chunking, stack_detect
    from magmap.settings import config, roi_prof

    profile = roi_prof.ROIProfile()
    profile.update(
        segment_size=150, denoise_size=None, exclude_border=None, isotropic=None, spectral_unmixing=None,
        min_sigma_factor=float(least), max_sigma_factor=float(most), num_sigma=int(count),
        detection_threshold=float(threshold), overlap=0.5)
    config.roi_profile = profile
    config.roi_profiles = [profile]
    config.resolutions = np.ones((1, 3))
    config.magnification, config.zoom = 1.0, 1.0
    config.channel, config.cpus, config.filename = [0], int(processes), path
    chunking.set_mp_start_method("fork")
    image = np.load(path)[None]
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        blobs = stack_detect.detect_blobs_blocks(
            f"{folder}/cells", image, channels=[0], save_dfs=False, full_roi=True)[2].blobs
    print("call", time.perf_counter() - begin)
    np.savetxt(table, blobs[:, :3], delimiter=",", header="axis-0,axis-1,axis-2", comments="")


if __name__ == "__main__":
    main(*sys.argv[1:])
