"""Records of a run: metrics.jsonl and the same scalars as TensorBoard events; JSON lines."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from infojax.errors import UserError
from infojax.training import processes


class Recorder:
    """Appends metrics to `metrics.jsonl` and TensorBoard events in a work directory.

    All processes may call its methods: the first writes, the others do nothing.
    Events are written at once, not from a queue: what a kill leaves of them is what it leaves of
    the records.
    """

    def __init__(self, workdir: Path) -> None:
        self._path = workdir / "metrics.jsonl"
        self._workdir = workdir
        self._events: EventsWriter | None = None
        self._step = -1
        self._started = time.monotonic()

    def resume(self, step: int, recorded: Iterable[int] = ()) -> None:
        """Drops the records after a step (-1: all), since they will be made again.

        Args:
          step: that of the state to go on from.
          recorded: steps up to it that must have been recorded.

        Raises:
          UserError: a record up to that step is damaged or missing.
        """
        processes.from_first(lambda: self._resume(step, set(recorded)))

    def _resume(self, step: int, recorded: set[int]) -> None:
        records = [r for r in read_records(self._workdir) if r["step"] <= step]
        missing = recorded - {r["step"] for r in records}
        if missing:
            raise UserError(
                f"{self._path} lacks the record of step {min(missing)}, though the checkpoint is "
                f"of step {step}; use another --workdir to run again"
            )
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(r) + "\n" for r in records))
        os.replace(partial, self._path)
        self._started = time.monotonic() - (records[-1]["seconds"] if records else 0.0)
        self._step = step

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Records metrics at a step; the files are whole after every call."""
        if not processes.first():
            return
        seconds = round(time.monotonic() - self._started, 3)
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "seconds": seconds, **metrics}) + "\n")
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        if self._events is None:
            self._events = self._begin_events()
        self._events.write_event(
            Event(wall_time=time.time(), step=step, summary=Summary(value=values))
        )
        self._events.flush()

    def _begin_events(self) -> EventsWriter:
        """Opens a file of a name of its own, in which TensorBoard reads what was dropped."""
        events = EventsWriter(str(self._workdir / "events"), f".{time.time_ns()}")
        start = SessionLog(status=SessionLog.START)
        events.write_event(Event(wall_time=time.time(), step=self._step + 1, session_log=start))
        return events

    def close(self) -> None:
        """Closes the file of events."""
        if self._events is not None:
            self._events.close()
            self._events = None


def read_records(workdir: Path) -> list[dict[str, float]]:
    """Returns the records of a run, in order; a line cut off by a kill is left out."""
    return read_lines(workdir / "metrics.jsonl")


def append_line(path: Path, content: dict[str, Any]) -> None:
    """Appends one object to a file of JSON lines, after what a kill left whole of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        path.write_text("".join(json.dumps(line) + "\n" for line in read_lines(path)))
    with path.open("a") as file:
        file.write(json.dumps(content) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a file of JSON lines; none if there is no file.

    A last line without an end was cut off by a kill, and is left out.

    Raises:
      UserError: another line is no JSON object.
    """
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [_object(line, f"line {i} of {path}") for i, line in enumerate(whole, 1)]


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{where} is damaged; mend or remove it, or use another --workdir")
    return content
