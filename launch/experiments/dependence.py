"""What MIR, HDR and entropies of a trained network depend on, one thing varied at a time."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from infojax.data.images import Split
from infojax.errors import UserError
from infojax.training import processes, storage
from launch import image_runs, ledger, plots, runs, seeds, trained, varying
from launch.ledger import Ledger
from launch.plots.dependence import figures as figures
from launch.results import dependence
from launch.settings import check_at_least
from launch.trained import Trained
from launch.varying import Outputs, Varying

_DENSE = 5_000  # rows of a matrix whose eigenvalues take seconds


def run(config: ConfigDict, workdir: Path) -> None:
    """Measures every missing point, and summarises."""
    check(config)
    processes.from_first(lambda: _measure(config, workdir))  # one process is enough


def _measure(config: ConfigDict, workdir: Path) -> None:
    networks = [each for end in finished(Path(config.run)) for each in during(end)]
    splits = read_splits(networks[0], config)
    (_, evaluated), *_ = splits.items()
    names = networks[0].layer_names(evaluated.images)
    blocks = [name for name in names if "/" not in name]
    settings = _settings(config, networks[0], splits, blocks)
    points = varying.values(settings, list(splits)[1:], blocks)
    keys = [(each.seed, each.step, *point) for each in networks for point in points]
    with Ledger(workdir, ("seed", "step", "factor", "value"), keys, ("seed", "step")) as book:
        for each in networks:
            missing = [key for key in book.missing if key[:2] == (each.seed, each.step)]
            measure = Varying(settings, _outputs_of(each, splits, blocks)).measure
            for key in missing:
                book.append(key, measure(*key[2:]), {"seed": each.seed, "step": each.step})
    report(book.points, config, workdir)


def report(points: list[ledger.Point], config: ConfigDict, workdir: Path) -> None:
    """Writes the summary and the table, and draws the figures."""
    about = runs.read_config(Path(config.run))
    summary = dependence.summarize(points, config.batch_size)
    known = {"model": runs.model_name(about), "dataset": about["dataset"]}
    storage.write_json(workdir / "summary.json", known | summary)
    with storage.writing(workdir / "table.md"):
        (workdir / "table.md").write_text(dependence.markdown(summary, config.batch_size))
    plots.draw(figures, [workdir], workdir / "figures")


def finished(directory: Path) -> list[Trained]:
    """Reads the networks of all seeds of a run at its end.

    Raises:
      UserError: it is no run of image classification, or has not finished.
    """
    config = runs.read_config(directory)
    if "metric_batch_sizes" not in config or "eval_batch_size" not in config:
        raise UserError(f"run = {directory} is a run of {config['experiment']}, not of images")
    found = runs.load_seeds(directory)
    for each in found:
        if each.step < config["num_steps"]:
            raise UserError(
                f"run = {directory} has not finished: seed {each.seed} is at step {each.step} of "
                f"{config['num_steps']}"
            )
    return found


def during(end: Trained) -> list[Trained]:
    """Returns a network before training, at the kept checkpoint nearest the middle, and at the end.

    The initial parameters are drawn again from the seed. Without a second checkpoint, there is no
    middle.
    """
    network = end.network
    example = np.zeros((1, *network.input_shape), np.float32)
    params, state = jax.jit(network.model.init)(jax.random.key(end.seed), example)
    start = dataclasses.replace(end, step=0, params=params, model_state=state)
    directory = seeds.directories(end.workdir, end.config)[end.seed]
    names = (path.name for path in (directory / "checkpoints").iterdir())
    kept = {int(name) for name in names if name.isdecimal()} - {end.step}
    if not kept:
        return [start, end]
    step = min(kept, key=lambda step: abs(2 * step - end.step))
    middle = trained.read(end.workdir, end.config, end.seed, directory, network, step)
    return [start, middle, end]


def read_splits(run: Trained, config: ConfigDict) -> dict[str, Split]:
    """Returns the chosen images of each split of the run's data, the evaluated one first."""
    found = image_runs.splits(run.config)
    first = runs.evaluated_split(run.config)
    chosen = {}
    for name in sorted(found, key=lambda name: name != first):
        rows = np.arange(len(found[name].labels))[: config.images or None]
        chosen[name] = Split(found[name].images[rows], found[name].labels[rows])
    return chosen


def _settings(
    config: ConfigDict, run: Trained, splits: dict[str, Split], blocks: list[str]
) -> varying.Settings:
    """How points are measured, after checking that they can be."""
    evaluated = next(iter(splits.values()))
    (num_classes, d), number = run.head[0].shape, len(evaluated.labels)
    kept = (varying.imbalanced(evaluated.labels, num_classes, r) for r in config.imbalances)
    fewest = min(map(len, [*(split.labels for split in splits.values()), *kept]))
    if config.batch_size > fewest:
        raise UserError(
            f"batch_size = {config.batch_size} exceeds the {fewest} images of the smallest point "
            "(a split, or classes of unequal size)"
        )
    width = max(z.shape[1] for z in run.layers(evaluated.images[:1], blocks).values())
    if min(number, width * min(num_classes, d)) > _DENSE:
        raise UserError(
            f"eigenvalues of {width} features times {num_classes} classes take too long; set "
            f"images to {_DENSE} at most"
        )
    return varying.Settings(
        config.batch_size,
        tuple(n for n in sorted(config.batch_sizes) if n < number),
        tuple(config.orders),
        tuple(config.imbalances),
        config.chance_permutations,
    )


def _outputs_of(
    run: Trained, splits: dict[str, Split], blocks: list[str]
) -> Callable[[str], Outputs]:
    """The network's outputs on a split by its name, computed once; "" is the evaluated one."""

    @functools.cache
    def outputs(name: str) -> Outputs:
        chosen = splits[name] if name else next(iter(splits.values()))
        return varying.outputs(run, chosen, blocks if not name else [])

    return outputs


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be measured."""
    if not config.run:
        raise UserError("run must name the directory of a finished run, such as runs/cifar10")
    check_at_least(config, {"images": 0, "batch_size": 2, "chance_permutations": 1})
    if not config.batch_sizes or min(config.batch_sizes) < 2:
        raise UserError("batch_sizes must hold sizes of at least 2")
    if not all(_is_positive(order) for order in config.orders):
        raise UserError(f"orders must hold positive numbers or 'inf', got {tuple(config.orders)}")
    if not all(ratio >= 1 for ratio in config.imbalances):
        raise UserError("imbalances must hold ratios of at least 1")
    labels = {
        "batch_sizes": config.batch_sizes,
        "orders": [float(order) for order in config.orders],
        "imbalances": [f"{ratio:g}" for ratio in config.imbalances],
    }
    for name, values in labels.items():
        if len(set(values)) < len(values):
            raise UserError(f"{name} must hold every value once, got {tuple(config[name])}")


def _is_positive(text: Any) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
