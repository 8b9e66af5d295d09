"""Measures a trained network without training it.

python -m launch.evaluate RUN [--dataset=NAME] [--splits=test,train] [--sizes=64,256]
    [--alpha=1] [--layers=all|NAME,...]
"""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from infojax.data.images import Split
from infojax.errors import StorageError, UserError
from infojax.training import storage
from launch import compilations, image_runs, plots, runs
from launch.measuring import Measured, Request, make_measure
from launch.plots import evaluation as plot
from launch.results.observations import spread_by
from launch.trained import Trained

FILE = "evaluation.json"
_LARGEST_CHUNK = 8192  # images of one forward pass
_PERMUTATIONS = 8  # of labels, where the run itself measured no chance level


def main(argv: list[str] | None = None) -> int:
    """Evaluates a run into RUN/evaluation.json and RUN/figures; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        compilations.keep()
        for line in evaluate(arguments):
            print(line)
    except (UserError, StorageError) as error:
        print(f"launch.evaluate: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m launch.evaluate", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--dataset", default="", help="as config.dataset; the run's own if empty")
    parser.add_argument("--data-dir", default="", help="as config.data_dir, for --dataset")
    parser.add_argument("--splits", default="", help="such as test,train; by default as in the run")
    parser.add_argument("--sizes", default="", help="batch sizes; by default as in the run")
    parser.add_argument("--alpha", type=float, default=1.0, help="order of the entropies; 1")
    parser.add_argument("--layers", default="all", help="names; all (blocks), or empty for none")
    return parser


def evaluate(arguments: argparse.Namespace) -> list[str]:
    """Measures all seeds of a run on splits of a data set, and writes what it found.

    Returns:
      Lines that report this.
    """
    config = runs.read_config(arguments.run)
    if "metric_batch_sizes" not in config or "eval_batch_size" not in config:
        raise UserError(
            f"{arguments.run} is a run of {config['experiment']}; runs of image classification "
            "can be evaluated"
        )
    trained = runs.load_seeds(arguments.run)
    dataset = arguments.dataset or config["dataset"]
    splits = _splits(arguments, trained[0])
    request = _request(arguments, trained[0], splits)
    measure = make_measure(trained[0].network, request)
    lines, found = [], {}
    for name, split in splits.items():
        measured = [measure(run, split) for run in trained]
        key = f"{dataset}/{name}" + (f", alpha = {request.alpha:g}" if request.alpha != 1 else "")
        found[key] = {
            "dataset": dataset,
            "split": name,
            "alpha": request.alpha,
            "images": len(split.labels),
            "model": runs.model_name(config),
            "steps": [run.step for run in trained],
            **_over_seeds(measured),
        }
        lines.append(_line(key, found[key], request.sizes[0]))
    path = arguments.run / FILE
    storage.write_json(path, _earlier(path) | found)
    title = f"evaluation_{re.sub(r'[^A-Za-z0-9]+', '_', dataset).strip('_')}"
    title += f"_alpha_{request.alpha:g}" if request.alpha != 1 else ""
    figure = {title: plot.figure(found, request.sizes, len(trained[0].head[0]))}
    return [*lines, f"done: {path} and {plots.save(figure, arguments.run / 'figures')[0]}"]


def _splits(arguments: argparse.Namespace, run: Trained) -> dict[str, Split]:
    """The splits to measure, by name."""
    config = run.config
    if arguments.dataset:
        found = image_runs.other_splits(run, arguments.dataset, arguments.data_dir)
        default = "test" if "test" in found else "train"
    else:
        found, default = image_runs.splits(config), runs.evaluated_split(config)
    names = _listed(arguments.splits) or [default]
    unknown = [name for name in names if name not in found]
    if unknown:
        raise UserError(f"there is no split {unknown[0]!r}; use {', '.join(found)}")
    return {name: found[name] for name in names}


def _request(arguments: argparse.Namespace, run: Trained, splits: dict[str, Split]) -> Request:
    """What to measure, after checking that it can be measured."""
    if not arguments.alpha > 0:
        raise UserError(f"alpha must be positive, got {arguments.alpha:g}")
    try:
        sizes = tuple(map(int, _listed(arguments.sizes))) or tuple(run.config.metric_batch_sizes)
    except ValueError as error:
        raise UserError(f"sizes = {arguments.sizes!r} must be integers, such as 64,256") from error
    for name, split in splits.items():
        if max(sizes) > len(split.labels):
            raise UserError(
                f"sizes holds {max(sizes)}, more than the {len(split.labels)} images of {name}"
            )
    chunk = chunk_size(run.config, sizes)
    layers = _layers(arguments, run, next(iter(splits.values())))
    permutations = run.config.chance_permutations or _PERMUTATIONS
    return Request(sizes, arguments.alpha, layers, chunk, permutations)


def _layers(arguments: argparse.Namespace, run: Trained, split: Split) -> tuple[str, ...]:
    known = run.layer_names(split.images)
    blocks = [name for name in known if "/" not in name]
    if arguments.layers == "all":
        return tuple(blocks)
    names = _listed(arguments.layers)
    unknown = [name for name in names if name not in known]
    if unknown and not known:
        raise UserError("layers are known for Flax linen models only; use --layers=")
    if unknown:
        within = next((name for name in known if "/" in name), "")
        hint = f", and those within them, such as {within}" if within else ""
        raise UserError(f"there is no layer {unknown[0]!r}; use {', '.join(blocks)}{hint}")
    return tuple(names)


def chunk_size(config: ConfigDict, sizes: Sequence[int]) -> int:
    """Returns the images per forward pass: as in the run, rounded to hold batches of all sizes.

    Raises:
      UserError: a size is below 2, or they have no common multiple of reasonable size.
    """
    common = math.lcm(*sizes)
    if min(sizes) < 2 or common > _LARGEST_CHUNK:
        raise UserError(
            f"sizes must be at least 2 and have a common multiple of at most {_LARGEST_CHUNK}, got "
            f"{', '.join(map(str, sizes))}; use several commands for others"
        )
    return common * max(1, config.eval_batch_size // common)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _over_seeds(measured: list[Measured]) -> dict[str, Any]:
    """Mean and spread over seeds of every metric, and of every metric of every layer."""
    spread = lambda each: {n: spread_by("by_seed", [m[n] for m in each]) for n in each[0]}  # noqa: E731
    return {
        "metrics": spread([m.metrics for m in measured]),
        "layers": {name: spread([m.layers[name] for m in measured]) for name in measured[0].layers},
    }


def _line(key: str, found: dict[str, Any], n: int) -> str:
    """The most important numbers of an evaluation, as means over seeds."""
    mirs = [f"{prefix}mir_{n}" for prefix in ("", "chance_", "corrected_")]
    whole = [f"population_{m}" for m in ("mir", "corrected_mir", "hdr")]
    names = ["accuracy", *mirs, f"hdr_{n}", *whole, "nc1"]
    means = {m: found["metrics"][m]["mean"] for m in names if m in found["metrics"]}
    return f"{key}: " + ", ".join(f"{name} {mean:.4g}" for name, mean in means.items())


def _earlier(path: Path) -> dict[str, Any]:
    """The earlier evaluations, by key."""
    if not path.exists():
        return {}
    found = storage.read_object(path)
    if found is None:
        raise UserError(f"{path} cannot be read; move it elsewhere")
    return found


if __name__ == "__main__":
    sys.exit(main())
