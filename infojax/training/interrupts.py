"""Ctrl-C and SIGTERM as a flag that a loop looks at, so that it can save before it ends."""

import signal
import threading
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - it is no error
    """Training was stopped by a signal, after its state was saved."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"stopped at step {step} by {signal.Signals(signum).name}")
        self.signum = signum
        self.step = step


class Interrupts:
    """Context in which the first SIGINT or SIGTERM only sets `received`; a second one kills."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, object] = {}

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
            signal.signal(signum, handler)  # type: ignore[arg-type]
        self._previous = {}
