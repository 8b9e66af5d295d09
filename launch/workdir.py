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
    """Creates a work directory, or checks that an existing one is of the same configuration.

    Raises:
      UserError: the directory holds a run of another configuration, or cannot be written.
    """
    resolved = json.loads(config.to_json())
    path = workdir / "config.json"
    if path.exists():
        _check_same(workdir, json.loads(path.read_text()), resolved)
    else:
        try:
            workdir.mkdir(parents=True, exist_ok=True)
            write_json(path, resolved)
        except OSError as error:
            raise UserError(f"cannot write to {workdir}: {error.strerror}") from error
    write_json(workdir / "environment.json", _environment())


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(partial, path)


def _check_same(workdir: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
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
