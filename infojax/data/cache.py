"""The cache of decoded images: the next start reads arrays instead of image files.

A cached file is keyed by names, sizes and modification times of the files it was read from; if one
of them changes, the images are read again and the outdated file is removed.
"""

import contextlib
import hashlib
import os
import re
import sys
import uuid
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from infojax.errors import UserError

Arrays = dict[str, np.ndarray]
_LONGEST_NAME = 60
_DIGITS = 16  # of a digest


class Reading(NamedTuple):
    """Arrays that take long to read.

    Attributes:
      name: of the data set.
      files: all files that are read; with none, nothing is cached.
      options: what else determines the arrays.
      read: reads the arrays.
      what: names the arrays in messages.
    """

    name: str
    files: Sequence[Path]
    options: str
    read: Callable[[], Arrays]
    what: str = "images"


def directory() -> Path:
    """Returns `$XDG_CACHE_HOME/infojax/data`; XDG_CACHE_HOME defaults to ~/.cache."""
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "infojax" / "data"


def fetch(reading: Reading, where: Path | None = None) -> Arrays:
    """Returns arrays from the cache, filling it first if necessary.

    The first process reports on stderr that the cache is used.

    Args:
      reading: what to read.
      where: directory of the cache; None for `directory()`.

    Returns:
      The arrays, by name.

    Raises:
      UserError: a file does not exist.
    """
    if not reading.files:
        return reading.read()
    place, content = _digests(reading)
    root = where or directory()
    name = re.sub(r"[^\w.-]+", "_", Path(reading.name).name)[-_LONGEST_NAME:]
    path = root / f"{name}-{place}-{content}.npz"
    arrays = _load(path)
    if arrays is None:
        arrays = reading.read()
        _store(path, arrays, f"{name}-{place}-*.npz")
    elif jax.process_index() == 0:
        print(f"{reading.name}: {reading.what} from the cache {path}", file=sys.stderr, flush=True)
    return arrays


def contents(where: Path | None = None) -> list[Path]:
    """Returns the files of the cache."""
    root = where or directory()
    return sorted(p for pattern in ("*.npz", "*.partial") for p in root.glob(pattern))


def clear(where: Path | None = None) -> int:
    """Empties the cache; returns the bytes freed."""
    freed = 0
    for path in contents(where):
        size = path.stat().st_size
        path.unlink()
        freed += size
    return freed


def _digests(reading: Reading) -> tuple[str, str]:
    """Digests of what is read and how, and of its present state."""
    names, states = [reading.name, reading.options], []
    for path in sorted(reading.files):
        try:
            stat = path.stat()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        states.append(f"{path.absolute()}\0{stat.st_size}\0{stat.st_mtime_ns}")
    names.append(os.path.commonpath([path.absolute().parent for path in reading.files]))
    return _digest(names), _digest(names + states)


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def _load(path: Path) -> Arrays | None:
    """Returns the arrays, or None if they are missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _store(path: Path, arrays: Arrays, outdated: str) -> None:
    """Replaces outdated files atomically; a cache that cannot be written is skipped."""
    partial = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(partial, path)
        for other in set(path.parent.glob(outdated)) - {path}:
            other.unlink(missing_ok=True)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
