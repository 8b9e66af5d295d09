"""Checkpoints: saved atomically, checked for damage, restored from the newest intact one.

The only module that uses orbax.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from infojax._trees import named_leaves
from infojax.errors import UserError
from infojax.training import processes, storage

_SUMS = "sums.json"
_UNFINISHED = "saving it did not finish"

State = TypeVar("State")
Unfit = Callable[[int], str]


class Checkpoints:
    """Checkpoints of one run; the first process saves and restores them for all.

    All processes call the methods, with the same states; only the first accesses the directory.
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        if set("[\\") & set(str(directory.absolute())) and not directory.exists():
            raise UserError(f"{directory}: checkpoints need a path without [ and \\")  # orbax globs
        self._store = _Store(directory.absolute(), keep) if processes.first() else None
        self._latest = processes.from_first(lambda: self._first.newest())

    def save(self, step: int, state: Any) -> None:
        """Saves a state under its step, replacing an earlier checkpoint of that step."""
        processes.from_first(lambda: self._first.save(step, _arrays(state)))
        self._latest = step

    def restore(self, template: State, unfit: Unfit = lambda _: "") -> State | None:
        """Returns the newest intact state that fits, or None if nothing was saved yet.

        Other checkpoints that are newer are reported on stderr and set aside, not deleted.

        Args:
          template: a state with the structure, shapes and dtypes to restore.
          unfit: by step, why the run cannot resume from there; "" if it can. Called in the first
            process.

        Raises:
          UserError: there are checkpoints, but none is intact and fits; or the newest that does
            holds other arrays.
        """
        found = processes.from_first(lambda: self._first.restore(_arrays(template), unfit))
        self._latest = None
        if found is None:
            return None
        self._latest, arrays = found
        restored: State = serialization.from_state_dict(template, arrays)
        return restored

    @property
    def _first(self) -> "_Store":
        assert self._store is not None  # only the first process asks for it
        return self._store

    def latest_step(self) -> int | None:
        """Returns the step last saved or restored, until then the newest on disk, or None."""
        return self._latest

    def close(self) -> None:
        """Stops orbax's background threads."""
        if self._store is not None:
            self._store.close()


class _Store:
    """Checkpoints of trees of arrays in one directory, in one process.

    Orbax writes atomically, so a crash while saving leaves the previous checkpoint as the newest.
    Once saved, the SHA-256 of every file is written beside them, and checked before orbax reads
    any: flipped bytes would be restored silently, truncated files raise pages of tracebacks.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        with storage.writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(
            directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,  # left by a crash while saving
                create=False,  # else orbax waits for all processes
                multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
            ),
        )

    def save(self, step: int, arrays: Any) -> None:
        directory = self._directory / str(step)
        item = ocp.args.StandardSave(arrays)
        with _writing(directory):
            if step in self._manager.all_steps():
                self._manager.delete(step)
            self._manager.save(step, args=ocp.args.Composite(state=item))
        storage.write_json(directory / _SUMS, _sums(directory))

    def newest(self) -> int | None:
        steps = self._manager.all_steps()
        return max((s for s in steps if (self._directory / str(s) / _SUMS).exists()), default=None)

    def restore(self, template: Any, unfit: Unfit) -> tuple[int, Any] | None:
        bad, ahead = dict[int, str](), set[int]()
        for step in sorted(self._manager.all_steps(), reverse=True):
            finished = (self._directory / str(step) / _SUMS).exists()
            if finished and (reason := unfit(step)):
                bad[step] = reason
                ahead.add(step)
                continue
            try:
                arrays = _read(self._directory / str(step))
            except Exception as error:  # orbax raises many types for a damaged directory
                bad[step] = _reason(error)
                continue
            _check_same(self._directory / str(step), arrays, template)
            self._set_aside(bad, ahead)
            if bad:
                print(f"resuming from the checkpoint of step {step}", file=sys.stderr)
            return step, arrays
        if ahead:
            raise UserError(
                f"no checkpoint in {self._directory} fits the records ({_listed(bad)}); put back "
                "the file of records, or use another --workdir"
            )
        if set(bad.values()) - {_UNFINISHED}:
            raise UserError(f"{_none_intact(self._directory, bad)}, or use another --workdir")
        self._set_aside(bad, ahead)
        return None

    def _set_aside(self, bad: dict[int, str], ahead: set[int]) -> None:
        for step, reason in bad.items():
            problem = "does not fit" if step in ahead else "is damaged"
            print(f"checkpoint of step {step} {problem} ({reason}): set aside", file=sys.stderr)
            number, target = 1, self._directory / f"damaged-{step}"
            while target.exists():
                number += 1
                target = self._directory / f"damaged-{step}-{number}"
            (self._directory / str(step)).rename(target)
        if bad:
            self._manager.reload()

    def close(self) -> None:
        self._manager.close()


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """`storage.writing` that also covers tensorstore, which reports an OSError as a ValueError."""
    with storage.writing(directory):
        try:
            yield
        except ValueError as error:
            found = re.search(r"os_error_code='(\d+)'", str(error))
            if found is None:
                raise
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error


def _arrays(state: Any) -> Any:
    return jax.tree.map(np.asarray, serialization.to_state_dict(jax.device_get(state)))


def _sums(directory: Path) -> dict[str, str]:
    """Returns the SHA-256 of all files of a checkpoint, by their relative path."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(_SUMS)
    }


def _read(directory: Path) -> Any:
    """Reads a checkpoint after checking its files; arrays of NumPy in nested dicts."""
    if not (directory / _SUMS).exists():
        raise ValueError(_UNFINISHED)
    expected, sums = json.loads((directory / _SUMS).read_text()), _sums(directory)
    for name, own in sorted(expected.items()):  # files of others, as .DS_Store, do not matter
        if sums.get(name) != own:
            raise ValueError(f"{name} has changed since it was saved")
    options = ocp.options.MultiprocessingOptions(active_processes={0})
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=options)
    with ocp.Checkpointer(handler, multiprocessing_options=options) as checkpointer:
        return checkpointer.restore(directory / "state")


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _none_intact(directory: Path, bad: dict[int, str]) -> str:
    return f"no checkpoint in {directory} is intact ({_listed(bad)}); put an intact copy there"


def _listed(bad: dict[int, str]) -> str:
    return "; ".join(f"step {step}: {reason}" for step, reason in bad.items())


def _check_same(directory: Path, found: Any, template: Any) -> None:
    difference = first_difference(template, found)
    if difference:
        raise UserError(f"{directory} holds another network: {difference}; use another --workdir")


def first_difference(expected: Any, found: Any) -> str:
    """Describes the first array in which two trees differ; "" if names, shapes and dtypes agree.

    Args:
      expected: tree of arrays or of their shapes and dtypes.
      found: tree of arrays.
    """
    kinds = ({n: f"{x.dtype} {x.shape}" for n, x in named_leaves(t)} for t in (found, expected))
    there, here = kinds
    for name in sorted({*there, *here}):
        if name not in here:
            return f"{name} is unknown"
        if name not in there:
            return f"{name} is missing"
        if there[name] != here[name]:
            return f"{name} is {there[name]}, not {here[name]}"
    return ""


def load(directory: str | Path, step: int | None = None) -> tuple[int, dict[str, Any]]:
    """Reads a checkpoint without knowing what was trained.

    Changes nothing, and is safe while another process trains. Damaged checkpoints that are newer
    are reported on stderr.

    Args:
      directory: `checkpoints` of a run's directory.
      step: of the checkpoint; None for the newest intact one.

    Returns:
      Its step, and a nested dict of NumPy arrays with the fields of `TrainState`: `params`, `ema`,
      `model_state` and so on.

    Raises:
      UserError: there is no such checkpoint, or none is intact.
    """
    directory, bad = Path(directory).absolute(), dict[int, str]()
    while steps := sorted(_steps(directory, step) - bad.keys()):  # training replaces them meanwhile
        try:
            arrays = _read(directory / str(steps[-1]))
        except Exception as error:  # see _Store.restore
            bad[steps[-1]] = _reason(error)
            continue
        _report(directory, bad, steps[-1])
        return steps[-1], arrays
    if bad:
        raise UserError(_none_intact(directory, bad))
    present = ", ".join(map(str, sorted(_steps(directory))))
    if not present and _steps(directory / "checkpoints"):
        raise UserError(f"{directory} is a run; use {directory / 'checkpoints'}")
    if not present:
        raise UserError(f"there is no checkpoint in {directory}: nothing has been trained yet")
    raise UserError(f"there is no checkpoint of step {step} in {directory}; use {present}")


def _report(directory: Path, bad: dict[int, str], read: int) -> None:
    """Says why newer checkpoints were not read, unless training is saving or has replaced them."""
    for step in sorted(bad.keys() & _steps(directory)):
        if bad[step] != _UNFINISHED:
            where = f"{directory / str(step)} is damaged ({bad[step]})"
            print(f"{where}: read that of step {read}", file=sys.stderr)


def _steps(directory: Path, step: int | None = None) -> set[int]:
    found = {int(path.name) for path in directory.glob("*") if path.name.isdecimal()}
    return found if step is None else found & {step}
