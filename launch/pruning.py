"""MIR and HDR between the features of a network before and after pruning (Figure 6)."""

import itertools
import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.training import processes
from infojax.training.progress import Progress
from infojax.training.recorder import append_line, read_lines
from launch import fine_tuning, plots, pruning_summary, seeds, supervised
from launch import workdir as workdirs
from launch.fine_tuning import METHODS, Study, Trained

POINTS = "points.jsonl"
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
_NETWORK = (  # what a trained run must have in common with the study
    "dataset",
    "train_size",
    "validation_fraction",
    "depth",
    "width",
    "num_groups",
    "first_stride",
)


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains the networks if none are given, and prunes them to each point not done yet."""
    check(config)
    path = workdir / POINTS
    recorded = processes.from_first(lambda: read_lines(path))
    done = [(p["seed"], p["method"], p["sparsity"]) for p in recorded]
    every = [(seed, *point) for seed in _seeds(config) for point in points(config)]
    left = [point for point in every if point not in done]
    if left:
        directory = Path(config.trained) if config.trained else train_first(config, workdir)
        study = fine_tuning.build(config, finetune_config(config))
    with Progress(len(every), len(done), ("seed", "sparsity")) as bar:
        for seed, of_seed in itertools.groupby(left, lambda point: point[0]):
            trained = load(study, directory, seed)
            for _, method, sparsity in of_seed:
                point = {"seed": seed, "method": method, "sparsity": sparsity}
                at = workdir / f"seed-{seed}" / f"{method},sparsity={sparsity}"
                found = fine_tuning.prune(study, trained, method, sparsity, at)
                if processes.first():
                    append_line(path, point | found)
                done.append((seed, method, sparsity))
                bar.update(len(done), point)
            report(config, workdir)
    report(config, workdir)


def report(config: ConfigDict, workdir: Path) -> None:
    """Writes the summary of the points that are done, and draws the figures."""
    if not processes.first():
        return
    summary = pruning_summary.summarize(read_lines(workdir / POINTS), config)
    workdirs.write_json(workdir / "summary.json", summary)
    plots.draw([workdir], workdir / "figures")


def points(config: ConfigDict) -> list[tuple[str, float]]:
    """Methods and sparsities; a sparsity of 0 is the same for all methods, the first one's."""
    pairs = itertools.product(config.methods, config.sparsities)
    return [(m, float(s)) for m, s in pairs if s > 0 or m == config.methods[0]]


def supervised_config(config: ConfigDict, **changes: Any) -> ConfigDict:
    """The settings of the study that a supervised run has."""
    plain = config.copy_and_resolve_references()
    with plain.unlocked():
        for name in _STUDY:
            del plain[name]
        plain.experiment = "supervised"
    plain.update(changes)
    return plain


def finetune_config(config: ConfigDict) -> ConfigDict:
    """The settings of fine-tuning, as a supervised run has them."""
    return supervised_config(
        config, num_steps=config.finetune_steps, learning_rate=config.finetune_learning_rate
    )


def train_first(config: ConfigDict, workdir: Path) -> Path:
    """Trains the networks of all seeds as a run of its own, and returns its directory."""
    directory = workdir / "trained"
    plain = supervised_config(config)
    processes.from_first(lambda: workdirs.prepare(directory, plain))
    supervised.run(plain, directory)
    return directory


def load(study: Study, directory: Path, seed: int) -> Trained:
    """Reads a trained network.

    Raises:
      UserError: the run is not one of this network, lacks the seed, or is not finished.
    """
    config = ConfigDict(processes.from_first(lambda: _config_of_run(study.config, directory, seed)))
    at = seeds.directories(directory, config)[seed]
    state = fine_tuning.read_checkpoint(at, supervised.init_state(study.program, config, seed))
    if state is None or int(state.step) < config.num_steps:
        raise UserError(f"trained = {at} is not trained to its end yet; run it again to go on")
    return fine_tuning.trained(study, seed, supervised.evaluated_params(state), state.model_state)


def _config_of_run(config: ConfigDict, directory: Path, seed: int) -> dict[str, Any]:
    """The settings of a run that a study can start from."""
    path = directory / "config.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"trained = {directory} is not a run: it has no config.json") from error
    if found.get("experiment") != "supervised":
        raise UserError(f"trained = {directory} is not a run of the experiment supervised")
    others = [name for name in _NETWORK if found.get(name) != config[name]]
    if others:
        changes = ", ".join(f"{n}: {found.get(n)} there, {config[n]} here" for n in others)
        flags = " ".join(f"--config.{name}={found.get(name)}" for name in others)
        raise UserError(
            f"trained = {directory} is a run of another network ({changes}); set {flags}"
        )
    at = seeds.directories(directory, ConfigDict(found)).get(seed)
    if at is None or not (at / "checkpoints").is_dir():
        raise UserError(f"trained = {directory} holds no checkpoints of seed {seed}")
    return found


def _seeds(config: ConfigDict) -> range:
    return range(config.seed, config.seed + config.num_seeds)


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    seeds.check_at_least(
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
    supervised.check(supervised_config(config))
    supervised.check(finetune_config(config))
