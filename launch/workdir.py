"""The directory of a run: what ran (config.json) and on what (environment.json)."""

import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from infojax.errors import UserError

_PACKAGES = ("infojax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def prepare(workdir: Path, config: ConfigDict) -> None:
    """Creates a work directory, or checks that the run in it is of the same configuration.

    A run begins with its first record: before that, as after settings that could not be run,
    another configuration takes the place of the one that is there.

    Raises:
      UserError: the directory holds a run of another configuration, or cannot be written.
    """
    resolved = json.loads(config.to_json())
    if _has_begun(workdir):
        _check_same(workdir, resolved)
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        write_json(workdir / "config.json", resolved)
        write_json(workdir / "environment.json", _environment())
    except OSError as error:
        raise UserError(f"cannot write to {workdir}: {error.strerror}") from error


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def _has_begun(workdir: Path) -> bool:
    recorded = any(path.stat().st_size for path in workdir.rglob("metrics.jsonl"))
    return recorded or any(workdir.rglob("checkpoints/[0-9]*"))


def _check_same(workdir: Path, new: dict[str, Any]) -> None:
    path = workdir / "config.json"
    try:
        old = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}, of the run there, cannot be read; use another --workdir"
        ) from error
    names = [n for n in sorted({*old, *new}) if old.get(n) != new.get(n)]
    if names:
        changes = ", ".join(f"{n}: {old.get(n)} there, {new.get(n)} here" for n in names)
        raise UserError(
            f"{workdir} holds a run of another config ({changes}); use another --workdir"
        )


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "git_commit": _git_commit(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this source tree, marked when it was changed."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--match="]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).parent, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
