"""Results and states of unfinished runs as a few files of limited size, to carry between machines.

Compiled programs, decoded data, profiles, older checkpoints and the ensemble's stay behind.
"""

import io
import tarfile
from pathlib import Path

_NAME = "accelerator.tar"
_VOLUME = 15 * 2**20
_BEHIND = ("compiled", "data", "ensemble", "profile")


def write(out: Path, archive: Path) -> list[Path]:
    """Writes all of a directory, but what is made again, as volumes of at most 15 MiB.

    Returns:
      The volumes.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=1) as tar:
        for path in sorted(out.iterdir()):
            if path.name not in _BEHIND:
                tar.add(path, arcname=path.name, filter=lambda info: _kept(out, info))
    archive.mkdir(parents=True, exist_ok=True)
    for old in archive.glob(f"{_NAME}.*"):
        old.unlink()
    content, volumes = buffer.getvalue(), []
    for number, start in enumerate(range(0, len(content), _VOLUME)):
        volumes.append(archive / f"{_NAME}.{number:02d}")
        volumes[-1].write_bytes(content[start : start + _VOLUME])
    return volumes


def _kept(out: Path, info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """The member, unless it is of a checkpoint that is not a run's newest."""
    directory, _, inside = info.name.partition("/checkpoints/")
    steps = [p.name for p in (out / directory / "checkpoints").glob("*") if p.name.isdecimal()]
    step = inside.split("/")[0]
    return None if step.isdecimal() and step != max(steps, key=int) else info


def restore(archive: Path, out: Path) -> bool:
    """Unpacks the volumes that are in a directory; False if there are none."""
    volumes = sorted(archive.glob(f"{_NAME}.*"))
    if not volumes:
        return False
    content = io.BytesIO(b"".join(volume.read_bytes() for volume in volumes))
    with tarfile.open(fileobj=content, mode="r:xz") as tar:
        tar.extractall(out, filter="data")
    return True
