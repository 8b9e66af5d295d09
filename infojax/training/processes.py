"""Several processes as one run: the first reads and writes, and all stop at the same step.

A single process communicates with nobody.
"""

import contextvars
import pickle
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

T = TypeVar("T")


_alone = contextvars.ContextVar("alone", default=False)  # within `from_first`


class FailedInFirst(Exception):  # noqa: N818 - the error itself is raised in the first process
    """The first process failed at a task it does for all; it reports the reason."""


def first() -> bool:
    """Whether this is the process that reads and writes the run's directory."""
    return jax.process_index() == 0


def largest(value: int) -> int:
    """Returns the largest value of all processes, in [0, 2³¹); waits for all of them."""
    if _alone.get():
        return value
    return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def from_first(function: Callable[[], T]) -> T:
    """Calls a function in the first process only, and returns its result in all processes.

    The others wait. What the function itself asks of all processes, the first answers alone.

    Args:
      function: its result must be picklable.

    Returns:
      The result of the function.

    Raises:
      Exception: the exception of the function; in the other processes `FailedInFirst`.
    """
    if jax.process_count() == 1 or _alone.get():
        return function()
    failure, result = None, b""
    if first():
        token = _alone.set(True)
        try:
            result = pickle.dumps(function())
        except Exception as error:
            failure = error
        finally:
            _alone.reset(token)
    result = _broadcast(result)
    if failure is not None:
        raise failure
    if not result:
        raise FailedInFirst
    received: T = pickle.loads(result)
    return received


def _broadcast(content: bytes) -> bytes:
    """Sends the first process's content as bytes, since sums of floats may flush denormals."""
    size = multihost_utils.broadcast_one_to_all(np.array(divmod(len(content), 2**16), np.int32))
    buffer = np.zeros(int(size[0]) * 2**16 + int(size[1]), np.uint8)
    if first():
        buffer[:] = np.frombuffer(content, np.uint8)
    return multihost_utils.broadcast_one_to_all(buffer).tobytes() if len(buffer) else b""
