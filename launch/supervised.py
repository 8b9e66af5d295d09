"""Image classification with MIR and HDR along the way (Figures 1 and 2, Table 2).

From data to metric: the loss in `classifier` draws a batch, `training.train_step` updates,
`evaluation.make_measure` measures.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.data import images
from infojax.errors import UserError
from infojax.models.wide_resnet import WideResNet, head_of
from infojax.training import evaluation, processes
from launch import classifier, observations, plots, seeds
from launch.workdir import write_json

# Fields that one compiled program serves in every value: they are arguments of its step.
TRACED = frozenset(
    {"seed", "label_smoothing", "mi_weight", "id_weight", "learning_rate", "weight_decay"}
)


class Program(NamedTuple):
    """What all seeds and all values of `TRACED` share: data, model and compiled functions."""

    data: images.ImageData
    split: str
    model: WideResNet
    advance: training.Advance
    measure: Any
    measure_population: Any


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    program = build(config)
    for seed, directory in seeds.directories(workdir, config).items():
        run_seed(program, config, seed, directory)
    if not processes.first():
        return
    histories = seeds.histories(workdir, config)
    n = config.metric_batch_sizes[0]
    observed = [
        observations.of_supervised(history, program.split, n, program.data.num_classes)
        for history in histories
    ]
    write_json(workdir / "summary.json", observations.summarize(histories, observed))
    plots.draw([workdir], workdir / "figures")


def build(config: ConfigDict) -> Program:
    """Returns the data and the functions that train and measure on them."""
    check(config)
    data = load_data(config)
    model = classifier.make_model(config, data.num_classes)
    loop_on_device = jax.default_backend() != "cpu"
    advance = training.make_train_step(classifier.make_update(config, model, data), loop_on_device)
    measures = make_measures(config, classifier.make_forward(model, data))
    return Program(data, split_of(config), model, advance, *measures)


def load_data(config: ConfigDict) -> images.ImageData:
    """Returns the images to train and to evaluate on."""
    data = images.load(config.dataset, config.data_dir)
    data = images.subset(data, config.train_size, config.validation_fraction)
    if max(config.metric_batch_sizes) > len(data.test.labels):
        raise UserError(
            f"metric_batch_sizes = {config.metric_batch_sizes} exceeds the "
            f"{len(data.test.labels)} images to evaluate on; use smaller ones"
        )
    return data


def split_of(config: ConfigDict) -> str:
    """The name of the split that is evaluated on."""
    return "validation" if config.validation_fraction else "test"


def make_measures(config: ConfigDict, forward: evaluation.Forward) -> tuple[Any, Any]:
    """Returns what measures by batches alone, and what measures the whole split too."""
    sizes = tuple(config.metric_batch_sizes)
    by_batch, whole = (
        evaluation.make_measure(forward, head_of, evaluation.Metrics(sizes, population))
        for population in (False, True)
    )
    return by_batch, whole


def init_state(program: Program, config: ConfigDict, seed: int) -> training.TrainState:
    """Returns a seed's state before training."""
    params, model_state = init_variables(program, seed)
    return training.init_state(
        classifier.make_update(config, program.model, program.data), params, model_state
    )


def init_variables(program: Program, seed: int) -> tuple[training.Params, dict[str, Any]]:
    """Returns a seed's parameters and BatchNorm statistics."""
    init = jax.jit(functools.partial(program.model.init, train=False))
    example = np.zeros((1, *program.data.train.images.shape[1:]), np.float32)
    variables = dict(init(jax.random.key(seed), example))
    return variables.pop("params"), variables


def held_data(program: Program, config: ConfigDict, seed: int, stream: int = 1) -> classifier.Data:
    """Puts the training images on every device of this process, with a key of a seed.

    Another stream gives another order and augmentation; parameters are drawn with none of them.
    """
    names = ("label_smoothing", "mi_weight", "id_weight")
    weights = classifier.Weights(*(jnp.float32(config[name]) for name in names))
    key = jax.random.fold_in(jax.random.key(seed), stream)
    x, y = program.data.train
    return training.replicate(classifier.Data(jnp.asarray(x), jnp.asarray(y), key, weights))


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or goes on with it; returns its final state."""
    state, held = init_state(program, config, seed), held_data(program, config, seed)
    return fit(program, config, state, held, directory)


def fit(
    program: Program,
    config: ConfigDict,
    state: training.TrainState,
    held: classifier.Data,
    directory: Path,
) -> training.TrainState:
    """Trains a state, which need not be of step 0, to the end, or goes on with it."""
    return seeds.fit(
        directory,
        config,
        state,
        lambda state, count: program.advance(state, held, count),
        make_evaluate(program, config),
        eval_steps(config),
        shown(program, config),
    )


def eval_steps(config: ConfigDict) -> list[int]:
    """Steps to evaluate at."""
    return [*range(0, config.num_steps, config.eval_every), config.num_steps]


def shown(program: Program, config: ConfigDict) -> tuple[str, ...]:
    """Names of the metrics on the progress bar."""
    n = config.metric_batch_sizes[0]
    names = ("accuracy", f"mir_{n}", f"hdr_{n}")
    return ("train/loss", *(f"{program.split}/{name}" for name in names))


def make_evaluate(
    program: Program, config: ConfigDict
) -> Callable[[training.TrainState], training.Metrics]:
    """Returns a function of a replicated state that measures the splits a config names."""
    splits = {program.split: program.data.test, "train": program.data.train}
    measured = {
        name: evaluation.shard(split, config.eval_batch_size)
        for name, split in splits.items()
        if name == program.split or name in config.population_splits
    }

    def evaluate(replicated: training.TrainState) -> training.Metrics:
        params = evaluated_params(replicated)
        metrics: training.Metrics = {}
        for name, shards in measured.items():
            whole = name in config.population_splits
            measure = program.measure_population if whole else program.measure
            metrics |= measure(name, params, replicated.model_state, shards)
        return metrics | terms_of(training.single(replicated))

    return evaluate


def evaluated_params(state: training.TrainState) -> training.Params:
    """The moving average of the parameters where there is one."""
    return state.params if state.ema is None else state.ema


def terms_of(state: training.TrainState) -> training.Metrics:
    """The terms of the loss of the latest batch; none before the first."""
    if int(state.step) == 0:
        return {}
    terms = {"loss": state.loss, **state.terms}
    return {f"batch/{name}": float(value) for name, value in terms.items()}


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run; the data check their own."""
    check_shared(config)
    seeds.check_at_least(config, {"accumulate_steps": 1})
    parts = config.accumulate_steps * jax.device_count()
    if config.batch_size % parts:
        raise UserError(
            f"batch_size = {config.batch_size} is not a multiple of {parts}, the number of devices "
            "times accumulate_steps"
        )
    if config.batch_size * config.num_steps >= 2**31:
        raise UserError("batch_size times num_steps must be below 2^31")
    if not 0 <= config.label_smoothing < 1:
        raise UserError(f"label_smoothing must lie in [0, 1), got {config.label_smoothing}")
    if config.information_terms not in ("entropies", "ratios"):
        raise UserError(
            f"information_terms = {config.information_terms!r} is unknown; use entropies or ratios"
        )


def check_shared(config: ConfigDict) -> None:
    """Raises UserError for settings of data, network and optimiser that cannot be run."""
    positive = (
        *("num_seeds", "num_steps", "batch_size", "eval_every", "checkpoint_every"),
        *("steps_per_call", "width", "num_groups", "first_stride", "eval_batch_size"),
    )
    not_negative = (
        *("seed", "learning_rate", "weight_decay"),
        *("mi_weight", "id_weight", "crop_padding"),
    )
    seeds.check_at_least(config, dict.fromkeys(positive, 1) | dict.fromkeys(not_negative, 0))
    if config.depth < 10 or (config.depth - 4) % 6:
        raise UserError(f"depth must be 6 n + 4 (10, 16, 22, 28), got {config.depth}")
    sizes, chunk = config.metric_batch_sizes, config.eval_batch_size
    if not sizes or not all(isinstance(n, int) and n > 1 and chunk % n == 0 for n in sizes):
        raise UserError(
            f"metric_batch_sizes must hold divisors of eval_batch_size = {chunk} above 1, "
            f"got {sizes}"
        )
    if not set(config.population_splits) <= {"train", "test", "validation"}:
        raise UserError("population_splits may hold 'train', 'test' and 'validation' only")
    for name in ("ema_decay", "batchnorm_decay", "momentum"):
        if not 0 <= config[name] < 1:
            raise UserError(f"{name} must lie in [0, 1), got {config[name]}")
    if config.compute_dtype not in ("float32", "bfloat16"):
        raise UserError(
            f"compute_dtype = {config.compute_dtype!r} is unknown; use float32 or bfloat16"
        )
