"""MIR and HDR between the features of a network before and after pruning (Figure 6)."""

import itertools
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.training import processes, storage
from launch import (
    classification,
    experiment,
    fine_tuning,
    image_runs,
    ledger,
    networks,
    plots,
    runs,
    seeds,
    workdir as workdirs,
)
from launch.fine_tuning import METHODS, Program, Trained
from launch.ledger import Ledger
from launch.plots.pruning import figures as figures
from launch.results import pruning
from launch.settings import Settings, check_at_least, derived
from launch.updates import WHY_NOT_LONGER as WHY_NOT_LONGER

_STUDY = (
    "trained",
    "sparsities",
    "methods",
    "prune_head",
    "finetune_steps",
    "finetune_learning_rate",
    "gradual_steps",
    "mask_every",
)
_SHARED = ("dataset", "train_size", "validation_fraction", "model")  # must match a trained run


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains the networks if none are given, and prunes them to every point that is missing."""
    check(config)
    keys = [(seed, *point) for seed in seeds.of(config) for point in points(config)]
    with Ledger(workdir, ("seed", "method", "sparsity"), keys, ("seed", "sparsity")) as book:
        if book.missing:
            directory = Path(config.trained) if config.trained else train_first(config, workdir)
            program = fine_tuning.build(config, finetune_config(config))
        for seed, missing in itertools.groupby(list(book.missing), lambda key: key[0]):
            trained = load(program, directory, seed)
            for key in missing:
                _, method, sparsity = key
                at = workdir / f"seed-{seed}" / f"{method},sparsity={sparsity}"
                found = fine_tuning.prune(program, trained, method, sparsity, at)
                book.append(key, found, {"seed": seed, "sparsity": sparsity})
            report(book.points, config, workdir)
    report(book.points, config, workdir)


def report(points: list[ledger.Point], config: ConfigDict, workdir: Path) -> None:
    """Writes the summary of the points that are finished, and draws the figures."""
    if processes.first():
        summary = {"model": runs.model_name(config)} | pruning.summarize(points, config)
        storage.write_json(workdir / "summary.json", summary)
        plots.draw(figures, [workdir], workdir / "figures")


def points(config: ConfigDict) -> list[tuple[str, float]]:
    """Methods and sparsities; sparsity 0 is the same for all methods and run with the first."""
    pairs = itertools.product(config.methods, config.sparsities)
    return [(m, float(s)) for m, s in pairs if s > 0 or m == config.methods[0]]


def supervised_config(config: ConfigDict, **changes: Any) -> ConfigDict:
    """The study's settings that a supervised run has too."""
    return derived(config, _STUDY, experiment="supervised", **changes)


def finetune_config(config: ConfigDict) -> ConfigDict:
    """The settings of fine-tuning, in the form of a supervised run's."""
    return supervised_config(
        config, num_steps=config.finetune_steps, learning_rate=config.finetune_learning_rate
    )


def train_first(config: ConfigDict, workdir: Path) -> Path:
    """Trains the networks of all seeds as a run of its own, and returns its directory."""
    directory, plain = workdir / "trained", supervised_config(config)
    processes.from_first(lambda: workdirs.prepare(directory, plain))
    experiment.load(plain.experiment).run(plain, directory)
    return directory


def load(program: Program, directory: Path, seed: int) -> Trained:
    """Reads a trained network.

    Raises:
      UserError: the run is not one of this network, lacks the seed, or is not finished.
    """
    found = processes.from_first(lambda: _config_of_run(program.config, directory, seed))
    config = Settings(found)
    at = seeds.directories(directory, config)[seed]
    if not processes.from_first(lambda: image_runs.same_images(program.network.data, at)):
        raise UserError(f"trained = {at} is a run on other images than this study's")
    template = classification.init_state(program.network, config, seed)
    state = fine_tuning.read_checkpoint(at, template)
    if state is None or int(state.step) < config.num_steps:
        raise UserError(f"trained = {at} has not finished training; run it again to resume")
    params = classification.evaluated_params(state)
    return fine_tuning.measure_trained(program, seed, params, state.model_state)


def _config_of_run(config: ConfigDict, directory: Path, seed: int) -> dict[str, Any]:
    """The settings of a run that the study can start from."""
    found = runs.read_config(directory)
    if found["experiment"] != "supervised":
        raise UserError(f"trained = {directory} is not a run of the experiment supervised")
    architecture = networks.ARCHITECTURE.get(config.model, ())
    others = [name for name in (*_SHARED, *architecture) if found.get(name) != config[name]]
    if others:
        changes = ", ".join(f"{n}: {found.get(n)} there, {config[n]} here" for n in others)
        flags = " ".join(f"--config.{name}={found.get(name)}" for name in others)
        raise UserError(
            f"trained = {directory} is a run of another network ({changes}); set {flags}"
        )
    at = seeds.directories(directory, Settings(found)).get(seed)
    if at is None or not (at / "checkpoints").is_dir():
        raise UserError(f"trained = {directory} holds no checkpoints of seed {seed}")
    return found


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    check_at_least(
        config,
        {
            "num_seeds": 1,
            "finetune_steps": 1,
            "finetune_learning_rate": 0,
            "mask_every": 1,
            "gradual_steps": config.mask_every,
        },
    )
    outside = [s for s in config.sparsities if not 0 <= s < 1]
    if outside:
        raise UserError(f"sparsities must lie in [0, 1), got {outside[0]}")
    if not config.sparsities or len(set(config.sparsities)) < len(config.sparsities):
        raise UserError("sparsities must hold at least one sparsity, each of them once")
    if not config.methods or not set(config.methods) <= set(METHODS):
        raise UserError(f"methods = {tuple(config.methods)} must hold some of {', '.join(METHODS)}")
    if config.gradual_steps > config.finetune_steps or config.gradual_steps % config.mask_every:
        raise UserError(
            f"gradual_steps = {config.gradual_steps} must be a multiple of mask_every = "
            f"{config.mask_every} and at most finetune_steps = {config.finetune_steps}"
        )
    classification.check_in_memory(config)
    classification.check(supervised_config(config))
    classification.check(finetune_config(config))
