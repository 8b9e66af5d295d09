"""What the experiments of image classification share: data, network, training and measures.

From data to metric: the loss in `launch.updates` draws a batch from its source,
`training.train_step` updates the state, `evaluation.make_measure` measures it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.data import disk, images
from infojax.errors import UserError
from infojax.models.classifier import Classifier
from infojax.training import evaluation
from launch import networks, streams, updates
from launch.runs import evaluated_split
from launch.settings import check_at_least, check_below_one, check_choice

# Fields that are arguments of the compiled step: one program serves all their values.
TRACED = frozenset(
    {"seed", "label_smoothing", "mi_weight", "id_weight", "learning_rate", "weight_decay"}
)

Measure = Callable[[str, Any, Any, evaluation.Shards], training.Metrics]
MakeUpdate = Callable[[ConfigDict, Classifier, images.ImageData], training.Update]


class Program(NamedTuple):
    """What all seeds and all values of the traced fields share.

    Attributes:
      data: images to train and to evaluate on.
      split: name of the split that is evaluated.
      model: the network.
      update: loss, optimiser and averaging.
      advance: compiled updates.
      measure: accuracy, loss, and MIR and HDR of batches.
      measure_population: the same, and MIR, HDR and neural collapse of the whole split.
    """

    data: images.ImageData
    split: str
    model: Classifier
    update: training.Update
    advance: training.Advance
    measure: Measure
    measure_population: Measure


def build(config: ConfigDict, make_update: MakeUpdate = updates.make_update) -> Program:
    """Returns the data, and the functions that train and measure on them."""
    data = load_data(config)
    updates.check_inputs(config, data)
    shape = data.train.images.shape[1:]
    model = networks.make_model(config, shape, data.num_classes)
    networks.check_head(config, model, shape)
    update = make_update(config, model, data)
    forward, sizes = make_forward(model, data), tuple(config.metric_batch_sizes)
    permutations = config.chance_permutations
    metrics = (
        evaluation.Metrics(sizes, population, chance_permutations=permutations)
        for population in (False, True)
    )
    measures = (evaluation.make_measure(forward, model.head_of, each) for each in metrics)
    advance = streams.make_advance(update) if config.stream else make_advance(update)
    return Program(data, evaluated_split(config), model, update, advance, *measures)


def make_advance(update: training.Update) -> training.Advance:
    """Returns compiled updates, dispatched one by one on the CPU, whose loops slow convolutions."""
    return training.make_train_step(update, loop_on_device=jax.default_backend() != "cpu")


def load_data(config: ConfigDict) -> images.ImageData:
    """Returns the images to train and to evaluate on."""
    load = disk.load if config.stream else images.load
    data = load(config.dataset, config.data_dir, config.image_size)
    data = images.subset(data, config.train_size, config.validation_fraction)
    if max(config.metric_batch_sizes) > len(data.test.labels):
        raise UserError(
            f"metric_batch_sizes = {config.metric_batch_sizes} exceeds the "
            f"{len(data.test.labels)} images to evaluate on; use smaller ones"
        )
    return data


def make_forward(model: Classifier, data: images.ImageData) -> evaluation.Forward:
    """Returns the network in evaluation: uint8 images to features and logits."""

    def forward(params, model_state, batch):
        z, logits, _ = model.apply(params, model_state, updates.standardise(data, batch), False)
        return z, logits

    return forward


def init_state(
    program: Program, config: ConfigDict, seed: int, methods: Mapping[str, Any] | None = None
) -> training.TrainState:
    """Returns a seed's state before training.

    Args:
      program: shared by all seeds.
      config: of this run, which sets the optimiser's hyperparameters.
      seed: of the parameters.
      methods: states of methods that the loss updates, kept beside the model's.
    """
    example = np.zeros((1, *program.data.train.images.shape[1:]), np.float32)
    params, model_state = jax.jit(program.model.init)(jax.random.key(seed), example)
    update = program.update._replace(optimizer=updates.make_optimizer(config))
    return training.init_state(update, params, model_state | dict(methods or {}))


def make_source(program: Program, config: ConfigDict, seed: int, stream: int = 1) -> Any:
    """Puts the training images and a seed's key on every device of this process.

    It is an `updates.Source`; for streamed images, `streams.Batches`.

    Streams differ in order and augmentation; parameters are drawn independently of them.
    """
    names = ("label_smoothing", "mi_weight", "id_weight")
    weights = updates.Weights(*(jnp.float32(config[name]) for name in names))
    key = jax.random.fold_in(jax.random.key(seed), stream)
    x, y = program.data.train
    if config.stream:
        return streams.Batches(program.data.train, key, weights, config)
    return training.replicate(updates.Source(jnp.asarray(x), jnp.asarray(y), key, weights))


def fit(
    program: Program, config: ConfigDict, state: training.TrainState, source: Any, directory: Path
) -> training.TrainState:
    """Trains a state, which may have a step above 0, to the end, or resumes."""
    return training.fit(
        state,
        lambda state, count: program.advance(state, source, count),
        plan(program, config, directory),
    )


def plan(program: Program, config: ConfigDict, directory: Path) -> training.Plan:
    """Returns how a config trains and evaluates."""
    n = config.metric_batch_sizes[0]
    shown = (f"{program.split}/{name}" for name in ("accuracy", f"mir_{n}", f"hdr_{n}"))
    return training.Plan(
        directory,
        make_evaluate(program, config),
        [*range(0, config.num_steps, config.eval_every), config.num_steps],
        config.checkpoint_every,
        config.steps_per_call,
        ("train/loss", *shown),
    )


def make_evaluate(
    program: Program, config: ConfigDict
) -> Callable[[training.TrainState], training.Metrics]:
    """Returns a function of a replicated state that measures the splits a config names."""
    splits = {program.split: program.data.test, "train": program.data.train}
    chosen = {program.split if s == "test" else s for s in config.population_splits}
    measured = {
        name: evaluation.shard(split, config.eval_batch_size)
        for name, split in splits.items()
        if name == program.split or name in chosen
    }

    def evaluate(replicated: training.TrainState) -> training.Metrics:
        params = evaluated_params(replicated)
        metrics: training.Metrics = {}
        for name, shards in measured.items():
            measure = program.measure_population if name in chosen else program.measure
            metrics |= measure(name, params, replicated.model_state, shards)
        return metrics | latest_terms(training.single(replicated))

    return evaluate


def evaluated_params(state: training.TrainState) -> training.Params:
    """The moving average of the parameters, or the parameters themselves if none is kept."""
    return state.params if state.ema is None else state.ema


def latest_terms(state: training.TrainState) -> training.Metrics:
    """The terms of the loss of the latest batch; empty before the first."""
    if int(state.step) == 0:
        return {}
    terms = {"loss": state.loss, **state.terms}
    return {f"batch/{name}": float(value) for name, value in terms.items()}


def check(config: ConfigDict) -> None:
    """Raises UserError for settings of supervised training that cannot be run."""
    check_shared(config)
    check_at_least(config, {"accumulate_steps": 1})
    parts = config.accumulate_steps * jax.device_count()
    if config.batch_size % parts:
        raise UserError(
            f"batch_size = {config.batch_size} is not a multiple of {parts}, the number of devices "
            "times accumulate_steps"
        )
    if config.batch_size * config.num_steps >= 2**31:
        raise UserError("batch_size times num_steps must be below 2^31")
    check_below_one(config, "label_smoothing")
    check_choice(config, "information_terms", ("entropies", "ratios"))


def check_in_memory(config: ConfigDict) -> None:
    """Raises UserError if the images of an experiment that draws from memory are streamed."""
    if config.stream:
        raise UserError(
            f"experiment {config.experiment} draws its images from memory: set stream = False "
            "(supervised training and grids of it can stream)"
        )


def check_shared(config: ConfigDict) -> None:
    """Raises UserError for settings of data, network and optimiser that cannot be run."""
    positive = (
        *("num_seeds", "num_steps", "batch_size", "eval_every", "checkpoint_every"),
        *("steps_per_call", "eval_batch_size"),
    )
    not_negative = (
        *("seed", "learning_rate", "weight_decay"),
        *("mi_weight", "id_weight", "crop_padding", "image_size", "chance_permutations"),
    )
    check_at_least(config, dict.fromkeys(positive, 1) | dict.fromkeys(not_negative, 0))
    networks.check(config)
    sizes, chunk = config.metric_batch_sizes, config.eval_batch_size
    if not sizes or not all(isinstance(n, int) and n > 1 and chunk % n == 0 for n in sizes):
        raise UserError(
            f"metric_batch_sizes must hold divisors of eval_batch_size = {chunk} above 1, "
            f"got {sizes}"
        )
    if not set(config.population_splits) <= {"train", "test", "validation"}:
        raise UserError("population_splits may hold 'train', 'test' and 'validation' only")
    check_below_one(config, "ema_decay", "momentum")
    check_choice(config, "compute_dtype", ("float32", "bfloat16"))
    check_choice(config, "information_entropy", tuple(updates.ENTROPIES))
