"""A blob detection by MagellanMapper's command line, for scripts/interop-magmap.

`python magmap_program.py theirs|ours METHOD ARGUMENTS...`: with its own chunking, or with ours.
"""

import multiprocessing as mp
import sys


def chunking_in_child():
    """Modules that MagellanMapper uses in a process of a pool."""
    from magmap.cv import chunking
    from magmap.stats import vols

    return chunking.__name__, vols.LabelToEdge.__mro__[1].__module__


def main():
    which, method = sys.argv.pop(1), sys.argv.pop(1)
    if which == "ours":
        import volchunk.magmap

        volchunk.magmap.install()
    from magmap.cv import chunking
    from magmap.io import cli

    cli.main()
    expected = "volchunk" if which == "ours" else "magmap"
    assert mp.get_start_method() == method, mp.get_start_method()
    with chunking.get_mp_pool() as pool:
        for name in (chunking.__name__, *pool.apply_async(chunking_in_child).get(300)):
            assert name.partition(".")[0] == expected, name


if __name__ == "__main__":
    main()
