"""Checkpoints: atomic, checked for damage, newest good one first. Orbax is used only here."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from infojax.errors import UserError
from infojax.training import processes

_SUMS = "sums.json"
_UNFINISHED = "it was not finished"


class Checkpoints:
    """Checkpoints of one run, which the first process saves and restores for all.

    All processes call its methods, with the same states; only the first needs the directory.
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        self._store = _Store(directory.absolute(), keep) if processes.first() else None
        self._latest: int | None = None

    def save(self, step: int, state: Any) -> None:
        """Saves a state under its step, in place of one that is there already."""
        processes.from_first(lambda: self._first.save(step, _arrays(state)))
        self._latest = step

    def restore(self, template: Any) -> Any | None:
        """Returns the newest state that is whole, or None if nothing was saved yet.

        Newer checkpoints that are damaged are named on stderr and set aside, not deleted.

        Args:
          template: a state of the structure, shapes and dtypes to restore.

        Raises:
          UserError: there are checkpoints, but none is whole.
        """
        found = processes.from_first(lambda: self._first.restore(_arrays(template)))
        if found is None:
            return None
        self._latest, arrays = found
        return serialization.from_state_dict(template, arrays)

    @property
    def _first(self) -> "_Store":
        assert self._store is not None  # in the first process, the only one to ask for it
        return self._store

    def latest_step(self) -> int | None:
        """Returns the step that was saved or restored last, or None."""
        return self._latest

    def close(self) -> None:
        """Ends background work of orbax."""
        if self._store is not None:
            self._store.close()


class _Store:
    """Checkpoints of trees of arrays in one directory, in one process.

    Orbax writes atomically, so a kill in mid-save leaves the older checkpoint as the newest. The
    SHA-256 of every file is written beside them at the end, and checked before orbax reads any:
    flipped bytes would restore silently, and truncated files with a page of tracebacks.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.CheckpointManager(
            directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,  # of a save that was killed
                create=False,  # orbax would wait for all processes
                multiprocessing_options=ocp.options.MultiprocessingOptions(active_processes={0}),
            ),
        )

    def save(self, step: int, arrays: Any) -> None:
        if step in self._manager.all_steps():
            self._manager.delete(step)
        item = ocp.args.StandardSave(arrays)
        self._manager.save(step, args=ocp.args.Composite(state=item))
        directory = self._directory / str(step)
        partial = directory / f"{_SUMS}.partial"
        partial.write_text(json.dumps(_sums(directory), indent=2) + "\n")
        os.replace(partial, directory / _SUMS)

    def restore(self, template: Any) -> tuple[int, Any] | None:
        bad: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                arrays = self._read(step, template)
            except Exception as error:  # whatever a damaged directory makes orbax raise
                bad[step] = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
                continue
            self._set_aside(bad)
            if bad:
                print(f"going on from the one before, of step {step}", file=sys.stderr)
            return step, arrays
        if set(bad.values()) - {_UNFINISHED}:
            reasons = "; ".join(f"step {step}: {reason}" for step, reason in bad.items())
            raise UserError(
                f"no checkpoint in {self._directory} can be read ({reasons}); "
                "remove that directory to start again, or use another --workdir"
            )
        self._set_aside(bad)
        return None

    def _read(self, step: int, template: Any) -> Any:
        directory = self._directory / str(step)
        if not (directory / _SUMS).exists():
            raise ValueError(_UNFINISHED)
        expected, sums = json.loads((directory / _SUMS).read_text()), _sums(directory)
        for name in sorted({*expected, *sums}):
            if expected.get(name) != sums.get(name):
                raise ValueError(f"{name} is not as it was saved")
        item = ocp.args.StandardRestore(template)
        restored = self._manager.restore(step, args=ocp.args.Composite(state=item))["state"]
        jax.tree_util.tree_map_with_path(_check_same_kind, template, restored)
        return restored

    def _set_aside(self, bad: dict[int, str]) -> None:
        for step, reason in bad.items():
            print(f"checkpoint of step {step} is damaged ({reason}): set aside", file=sys.stderr)
            number, target = 1, self._directory / f"damaged-{step}"
            while target.exists():
                number += 1
                target = self._directory / f"damaged-{step}-{number}"
            (self._directory / str(step)).rename(target)
        if bad:
            self._manager.reload()

    def close(self) -> None:
        self._manager.close()


def _arrays(state: Any) -> Any:
    return jax.tree.map(np.asarray, serialization.to_state_dict(jax.device_get(state)))


def _sums(directory: Path) -> dict[str, str]:
    """SHA-256 of all files of a checkpoint, by their path in it."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.startswith(_SUMS)
    }


def _check_same_kind(path: Any, expected: np.ndarray, actual: np.ndarray) -> None:
    """Orbax restores other shapes than asked for."""
    if (expected.shape, expected.dtype) != (actual.shape, actual.dtype):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        raise ValueError(
            f"{name} is {actual.dtype} {actual.shape}, not {expected.dtype} {expected.shape}"
        )
