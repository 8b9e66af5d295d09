"""The directory of a run: what ran (config.json) and on what (environment.json)."""

import contextlib
import datetime
import fcntl
import functools
import json
import os
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from infojax.errors import StorageError, UserError
from infojax.training import recorder, storage
from launch import ledger, runs

_FEATURES = "features.npz"  # of images that prompt learning encodes, by the config's model
# Beginnings of the names of files that may exist before a run's first record.
_OF_A_START = (
    *(".lock", "config.json", "environment.json", "data.json", "labelled.json"),
    *("metrics.jsonl", "events.out.tfevents", _FEATURES),
    *("config.partial", "environment.partial"),
)
_PACKAGES = ("infojax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Context that one process at a time can enter for a directory.

    The operating system releases the lock when the process ends, however it ends. File systems
    without locks are not protected. A UserError before the run has begun removes what the context
    created.

    Raises:
      UserError: another process holds the lock, or the directory cannot be written.
    """
    created = [path for path in (workdir, *workdir.parents) if not path.exists()]
    before = set(workdir.glob("*"))
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        file = (workdir / ".lock").open("a+", errors="replace")
    except OSError as error:
        raise UserError(f"cannot write to {workdir}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UserError(
                f"{workdir} is in use by {file.read().strip() or 'another process'}; wait until it "
                "ends, or use another --workdir"
            ) from error
        except OSError:
            pass
        with storage.writing(workdir / ".lock"):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}\n")
            file.flush()
        try:
            yield
        except UserError:
            if not _has_begun(workdir):
                _remove(workdir, before, created)
            raise


def _remove(workdir: Path, before: set[Path], created: list[Path]) -> None:
    """Removes the files of a start, and those of the directories made for it that are empty."""
    with contextlib.suppress(OSError):
        for path in sorted(workdir.rglob("*") if created else workdir.glob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if created and not any(path.iterdir()):
                    path.rmdir()
            elif path not in before and path.name.startswith(_OF_A_START):
                path.unlink()
        for path in created:
            path.rmdir()


def prepare(workdir: Path, config: ConfigDict, why_not_longer: str | None = None) -> None:
    """Creates a work directory, or checks that it holds a run of the same config.

    A run begins with its first record or checkpoint. Until then, for example after settings that
    could not be run, another config replaces the one in the directory.

    Args:
      workdir: of the run.
      config: of the run.
      why_not_longer: as in `experiment.why_not_longer`: if "", a run that has begun may be given a
        larger `num_steps`.

    Raises:
      UserError: the directory holds a run of another config, or cannot be written.
    """
    resolved = json.loads(config.to_json())
    if _has_begun(workdir) or (workdir / _FEATURES).exists():
        _check_same(workdir, resolved, why_not_longer)
    try:
        with storage.writing(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
        storage.write_json(workdir / "config.json", resolved)
        storage.write_json(workdir / "environment.json", [*starts(workdir), _environment()])
    except StorageError as error:
        raise UserError(str(error)) from error


def starts(workdir: Path) -> list[dict[str, Any]]:
    """Returns the environment of every start of a run, the newest last."""
    try:
        found = json.loads((workdir / "environment.json").read_text())
    except (OSError, ValueError):
        return []
    return found if isinstance(found, list) else []


def _has_begun(workdir: Path) -> bool:
    files = (recorder.FILE, ledger.FILE)
    recorded = any(path.stat().st_size for name in files for path in workdir.rglob(name))
    return recorded or any(workdir.rglob("checkpoints/[0-9]*"))


def _check_same(workdir: Path, new: dict[str, Any], why_not_longer: str | None) -> None:
    path = workdir / "config.json"
    old = storage.read_object(path)
    if old is None:
        raise UserError(f"{path} cannot be read, but a run has begun there; use another --workdir")
    old = runs.completed(old)
    text = functools.partial(json.dumps, sort_keys=True)  # in which 64 and 64.0 differ
    names = [n for n in sorted({*old, *new}) if text(old.get(n)) != text(new.get(n))]
    if "experiment" in names:
        names = ["experiment"]  # the other fields differ with it
    longer = names == ["num_steps"] and _is_less(old.get("num_steps"), new["num_steps"])
    if longer and why_not_longer:
        raise UserError(
            f"{workdir} holds a run of {old['num_steps']} steps that cannot be continued to "
            f"{new['num_steps']}: {why_not_longer}; use another --workdir"
        )
    if names and not (longer and why_not_longer == ""):
        changes = ", ".join(f"{n}: {old.get(n)} there, {new.get(n)} here" for n in names)
        raise UserError(
            f"{workdir} holds a run of another config ({changes}); use another --workdir"
        )


def _is_less(x: Any, y: Any) -> bool:
    return isinstance(x, int) and isinstance(y, int) and x < y


def _environment() -> dict[str, Any]:
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "git_commit": git_commit(),
        "changed_files": changed_files(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "devices": [str(device) for device in jax.devices()],
        "processes": jax.process_count(),
    }


def version(package: str) -> str | None:
    """Returns the version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Returns the commit of this source tree, marked as dirty when files have changed.

    None without git, or outside a clone.
    """
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--match=")


def changed_files() -> list[str] | None:
    """Returns the tracked files that differ from the commit; None as for `git_commit`."""
    found = _git("diff", "--name-only", "HEAD")
    return None if found is None else found.splitlines()


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
