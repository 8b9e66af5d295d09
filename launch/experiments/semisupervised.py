"""Few labels: FixMatch, FreeMatch and the information losses (Table 1).

Like image classification, except for the batch and its loss, which are in `launch.few_labels`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.data import images, labelled
from infojax.errors import UserError
from infojax.methods import freematch
from infojax.training import evaluation, processes, storage
from launch import classification, few_labels, image_runs, seeds
from launch.image_runs import read_network as read_network
from launch.plots.semisupervised import figures as figures
from launch.results import observations, semisupervised
from launch.runs import model_name
from launch.settings import check_at_least, check_below_one, check_choice
from launch.updates import WHY_NOT_LONGER as WHY_NOT_LONGER

# Fields that are arguments of the compiled step: one program serves all their values.
TRACED = frozenset(
    {
        *("seed", "label_seed", "learning_rate", "weight_decay"),
        *("unsupervised_weight", "fairness_weight", "mi_weight", "id_weight"),
    }
)
_STL10 = (
    "stl10: about 7,500 of its 100,000 unlabelled images are copies of test images "
    "(arXiv:2506.03582); read test accuracies with that in mind"
)


class Program(NamedTuple):
    """What all seeds and all values of `TRACED` share.

    Attributes:
      network: data, model, the step, and what measures the evaluated parameters.
      measure_raw: measures the parameters themselves.
      pool: images and labels of `few_labels.Source`.
    """

    network: classification.Program
    measure_raw: classification.Measure
    pool: tuple[np.ndarray, np.ndarray]


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    check(config)
    program = build(config)
    observe = functools.partial(
        semisupervised.observe, config=config, num_classes=program.network.data.num_classes
    )

    def summarize(histories):
        note = {"note": _STL10} if config.dataset == "stl10" else {}
        about = {"model": model_name(config)}
        return about | observations.summarize(histories, observe) | note

    run_one = functools.partial(run_seed, program, config)
    seeds.run(config, workdir, run_one, summarize, figures)


def build(config: ConfigDict) -> Program:
    """Returns the data, and the functions that train and measure on them."""
    if config.dataset == "stl10" and processes.first():
        print(f"warning: {_STL10}", flush=True)
    network = classification.build(config, few_labels.make_update)
    labelled_set(network, config, config.seed)  # fail early if it cannot be drawn
    if network.data.of_embeddings and config.method != "supervised":
        raise UserError(
            f"method = {config.method!r} augments images, but {config.dataset} holds embeddings: "
            "set method = 'supervised'"
        )
    unlabelled = None
    if config.method != "supervised":
        unlabelled = images.load_unlabelled(config.dataset, config.data_dir, config.image_size)
    forward = classification.make_forward(network.model, network.data)
    head_of = network.model.head_of
    raw = evaluation.make_measure(forward, head_of, evaluation.Metrics((), False))
    return Program(network, raw, labelled.pool(network.data, unlabelled))


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or resumes; returns its final state."""
    network, rows = program.network, labelled_set(program.network, config, seed)
    image_runs.describe(network.data, directory)
    if processes.first():
        content = {"label_seed": _label_seed(config, seed), "indices": rows.tolist()}
        storage.write_json(directory / "labelled.json", content)
    methods = {}
    if config.method != "supervised":
        methods = {"freematch": freematch.init(network.data.num_classes)}
    source, split = make_source(program, config, seed, rows), network.split
    plan = classification.plan(network, config, directory)._replace(
        evaluate=_make_evaluate(program, config),
        best={f"{split}/best_accuracy": f"{split}/accuracy"},
    )
    return training.fit(
        classification.init_state(network, config, seed, methods),
        lambda state, count: network.advance(state, source, count),
        plan,
    )


def make_source(
    program: Program, config: ConfigDict, seed: int, rows: np.ndarray
) -> few_labels.Source:
    """Puts all images, a seed's labelled set and its key on every device of this process."""
    names = ("unsupervised_weight", "fairness_weight", "mi_weight", "id_weight")
    weights = few_labels.Weights(*(jnp.float32(config[name]) for name in names))
    key = jax.random.fold_in(jax.random.key(seed), 1)
    x, y, rows_on_device = (jnp.asarray(each) for each in (*program.pool, rows))
    return training.replicate(few_labels.Source(x, y, rows_on_device, key, weights))


def labelled_set(network: classification.Program, config: ConfigDict, seed: int) -> np.ndarray:
    """Indices of a seed's labelled images, the same for all methods."""
    return labelled.draw(
        network.data.train.labels,
        config.num_labels,
        network.data.num_classes,
        _label_seed(config, seed),
    )


def check_on_data(program: Program, built_for: ConfigDict, config: ConfigDict) -> None:
    """Raises UserError if labelled images cannot be drawn from a program's data.

    Settings with other data are not checked.
    """
    fields = ("dataset", "data_dir", "image_size", "train_size", "validation_fraction")
    if all(built_for[name] == config[name] for name in fields):
        labelled_set(program.network, config, config.seed)


def _label_seed(config: ConfigDict, seed: int) -> int:
    return config.label_seed + seed - config.seed


def _make_evaluate(
    program: Program, config: ConfigDict
) -> Callable[[training.TrainState], training.Metrics]:
    """What image classification measures, and metrics of the parameters without averaging."""
    split = program.network.split
    measure = classification.make_evaluate(program.network, config)
    shards = evaluation.shard(program.network.data.test, config.eval_batch_size)

    def evaluate(replicated: training.TrainState) -> training.Metrics:
        raw = program.measure_raw("raw", replicated.params, replicated.model_state, shards)
        named = {f"{split}/raw_{name[4:]}": value for name, value in raw.items()}
        return measure(replicated) | named

    return evaluate


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run, whatever the data."""
    classification.check_shared(config)
    classification.check_in_memory(config)
    not_negative = ("num_labels", "label_seed", "unsupervised_weight", "fairness_weight")
    check_at_least(config, {"unlabelled_ratio": 1} | dict.fromkeys(not_negative, 0))
    check_choice(config, "method", few_labels.METHODS)
    if config.batch_size % jax.device_count():
        raise UserError(
            f"batch_size = {config.batch_size} is not a multiple of {jax.device_count()}, the "
            "number of devices"
        )
    if config.batch_size * config.unlabelled_ratio * config.num_steps >= 2**31:
        raise UserError("batch_size times unlabelled_ratio times num_steps must be below 2^31")
    check_below_one(config, "threshold_momentum")
    if not 0 <= config.fixed_threshold <= 1:
        raise UserError(f"fixed_threshold must lie in [0, 1], got {config.fixed_threshold}")
