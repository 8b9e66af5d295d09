"""The records of a run as read from metrics.jsonl: checked line by line, fast for millions."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from infojax.errors import UserError

FILE = "metrics.jsonl"
Record = dict[str, float]

_AT_ONCE = 1_000  # lines that are parsed together
# A record of finite numbers, as the recorder writes it; other lines are parsed. The quantifiers are
# possessive, which is four times faster.
_NUMBER = rb"-?+(?:0|[1-9]\d{0,16}+)(?:\.\d++)?+(?:e(?:-\d{1,3}+|\+\d\d))?+"
_LINE = re.compile(
    rb'\{"step": (\d++)(?:, "[ !#-\[\]-~]*+": ' + _NUMBER + rb")*+\}\n",
)


class Lines(NamedTuple):
    """The whole lines of a file of records.

    Attributes:
      content: bytes of the file, without a last line truncated by a crash.
      steps: of the records, ascending.
      ends: position after each line.
      size: of the file.
    """

    content: bytes
    steps: list[int]
    ends: list[int]
    size: int

    def line(self, k: int) -> bytes:
        """The line of record k."""
        return self.content[self.ends[k - 1] if k else 0 : self.ends[k]]


def scan(path: Path) -> Lines:
    """Returns the lines of a file of records, and checks them.

    Raises:
      UserError: as for `read`.
    """
    content, size = _whole_lines(path)
    steps, ends = [], [0]
    for match in _LINE.finditer(content):
        if match.start() != ends[-1]:
            break
        steps.append(int(match[1]))
        ends.append(match.end())
    ascending = all(a < b for a, b in itertools.pairwise(steps))
    if ends[-1] < len(content) or not ascending:
        steps = [int(record["step"]) for record in _parsed(content, path)]
        ends = [0, *(match.end() for match in re.finditer(b"\n", content))]
    return Lines(content, steps, ends[1:], size)


def read(path: Path) -> list[Record]:
    """Returns the records of a file, in order; none if the file does not exist.

    A last line truncated by a crash is ignored.

    Raises:
      UserError: a line is not a record (an object of finite numbers with an integer `step` of at
        least 0), or its step does not follow the previous one.
    """
    return _parsed(_whole_lines(path)[0], path)


def _whole_lines(path: Path) -> tuple[bytes, int]:
    """The content of a file up to its last newline, and its size."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return content[: content.rfind(b"\n") + 1], len(content)


def _parsed(content: bytes, path: Path) -> list[Record]:
    lines = content.split(b"\n")[:-1]
    records: list[Record] = []
    for first in range(0, len(lines), _AT_ONCE):
        records += _together(lines[first : first + _AT_ONCE]) or _one_by_one(lines, first, path)
    for i, (before, after) in enumerate(itertools.pairwise(records), 2):
        if after["step"] <= before["step"]:
            raise _damaged(i, path, f"step {after['step']} follows step {before['step']}")
    return records


def _together(lines: list[bytes]) -> list[Record]:
    """The records of lines; [] if one of them is not a record, or unusual."""
    try:
        found = json.loads(b"[%b]" % b",".join(lines), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return []
    return found if len(found) == len(lines) and _fine(found) else []


def _fine(found: list[Any]) -> bool:
    """Whether `problem` finds nothing in any of these objects; faster than asking it of each."""
    if set(map(type, found)) != {dict}:
        return False
    values = list(itertools.chain.from_iterable(map(dict.values, found)))
    steps = [record.get("step") for record in found]
    if not set(map(type, values)) <= {int, float} or set(map(type, steps)) != {int}:
        return False
    try:
        return min(steps) >= 0 and math.isfinite(sum(map(float, values)))
    except OverflowError:  # of an integer beyond all floats
        return False


def _one_by_one(lines: list[bytes], first: int, path: Path) -> Iterator[Record]:
    for i, line in enumerate(lines[first : first + _AT_ONCE], first + 1):
        try:
            found = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise _damaged(i, path, "it is no JSON of finite numbers") from error
        if reason := problem(found):
            raise _damaged(i, path, reason)
        yield found


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def problem(found: Any) -> str:
    """Returns why an object is not a record; "" if it is one."""
    if not isinstance(found, dict):
        return "it is no object"
    kinds = set(map(type, found.values()))
    if not kinds <= {int, float}:
        name = next(name for name, x in found.items() if type(x) not in (int, float))
        return f"{name!r:.60} is no number"
    if type(found.get("step")) is not int or found["step"] < 0:
        return "it has no step of at least 0"
    try:
        fits = math.isfinite(sum(found.values())) or all(map(math.isfinite, found.values()))
    except OverflowError:  # of an integer beyond all floats
        fits = False
    return "" if fits else "a number is not finite"


def _damaged(i: int, path: Path, reason: str) -> UserError:
    return UserError(
        f"line {i} of {path} is damaged ({reason}); fix or remove it, or use another --workdir"
    )
