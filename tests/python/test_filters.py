"""gaussian_filter against SciPy, bit by bit; the other ops against NumPy; and what they refuse."""

import pathlib
import sys

import numpy as np
import pytest
import volchunk
import zarr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import ndimage

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "interop"))
from gaussian_weights import same_weights  # noqa: E402

DTYPES = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
DTYPES += ["float32", "float64"]
MODES = ["reflect", "mirror", "nearest", "wrap", "constant"]
MODES += ["grid-mirror", "grid-wrap", "grid-constant"]


def noise(data, shape, dtype):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("float"):
        return (rng.standard_normal(shape) * 300).astype(dtype)
    limits = np.iinfo(dtype)
    image = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    image[: shape[0] // 2] = 100
    return image


def draw_shape(data, most=4):
    ndim = data.draw(st.integers(1, most))
    return tuple(data.draw(st.lists(st.integers(1, 12), min_size=ndim, max_size=ndim)))


def one_or_each(data, values, count):
    """A value for all axes, or one for each; and the list of them."""
    if data.draw(st.booleans()):
        value = data.draw(values)
        return value, [value] * count
    each = data.draw(st.lists(values, min_size=count, max_size=count))
    return data.draw(st.sampled_from([tuple, list]))(each), each


def assert_same(found, expected):
    assert found.dtype == expected.dtype
    if expected.dtype == bool:
        # SciPy stores other bytes than 0 and 1 too.
        expected = expected.view(np.uint8) != 0
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_gaussian_has_the_bits_of_scipy(data):
    shape = draw_shape(data)
    image = noise(data, shape, data.draw(st.sampled_from(DTYPES)))
    axes = data.draw(st.none() | st.permutations(range(len(shape))))
    if axes is not None:
        axes = tuple(axes[: data.draw(st.integers(1, len(axes)))])
    count = len(shape if axes is None else axes)
    sigma, sigmas = one_or_each(
        data, st.sampled_from([0, 0.5, 0.7, 1, 1.3, 2, 2.5]) | st.floats(0.05, 3), count
    )
    order, orders = one_or_each(data, st.sampled_from([0, 0, 0, 1, 2, 3]), count)
    mode, _ = one_or_each(data, st.sampled_from(MODES), count)
    reach = st.none() | st.integers(0, 9)
    radius, radii = one_or_each(data, reach, count)
    truncate = data.draw(st.sampled_from([4.0, 4.0, 3, 2.5, 0.1]))
    for s, o, r in zip(sigmas, orders, radii, strict=True):
        assume(s == 0 or same_weights(s, o, int(truncate * s + 0.5) if r is None else r))
    output = data.draw(st.none() | st.sampled_from(DTYPES).map(np.dtype))
    arguments = {
        **{"sigma": sigma, "order": order, "output": output, "mode": mode, "radius": radius},
        **{"cval": data.draw(st.floats(-300, 300)), "truncate": truncate, "axes": axes},
    }
    expected = ndimage.gaussian_filter(image, **arguments)
    chunks = data.draw(st.just("auto") | st.integers(1, 12))
    workers = data.draw(st.integers(1, 3))
    found = volchunk.gaussian_filter(image, **arguments, chunks=chunks, workers=workers)
    assert_same(found, expected)


def test_gaussian_fills_output_as_scipy_does():
    image = np.random.default_rng(1).integers(0, 255, (20, 30), np.uint8)
    for dtype in DTYPES:
        for given_dtype in (np.dtype(dtype), np.dtype(dtype).type):
            found = volchunk.gaussian_filter(image, 1.5, output=given_dtype)
            assert_same(found, ndimage.gaussian_filter(image, 1.5, output=given_dtype))
        array = np.zeros((20, 30), dtype)
        assert volchunk.gaussian_filter(image, 1.5, output=array) is array
        expected = ndimage.gaussian_filter(image, 1.5, output=np.dtype(dtype))
        assert_same(array, expected)
        array[:] = 0
        assert volchunk.gaussian_filter(image, 1.5, out=array) is array
        assert_same(array, expected)
    # In place, and into views.
    expected = ndimage.gaussian_filter(image, 2)
    array = image.copy()
    assert volchunk.gaussian_filter(array, 2, output=array, chunks=7) is array
    assert_same(array, expected)
    view = np.zeros((30, 40), ">i2").T[:20, :30]
    volchunk.gaussian_filter(image, 2, output=view)
    np.testing.assert_array_equal(view, ndimage.gaussian_filter(image, 2, output=np.int16))
    # Lists, other byte orders, strides that are negative.
    assert_same(
        volchunk.gaussian_filter([1.0, 5.0, 2.0], 1), ndimage.gaussian_filter([1.0, 5.0, 2.0], 1)
    )
    for other in (image.astype(">u2"), image[::-1, ::2], np.asfortranarray(image)):
        assert_same(volchunk.gaussian_filter(other, 1), ndimage.gaussian_filter(other, 1))


def test_gaussian_of_paths_and_lazy_arrays(tmp_path):
    image = np.random.default_rng(2).integers(0, 4096, (12, 40, 50), np.uint16)
    expected = ndimage.gaussian_filter(image, (1, 2, 2))
    np.save(tmp_path / "in.npy", image)
    out = volchunk.gaussian_filter(tmp_path / "in.npy", (1, 2, 2), out=tmp_path / "out.zarr")
    assert isinstance(out, volchunk.Volume)
    assert_same(np.asarray(out), expected)
    like = {"shape": (12, 40, 50), "chunks": (4, 16, 16), "dtype": "u2"}
    stored = zarr.create_array(tmp_path / "a.zarr", **like)
    stored[:] = image
    assert_same(volchunk.gaussian_filter(stored, (1, 2, 2)), expected)
    filled = zarr.create_array(tmp_path / "b.zarr", **like)
    assert volchunk.gaussian_filter(str(tmp_path / "in.npy"), (1, 2, 2), out=filled) is filled
    assert_same(filled[:], expected)
    part = np.s_[2:9, :, 10:20]
    assert_same(volchunk.gaussian_filter(image, (1, 2, 2), roi=part), expected[part])
    with pytest.raises(FileExistsError):
        volchunk.gaussian_filter(image, 1, out=tmp_path / "out.zarr")


def test_axes_of_a_volume_by_name_and_kind(tmp_path):
    image = np.random.default_rng(3).integers(0, 4096, (2, 6, 20, 30), np.uint16)
    np.save(tmp_path / "in.npy", image)
    volume = volchunk.open(tmp_path / "in.npy")
    assert volume.axes == ("c", "z", "y", "x")
    expected = ndimage.gaussian_filter(image, 1, axes=(1, 2, 3))
    assert_same(volchunk.gaussian_filter(volume, 1), expected)
    assert_same(volchunk.gaussian_filter(volume, (1, 1, 1)), expected)
    assert_same(volchunk.gaussian_filter(volume, (1,) * 4), ndimage.gaussian_filter(image, 1))
    expected = ndimage.gaussian_filter(image, (1, 2), axes=(3, 1))
    assert_same(volchunk.gaussian_filter(volume, (1, 2), axes=("x", "z")), expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sigma": (1, 2, 3)}, RuntimeError, "sigma has 3 values"),
        ({"sigma": (1, 2, 3)}, ValueError, "one for each of the 2 axes"),
        ({"sigma": -1}, ValueError, "sigma is -1"),
        ({"sigma": float("nan")}, ValueError, "sigma is nan"),
        ({"sigma": "2"}, TypeError, "sigma is '2'"),
        ({"sigma": None}, TypeError, "sigma is None"),
        ({"sigma": 1e9}, ValueError, "radius of axis y"),
        ({"order": -1}, ValueError, "order is -1"),
        ({"order": 1.5}, TypeError, "order is 1.5"),
        ({"order": 21}, ValueError, "0 to 20"),
        ({"order": (0,)}, RuntimeError, "order has 1 values"),
        ({"mode": "around"}, RuntimeError, "mode is 'around'"),
        ({"mode": ["wrap", 3]}, ValueError, "mode is 3"),
        ({"mode": "constant", "cval": float("inf")}, ValueError, "cval is inf"),
        ({"cval": "0"}, TypeError, "cval is '0'"),
        ({"truncate": -1}, ValueError, "truncate is -1"),
        ({"truncate": 10**400}, ValueError, "truncate is 1000"),
        ({"radius": -1}, ValueError, "radius is -1"),
        ({"radius": 1.5}, TypeError, "radius is 1.5"),
        ({"axes": 2}, IndexError, "axes names the axis 2"),
        ({"axes": 0.5}, TypeError, "axes names the axis 0.5"),
        ({"axes": (0, -2)}, ValueError, "an axis twice"),
        ({"axes": 0, "sigma": (1, 2)}, RuntimeError, "1 axes (y)"),
        ({"output": np.complex64}, TypeError, "output has dtype complex64"),
        ({"output": "path.zarr"}, TypeError, "output has dtype path.zarr"),
        ({"output": np.zeros(3)}, RuntimeError, "output has shape"),
        ({"output": "f4", "out": np.zeros((5, 6))}, TypeError, "the same for both"),
        ({"output": np.zeros((5, 6)), "out": "a.npy"}, TypeError, "one of them"),
        ({"input": np.zeros((5, 6), complex)}, TypeError, "complex128"),
        ({"input": object()}, TypeError, "type object"),
        ({"input": np.float64(3)}, ValueError, "no axes"),
        ({"input": "missing.npy"}, FileNotFoundError, "missing.npy"),
        ({"chunks": 0}, ValueError, "chunks"),
        ({"memory": "1kB"}, MemoryError, "cap"),
        ({"workers": 0}, ValueError, "workers"),
        ({"roi": np.s_[9:]}, IndexError, "roi"),
    ],
)
def test_gaussian_refuses(arguments, error, message):
    arguments = {"input": np.zeros((5, 6)), "sigma": 1, **arguments}
    with pytest.raises(error) as raised:
        volchunk.gaussian_filter(**arguments)
    assert message in str(raised.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_other_ops_are_numpys(data):
    shape = draw_shape(data)
    image = noise(data, shape, data.draw(st.sampled_from(["uint8", "int16", "float32", "float64"])))
    how = {"chunks": data.draw(st.integers(1, 9)), "workers": data.draw(st.integers(1, 3))}
    value = data.draw(st.integers(-50, 200) | st.floats(-50, 200))
    single = image.dtype != np.float64
    wide = np.float32 if single else np.float64

    assert_same(volchunk.threshold(image, value, **how), (image > value).astype(np.uint8))
    found = volchunk.subtract(image, value, **how)
    assert_same(found, (image.astype(float) - value).astype(wide))
    found = volchunk.multiply(image, value, **how)
    assert_same(found, (image.astype(float) * value).astype(wide))
    order = data.draw(st.permutations(range(len(shape))))
    assert_same(volchunk.transpose(image, order, **how), image.transpose(order))
    assert_same(volchunk.transpose(image, **how), image.T)
    low, high = sorted(data.draw(st.tuples(st.integers(0, 100), st.integers(0, 100))))
    assert_same(volchunk.clip(image, low, high, **how), np.clip(image, low, high))
    assert_same(volchunk.clip(image, max=high, **how), np.minimum(image, image.dtype.type(high)))
    found = volchunk.cast(image, np.int8, **how)
    assert_same(found, np.clip(np.rint(image), -128, 127).astype(np.int8))

    # Groups that are whole: the mean.
    factor = [data.draw(st.integers(1, 3)) for _ in shape]
    repeated = image
    for axis, f in enumerate(factor):
        repeated = repeated.repeat(f, axis)
    if image.dtype.kind != "f":
        assert_same(volchunk.downsample(repeated, factor, **how), image)
    assert_same(volchunk.rescale(image, factor, order=0, **how), repeated)


def test_rescale_to_a_voxel_size(tmp_path):
    np.save(tmp_path / "in.npy", np.zeros((4, 6, 8), np.uint8))
    volume = volchunk.open(tmp_path / "in.npy", voxel_size=(4, 2, 2))
    out = volchunk.rescale(volume, size=2, out=tmp_path / "out.zarr")
    assert out.shape == (8, 6, 8)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a: volchunk.downsample(a, 0), ValueError, "factor: '0'"),
        (lambda a: volchunk.downsample(a, "2"), TypeError, "factor is '2'"),
        (lambda a: volchunk.downsample(a, (2, 2, 2)), ValueError, "factor has 3 values"),
        (lambda a: volchunk.rescale(a), ValueError, "neither 'factor' nor 'size'"),
        (lambda a: volchunk.rescale(a, 2, size=1), ValueError, "both 'factor' and 'size'"),
        (lambda a: volchunk.rescale(a, size=1), ValueError, "voxel size of axis y is unknown"),
        (lambda a: volchunk.rescale(a, 2, order=3), ValueError, "order: '3'"),
        (lambda a: volchunk.transpose(a, (0, 0)), ValueError, "each axis of 'yx' once"),
        (lambda a: volchunk.transpose(a, (0, 2)), IndexError, "axes names the axis 2"),
        (lambda a: volchunk.cast(a, "float16"), TypeError, "dtype has dtype float16"),
        (lambda a: volchunk.clip(a), ValueError, "min, max or both"),
        (lambda a: volchunk.clip(a, 2, 1), ValueError, "min is 2 and max is 1"),
        (lambda a: volchunk.threshold(a, None), TypeError, "value is None"),
        (lambda a: volchunk.threshold(a, float("nan")), ValueError, "NaN"),
        (lambda a: volchunk.subtract(a, float("inf")), ValueError, "finite"),
        (lambda a: volchunk.multiply(a, "x"), TypeError, "value is 'x'"),
        (lambda a: volchunk.multiply(a, 2, out=a), ValueError, "out shares memory"),
        (lambda a: volchunk.multiply(a, 2, out=np.zeros(3)), ValueError, "out has shape (3,)"),
        (lambda a: volchunk.threshold(a, 2, out=np.zeros((5, 6))), TypeError, "uint8"),
        (lambda a: volchunk.threshold(a, 2, size=3), TypeError, "() has no argument 'size'"),
    ],
)
def test_the_other_ops_refuse(call, error, message):
    with pytest.raises(error) as raised:
        call(np.zeros((5, 6)))
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["downsample", "rescale", "transpose", "cast", "clip", "multiply"])
def test_the_docs_of_ops_are_whole(name):
    lines = getattr(volchunk, name).__doc__.splitlines()
    titles = [line for line, below in zip(lines, lines[1:]) if line and below == "-" * len(line)]
    assert titles == ["Parameters", "Returns", "Raises", "Examples"]
    assert "chunks, out, roi, memory, workers, mask, fill, progress : optional" in lines
