"""Runs as read from their directories, for figures and reports."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infojax.errors import UserError
from infojax.training import read_records

Record = dict[str, float]
History = list[Record]


class Run(NamedTuple):
    """A run as read from its directory.

    Attributes:
      name: of the directory.
      workdir: the directory.
      config: what ran.
      histories: records in order of steps, one history per seed.
    """

    name: str
    workdir: Path
    config: dict[str, Any]
    histories: list[History]


def load_run(workdir: Path) -> Run:
    """Reads a run's directory.

    Raises:
      UserError: it is not a run.
    """
    found = [p for p in workdir.glob("seed-*") if p.name.removeprefix("seed-").isdecimal()]
    seeds = sorted(found, key=lambda p: int(p.name.removeprefix("seed-")))
    config = read_config(workdir)
    histories = [h for h in map(read_records, seeds or [workdir]) if h and h[-1]["step"] > 0]
    return Run(workdir.resolve().name, workdir, config, histories)


def read_config(workdir: Path) -> dict[str, Any]:
    """Returns what ran in a directory.

    Raises:
      UserError: it is not a run.
    """
    path = workdir / "config.json"
    if not path.exists():
        raise UserError(f"{workdir} is not a run: it has no config.json")
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict) or "experiment" not in config:
        raise UserError(f"{path} is damaged: it holds no config of an experiment")
    return config


def the_only(runs: list[Run]) -> Run:
    """Returns the one run in a list.

    Raises:
      UserError: there are several, and the figures of this experiment have too many panels to
        share axes.
    """
    if len(runs) > 1:
        raise UserError(f"runs of {runs[0].config['experiment']} are drawn one at a time")
    return runs[0]


def evaluated_split(config: Mapping[str, Any]) -> str:
    """Returns the name of the split that a run of image classification evaluates on."""
    return "validation" if config["validation_fraction"] else "test"
