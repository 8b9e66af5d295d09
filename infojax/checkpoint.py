"""Checkpoints: atomic, checked for damage, newest good one first. Orbax is used only here."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import serialization

from infojax.errors import UserError


class Checkpoints:
    """Checkpoints of one run, in one directory.

    Orbax writes atomically, so a kill in mid-save leaves the older checkpoint as the newest. A
    SHA-256 of all arrays is stored beside them, because flipped bytes restore silently.
    """

    def __init__(self, directory: Path, keep: int = 2) -> None:
        self._directory = directory.absolute()
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep, enable_async_checkpointing=False
            ),
        )

    def save(self, step: int, state: Any) -> None:
        """Saves a state under its step, in place of one that is there already."""
        if step in self._manager.all_steps():
            self._manager.delete(step)
        arrays = _arrays(state)
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(arrays),
                check=ocp.args.JsonSave({"sha256": _digest(arrays)}),
            ),
        )

    def restore(self, template: Any) -> Any | None:
        """Returns the newest state that is whole, or None if nothing was saved yet.

        Newer checkpoints that are damaged are named on stderr and set aside, not deleted.

        Args:
          template: a state of the structure, shapes and dtypes to restore.

        Raises:
          UserError: there are checkpoints, but none is whole.
        """
        damaged: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                state = self._read(step, template)
            except Exception as error:  # whatever a damaged directory makes orbax raise
                damaged[step] = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
                continue
            for bad, reason in damaged.items():
                print(f"checkpoint of step {bad} is damaged ({reason}): set aside", file=sys.stderr)
                (self._directory / str(bad)).rename(self._directory / f"damaged-{bad}")
            if damaged:
                print(f"going on from the one before, of step {step}", file=sys.stderr)
                self._manager.reload()
            return state
        if damaged:
            raise UserError(
                f"no checkpoint in {self._directory} can be read ({damaged}); "
                "remove that directory to start again, or use another --workdir"
            )
        return None

    def _read(self, step: int, template: Any) -> Any:
        arrays = _arrays(template)
        item = ocp.args.Composite(
            state=ocp.args.StandardRestore(arrays), check=ocp.args.JsonRestore()
        )
        restored = self._manager.restore(step, args=item)
        if _digest(restored["state"]) != restored["check"]["sha256"]:
            raise ValueError("its checksum does not match")
        return serialization.from_state_dict(template, restored["state"])

    def latest_step(self) -> int | None:
        """Returns the newest step saved, or None."""
        return self._manager.latest_step()

    def close(self) -> None:
        """Ends background work of orbax."""
        self._manager.close()


def _arrays(state: Any) -> Any:
    return jax.tree.map(np.asarray, serialization.to_state_dict(jax.device_get(state)))


def _digest(arrays: Any) -> str:
    digest = hashlib.sha256()
    for path, array in jax.tree_util.tree_leaves_with_path(arrays):
        array = np.ascontiguousarray(array)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
