"""Records of a run: metrics.jsonl and the same scalars as TensorBoard events."""

import json
import os
import time
from pathlib import Path

from tensorboardX import SummaryWriter


class Recorder:
    """Appends metrics to `metrics.jsonl` and TensorBoard events in a work directory."""

    def __init__(self, workdir: Path) -> None:
        self._path = workdir / "metrics.jsonl"
        self._workdir = workdir
        self._events: SummaryWriter | None = None
        self._started = time.monotonic()

    def resume(self, step: int) -> None:
        """Drops the records after a step (-1: all), since they will be made again."""
        records = [r for r in read_records(self._workdir) if r["step"] <= step]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(r) + "\n" for r in records))
        os.replace(partial, self._path)
        self._started = time.monotonic() - (records[-1]["seconds"] if records else 0.0)
        self._events = SummaryWriter(str(self._workdir), purge_step=step + 1)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Records metrics at a step; the file is whole after every call."""
        seconds = round(time.monotonic() - self._started, 3)
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "seconds": seconds, **metrics}) + "\n")
        if self._events is not None:
            for name, value in metrics.items():
                self._events.add_scalar(name, value, step)
            self._events.flush()

    def close(self) -> None:
        """Closes the TensorBoard writer."""
        if self._events is not None:
            self._events.close()


def read_records(workdir: Path) -> list[dict[str, float]]:
    """Returns the records of a run, in order; a line cut off by a kill is left out."""
    path = workdir / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
