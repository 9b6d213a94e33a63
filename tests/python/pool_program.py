"""A program that test_processes.py runs: shared arrays and pools under one start method.

`python pool_program.py TASK METHOD`; prints what it found as JSON.
"""

import enum
import json
import multiprocessing as mp
import os
import sys
import time

import numpy as np
from volchunk import chunking


class Key(enum.Enum):
    IMAGE = 1


class Container(chunking.SharedArrsContainer):
    pass


class Sub(Container):
    pass


class Sibling(chunking.SharedArrsContainer):
    pass


def look(key, value):
    """What a worker sees, which it then changes for all others."""
    array = Container.convert_shared_arr(key)
    same = Container.convert_shared_arr(key)
    seen = [str(array.dtype), array.shape, array.flags.writeable, np.shares_memory(array, same)]
    before = array[..., -1].item() if array.ndim == 1 and array.size else None
    if value is not None:
        array[-1] = value
    others = [Sub.convert_shared_arr(key) is not None, Sibling.convert_shared_arr(key) is None]
    return [*seen, before, others, Container.convert_shared_arr("absent") is None]


ARRAYS = {
    Key.IMAGE: np.arange(10, dtype=">u2"),
    "half": np.arange(3, dtype="f2"),
    7: np.array([1 + 2j]),
    "date": np.array(["2001-01-01"], dtype="M8[s]"),
    "text": np.array(["ab", "c"]),
    "record": np.zeros(2, dtype=[("a", "<u2"), ("b", ">f8")]),
    "none": None,
    "zero-d": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "large": np.arange(3_000_000, dtype=np.uint16),
}


def shared(method):
    initializer, initargs = Container.build_pool_init(ARRAYS)
    pool = chunking.get_mp_pool(initializer, initargs)
    keys = list(initargs[1])
    seen = [pool.apply_async(look, args=(key, None)).get(60) for key in keys]
    assert keys == [key for key in ARRAYS if ARRAYS[key] is not None]
    for key, (dtype, shape, writeable, same, _, others, absent) in zip(keys, seen):
        assert dtype == str(ARRAYS[key].dtype) and tuple(shape) == ARRAYS[key].shape, key
        assert writeable and others == [True, True] and absent, (key, others)
        assert same or ARRAYS[key].size == 0
    # What one process writes, all others see, this one too.
    for value in range(20):
        before = pool.apply_async(look, args=("large", value)).get(60)[4]
        assert before == (value - 1 if value else ARRAYS["large"][-1]), (before, value)
    assert initargs[1]["large"].as_ndarray()[-1] == 19
    assert Container.shared_arrs is None
    pool.close()
    pool.join()


def threads():
    return len(os.listdir("/proc/self/task")) if sys.platform == "linux" else 0


def fall_to(before):
    """Whether there are as many threads as before; one that was joined may be listed a moment longer."""
    for _ in range(100):
        if threads() == before:
            return True
        time.sleep(0.01)
    return False


def merge(seed):
    volume = np.random.default_rng(seed).integers(0, 99, (64, 128, 128), dtype=np.uint16)
    chunks, _ = chunking.stack_splitter(volume.shape, (16, 50, 50), (2, 5, 5))
    for index in np.ndindex(chunks.shape):
        chunks[index] = volume[chunks[index]]
    out = np.zeros((1, *volume.shape), dtype=np.uint16)
    chunking.merge_split_stack2(chunks, (2, 5, 5), 1, out)
    merged = chunking.merge_split_stack(chunks, (16, 50, 50), (2, 5, 5))
    return bool((merged == volume).all() and (out[0] == volume).all())


def merges(method):
    """In this process, then in children, then here again; a lost thread would hang."""
    before = threads()
    assert merge(0)
    assert fall_to(before), "no thread outlives a call"
    with chunking.get_mp_pool() as pool:
        results = [pool.apply_async(merge, args=(seed,)) for seed in range(8)]
        assert merge(1)
        assert all(result.get(60) for result in results)
    assert merge(2)


def wait(method):
    """Holds shared memory, here and in a pool, until it is killed."""
    initializer, initargs = Container.build_pool_init({"large": np.ones(50_000_000, np.uint8)})
    pool = chunking.get_mp_pool(initializer, initargs)
    pids = sorted({pool.apply_async(os.getpid).get(60) for _ in range(20)})
    print(json.dumps([os.getpid(), *pids]), flush=True)
    time.sleep(600)


def fails(method):
    initializer, initargs = Container.build_pool_init({"large": np.ones(1000)})
    chunking.get_mp_pool(initializer, initargs)
    raise KeyError("as intended")


def start(method):
    """What asking does, and setting."""
    assert mp.get_start_method(allow_none=True) is None
    assert chunking.is_fork() == (method == "fork")
    assert mp.get_start_method(allow_none=True) is None
    assert chunking.set_mp_start_method() == method
    assert chunking.set_mp_start_method("spawn") == method, "one is already set"
    assert chunking.is_fork() == (method == "fork")


if __name__ == "__main__":
    task, method = sys.argv[1:]
    globals()[task](method)
    print("done")
