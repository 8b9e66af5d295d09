"""Few-shot fine-tuning on frozen image-text features: cross-entropy with texts, and with CMA."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from infojax import alignment
from infojax.data import few_shot
from infojax.data.few_shot import Features, Shots
from infojax.errors import UserError
from infojax.models import adapters
from infojax.training import processes, storage
from launch import adaptation, plots, seeds
from launch.adaptation import Measures, Outcome, Plan, Task
from launch.ledger import Ledger
from launch.plots.crossmodal import figures as figures
from launch.results import crossmodal
from launch.results.crossmodal import METHODS
from launch.settings import check_at_least, check_choice

WHY_NOT_LONGER = "the learning rate follows a cosine over num_steps"
_HEADS = {
    "linear_probe": lambda config: adapters.LinearProbe(),
    "image_adapter": lambda config: adapters.ImageAdapter(config.adapter_width),
    "two_adapters": lambda config: adapters.TwoAdapters(config.adapter_width),
}


class Program(NamedTuple):
    """A head's compiled functions, which all its points share."""

    fine_tune: Callable[[Task, Plan], Outcome]
    measure: Callable[[Features, Any], Measures]


def run(config: ConfigDict, workdir: Path) -> None:
    """Fine-tunes every head on every model at every number of shots, and summarises."""
    check(config)
    processes.from_first(lambda: _adapt(config, workdir))  # one process is enough


def _adapt(config: ConfigDict, workdir: Path) -> None:
    models = {name: few_shot.load(Path(config.data_dir), name) for name in config.features}
    for features in models.values():  # fail early if shots cannot be drawn
        few_shot.draw_shots(features, max(config.shots), config.seed)
    programs = {name: build(name, config) for name in config.heads}
    untrained = [(features.name, None, None) for features in models.values()]
    keys = [*untrained, *itertools.product(models, config.heads, config.shots)]
    with Ledger(workdir, ("model", "head", "shots"), keys, ("shots", *METHODS)) as book:
        for key in list(book.missing):
            name, head, shots = key
            if head is None:
                book.append(key, before(models[name], config.chance_permutations))
                continue
            point = train_point(programs[head], models[name], shots, config)
            accuracy = {m: float(np.mean(point["test_accuracy"][m])) for m in METHODS}
            book.append(key, point, {"shots": shots, **accuracy})
    storage.write_json(workdir / "summary.json", crossmodal.summarize(book.points))
    plots.draw(figures, [workdir], workdir / "figures")


def build(name: str, config: ConfigDict) -> Program:
    """Returns the functions that train and measure a head."""
    model = _HEADS[name](config)
    return Program(
        adaptation.make_fine_tune(model, config.learning_rates[name], config),
        adaptation.make_measure(model, config.chance_permutations),
    )


def before(features: Features, permutations: int) -> dict[str, Any]:
    """Zero-shot accuracy, and the measures of the features before fine-tuning."""
    measures = jax.jit(adaptation.measure, static_argnums=5)(
        features.images,
        features.texts,
        features.labels,
        features.test,
        adaptation.class_members(features),
        permutations,
    )
    return {
        "zero_shot": adaptation.zero_shot(features),
        "measures": {k: np.asarray(v).tolist() for k, v in measures.named().items()},
    }


def train_point(
    program: Program, features: Features, shots: int, config: ConfigDict
) -> dict[str, Any]:
    """Trains all seeds and objectives, chooses λ and measures; returns the record."""
    started = time.monotonic()
    draws = [few_shot.draw_shots(features, shots, seed) for seed in seeds.of(config)]
    outcome = program.fine_tune(_task(features), _plan(features, draws, seeds.of(config), config))
    losses, hits = np.asarray(outcome.losses), np.asarray(outcome.hits)  # [S, objectives, N]
    if not np.all(np.isfinite(losses)):
        raise FloatingPointError(
            f"not finite: a loss of {features.name} at {shots} shots; lower learning_rates"
        )
    chosen = np.array([_best(x[2:], h[2:], d) for x, h, d in zip(losses, hits, draws, strict=True)])
    rows = np.arange(len(draws))[:, None]
    columns = np.stack([np.full_like(chosen, 0), np.full_like(chosen, 1), chosen + 2], 1)
    params = jax.tree.map(lambda x: x[rows, columns].reshape(-1, *x.shape[2:]), outcome.params)
    measures = program.measure(features, params).named()
    test = np.mean(hits[:, :, features.test], 2)
    return {
        "test_accuracy": _by_method(test[rows, columns]),
        "alignment_weight": [config.alignment_weights[i] for i in chosen],
        "by_weight": _by_weight(hits, test, draws, config),
        "measures": {
            name: _by_method(np.asarray(x).reshape(*columns.shape, *x.shape[1:]))
            for name, x in measures.items()
        },
        "seconds": round(time.monotonic() - started, 2),
    }


def _by_weight(
    hits: np.ndarray, test: np.ndarray, draws: list[Shots], config: ConfigDict
) -> dict[str, dict[str, list[float]]]:
    """Accuracies of each seed at every λ, from hits [S, objectives, N]."""
    validation = np.stack(
        [np.mean(h[:, d.validation], 1) for h, d in zip(hits, draws, strict=True)]
    )
    return {
        str(weight): {"validation": validation[:, i].tolist(), "test": test[:, i].tolist()}
        for i, weight in enumerate(config.alignment_weights, 2)
    }


def _task(features: Features) -> Task:
    num_prompts, num_classes, d = features.prompts.shape
    classes = np.tile(np.arange(num_classes, dtype=np.int32), num_prompts)
    return Task(
        np.concatenate([features.images, features.prompts.reshape(-1, d)]),
        np.concatenate([features.labels, classes]),
        len(features.images),
        features.texts,
    )


def _plan(features: Features, draws: list[Shots], seeds: range, config: ConfigDict) -> Plan:
    """Batches of images for CE and CMA, and batches that are half texts for CE with texts."""
    steps, size, half = config.num_steps, config.batch_size, config.batch_size // 2
    num_images = len(features.images)
    texts = np.arange(num_images, num_images + features.prompts[..., 0].size)
    batches = []
    for shots, seed in zip(draws, seeds, strict=True):
        images = few_shot.draw_batches(shots.train, steps, size, seed)
        mixed = np.concatenate(
            [
                few_shot.draw_batches(shots.train, steps, half, seed),
                few_shot.draw_batches(texts, steps, size - half, seed),
            ],
            1,
        )
        batches.append(np.stack([images, mixed] + [images] * len(config.alignment_weights)))
    keys = jax.vmap(jax.random.key)(np.array(seeds))
    weights = np.array([0, 0, *config.alignment_weights], np.float32)
    return Plan(keys, np.stack(batches), weights)


def _best(losses: np.ndarray, hits: np.ndarray, shots: Shots) -> int:
    """Index of the weight with the best validation accuracy; ties go to the lowest loss.

    Args:
      losses: cross-entropy of all images [weights, N].
      hits: of all images [weights, N].
      shots: with the validation images.
    """
    accuracy = np.sum(hits[:, shots.validation], 1)
    return int(np.lexsort((np.mean(losses[:, shots.validation], 1), -accuracy))[0])


def _by_method(values: np.ndarray) -> dict[str, list]:
    """Splits values [S, methods, ...] into a list over seeds for each method."""
    return {method: values[:, i].tolist() for i, method in enumerate(METHODS)}


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    positive = ("num_seeds", "adapter_width")
    not_negative = ("seed", "logit_scale", "weight_decay", "chance_permutations")
    several = ("num_steps", "batch_size")  # one step warms up; a batch mixes images and texts
    limits = {n: k for k, names in enumerate((not_negative, positive, several)) for n in names}
    check_at_least(config, limits)
    check_at_least(config.learning_rates, dict.fromkeys(config.learning_rates, 0))
    if config.batch_size * config.num_steps >= 2**28:
        raise UserError("batch_size times num_steps must be below 2^28")
    for name in ("features", "heads", "shots", "alignment_weights"):
        if not config[name] or len(set(config[name])) < len(config[name]):
            raise UserError(f"{name} must not be empty, and hold each value once")
    unknown = [head for head in config.heads if head not in _HEADS]
    if unknown:
        raise UserError(f"heads holds {unknown[0]!r}; use some of {', '.join(_HEADS)}")
    unset = [head for head in config.heads if head not in config.learning_rates]
    if unset:
        raise UserError(f"learning_rates lacks the head {unset[0]!r}")
    if min(config.shots) < 1:
        raise UserError(f"shots must be at least 1, got {min(config.shots)}")
    outside = [weight for weight in config.alignment_weights if not 0 < weight <= 1]
    if outside:
        raise UserError(f"alignment_weights must lie in (0, 1], got {outside[0]}")
    check_choice(config, "variant", alignment.VARIANTS)
