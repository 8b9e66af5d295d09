"""Records of a run: metrics.jsonl, and the same scalars as TensorBoard events.

The only module that uses tensorboardX.
"""

import contextlib
import contextvars
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from infojax.errors import UserError
from infojax.training import processes, records, storage
from infojax.training.records import FILE as FILE, Record as Record

# tensorboardX would import torch, which takes a second, for a type annotation alone.
_torch = sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
try:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.proto.summary_pb2 import Summary

    _HAS_EVENTS = True
except ImportError:  # metrics.jsonl alone is written
    _HAS_EVENTS = False
finally:
    if _torch is None:
        del sys.modules["torch"]


class Mirror(Protocol):
    """A copy of a directory's records elsewhere, kept by the first process."""

    def resume(self, records: list[Record]) -> None:
        """Learns which records were kept; [] if the run starts over."""

    def write(self, record: Record) -> None:
        """Copies a new record."""

    def close(self) -> None:
        """Ends the copy."""


_mirrors: contextvars.ContextVar[tuple[Callable[[Path], Mirror], ...]]
_mirrors = contextvars.ContextVar("mirrors", default=())


@contextlib.contextmanager
def mirrored(open_mirror: Callable[[Path], Mirror]) -> Iterator[None]:
    """Context in which every new recorder also copies its records to a mirror.

    Args:
      open_mirror: returns the mirror of a directory.
    """
    token = _mirrors.set((*_mirrors.get(), open_mirror))
    try:
        yield
    finally:
        _mirrors.reset(token)


class Recorder:
    """Appends metrics to `metrics.jsonl` and TensorBoard events in a work directory.

    Every process may call its methods; only the first writes. Events are written synchronously,
    so that records and events agree after a crash. Within `mirrored`, records are also copied.
    """

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._path = workdir / FILE
        self._events: EventsWriter | None = None
        self._mirrors = [begin(workdir) for begin in _mirrors.get() if processes.first()]
        self._lines: records.Lines | None = None
        self._step = -1
        self._last = -1
        self._started = time.monotonic()

    def resume(self, step: int, recorded: Iterable[int] | None = None) -> Record:
        """Drops the records after a step, since the resumed run makes them again.

        Args:
          step: step of the restored state; -1 drops all records.
          recorded: the steps up to `step` that the run records. They must have been recorded, and
            other records are dropped; None keeps all.

        Returns:
          The last record kept, in every process; {} if none is.

        Raises:
          UserError: a record up to `step` is damaged or missing.
        """
        return processes.from_first(lambda: self._resume(step, recorded))

    def _resume(self, step: int, recorded: Iterable[int] | None) -> Record:
        lines, self._lines = self._lines or records.scan(self._path), None
        expected = set(lines.steps if recorded is None else recorded)
        expected = {s for s in expected if s <= step}
        missing = expected - set(lines.steps)
        if missing:
            raise UserError(
                f"{self._path} lacks the record of step {min(missing)}, though the checkpoint is "
                f"of step {step}; use another --workdir to run again"
            )
        kept = [k for k, s in enumerate(lines.steps) if s in expected]
        everything = len(kept) == len(lines.steps)
        content = lines.content if everything else b"".join(map(lines.line, kept))
        if len(content) != lines.size or not self._path.exists():
            storage.write_bytes(self._path, content)
        if self._mirrors:
            found = records.read(self._path)
            for mirror in self._mirrors:
                mirror.resume(found)
        last: Record = json.loads(lines.line(kept[-1])) if kept else {}
        self._started = time.monotonic() - last.get("seconds", 0.0)
        self._step = step
        self._last = int(last.get("step", -1))
        return last

    def steps(self) -> list[int]:
        """Returns the steps that are recorded, before resuming; called in the first process.

        Raises:
          UserError: a record is damaged.
        """
        self._lines = records.scan(self._path)
        return self._lines.steps

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Records metrics at a step; both files are complete after every call.

        Raises:
          ValueError: the step does not follow the one before, or a metric is not a finite number:
            such records could not be read.
        """
        if not processes.first():
            return
        seconds = round(time.monotonic() - self._started, 3)
        record = {"step": step, "seconds": seconds, **metrics}
        problem = records.problem(record)
        if step <= self._last:
            problem = f"step {self._last} is recorded already; record its metrics together"
        if problem:
            raise ValueError(f"the metrics of step {step} cannot be recorded: {problem}")
        self._last = step
        storage.append_line(self._path, record)
        if _HAS_EVENTS:
            self._write_event(step, metrics)
        for mirror in self._mirrors:
            mirror.write(record)

    def _write_event(self, step: int, metrics: dict[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        with storage.writing(self._workdir / "events"):
            if self._events is None:
                self._events = self._begin_events()
            self._events.write_event(
                Event(wall_time=time.time(), step=step, summary=Summary(value=values))
            )
            self._events.flush()

    def _begin_events(self) -> "EventsWriter":
        """Opens a uniquely named event file; it tells TensorBoard which events were dropped."""
        events = EventsWriter(str(self._workdir / "events"), f".{time.time_ns()}")
        start = SessionLog(status=SessionLog.START)
        events.write_event(Event(wall_time=time.time(), step=self._step + 1, session_log=start))
        return events

    def close(self) -> None:
        """Closes the event file and the mirrors."""
        for mirror in self._mirrors:
            mirror.close()
        self._mirrors = []
        if self._events is not None:
            self._events.close()
            self._events = None


def read_records(workdir: Path) -> list[Record]:
    """Returns the records of a run, in order; a line truncated by a crash is ignored.

    Raises:
      UserError: a line is damaged.
    """
    return records.read(workdir / FILE)
