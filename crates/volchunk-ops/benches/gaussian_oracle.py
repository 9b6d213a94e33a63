"""Compares the gaussian op with scipy.ndimage.gaussian_filter, voxel by voxel and bit by bit.

    cargo build --release -p volchunk-ops --example gaussian_raw
    python gaussian_oracle.py PATH/TO/gaussian_raw [NUMBER OF RANDOM SIGMAS, default 20]

    python gaussian_oracle.py --digests > ../tests/gaussian_digests.txt

The first prints, per boundary and dtype, how many voxels have SciPy's bits, and the largest difference of the
others in units in the last place of the result's largest voxel (sums of voxels of both signs may
cancel). Fails unless 99.9 % are equal and the rest within one unit. The second makes the digests that
the tests know: of SciPy's own results for the tests' synthetic volumes.
"""

import subprocess
import sys

import numpy as np
import scipy.ndimage

DTYPES = "bool uint8 int8 uint16 int16 float32 uint32 int32 uint64 int64 float64".split()
BOUNDARIES = ["reflect", "mirror", "nearest", "wrap", "constant"]
CONSTANT = 3.1


def volume(rng, dtype, shape):
    dtype = np.dtype(dtype)
    if dtype == bool:
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    return (rng.standard_normal(shape) * 1e3).astype(dtype)


def run(program, array, sigma, boundary):
    name = f"constant({CONSTANT})" if boundary == "constant" else boundary
    command = [
        program,
        array.dtype.name,
        ",".join(map(str, array.shape)),
        f"gaussian:sigma={','.join(repr(float(s)) for s in sigma)}:boundary={name}",
    ]
    done = subprocess.run(command, input=array.tobytes(), stdout=subprocess.PIPE, check=True)
    single = array.dtype.itemsize < 4 or array.dtype == np.float32
    return np.frombuffer(done.stdout, np.float32 if single else np.float64).reshape(array.shape)


LIMITS = {  # lowest voxel and range of the synthetic volumes, as in tests/gaussian.rs
    "bool": (0, 1),
    "uint8": (0, 255),
    "int8": (-128, 255),
    "uint16": (0, 65535),
    "int16": (-32768, 65535),
    "uint32": (0, 4e9),
    "int32": (-2e9, 4e9),
    "uint64": (0, 1.8e19),
    "int64": (-9e18, 1.8e19),
    "float32": (-1e3, 1e4),
    "float64": (-1e3, 1e4),
}


def synthetic(shape, dtype):
    low, span = LIMITS[dtype]
    state, values = 1, []
    for _ in range(int(np.prod(shape))):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        values.append(low + (state >> 11) / 2**53 * span)
    values = np.array(values).reshape(shape)
    return (values if dtype.startswith("float") else np.rint(values)).astype(dtype)


def fnv1a(array):
    digest = 0xCBF29CE484222325
    for byte in array.tobytes():
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return digest


def digests():
    order = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float32 float64".split()
    for boundary in BOUNDARIES:
        for dtype in order:
            array = synthetic((2, 9, 13, 37), dtype)
            single = array.dtype.itemsize < 4 or dtype == "float32"
            out = scipy.ndimage.gaussian_filter(
                array,
                (0, 1.3, 2, 0.7),
                output=np.float32 if single else np.float64,
                mode=boundary,
                cval=CONSTANT,
            )
            name = f"constant({CONSTANT})" if boundary == "constant" else boundary
            print(f"{name} {dtype} {fnv1a(out):016x}")
    # SciPy's weights of order 2 are those of the tests on a CPU with AVX2.
    array = synthetic((2, 9, 13, 37), "int16")
    for derivative in range(3):
        for dtype in order:
            out = scipy.ndimage.gaussian_filter(
                array, (0, 1.3, 2, 0.7), derivative, np.dtype(dtype)
            )
            # SciPy's bools are any bytes.
            out = (out.view(np.uint8) != 0) if dtype == "bool" else out
            print(f"order {derivative} to {dtype} {fnv1a(out):016x}")


def main():
    if sys.argv[1] == "--digests":
        digests()
        return
    program = sys.argv[1]
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    failed = False
    for boundary in BOUNDARIES:
        for dtype in DTYPES:
            rng = np.random.default_rng(7)
            voxels = equal = 0
            worst = 0.0
            for number in range(rounds):
                # The usual sigma first, then any.
                sigma = np.full(3, 2.0) if number == 0 else rng.uniform(0, 4, 3).round(number % 4)
                shape = rng.integers(1, 70, 3) if number else (64, 64, 64)
                array = volume(rng, dtype, tuple(int(n) for n in shape))
                found = run(program, array, sigma, boundary)
                expected = scipy.ndimage.gaussian_filter(
                    array, sigma, output=found.dtype, mode=boundary, cval=CONSTANT
                )
                voxels += array.size
                equal += int((found == expected).sum())
                units = np.abs(found - expected) / np.spacing(np.abs(expected).max())
                worst = max(worst, float(units.max()))
            share = 100 * equal / voxels
            failed |= share < 99.9 or worst > 1
            print(f"{boundary:9} {dtype:8} {share:9.5f} % of {voxels} equal, worst {worst:.3g} ulp")
    sys.exit(failed)


if __name__ == "__main__":
    main()
