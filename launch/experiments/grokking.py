"""Grokking on modular arithmetic, with MIR and HDR along the way (Figure 7 of Song et al. 2024)."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from infojax import losses, training
from infojax.data import modular
from infojax.errors import UserError
from infojax.models.transformer import PairTransformer
from launch import grokking_measures, seeds
from launch.plots.grokking import figures as figures
from launch.results import grokking, observations
from launch.settings import check_at_least, check_choice
from launch.trained import Network

WHY_NOT_LONGER = ""  # the learning rate is constant after warming up
# Fields that one compiled program serves in every value.
TRACED = frozenset({"seed"})
_LOSSES = {
    "margin": losses.cross_entropy,
    "ordinary": optax.softmax_cross_entropy_with_integer_labels,
}


Measure = Callable[[training.Params, modular.Examples, modular.Examples], dict[str, jax.Array]]


class Program(NamedTuple):
    """What all seeds share: the model, its update and the compiled functions."""

    model: PairTransformer
    update: training.Update
    advance: training.Advance
    measure: Measure


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    check(config)
    observe = functools.partial(grokking.observe, n=max(config.metric_batch_sizes))
    seeds.run(
        config,
        workdir,
        functools.partial(run_seed, build(config), config),
        lambda histories: observations.summarize(histories, observe),
        figures,
    )


def build(config: ConfigDict) -> Program:
    """Returns the model, its update and the functions that train and measure it."""
    model = _model(config)
    warm_up = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    optimizer = optax.adamw(
        warm_up, b1=config.beta1, b2=config.beta2, weight_decay=config.weight_decay
    )
    example_loss = _LOSSES[config.loss]

    def loss_fn(params, batch):
        examples, weights = batch
        _, logits = _outputs(model, params, examples.operands)
        return jnp.sum(weights * example_loss(logits, examples.results))

    update = training.Update(training.stateless(loss_fn), optimizer)
    measured = functools.partial(
        grokking_measures.measure,
        functools.partial(_outputs, model),
        grokking_measures.Settings(config.metric_batch_sizes, config.population_splits),
    )
    return Program(model, update, training.make_train_step(update), jax.jit(measured))


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or resumes; returns its final state."""
    fitted, test = modular.split_examples(
        config.modulus, config.operation, config.train_fraction, seed
    )
    largest = max(config.metric_batch_sizes)
    if largest > len(test.results):
        raise UserError(
            f"metric_batch_sizes holds {largest}, more than the {len(test.results)} test "
            "examples; use smaller ones"
        )
    params = program.model.init(jax.random.key(seed), fitted.operands[:1])["params"]
    batch = training.shard_padded(fitted, jax.local_device_count())
    order = np.random.default_rng([seed, 1]).permutation(len(test.results))
    test = modular.Examples(*(x[order] for x in test))  # so that test batches are its first rows

    def evaluate(replicated: training.TrainState) -> training.Metrics:
        state = training.single(replicated)
        metrics = program.measure(state.params, fitted, test)
        metrics["train/loss_spike"] = state.spike
        return {name: float(value) for name, value in metrics.items()}

    plan = training.Plan(
        directory,
        evaluate,
        training.evaluation_steps(config.num_steps, config.eval_every),
        config.checkpoint_every,
        config.steps_per_call,
        ("train/loss", "test/accuracy", f"test/mir_{largest}", f"test/hdr_{largest}"),
    )
    state = training.init_state(program.update, params)
    return training.fit(state, lambda state, count: program.advance(state, batch, count), plan)


def read_network(config: ConfigDict, directory: Path) -> Network:
    """Returns the network that a config trains; its last logit is that of "=", never a result."""
    model = _model(config)
    operands = jax.ShapeDtypeStruct((1, 2), np.int32)

    def data(seed: int) -> tuple[modular.Examples, modular.Examples]:
        return modular.split_examples(config.modulus, config.operation, config.train_fraction, seed)

    def head_of(params: training.Params) -> tuple[jax.Array, jax.Array]:
        return params["unembed"][:-1], jnp.zeros(config.modulus)

    return Network(
        model,
        (jax.eval_shape(model.init, jax.random.key(0), operands)["params"], {}),
        lambda params, _, operands: _outputs(model, params, operands),
        head_of,
        (2,),
        functools.partial(_check_operands, config.modulus),
        config.modulus**2,
        data,
    )


def _check_operands(modulus: int, inputs: Any) -> np.ndarray:
    x = np.asarray(inputs)
    shaped = x.ndim == 2 and x.shape[1] == 2 and len(x) and np.issubdtype(x.dtype, np.integer)
    if not shaped or x.min() < 0 or x.max() >= modulus:
        raise UserError(
            f"inputs must be pairs of operands, integer [n, 2] in [0, {modulus}), n > 0; got "
            f"{x.dtype} {x.shape}"
        )
    return x.astype(np.int32)


def _model(config: ConfigDict) -> PairTransformer:
    return PairTransformer(
        num_tokens=config.modulus + 1,
        d_model=config.d_model,
        num_heads=config.num_heads,
        d_mlp=config.d_mlp,
    )


def _outputs(
    model: PairTransformer, params: Any, operands: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    features, logits = model.apply({"params": params}, operands)
    return jnp.asarray(features), jnp.asarray(logits)


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run; the data check their own."""
    check_choice(config, "loss", _LOSSES)
    counts = ("num_seeds", "num_steps", "eval_every", "checkpoint_every", "steps_per_call")
    sizes = ("d_model", "num_heads", "d_mlp", "warmup_steps")
    check_at_least(config, dict.fromkeys(counts + sizes, 1))
    for name, most in {"learning_rate": 1e3, "weight_decay": 1e3, "beta1": 1, "beta2": 1}.items():
        if not 0 <= config[name] < most:
            raise UserError(f"{name} must lie in [0, {most:g}), got {config[name]}")
    if config.d_model % config.num_heads:
        raise UserError(
            f"d_model = {config.d_model} must be a multiple of num_heads = {config.num_heads}"
        )
    if not set(config.population_splits) <= {"train", "test"}:
        raise UserError(
            f"population_splits = {config.population_splits} may hold 'train' and 'test' only"
        )
    batches = config.metric_batch_sizes
    if not batches or not all(isinstance(n, int) and n >= 2 for n in batches):
        raise UserError("metric_batch_sizes must hold sizes of at least 2, for example (64, 256)")
    if not 0 <= config.seed < 2**31:
        raise UserError(f"seed must be in [0, 2^31), got {config.seed}")
