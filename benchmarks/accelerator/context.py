"""What the parts of the command share: where they write, how long they may take."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn


class Clock:
    """Counts down from a number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Returns the seconds left; negative after the end."""
        return self._end - time.monotonic()

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Context whose loop gets SIGTERM at the end of the time: it saves and ends."""
        timer = threading.Timer(max(self.left(), 0), os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class Context(NamedTuple):
    """Where and how a part runs.

    Attributes:
      out: directory of all results.
      small: whether to use sizes that a CPU finishes in seconds.
      clock: of this part.
      parts: directory of the data's parts.
      recipe: name of a recipe of `recipes`.
    """

    out: Path
    small: bool
    clock: Clock
    parts: Path
    recipe: str


class Measurement(NamedTuple):
    """One result: a record of its own.

    Attributes:
      name: unique in its part.
      run: returns the fields of the record.
      seconds: that should be left on an accelerator when it starts, compilation included; it may
        take longer.
      again: whether to make it even if an earlier call has.
    """

    name: str
    run: Callable[[], dict[str, Any]]
    seconds: float = 20.0
    again: bool = False


class OutOfTime(Exception):  # noqa: N818 - not an error
    """The time ended within a measurement that goes on in the next call; holds its fields."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__("out of time")
        self.fields = fields


class Stopped(BaseException):
    """SIGTERM outside a training loop; no handler of errors within a measurement catches it."""


def stop_on_sigterm() -> None:
    """Raises `Stopped` on SIGTERM, so that a measurement is recorded and ends its processes."""

    def stop(*_: object) -> NoReturn:
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
