"""Few-shot fine-tuning on frozen image-text features: cross-entropy with texts, and with CMA."""

import time
from collections import Counter
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
from infojax.training import processes
from infojax.training.progress import Progress
from infojax.training.recorder import append_line, read_lines
from launch import adaptation, paired, plots
from launch.adaptation import Measures, Outcome, Plan, Task
from launch.observations import spread
from launch.seeds import check_at_least
from launch.workdir import write_json

POINTS = "points.jsonl"
METHODS = ("ce", "ce_texts", "ce_cma")
COMPARISONS = (("ce_cma", "ce"), ("ce_texts", "ce"), ("ce_cma", "ce_texts"))
_HEADS = {
    "linear_probe": lambda config: adapters.LinearProbe(),
    "image_adapter": lambda config: adapters.ImageAdapter(config.adapter_width),
    "two_adapters": lambda config: adapters.TwoAdapters(config.adapter_width),
}


def run(config: ConfigDict, workdir: Path) -> None:
    """Fine-tunes every head on every model at every number of shots, and sums up."""
    _check(config)
    if not processes.first():  # one process is enough
        return
    models = [few_shot.load(Path(config.data_dir), name) for name in config.features]
    for features in models:  # what cannot be drawn is said before anything is trained
        few_shot.draw_shots(features, max(config.shots), config.seed)
    path = workdir / POINTS
    points = [(f, head, shots) for f in models for head in config.heads for shots in config.shots]
    done = {(p["model"], p.get("head"), p.get("shots")) for p in read_lines(path)}
    for features in models:
        if (features.name, None, None) not in done:
            append_line(path, {"model": features.name, **before(features)})
    heads = {name: build(name, config) for name in config.heads}
    with Progress(len(points), 0, ("shots", *METHODS)) as progress:
        for i, (features, head, shots) in enumerate(points, 1):
            if (features.name, head, shots) in done:
                continue
            line = train_point(heads[head], features, shots, config)
            append_line(path, {"model": features.name, "head": head, "shots": shots, **line})
            accuracy = {m: float(np.mean(line["test_accuracy"][m])) for m in METHODS}
            progress.update(i, {"shots": shots, **accuracy})
    write_json(workdir / "summary.json", summarize(read_lines(path)))
    plots.draw([workdir], workdir / "figures")


class Head(NamedTuple):
    """A head's compiled functions."""

    fine_tune: Callable[[Task, Plan], Outcome]
    measure: Callable[[Features, Any], Measures]


def build(name: str, config: ConfigDict) -> Head:
    """Returns the functions of a head that train and measure it."""
    model = _HEADS[name](config)
    return Head(
        adaptation.make_fine_tune(model, config.learning_rates[name], config),
        adaptation.make_measure(model),
    )


def before(features: Features) -> dict[str, Any]:
    """Zero-shot accuracy, and the measures of the features as they are."""
    hits = np.argmax(features.images @ features.texts.T, 1) == features.labels
    measures = jax.jit(adaptation.measure)(
        features.images,
        features.texts,
        features.labels,
        features.test,
        adaptation.class_members(features),
    )
    return {
        "zero_shot": {"all": float(np.mean(hits)), "test": float(np.mean(hits[features.test]))},
        "measures": {k: np.asarray(v).tolist() for k, v in measures._asdict().items()},
    }


def train_point(head: Head, features: Features, shots: int, config: ConfigDict) -> dict[str, Any]:
    """Trains all seeds and objectives, chooses λ, measures; returns what is recorded."""
    started = time.monotonic()
    seeds = range(config.seed, config.seed + config.num_seeds)
    draws = [few_shot.draw_shots(features, shots, seed) for seed in seeds]
    outcome = head.fine_tune(_task(features), _plan(features, draws, seeds, config))
    losses, hits = np.asarray(outcome.losses), np.asarray(outcome.hits)  # [S, objectives, N]
    if not np.all(np.isfinite(losses)):
        raise FloatingPointError(
            f"not finite: a loss of {features.name} at {shots} shots; lower learning_rates"
        )
    chosen = np.array([_best(x[2:], h[2:], d) for x, h, d in zip(losses, hits, draws, strict=True)])
    rows = np.arange(len(seeds))[:, None]
    columns = np.stack([np.full_like(chosen, 0), np.full_like(chosen, 1), chosen + 2], 1)
    params = jax.tree.map(lambda x: x[rows, columns].reshape(-1, *x.shape[2:]), outcome.params)
    measures = head.measure(features, params)._asdict()
    test = np.mean(hits[:, :, features.test], 2)
    validation = np.stack(
        [np.mean(h[:, d.validation], 1) for h, d in zip(hits, draws, strict=True)]
    )
    return {
        "test_accuracy": _by_method(test[rows, columns]),
        "alignment_weight": [config.alignment_weights[i] for i in chosen],
        "by_weight": {
            str(weight): {"validation": validation[:, i].tolist(), "test": test[:, i].tolist()}
            for i, weight in enumerate(config.alignment_weights, 2)
        },
        "measures": {
            name: _by_method(np.asarray(x).reshape(*columns.shape, *x.shape[1:]))
            for name, x in measures.items()
        },
        "seconds": round(time.monotonic() - started, 2),
    }


def summarize(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns what summary.json holds: accuracies, and every comparison with its interval."""
    trained = [p for p in points if "head" in p]
    results = []
    for point in trained:
        accuracy = point["test_accuracy"]
        results.append(
            {
                **{name: point[name] for name in ("model", "head", "shots")},
                "test_accuracy": {m: spread(accuracy[m]) for m in METHODS},
                "alignment_weight": point["alignment_weight"],
                "differences": {
                    f"{a} - {b}": paired.difference(accuracy[a], accuracy[b])
                    for a, b in COMPARISONS
                },
            }
        )
    return {
        "seconds": sum(point["seconds"] for point in trained),
        "zero_shot": {p["model"]: p["zero_shot"] for p in points if "zero_shot" in p},
        "results": results,
        "verdicts": {
            name: Counter(r["differences"][name]["verdict"] for r in results)
            for name in (f"{a} - {b}" for a, b in COMPARISONS)
        },
        "over_models_and_heads": pool(trained),
        "observations": observe(trained),
    }


def observe(points: list[dict[str, Any]]) -> dict[str, Any]:
    """What CMA is for, counted over models, heads and numbers of shots; held if in most."""
    differences = [
        paired.difference(p["test_accuracy"]["ce_cma"], p["test_accuracy"]["ce"]) for p in points
    ]
    gaps = [{m: np.mean(v) for m, v in p["measures"]["modality_gap"].items()} for p in points]
    counts = {
        "more_accurate": (
            "CE + CMA is more accurate than CE alone, 95 % confidence interval above 0",
            sum(d["verdict"] == "higher" for d in differences),
        ),
        "smaller_gap": (
            "the modality gap of test images is smaller with CE + CMA than with CE alone",
            sum(bool(gap["ce_cma"] < gap["ce"]) for gap in gaps),
        ),
    }
    return {
        name: {
            "text": f"{text} (settings, of {len(points)})",
            "measured": count,
            "holds": 2 * count > len(points),
        }
        for name, (text, count) in counts.items()
    }


def pool(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Compares methods at each number of shots, by each seed's mean over models and heads."""
    pooled: dict[str, Any] = {}
    for shots in sorted({point["shots"] for point in points}):
        own = [point["test_accuracy"] for point in points if point["shots"] == shots]
        means = {m: np.mean([accuracy[m] for accuracy in own], 0).tolist() for m in METHODS}
        pooled[str(shots)] = {
            f"{a} - {b}": paired.difference(means[a], means[b]) for a, b in COMPARISONS
        }
    return pooled


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
    """Batches of images for CE and CMA, and of as many texts as images for CE with texts."""
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
    """The weight of the best validation accuracy; of several, that of the lowest loss.

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


def _check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    positive = ("num_seeds", "num_steps", "batch_size", "adapter_width")
    check_at_least(config, dict.fromkeys(positive, 1) | {"batch_size": 2, "seed": 0})
    for name in ("features", "heads", "shots", "alignment_weights"):
        if not config[name]:
            raise UserError(f"{name} must not be empty")
    unknown = [head for head in config.heads if head not in _HEADS]
    if unknown:
        raise UserError(f"heads holds {unknown[0]!r}; use some of {', '.join(_HEADS)}")
    if min(config.shots) < 1:
        raise UserError(f"shots must be at least 1, got {min(config.shots)}")
    outside = [weight for weight in config.alignment_weights if not 0 < weight <= 1]
    if outside:
        raise UserError(f"alignment_weights must lie in (0, 1], got {outside[0]}")
    if config.variant not in alignment.VARIANTS:
        known = ", ".join(alignment.VARIANTS)
        raise UserError(f"variant = {config.variant!r} is unknown; use one of {known}")
