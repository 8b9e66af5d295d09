"""Reading ahead in worker threads; the only module that uses grain."""

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from infojax.errors import UserError

T = TypeVar("T")
_MOST_THREADS = 16
_AHEAD = 2  # results that wait for the reader, per thread


def ahead(read: Callable[[int], T], start: int, stop: int) -> Iterator[T]:
    """Yields read(start), ..., read(stop - 1), in order, computed ahead of their use.

    An element depends on its number alone: an iterator that starts later yields the same.

    Args:
      read: called in worker threads, in any order; its exceptions are raised here.
      start: number of the first element.
      stop: number after the last.

    Raises:
      UserError: grain is not installed.

    >>> list(ahead(lambda t: t * t, 2, 5))
    [4, 9, 16]
    """
    grain = _library()
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=_AHEAD * threads)
    iterator: Iterator[T] = iter(
        grain.MapDataset.range(start, stop).map(read).to_iter_dataset(options)
    )
    return iterator


def _library() -> Any:
    try:
        import grain
    except ImportError as error:
        raise UserError("stream = True needs a library: pip install 'infojax[stream]'") from error
    return grain
