"""detect_blobs against the program, scikit-image, and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest
import volchunk
import zarr

SHAPE = (30, 70, 64)
SIGMAS = {"min_sigma": 2, "max_sigma": 4, "num_sigma": 3, "threshold": 0.05}


def cells(shape=SHAPE, count=60, seed=3):
    """Blobs of several sizes on noise, crowded enough that some are pruned."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.03, shape)
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    for _ in range(count):
        centre, sigma = rng.uniform(0, shape), rng.uniform(1.8, 4)
        square = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        image += rng.uniform(0.4, 1) * np.exp(-square / (2 * sigma**2))
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def image():
    return cells()


def by_program(folder, image, *arguments):
    """What `volchunk detect` writes, read as text."""
    np.save(folder / "image.npy", image)
    out = folder / "cells.csv"
    flags = ["detect", folder / "image.npy", out, "--force", "--quiet", *arguments]
    # A process of its own: the program takes Ctrl-C for itself, and keeps it.
    subprocess.run([sys.executable, "-m", "volchunk", *map(str, flags)], check=True)
    return np.genfromtxt(out, delimiter=",", names=True, deletechars="", dtype=None)


def assert_same(found, expected):
    assert found.dtype.names == expected.dtype.names
    for name in found.dtype.names:
        np.testing.assert_array_equal(found[name], expected[name].astype(found.dtype[name]))


FLAGS = ("--min-sigma", "2", "--max-sigma", "4", "--num-sigma", "3", "--threshold", "0.05")


@pytest.mark.parametrize(("chunks", "workers"), [("auto", None), (16, 1), ((7, 70, 20), 3)])
def test_like_the_program(tmp_path, image, chunks, workers):
    expected = by_program(tmp_path, image, *FLAGS)
    assert len(expected) > 30
    found = volchunk.detect_blobs(image, **SIGMAS, chunks=chunks, workers=workers)
    assert_same(found, expected)
    assert found.dtype["value"] == np.float32 and found.dtype["index"] == np.int64


def test_like_the_program_in_every_way(tmp_path, image):
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 10:50, :40] = 1
    np.save(tmp_path / "mask.npy", mask)
    whole = volchunk.detect_blobs(image, **SIGMAS)
    ways = [
        (("--mask", tmp_path / "mask.npy"), {"mask": mask}),
        (("--roi", "5:25,:,10:60"), {"roi": np.s_[5:25, :, 10:60]}),
        (("--threshold-rel", "0.5"), {"threshold_rel": 0.5}),
        (("--overlap", "1"), {"overlap": 1}),
        (("--exclude-border", "3,0,9"), {"exclude_border": (3, 0, 9)}),
        (("--log-scale",), {"log_scale": True}),
        (("--op", "tophat:radius=5"), {"before": "tophat:radius=5"}),
        (("--op", "subtract:value=1", "--op", "multiply:value=2"),
         {"before": ["subtract:value=1", "multiply:value=2"]}),
    ]
    for flags, arguments in ways:
        expected = by_program(tmp_path, image, *FLAGS, *flags)
        found = volchunk.detect_blobs(image, **SIGMAS, **arguments, chunks=(16, 32, 32))
        assert_same(found, expected)
        assert len(found) and (len(found) != len(whole) or (found["sigma"] != whole["sigma"]).any()
                               or (found["value"] != whole["value"]).any()), flags
    expected = by_program(
        tmp_path, image, "--method", "dog", "--min-sigma", "2,1.5,1.5", "--max-sigma", "4,3,3",
        "--sigma-ratio", "1.4", "--threshold", "0.05",
    )
    found = volchunk.detect_blobs(
        image, method="dog", min_sigma=(2, 1.5, 1.5), max_sigma=np.array([4, 3, 3]),
        sigma_ratio=1.4, threshold=0.05, chunks=20,
    )
    assert_same(found, expected)
    assert "sigma-2" in found.dtype.names and len(found)


def test_any_image(tmp_path, image):
    expected = volchunk.detect_blobs(image, **SIGMAS)
    np.save(tmp_path / "image.npy", image)
    stored = zarr.create_array(tmp_path / "image.zarr", shape=SHAPE, chunks=(16,) * 3, dtype="f4")
    stored[...] = image
    for other in (tmp_path / "image.npy", stored, np.asfortranarray(image)):
        assert_same(volchunk.detect_blobs(other, **SIGMAS, progress=False), expected)


def test_micrometers_and_channels(tmp_path, image):
    both = np.stack([np.zeros_like(image), image])
    np.save(tmp_path / "both.npy", both)
    volume = volchunk.open(tmp_path / "both.npy", axes="czyx", voxel_size=(4, 2, 2))
    found = volchunk.detect_blobs(volume, **{**SIGMAS, "min_sigma": "4um", "max_sigma": "8um"})
    assert set(found["channel"]) == {1} and len(found)
    np.testing.assert_array_equal(found["um-0"], found["axis-0"] * 4)
    assert not len(volchunk.detect_blobs(volume, **SIGMAS, channel=0))
    with pytest.raises(ValueError, match="channel"):
        volchunk.detect_blobs(volume, **SIGMAS, channel=[0, 2])


def test_the_peaks_of_scikit_image(image):
    feature = pytest.importorskip("skimage.feature")
    small = image[:, :40, :40]
    found = volchunk.detect_blobs(small, **SIGMAS, overlap=1, chunks=16)
    expected = feature.blob_log(small, **SIGMAS, overlap=1)
    rows = np.stack([found[name] for name in ("axis-0", "axis-1", "axis-2", "sigma")], 1)
    assert len(rows) > 10
    assert sorted(map(tuple, rows)) == sorted(map(tuple, expected))


def test_nothing_to_find():
    found = volchunk.detect_blobs(np.zeros((20, 20)), min_sigma=1, max_sigma=2)
    assert len(found) == 0 and found.dtype.names[:3] == ("index", "axis-0", "axis-1")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "doh"}, ValueError, "method is 'doh'; legal: 'log', 'dog'"),
        ({"min_sigma": -1}, ValueError, "min_sigma is -1"),
        ({"min_sigma": float("nan")}, ValueError, "min_sigma is nan"),
        ({"max_sigma": None}, TypeError, "max_sigma is None"),
        ({"max_sigma": "2:channel=0"}, ValueError, "max_sigma is '2:channel=0'"),
        ({"min_sigma": 5}, ValueError, "sigma"),
        ({"min_sigma": "2um"}, ValueError, "voxel"),
        ({"min_sigma": [1, 2]}, ValueError, "2 values"),
        ({"num_sigma": 0}, ValueError, "num_sigma is 0"),
        ({"num_sigma": 2.5}, TypeError, "num_sigma is 2.5"),
        ({"sigma_ratio": 1.6}, ValueError, "sigma_ratio is 1.6, which the method log has not"),
        ({"threshold": -0.1}, ValueError, "threshold is -0.1; legal: finite, at least 0"),
        ({"threshold": "low"}, TypeError, "threshold is 'low'"),
        ({"threshold_rel": 1.5}, ValueError, "threshold_rel is 1.5; legal: 0 to 1"),
        ({"overlap": 2}, ValueError, "overlap is 2; legal: 0 to 1"),
        ({"exclude_border": -1}, ValueError, "exclude_border is -1"),
        ({"log_scale": 3}, TypeError, "log_scale is 3"),
        ({"channel": 0}, ValueError, "channel"),
        ({"before": 3}, TypeError, "before is 3"),
        ({"before": "log:min-sigma=1:max-sigma=2"}, ValueError, "log"),
        ({"mask": np.ones((3, 3))}, ValueError, "mask"),
        ({"chunks": 0}, ValueError, "chunks"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        volchunk.detect_blobs(np.zeros((9, 9, 9)), **{**SIGMAS, **arguments})


def test_dog_has_no_number_of_sigmas():
    for name, value in [("num_sigma", 3), ("log_scale", True)]:
        with pytest.raises(ValueError, match=f"{name} is {value}, which the method dog has not"):
            volchunk.detect_blobs(
                np.zeros((9, 9)), method="dog", min_sigma=1, max_sigma=2, **{name: value}
            )
