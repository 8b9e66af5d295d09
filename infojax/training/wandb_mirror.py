"""Records copied to Weights & Biases: a W&B run for each directory of records.

The only module that uses wandb. `metrics.jsonl` stays the record: the mirror logs what is new in
it, so that a resumed run continues its W&B run, and one that was trained without W&B is logged from
its first record.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infojax.errors import UserError
from infojax.training import storage
from infojax.training.recorder import Mirror, Record

FILE = "wandb.json"  # which W&B run holds the records, and the last step logged


def check(project: str) -> None:
    """Checks that W&B can be used.

    Raises:
      UserError: the project has no name, wandb is missing, or nobody is logged in.
    """
    if not project:
        raise UserError("--wandb is empty; name a project of W&B, or leave it out")
    try:
        import wandb
    except ImportError as error:
        raise UserError(
            "--wandb needs the package wandb: pip install wandb, or leave --wandb out"
        ) from error
    try:
        if wandb.setup().settings.mode == "online":
            wandb.login()
    except wandb.errors.Error as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise UserError(
            f"W&B cannot be used ({reason}); run wandb login, or set WANDB_MODE=offline and upload "
            "later with wandb sync"
        ) from error


def opener(project: str, workdir: Path) -> Callable[[Path], Mirror]:
    """Returns the function that `recorder.mirrored` needs.

    Args:
      project: of the W&B runs.
      workdir: of the whole run; it groups the W&B runs, each named by its directory in it.
    """
    return lambda directory: _Mirror(project, workdir, directory)


class _Mirror:
    """A directory's W&B run; its errors never stop training."""

    def __init__(self, project: str, workdir: Path, directory: Path) -> None:
        self._project, self._workdir, self._directory = project, workdir, directory
        self._run: Any = None
        self._failed = False
        self._id, self._step = "", -1

    def resume(self, records: list[Record]) -> None:
        """Logs records that W&B lacks; a run that starts over is a new W&B run."""
        state = storage.read_object(self._directory / FILE) or {}
        if records and state.get("project") == self._project:
            self._id, self._step = state["id"], state["step"]
        for record in records:
            self.write(record)

    def write(self, record: Record) -> None:
        """Logs a record, unless W&B holds it from before the run was resumed."""
        step = int(record["step"])
        if self._failed or step <= self._step:
            return
        try:
            self._log(step, {name: x for name, x in record.items() if name != "step"})
        except Exception as error:  # of the network, the server, the disk, the package
            self._give_up(error)

    def _log(self, step: int, metrics: Record) -> None:
        if self._run is None:
            self._run = self._begin()
            self._save(self._run.id, self._step)
        self._run.log(metrics, step=step)
        self._save(self._id, step)

    def _save(self, name: str, step: int) -> None:
        self._id, self._step = name, step
        state = {"project": self._project, "id": name, "step": step}
        storage.write_json(self._directory / FILE, state)

    def _begin(self) -> Any:
        import wandb

        root = self._workdir.resolve()
        return wandb.init(
            project=self._project,
            id=self._id or None,
            name=str(self._directory.resolve().relative_to(root.parent)),
            group=root.name,
            config=_config(self._directory.resolve(), root),
            dir=self._directory,
            resume="allow",
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True),
        )

    def close(self) -> None:
        """Ends the W&B run, once its records are uploaded."""
        try:
            if self._run is not None:
                self._run.finish()
        except Exception as error:
            self._give_up(error)
        self._run = None

    def _give_up(self, error: Exception) -> None:
        self._failed = True
        reason = " ".join(str(error).split()) or type(error).__name__
        print(
            f"W&B stopped ({reason}); training continues, and the same command logs the missing "
            f"records of {self._directory}",
            file=sys.stderr,
            flush=True,
        )


def _config(directory: Path, workdir: Path) -> dict[str, Any]:
    """The config.json of a directory, or of the nearest one above it in the work directory."""
    for place in (directory, *directory.parents):
        if found := storage.read_object(place / "config.json"):
            return found
        if place == workdir:
            break
    return {}
