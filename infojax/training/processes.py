"""Several processes as one run: the first one reads and writes, and all stop at the same step.

In a single process nothing is sent anywhere.
"""

import pickle
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")


class FailedInFirst(Exception):  # noqa: N818 - the error is raised in the first process
    """What the first process was to do for all has failed there, which says why."""


def first() -> bool:
    """Whether this is the process that reads and writes the run's directory."""
    return jax.process_index() == 0


def largest(value: int) -> int:
    """Returns the largest of all processes' values, in [0, 2³¹); waits for all of them."""
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def from_first(function: Callable[[], T]) -> T:
    """Calls a function in the first process alone, and returns in all what it returned there.

    Args:
      function: what it returns can be pickled, to the same on every process.

    Returns:
      What the function returned.

    Raises:
      Exception: what the function raised; in the other processes `FailedInFirst`.
    """
    if jax.process_count() == 1:
        return function()
    failure, result = None, b""
    if first():
        try:
            result = pickle.dumps(function())
        except Exception as error:
            failure = error
    result = _broadcast(result)
    if failure is not None:
        raise failure
    if not result:
        raise FailedInFirst
    return pickle.loads(result)


def _broadcast(content: bytes) -> bytes:
    """The first process's content; as bytes, since sums of floats may flush what is denormal."""
    size = multihost_utils.broadcast_one_to_all(np.array(divmod(len(content), 2**16), np.int32))
    buffer = np.zeros(int(size[0]) * 2**16 + int(size[1]), np.uint8)
    if first():
        buffer[:] = np.frombuffer(content, np.uint8)
    return multihost_utils.broadcast_one_to_all(buffer).tobytes() if len(buffer) else b""
