"""Few labels: FixMatch, FreeMatch and the information losses (Table 1).

From data to metric: `semisupervised_loss` draws labelled, weakly and strongly augmented images and
passes them through the network together, `training.train_step` updates, `supervised.make_evaluate`
measures.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.data import images, labelled
from infojax.errors import UserError
from infojax.methods import freematch
from infojax.models.wide_resnet import WideResNet, head_of
from infojax.training import evaluation, processes
from infojax.training.recorder import read_records
from launch import classifier, observations, plots, seeds, supervised
from launch import semisupervised_loss as loss
from launch.workdir import write_json

METHODS = ("supervised", "fixmatch", "freematch")
# Fields that one compiled program serves in every value: they are arguments of its step.
TRACED = frozenset(
    {
        "seed",
        "label_seed",
        "unsupervised_weight",
        "fairness_weight",
        "mi_weight",
        "id_weight",
        "learning_rate",
        "weight_decay",
    }
)
_STL_WARNING = (
    "stl10: about 7,500 of its 100,000 unlabelled images are copies of test images "
    "(arXiv:2506.03582); test accuracies are to be read with that in mind"
)


class Program(NamedTuple):
    """What all seeds and all values of `TRACED` share.

    Attributes:
      network: data, model, the step and what measures the evaluated parameters.
      measure_raw: measures the parameters themselves.
      pool: images and labels of `Data`.
    """

    network: supervised.Program
    measure_raw: Any
    pool: tuple[np.ndarray, np.ndarray]


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    program = build(config)
    for seed, directory in seeds.directories(workdir, config).items():
        run_seed(program, config, seed, directory)
    if not processes.first():
        return
    histories = seeds.histories(workdir, config)
    observed = [_observed(history, program, config) for history in histories]
    summary = observations.summarize(histories, observed)
    if config.dataset == "stl10":
        summary["note"] = _STL_WARNING
    write_json(workdir / "summary.json", summary)
    plots.draw([workdir], workdir / "figures")


def _observed(history: list[dict[str, float]], program: Program, config: ConfigDict) -> dict:
    split, n = program.network.split, config.metric_batch_sizes[0]
    found = observations.of_supervised(history, split, n, program.network.data.num_classes)
    last, best = history[-1], f"{split}/best_accuracy"
    text = f"best {split} accuracy over the evaluations, as the papers report it"
    found["best_accuracy"] = {"text": text, "measured": last[best], "holds": True}
    if config.method != "supervised":
        passed, right = last["batch/mask_rate"], last["batch/pseudo_label_accuracy"]
        text = f"share of right pseudo-labels among the {passed:.0%} that pass in the last batch"
        text += " (above the test accuracy)"
        holds = right > last[f"{split}/accuracy"]
        found["pseudo_labels"] = {"text": text, "measured": right, "holds": holds}
    return found


def build(config: ConfigDict) -> Program:
    """Returns the data and the functions that train and measure on them."""
    check(config)
    data = supervised.load_data(config)
    # Before anything is compiled: it may not be drawn.
    labelled.draw(data.train.labels, config.num_labels, data.num_classes, config.label_seed)
    unlabelled = None
    if config.method != "supervised":
        unlabelled = images.load_unlabelled(config.dataset, config.data_dir)
    if config.dataset == "stl10" and processes.first():
        print(f"warning: {_STL_WARNING}", flush=True)
    model = classifier.make_model(config, data.num_classes)
    network = supervised.Program(
        data,
        supervised.split_of(config),
        model,
        training.make_train_step(make_update(config, model, data), jax.default_backend() != "cpu"),
        *supervised.make_measures(config, _make_forward(model, data)),
    )
    only_accuracy = evaluation.Metrics((), False)
    raw = evaluation.make_measure(_make_forward(model, data), head_of, only_accuracy)
    return Program(network, raw, labelled.pool(data, unlabelled))


def _make_forward(model: WideResNet, data: images.ImageData) -> evaluation.Forward:
    forward = classifier.make_forward(model, data)
    return lambda params, model_state, batch: forward(
        params, loss.statistics_of(model_state), batch
    )


def make_update(config: ConfigDict, model: WideResNet, data: images.ImageData) -> training.Update:
    """Returns loss, optimiser and what else makes an update."""
    terms = loss.LABELLED_TERMS + loss.UNLABELLED_TERMS * (config.method != "supervised")
    return training.Update(
        loss.make_loss(config, model, data),
        classifier.make_optimizer(config),
        config.ema_decay or None,
        terms=terms,
    )


def init_state(program: Program, config: ConfigDict, seed: int) -> training.TrainState:
    """Returns a seed's state before training, thresholds included."""
    network = program.network
    params, model_state = supervised.init_variables(network, seed)
    if config.method != "supervised":
        model_state["freematch"] = freematch.init(network.data.num_classes)
    return training.init_state(
        make_update(config, network.model, network.data), params, model_state
    )


def held_data(program: Program, config: ConfigDict, seed: int) -> loss.Data:
    """Puts all images on every device of this process, with a seed's labelled set and key."""
    names = ("unsupervised_weight", "fairness_weight", "mi_weight", "id_weight")
    weights = loss.Weights(*(jnp.float32(config[name]) for name in names))
    key = jax.random.fold_in(jax.random.key(seed), 1)
    rows = labelled_set(program, config, seed)
    x, y = program.pool
    held = loss.Data(jnp.asarray(x), jnp.asarray(y), jnp.asarray(rows), key, weights)
    return training.replicate(held)


def labelled_set(program: Program, config: ConfigDict, seed: int) -> np.ndarray:
    """Indices of a seed's labelled images: runs of other methods have the same."""
    data = program.network.data
    return labelled.draw(
        data.train.labels, config.num_labels, data.num_classes, _label_seed(config, seed)
    )


def _label_seed(config: ConfigDict, seed: int) -> int:
    return config.label_seed + seed - config.seed


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or goes on with it; returns its final state."""
    if processes.first():
        rows = labelled_set(program, config, seed).tolist()
        directory.mkdir(parents=True, exist_ok=True)
        content = {"label_seed": _label_seed(config, seed), "indices": rows}
        write_json(directory / "labelled.json", content)
    network, held = program.network, held_data(program, config, seed)
    return seeds.fit(
        directory,
        config,
        init_state(program, config, seed),
        lambda state, count: network.advance(state, held, count),
        _make_evaluate(program, config, directory),
        supervised.eval_steps(config),
        supervised.shown(network, config),
    )


def _make_evaluate(
    program: Program, config: ConfigDict, directory: Path
) -> Callable[[training.TrainState], training.Metrics]:
    """What `supervised` measures, the parameters without averaging, and the best accuracy yet."""
    split = program.network.split
    accuracy, best = f"{split}/accuracy", f"{split}/best_accuracy"
    measure = supervised.make_evaluate(program.network, config)
    shards = evaluation.shard(program.network.data.test, config.eval_batch_size)

    def evaluate(replicated: training.TrainState) -> training.Metrics:
        metrics = measure(replicated)
        raw = program.measure_raw("raw", replicated.params, replicated.model_state, shards)
        before = processes.from_first(lambda: [r[accuracy] for r in read_records(directory)])
        metrics[best] = max([*before, metrics[accuracy]])
        return metrics | {f"{split}/raw_{name[4:]}": value for name, value in raw.items()}

    return evaluate


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run; the data check their own."""
    supervised.check_shared(config)
    seeds.check_at_least(
        config,
        {
            "unlabelled_ratio": 1,
            "num_labels": 0,
            "label_seed": 0,
            "unsupervised_weight": 0,
            "fairness_weight": 0,
        },
    )
    if config.method not in METHODS:
        raise UserError(f"method = {config.method!r} is unknown; use one of {', '.join(METHODS)}")
    if config.batch_size % jax.device_count():
        raise UserError(
            f"batch_size = {config.batch_size} is not a multiple of {jax.device_count()}, the "
            "number of devices"
        )
    if config.batch_size * config.unlabelled_ratio * config.num_steps >= 2**31:
        raise UserError("batch_size times unlabelled_ratio times num_steps must be below 2^31")
    if not 0 <= config.threshold_momentum < 1:
        raise UserError(f"threshold_momentum must lie in [0, 1), got {config.threshold_momentum}")
    if not 0 <= config.fixed_threshold <= 1:
        raise UserError(f"fixed_threshold must lie in [0, 1], got {config.fixed_threshold}")
