"""Runs of several seeds: a directory for each, and the training of one in its directory."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from infojax import training
from infojax.errors import UserError
from infojax.training import loop
from infojax.training.checkpoint import Checkpoints
from infojax.training.recorder import Recorder, read_records


def directories(workdir: Path, config: ConfigDict) -> dict[int, Path]:
    """The directory of each seed: the run's own where there is one seed, else seed-K in it."""
    seeds = range(config.seed, config.seed + config.num_seeds)
    return {seed: workdir if len(seeds) == 1 else workdir / f"seed-{seed}" for seed in seeds}


def histories(workdir: Path, config: ConfigDict) -> list[list[dict[str, float]]]:
    """The records of each seed."""
    return [read_records(directory) for directory in directories(workdir, config).values()]


def fit(
    directory: Path,
    config: ConfigDict,
    state: training.TrainState,
    advance: Callable[[training.TrainState, int], training.TrainState],
    evaluate: Callable[[training.TrainState], training.Metrics],
    eval_steps: Iterable[int],
    shown: Sequence[str],
) -> training.TrainState:
    """`loop.fit` with checkpoints and records in a directory, as a config says."""
    directory.mkdir(parents=True, exist_ok=True)
    checkpoints, recorder = Checkpoints(directory / "checkpoints"), Recorder(directory)
    try:
        return loop.fit(
            state,
            advance,
            evaluate,
            eval_steps,
            config.checkpoint_every,
            config.steps_per_call,
            checkpoints,
            recorder,
            shown,
        )
    finally:
        checkpoints.close()
        recorder.close()


def check_at_least(config: ConfigDict, limits: dict[str, Any]) -> None:
    """Raises UserError for the first field below its limit."""
    for name, limit in limits.items():
        if config[name] < limit:
            raise UserError(f"{name} must be at least {limit}, got {config[name]}")
