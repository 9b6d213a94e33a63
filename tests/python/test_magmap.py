"""install() in a stand-in for MagellanMapper; scripts/interop-magmap does it in the real one."""

import multiprocessing as mp
import os
import subprocess
import sys
import textwrap

import pytest

FILES = {
    "magmap/__init__.py": "",
    "magmap/cv/__init__.py": "",
    "magmap/cv/chunking.py": """
        class SharedArrsContainer:
            shared_arrs = None
        def stack_splitter(shape, max_pixels, overlap=None):
            raise RuntimeError("the original")
        def helper():
            return "kept"
        """,
    "magmap/cv/user.py": """
        from magmap.cv import chunking
        from magmap.cv.chunking import stack_splitter
        import magmap.cv.chunking as alias
        class Work(chunking.SharedArrsContainer):
            @classmethod
            def total(cls):
                return cls.convert_shared_arr("a").sum(), chunking.__name__, cls.__mro__[1].__module__
        """,
    "magmap/settings/__init__.py": "",
    "magmap/settings/config.py": """
        cpus = 1
        roi_profile = {"mp_start": "spawn", "mp_max_tasks": 1}
        def get_roi_profile(i):
            return roi_profile
        """,
}


@pytest.fixture
def program(tmp_path):
    """Runs code beside the stand-in, in a program of its own."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def run(code):
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(code))
        done = subprocess.run(
            [sys.executable, file],
            capture_output=True,
            text=True,
            timeout=120,
            env={k: v for k, v in os.environ.items() if not k.startswith("VOLCHUNK")},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


CHECK = """
    import magmap.cv.chunking
    assert user.chunking is user.alias is magmap.cv.chunking is volchunk.chunking
    assert user.stack_splitter is volchunk.chunking.stack_splitter
    assert user.Work.__bases__ == (volchunk.chunking.SharedArrsContainer,)
    """


def test_before_magmap_is_imported(program):
    program(
        """
    import volchunk.chunking, volchunk.magmap
    volchunk.magmap.install()
    volchunk.magmap.install()
    from magmap.cv import user
    """
        + CHECK
        + """
    volchunk.magmap.uninstall()
    import sys
    del sys.modules["magmap.cv.user"], magmap.cv.user
    from magmap.cv import user
    assert user.chunking.helper() == "kept" and user.chunking is not volchunk.chunking
    assert not volchunk.magmap.installed()
    """
    )


def test_after_magmap_is_imported(program):
    program(
        """
    import volchunk.chunking, volchunk.magmap
    from magmap.cv import user
    original = user.chunking
    volchunk.magmap.install()
    """
        + CHECK
        + """
    volchunk.magmap.uninstall()
    assert user.chunking is user.alias is original is magmap.cv.chunking
    assert user.stack_splitter is original.stack_splitter
    assert user.Work.__bases__ == (original.SharedArrsContainer,)
    volchunk.magmap.install()
    """
        + CHECK
    )


METHODS = [m for m in mp.get_all_start_methods() if m != "fork"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("imported", ["", "from magmap.cv import user"])
def test_in_children_that_are_not_forked(program, imported, method):
    out = program(f"""
    {imported}
    if __name__ == "__main__":
        import numpy as np
        import volchunk.magmap
        volchunk.magmap.install()
        from magmap.cv import chunking, user
        assert chunking.set_mp_start_method("{method}") == "{method}"
        pool = chunking.get_mp_pool(*user.Work.build_pool_init({{"a": np.arange(5)}}))
        print(pool.apply_async(user.Work.total).get(60))
        pool.close()
        pool.join()
    """)
    assert out.endswith(", 'volchunk.chunking', 'volchunk._shared')\n") and "10" in out


def test_its_settings_are_read_at_each_call(program):
    program("""
    from volchunk import settings
    from volchunk.chunking import get_mp_pool, is_fork, set_mp_start_method
    assert settings.cpus is None
    from magmap.settings import config
    assert (settings.cpus, settings.mp_start, settings.mp_max_tasks) == (1, "spawn", 1)
    assert not is_fork()
    config.cpus, config.roi_profile = 2, None
    assert (settings.cpus, settings.mp_start, settings.mp_max_tasks) == (2, None, None)
    """)
