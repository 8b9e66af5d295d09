"""JSON and JSON lines on disk: files that a crash never leaves half written."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from infojax.errors import StorageError, UserError


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Context in which an OSError becomes a StorageError that names the path."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file atomically."""
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())


def write_lines(path: Path, contents: Iterable[dict[str, Any]]) -> None:
    """Writes a file of JSON lines atomically."""
    write_bytes(path, "".join(json.dumps(content) + "\n" for content in contents).encode())


def append_line(path: Path, content: dict[str, Any]) -> None:
    """Appends an object to a file of JSON lines, after removing a line truncated by a crash."""
    if _is_truncated(path):
        written = path.read_bytes()
        write_bytes(path, written[: written.rfind(b"\n") + 1])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(content) + "\n")


def _is_truncated(path: Path) -> bool:
    """Whether a file exists and lacks a newline at its end, by its last byte alone."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return file.read() != b"\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a file of JSON lines; none if the file does not exist.

    A last line truncated by a crash is ignored.

    Raises:
      UserError: another line is not a JSON object.
    """
    if not path.exists():
        return []
    try:
        *whole, _ = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return [_object(line, f"line {i} of {path}") for i, line in enumerate(whole, 1)]


def read_object(path: Path) -> dict[str, Any] | None:
    """Returns the object of a JSON file; None if the file cannot be read as one."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{where} is damaged; fix or remove it, or use another --workdir")
    return content


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    partial = path.with_suffix(".partial")
    with writing(path):
        partial.write_bytes(content)
        os.replace(partial, path)
