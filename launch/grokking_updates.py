"""Update of the grokking experiment: its loss and optimiser, and interventions in both."""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from infojax import losses, training
from infojax.data.modular import Examples
from infojax.data.sampling import shuffled_epochs
from infojax.errors import UserError
from infojax.methods import gradients
from infojax.training import TrainState
from launch.grokking_measures import Outputs
from launch.settings import check_at_least, check_below_one, check_choice
from launch.updates import ENTROPIES

LOSSES = {
    "margin": losses.cross_entropy,
    "ordinary": optax.softmax_cross_entropy_with_integer_labels,
}
_FILTERS: dict[str, Callable[[ConfigDict], optax.GradientTransformation]] = {
    "grokfast_ema": lambda c: gradients.grokfast_ema(c.grokfast_alpha, c.grokfast_weight),
    "grokfast_ma": lambda c: gradients.grokfast_ma(c.grokfast_window, c.grokfast_weight),
    "orthogonal": lambda _: gradients.orthogonal_gradients(),
}
_PRECISIONS = ("float32", "float64")
_UNTIL = ("", "generalisation")
_GENERALISED = (
    "generalised"  # in the model state, float32: the step of the evaluation that saw it, or -1
)
_ACCURACY = np.float32(0.99)  # of the test split, exceeded by a network that generalises
_INFORMATION = 2  # random stream of a seed; 0 and 1 are those of data and test batches


class Drawn(NamedTuple):
    """What the batches of the information losses are drawn from: all examples, and the seed."""

    examples: Examples
    seed: np.uint32


def make_update(config: ConfigDict, outputs: Outputs) -> training.Update:
    """Returns loss and optimiser of a network."""
    example_loss = LOSSES[config.loss]

    def loss_fn(params, model_state, batch, index):
        examples, weights = batch[:2]
        _, logits = outputs(params, examples.operands)
        loss = jnp.sum(weights.astype(logits.dtype) * example_loss(logits, examples.results))
        if _informed(config):
            term = functools.partial(_information, config, outputs, params, batch[2], index)
            if config.information_until:
                before = model_state[_GENERALISED] < 0
                loss += jax.lax.cond(before, term, lambda: jnp.zeros_like(loss))
            else:
                loss += term()
        return loss, (model_state, {})

    return training.Update(loss_fn, _make_optimizer(config))


def _information(
    config: ConfigDict,
    outputs: Outputs,
    params: training.Params,
    drawn: Drawn,
    index: jax.Array,
) -> jax.Array:
    """Information loss of the batch of a step, the same on every replica.

    Features at the last position against the head rows of the results.
    """
    size = config.information_batch_size
    key = jax.random.fold_in(jax.random.key(drawn.seed), _INFORMATION)
    positions = index * size + jnp.arange(size, dtype=jnp.int32)
    rows = shuffled_epochs(key, positions, len(drawn.examples.results))
    features, _ = outputs(params, drawn.examples.operands[rows])
    head = params["unembed"][drawn.examples.results[rows]]
    weights = config.mi_weight, config.id_weight
    entropy = ENTROPIES[config.information_entropy]
    return losses.information_loss(features, head, *weights, entropy=entropy)


def _make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    warm_up = optax.linear_schedule(0.0, config.learning_rate, config.warmup_steps)
    adamw = optax.adamw(warm_up, b1=config.beta1, b2=config.beta2, weight_decay=config.weight_decay)
    if config.gradient_filter == "none":
        return adamw
    return optax.chain(_FILTERS[config.gradient_filter](config), adamw)


def init_state(config: ConfigDict, update: training.Update, params: training.Params) -> TrainState:
    """Returns the state before the first update.

    Args:
      config: of the run.
      update: from `make_update`.
      params: as the network draws them, float32; they are scaled and, at precision float64,
        widened, so that both precisions start from the same numbers.
    """
    dtype = np.dtype(config.precision)
    scaled = jax.tree.map(lambda x: np.asarray(x, dtype) * dtype.type(config.init_scale), params)
    watched = config.stop_after or config.information_until
    return training.init_state(update, scaled, {_GENERALISED: jnp.float32(-1)} if watched else None)


def batch_of(config: ConfigDict, fitted: Examples, seed: int, num_devices: int) -> training.Batch:
    """Returns the input of the loss, with a leading axis of devices that share the examples."""
    batch = training.shard_padded(fitted, num_devices)
    if not _informed(config):
        return batch
    copied = lambda x: np.stack([x] * num_devices)  # noqa: E731
    return (*batch, jax.tree.map(copied, Drawn(fitted, np.uint32(seed))))


def note_generalisation(state: TrainState, metrics: Mapping[str, Any]) -> TrainState:
    """Notes in a state the step of the first evaluation at which the network generalises."""
    if _GENERALISED not in state.model_state:
        return state
    before = state.model_state[_GENERALISED]
    generalises = jnp.asarray(metrics["test/accuracy"], jnp.float32) > _ACCURACY
    step = jnp.where((before < 0) & generalises, state.step.astype(before.dtype), before)
    noted: TrainState = state.replace(model_state={_GENERALISED: step})
    return noted


def finished(stop_after: int, state: TrainState) -> bool:
    """Whether a state has been trained `stop_after` steps since it generalised; 0 means never."""
    if not stop_after:
        return False
    since = int(state.model_state[_GENERALISED])
    return since >= 0 and int(state.step) >= since + stop_after


def in_precision(config: ConfigDict) -> contextlib.AbstractContextManager[Any]:
    """Context in which JAX computes in the precision of a config."""
    return jax.enable_x64(True) if config.precision == "float64" else contextlib.nullcontext()


def _informed(config: ConfigDict) -> bool:
    return bool(config.mi_weight or config.id_weight)


def check(config: ConfigDict) -> None:
    """Raises UserError for settings of the update that cannot be run."""
    check_choice(config, "loss", LOSSES)
    check_choice(config, "gradient_filter", ("none", *_FILTERS))
    check_choice(config, "precision", _PRECISIONS)
    check_choice(config, "information_until", _UNTIL)
    check_choice(config, "information_entropy", tuple(ENTROPIES))
    check_at_least(config, {"stop_after": 0, "grokfast_window": 1, "information_batch_size": 2})
    for name, most in {"learning_rate": 1e3, "weight_decay": 1e3, "beta1": 1, "beta2": 1}.items():
        if not 0 <= config[name] < most:
            raise UserError(f"{name} must lie in [0, {most:g}), got {config[name]}")
    check_below_one(config, "grokfast_alpha")
    for name in ("mi_weight", "id_weight", "grokfast_weight"):
        if not math.isfinite(config[name]):
            raise UserError(f"{name} must be finite, got {config[name]}")
    if not 0 < config.init_scale < math.inf:
        raise UserError(f"init_scale must be positive, got {config.init_scale}")
    if config.information_until and not _informed(config):
        raise UserError(
            f"information_until = {config.information_until!r} needs a weight: set mi_weight or "
            "id_weight"
        )
