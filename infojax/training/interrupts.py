"""Ctrl-C and SIGTERM as a flag that a loop polls, so that it can save before it ends."""

import signal
import threading
from collections.abc import Callable
from types import FrameType

_Handler = Callable[[int, FrameType | None], object] | int | None


class Interrupted(Exception):  # noqa: N818 - not an error
    """A signal stopped training, after the state was saved."""

    def __init__(self, signum: int, step: int) -> None:
        super().__init__(f"stopped at step {step} by {signal.Signals(signum).name}")
        self.signum = signum
        self.step = step


class Interrupts:
    """Context in which a first SIGINT or SIGTERM only sets `received`; a second one kills."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, _Handler] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _receive(self, signum: int, _: FrameType | None) -> None:
        self.received = signum
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}
