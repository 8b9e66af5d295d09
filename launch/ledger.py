"""The ledger of a study: the points that are finished, one line each in points.jsonl."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infojax.errors import UserError
from infojax.training import processes, storage
from infojax.training.progress import Progress

FILE = "points.jsonl"
Key = tuple[Any, ...]
Point = dict[str, Any]


class Ledger:
    """Context around the points of a study: which are finished, and what was measured.

    A restarted study continues with the missing points. The first process writes; all processes
    hold the same points.
    """

    def __init__(
        self, workdir: Path, fields: Sequence[str], keys: Sequence[Key], shown: Sequence[str] = ()
    ) -> None:
        """Reads the finished points.

        Args:
          workdir: directory of the study.
          fields: names of the values that identify a point.
          keys: those values for every point of the study, in order.
          shown: names of the numbers on the progress bar.

        Raises:
          UserError: a line of the ledger is damaged.
        """
        self._path, self._fields = workdir / FILE, tuple(fields)
        self.points = processes.from_first(lambda: storage.read_lines(self._path))
        done = set[Key]()
        for i, point in enumerate(self.points, 1):
            if problem := self._problem(point, done):
                raise damaged(i, self._path, problem)
            done.add(self._key(point))
        self.missing = [key for key in keys if key not in done]
        self._total = len(keys)
        self._bar = Progress(self._total, self._total - len(self.missing), tuple(shown))

    def __enter__(self) -> "Ledger":
        self._bar.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.__exit__(*exception)

    def append(self, key: Key, content: Point, shown: dict[str, float] | None = None) -> None:
        """Writes a finished point; the file is whole after every call.

        Args:
          key: values of the fields.
          content: what was measured.
          shown: numbers for the progress bar.
        """
        point = dict(zip(self._fields, key, strict=True)) | content
        if processes.first():
            storage.append_line(self._path, point)
        self.points.append(point)
        if key in self.missing:
            self.missing.remove(key)
            self._bar.update(self._total - len(self.missing), shown or {})

    def _key(self, point: Point) -> Key:
        return tuple(point[field] for field in self._fields)

    def _problem(self, point: Point, earlier: set[Key]) -> str:
        """Why a line cannot describe a point; "" if it can."""
        for field in self._fields:
            if field not in point or isinstance(point[field], list | dict):
                return f"it has no {field}"
        return "it repeats a point" if self._key(point) in earlier else ""


def damaged(i: int, path: Path, reason: str) -> UserError:
    """Returns the error of a damaged line of a ledger."""
    return UserError(
        f"line {i} of {path} is damaged ({reason}); fix it, or remove it to run the point again"
    )


def read_points(workdir: Path) -> list[Point]:
    """Returns the finished points of a study.

    Raises:
      UserError: there are none yet, or a line is damaged.
    """
    points = storage.read_lines(workdir / FILE)
    if not points:
        raise UserError(f"{workdir} holds no finished point yet: {FILE} is missing or empty")
    return points
