"""Grokking on modular arithmetic, with MIR and HDR along the way (Figure 7 of Song et al. 2024)."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from infojax import training
from infojax.data import modular
from infojax.errors import UserError
from infojax.models.transformer import PairTransformer
from launch import grokking_measures, grokking_updates as updates, seeds
from launch.plots.grokking import figures as figures
from launch.plots.grokking_conditions import comparison_figures as comparison_figures
from launch.results import grokking
from launch.results.conditions import compare as compare
from launch.settings import check_at_least
from launch.trained import Network

WHY_NOT_LONGER = ""  # the learning rate is constant after warming up
# Fields of which one compiled program serves all values.
TRACED = frozenset({"seed"})

Measure = Callable[[training.Params, modular.Examples, modular.Examples], dict[str, jax.Array]]


class Program(NamedTuple):
    """What all seeds share: the model, its update and the compiled functions."""

    model: PairTransformer
    update: training.Update
    advance: training.Advance
    measure: Measure
    ensemble: training.Ensemble


class _Data(NamedTuple):
    """Examples of a seed; those of the test split in an order that starts with its batches."""

    fitted: modular.Examples
    test: modular.Examples


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    check(config)
    seeds.run_together(
        config,
        workdir,
        functools.partial(run_seeds, build(config), config),
        lambda histories: grokking.summarize(histories, config),
        figures,
    )


def build(config: ConfigDict) -> Program:
    """Returns the model, its update and the functions that train and measure it."""
    model = _model(config)
    outputs = functools.partial(_outputs, model)
    update = updates.make_update(config, outputs)
    wanted = grokking_measures.settings(config)
    measure = jax.jit(functools.partial(grokking_measures.measure, outputs, wanted))

    def of_member(state: training.TrainState, data: _Data) -> dict[str, jax.Array]:
        return measure(state.params, *data) | {"train/loss_spike": state.spike}

    ensemble = training.make_ensemble(update, of_member, updates.note_generalisation)
    return Program(model, update, training.make_train_step(update), measure, ensemble)


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or resumes; returns its final state. All devices share its examples."""
    with updates.in_precision(config):
        data = _load(config, seed)
        batch = updates.batch_of(config, data.fitted, seed, jax.local_device_count())

        def evaluate(replicated: training.TrainState) -> training.Metrics:
            state = training.single(replicated)
            metrics = program.measure(state.params, *data)
            metrics["train/loss_spike"] = state.spike
            return {name: float(value) for name, value in metrics.items()}

        return training.fit(
            _initial(program, config, seed),
            lambda state, count: program.advance(state, batch, count),
            _plan(config, directory, evaluate),
        )


def run_seeds(
    program: Program, config: ConfigDict, places: dict[int, Path]
) -> list[training.TrainState]:
    """Trains seeds, or resumes; returns their final states.

    Several seeds form an ensemble: each is trained on one device, as if it were alone there. In
    several processes they are trained one after another, each on all devices.

    Args:
      program: from `build`.
      config: of the run.
      places: the directory of each seed.
    """
    if config.num_seeds == 1 or jax.process_count() > 1:
        return [run_seed(program, config, seed, place) for seed, place in places.items()]

    def member(seed: int, directory: Path) -> training.Member:
        data = _load(config, seed)
        on_one_device = updates.batch_of(config, data.fitted, seed, 1)
        batch = jax.tree.map(lambda x: x[0], on_one_device)
        return training.Member(_initial(program, config, seed), batch, data, directory)

    with updates.in_precision(config):
        members = [member(seed, directory) for seed, directory in places.items()]
        plan = _plan(config, members[0].directory, lambda _: {})
        return training.fit_ensemble(members, program.ensemble, plan)


def _load(config: ConfigDict, seed: int) -> _Data:
    fitted, test = _split(config, seed)
    largest = max(config.metric_batch_sizes)
    if largest > len(test.results):
        raise UserError(
            f"metric_batch_sizes holds {largest}, more than the {len(test.results)} test "
            "examples; use smaller ones"
        )
    order = np.random.default_rng([seed, 1]).permutation(len(test.results))
    return _Data(fitted, modular.Examples(*(x[order] for x in test)))


def _split(config: ConfigDict, seed: int) -> tuple[modular.Examples, modular.Examples]:
    return modular.split_examples(config.modulus, config.operation, config.train_fraction, seed)


def _initial(program: Program, config: ConfigDict, seed: int) -> training.TrainState:
    """The state of a seed before training; its parameters are drawn in float32."""
    with jax.enable_x64(False):
        operands = np.zeros((1, 2), np.int32)
        params = program.model.init(jax.random.key(seed), operands)["params"]
    return updates.init_state(config, program.update, params)


def _plan(
    config: ConfigDict,
    directory: Path,
    evaluate: Callable[[training.TrainState], training.Metrics],
) -> training.Plan:
    largest = max(config.metric_batch_sizes)
    return training.Plan(
        directory,
        evaluate,
        training.evaluation_steps(config.num_steps, config.eval_every),
        config.checkpoint_every,
        config.steps_per_call,
        ("train/loss", "test/accuracy", f"test/mir_{largest}", f"test/hdr_{largest}"),
        after_evaluation=updates.note_generalisation,
        finished=functools.partial(updates.finished, config.stop_after),
    )


def read_network(config: ConfigDict, directory: Path) -> Network:
    """Returns the network that a config trains; its last logit is that of "=", never a result."""
    model = _model(config)
    operands = jax.ShapeDtypeStruct((1, 2), np.int32)
    drawn = jax.eval_shape(model.init, jax.random.key(0), operands)["params"]
    dtype = np.dtype(config.precision)

    def head_of(params: training.Params) -> tuple[jax.Array, jax.Array]:
        return params["unembed"][:-1], jnp.zeros(config.modulus)

    return Network(
        model,
        (jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), drawn), {}),
        lambda params, _, operands: _outputs(model, params, operands),
        head_of,
        (2,),
        functools.partial(_check_operands, config.modulus),
        config.modulus**2,
        functools.partial(_split, config),
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
    """Raises UserError for settings that cannot be run."""
    counts = ("num_seeds", "num_steps", "eval_every", "checkpoint_every", "steps_per_call")
    sizes = ("d_model", "num_heads", "d_mlp", "warmup_steps")
    check_at_least(config, dict.fromkeys(counts + sizes, 1) | {"early_epoch": 0})
    updates.check(config)
    if config.d_model % config.num_heads:
        raise UserError(
            f"d_model = {config.d_model} must be a multiple of num_heads = {config.num_heads}"
        )
    grokking_measures.check(config)
    if not 0 <= config.seed < 2**31:
        raise UserError(f"seed must be in [0, 2^31), got {config.seed}")
    _load(config, config.seed)
