"""Results on disk: one JSON object a line, appended as soon as it is measured.

Standard library only, so that the command itself needs no packages.
"""

import json
from pathlib import Path
from typing import Any

FILE = "results.jsonl"
OK, FAILED, UNFINISHED = "ok", "failed", "unfinished"
CALL, COMPLETE = "call", "complete"  # records beside the measurements'
Record = dict[str, Any]


def append(out: Path, record: Record) -> None:
    """Appends a record; a line truncated by a crash before is ended first."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / FILE
    cut = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a") as file:
        file.write("\n" * cut + json.dumps(record) + "\n")


def read(out: Path) -> list[Record]:
    """Returns all records in order."""
    return lines(out / FILE)


def lines(path: Path) -> list[Record]:
    """Returns the records of a file, [] if there is none; lines that are not whole are ignored."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def measured(out: Path, part: str) -> dict[str, Record]:
    """Returns the latest record of each measurement of a part, by name."""
    found = [r for r in read(out) if r.get("part") == part and "name" in r]
    return {r["name"]: r for r in found}


def complete(out: Path, goal: str) -> bool:
    """Whether every measurement towards a goal of `parts.goal` has been made."""
    return any(r.get(COMPLETE) == goal for r in read(out))
