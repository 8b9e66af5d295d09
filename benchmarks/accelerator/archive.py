"""Results and states of unfinished runs as a few files of limited size, to carry between machines.

Compiled programs, decoded data, figures, older checkpoints and the ensemble's stay behind, a large
profile, and checkpoints for which there is no room: those of finished runs first.
"""

import gzip
import io
import shutil
import tarfile
import zlib
from pathlib import Path

from benchmarks.accelerator import report, results

_NAME = "accelerator.tar"
_VOLUME = 15 * 2**20
_ROOM = 52 * 2**20  # of all checkpoints: random digits, which no compression makes smaller
_PROFILE = 24 * 2**20  # largest profile before compression, which leaves a tenth
_BEHIND = ("compiled", "data", "ensemble", "figures")


class DamagedError(Exception):
    """There are no volumes, or they are not whole."""


def write(out: Path, archive: Path) -> list[Path]:
    """Writes all of a directory, but what is made again, as volumes of at most 15 MiB.

    Report and results lie beside them, to be read without unpacking.

    Returns:
      The files.
    """
    buffer = io.BytesIO()
    left = _left_behind(out)
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for path in sorted(out.iterdir()):
            if path.name not in _BEHIND:
                tar.add(path, path.name, filter=lambda m: None if out / m.name in left else m)
    archive.mkdir(parents=True, exist_ok=True)
    for old in archive.glob(f"{_NAME}.*"):
        old.unlink()
    content, files = buffer.getvalue(), []
    for number, start in enumerate(range(0, len(content), _VOLUME)):
        files.append(archive / f"{_NAME}.{number:02d}")
        files[-1].write_bytes(content[start : start + _VOLUME])
    for name in (report.FILE, results.FILE):
        if (out / name).exists():
            files.append(Path(shutil.copy(out / name, archive / name)))
    return files


def _left_behind(out: Path) -> set[Path]:
    """Directories that are too large, and checkpoints that are not the newest of a run."""
    left = {out / "profile"} if _size(out / "profile") > _PROFILE else set()
    finished = {
        record["run"]
        for record in results.measured(out, "training").values()
        if record["status"] == results.OK and "run" in record
    }
    newest = []
    for directory in (out / "runs").glob("*/checkpoints"):
        steps = [path for path in directory.iterdir() if path.name.isdecimal()]
        steps.sort(key=lambda path: int(path.name))
        left |= set(steps[:-1])
        newest += steps[-1:]
    room = _ROOM
    for step in sorted(newest, key=lambda path: _worth(path.parents[1].name, finished)):
        room -= _size(step)
        if room < 0:
            print(f"no room in the archive: {step.relative_to(out)}", flush=True)
            left.add(step)
            room += _size(step)
    return left


def _worth(run: str, finished: set[str]) -> tuple[bool, bool]:
    """Unfinished runs come first, then the pairs of mode connectivity."""
    return run in finished, "baseline-seed0" not in run and "rate" not in run


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def restore(archive: Path, out: Path) -> None:
    """Unpacks the volumes that are in a directory.

    Raises:
      DamagedError: there are none, or one is missing or damaged.
    """
    volumes = sorted(archive.glob(f"{_NAME}.*"))
    if not volumes:
        raise DamagedError(f"there are no volumes in {archive}")
    try:  # all of it, with its checksum, before anything is written
        content = gzip.decompress(b"".join(volume.read_bytes() for volume in volumes))
    except (EOFError, OSError, zlib.error) as error:
        raise DamagedError(f"a volume in {archive} is missing or damaged: {error}") from error
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        tar.extractall(out, filter="data")
