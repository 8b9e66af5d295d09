"""SIGINT and SIGTERM outside training: the process ends at once, with one line."""

import os
import signal
import sys
from types import FrameType


def end_at_once() -> None:
    """Ends the process at once on SIGINT and SIGTERM; during training, `fit` saves first.

    An exception would be swallowed if raised in a callback of jax's garbage collection.
    """

    def end(signum: int, _: FrameType | None) -> None:
        name = signal.Signals(signum).name
        line = f"launch: stopped by {name}; the same command resumes from the last checkpoint\n"
        os.write(sys.stderr.fileno(), line.encode())
        os._exit(128 + signum)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
