"""A progress bar, where tqdm is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(chunks: int, shown: bool) -> Iterator[Callable[[int], object] | None]:
    """What is to be called with the number of chunks done, while the block runs."""
    try:
        if not shown:
            raise ImportError
        from tqdm.auto import tqdm
    except ImportError:
        yield None
        return
    # Short runs need no bar, and logs none either.
    with tqdm(total=chunks, unit="chunk", delay=0.5, leave=False, disable=None) as shown_bar:
        yield lambda done: shown_bar.update(done - shown_bar.n)
