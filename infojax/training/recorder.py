"""Records of a run: metrics.jsonl, and the same scalars as TensorBoard events.

The only module that uses tensorboardX.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from infojax.errors import UserError
from infojax.training import processes, storage

FILE = "metrics.jsonl"


class Recorder:
    """Appends metrics to `metrics.jsonl` and TensorBoard events in a work directory.

    Every process may call its methods; only the first writes. Events are written synchronously,
    so that records and events agree after a crash.
    """

    def __init__(self, workdir: Path) -> None:
        self._workdir = workdir
        self._path = workdir / FILE
        self._events: EventsWriter | None = None
        self._step = -1
        self._started = time.monotonic()

    def resume(self, step: int, recorded: Iterable[int] = ()) -> dict[str, float]:
        """Drops the records after a step, since the resumed run makes them again.

        Args:
          step: step of the restored state; -1 drops all records.
          recorded: steps up to `step` that must have been recorded.

        Returns:
          The last record kept, in every process; {} if none is.

        Raises:
          UserError: a record up to `step` is damaged or missing.
        """
        return processes.from_first(lambda: self._resume(step, set(recorded)))

    def _resume(self, step: int, recorded: set[int]) -> dict[str, float]:
        records = [r for r in read_records(self._workdir) if r["step"] <= step]
        missing = recorded - {r["step"] for r in records}
        if missing:
            raise UserError(
                f"{self._path} lacks the record of step {min(missing)}, though the checkpoint is "
                f"of step {step}; use another --workdir to run again"
            )
        storage.write_lines(self._path, records)
        last = records[-1] if records else {}
        self._started = time.monotonic() - last.get("seconds", 0.0)
        self._step = step
        return last

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Records metrics at a step; both files are complete after every call."""
        if not processes.first():
            return
        seconds = round(time.monotonic() - self._started, 3)
        storage.append_line(self._path, {"step": step, "seconds": seconds, **metrics})
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        with storage.writing(self._workdir / "events"):
            if self._events is None:
                self._events = self._begin_events()
            self._events.write_event(
                Event(wall_time=time.time(), step=step, summary=Summary(value=values))
            )
            self._events.flush()

    def _begin_events(self) -> EventsWriter:
        """Opens an event file with a unique name, which tells TensorBoard what was dropped."""
        events = EventsWriter(str(self._workdir / "events"), f".{time.time_ns()}")
        start = SessionLog(status=SessionLog.START)
        events.write_event(Event(wall_time=time.time(), step=self._step + 1, session_log=start))
        return events

    def close(self) -> None:
        """Closes the event file."""
        if self._events is not None:
            self._events.close()
            self._events = None


def read_records(workdir: Path) -> list[dict[str, float]]:
    """Returns the records of a run, in order; a line truncated by a crash is ignored."""
    return storage.read_lines(workdir / FILE)
