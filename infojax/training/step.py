"""Training state and the step under pmap. The only module that uses pmap."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import jax_utils

AXIS = "batch"

Params = Any
ModelState = Any
Batch = Any
Terms = dict[str, jax.Array]
Metrics = dict[str, float]
Tree = TypeVar("Tree")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")
LossFn = Callable[
    [Params, ModelState, Batch, jax.Array], tuple[jax.Array, tuple[ModelState, Terms]]
]


class TrainState(flax.struct.PyTreeNode):
    """Everything that changes during training.

    Attributes:
      step: number of updates made, int32 [].
      params: model parameters.
      model_state: other variables that the loss updates, such as running statistics; {} if none.
      opt_state: optimiser state.
      ema: exponential moving average of the parameters; None if not kept.
      loss: training loss before the latest update, float32 [], or float64 if a parameter is; 0
        before the first update.
      terms: terms of that loss by name, each [].
      lowest_loss: smallest training loss so far, [].
      spike: largest ratio of a loss to the smallest loss before it, since the last evaluation.
    """

    step: jax.Array
    params: Params
    model_state: ModelState
    opt_state: optax.OptState
    ema: Params | None
    loss: jax.Array
    terms: Terms
    lowest_loss: jax.Array
    spike: jax.Array


Advance = Callable[[TrainState, Batch, int], TrainState]
BatchedAdvance = Callable[[TrainState, Batch, np.ndarray], TrainState]


class Update(NamedTuple):
    """How a state becomes the next one.

    Attributes:
      loss_fn: `loss_fn(params, model_state, batch, index) -> (loss, (model_state, terms))`, whose
        mean over replicas is the loss. The index counts calls since the first step, so that data
        drawn by it do not depend on interruptions.
      optimizer: gradient transformation.
      ema_decay: decay of the moving average of the parameters, in (0, 1); None keeps no average.
      parts: calls of loss_fn whose gradients are averaged in one update (gradient accumulation).
      terms: names of the terms that loss_fn returns.
    """

    loss_fn: LossFn
    optimizer: optax.GradientTransformation
    ema_decay: float | None = None
    parts: int = 1
    terms: tuple[str, ...] = ()


def stateless(loss_fn: Callable[[Params, Batch], jax.Array]) -> LossFn:
    """Converts a loss of parameters and batch alone to the form that an `Update` takes."""
    return lambda params, model_state, batch, _: (loss_fn(params, batch), (model_state, {}))


def init_state(update: Update, params: Params, model_state: ModelState = None) -> TrainState:
    """Returns the state before the first update; losses are float64 if a parameter is."""
    precise = any(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(params))
    real = jnp.float64 if precise else jnp.float32
    return TrainState(
        step=jnp.int32(0),
        params=params,
        model_state={} if model_state is None else model_state,
        opt_state=update.optimizer.init(params),
        ema=None if update.ema_decay is None else params,
        loss=real(0),
        terms={name: real(0) for name in update.terms},
        lowest_loss=real(math.inf),
        spike=real(0),
    )


def train_step(state: TrainState, batch: Batch, update: Update) -> TrainState:
    """Makes one update on one replica; a pure function with collectives over the axis `batch`.

    Args:
      state: the same on every replica.
      batch: input of the loss: this replica's share of a batch, or the data from which the loss
        draws its share.
      update: loss and optimiser.

    Returns:
      The next state, the same on every replica.
    """
    results = _gradient(state, batch, update)
    (loss, (model_state, terms)), gradient = jax.lax.pmean(results, AXIS)
    updates, opt_state = update.optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = state.ema
    if update.ema_decay is not None:
        ema = optax.incremental_update(params, ema, 1 - update.ema_decay)
    return TrainState(
        step=state.step + 1,
        params=params,
        model_state=model_state,
        opt_state=opt_state,
        ema=ema,
        loss=loss,
        terms=terms,
        lowest_loss=jnp.minimum(state.lowest_loss, loss),
        spike=jnp.maximum(state.spike, _ratio(loss, state.lowest_loss)),
    )


def _gradient(
    state: TrainState, batch: Batch, update: Update
) -> tuple[tuple[jax.Array, tuple[ModelState, Terms]], Params]:
    """Returns `((loss, (model_state, terms)), gradient)`, averaged over the parts of a batch."""
    value_and_grad = jax.value_and_grad(update.loss_fn, has_aux=True)
    first = state.step * update.parts
    if update.parts == 1:
        return value_and_grad(state.params, state.model_state, batch, first)

    def add(carry: tuple[ModelState, Any], part: jax.Array) -> tuple[tuple[ModelState, Any], None]:
        model_state, sums = carry
        (loss, (model_state, terms)), gradient = value_and_grad(
            state.params, model_state, batch, first + part
        )
        return (model_state, jax.tree.map(jnp.add, sums, (loss, terms, gradient))), None

    zeros = jax.tree.map(jnp.zeros_like, (state.loss, state.terms, state.params))
    (model_state, sums), _ = jax.lax.scan(
        add,
        (state.model_state, zeros),
        jnp.arange(update.parts, dtype=jnp.int32),
        unroll=jax.default_backend() == "cpu",  # see make_train_step
    )
    loss, terms, gradient = jax.tree.map(lambda x: x / update.parts, sums)
    return (loss, (model_state, terms)), gradient


def _ratio(loss: jax.Array, lowest: jax.Array) -> jax.Array:
    """Returns loss / lowest, finite where both are, even if the lowest loss underflows to 0."""
    limits = np.finfo(loss.dtype)
    return jnp.where(
        jnp.isfinite(loss), jnp.minimum(loss / jnp.maximum(lowest, limits.tiny), limits.max), loss
    )


def make_train_step(
    update: Update, loop_on_device: bool = True, device: jax.Device | None = None
) -> Advance:
    """Returns `advance(state, batch, num_steps)`, which makes many updates under pmap.

    A loss that is not finite stops the updates; the state's step tells at which.

    Args:
      update: loss and optimiser.
      loop_on_device: whether the steps are one dispatch: a loop on the device whose length is an
        argument, so that one compilation serves any number of steps. Otherwise they are
        dispatched one by one, asynchronously: XLA's CPU backend runs convolutions within loops 10
        to 50 times slower (jax issue 12868).
      device: the only one used; None for all devices.

    Returns:
      The function. Its results do not depend on how the steps are divided into calls.
    """
    devices = None if device is None else [device]
    if loop_on_device:
        looped: Advance = jax.pmap(
            functools.partial(_loop, update),
            axis_name=AXIS,
            in_axes=(0, 0, None),
            donate_argnums=0,
            devices=devices,
        )
        return looped
    step = jax.pmap(
        functools.partial(_guarded, update), axis_name=AXIS, donate_argnums=0, devices=devices
    )

    def advance(state: TrainState, batch: Batch, num_steps: int) -> TrainState:
        for _ in range(num_steps):
            state = step(state, batch)
        return state

    return advance


def make_batched_step(update: Update) -> BatchedAdvance:
    """Returns `advance(states, batches, nums_steps)`, which trains many states together.

    Leaves have leading axes [devices, members]. Each member is trained on its device alone, as
    `make_train_step` trains a state on one device, by its own number of steps.

    Args:
      update: loss and optimiser of all.
    """

    def train(state: TrainState, batch: Batch, num_steps: jax.Array) -> TrainState:
        step = functools.partial(train_step, update=update)
        alone = jax.vmap(step, in_axes=None, out_axes=None, axis_name=AXIS, axis_size=1)
        return _until(lambda state: alone(state, batch), state, state.step + num_steps)

    advance: BatchedAdvance = jax.pmap(jax.vmap(train), donate_argnums=0)
    return advance


def _loop(update: Update, state: TrainState, batch: Batch, num_steps: jax.Array) -> TrainState:
    return _until(lambda state: train_step(state, batch, update), state, state.step + num_steps)


def _until(
    step: Callable[[TrainState], TrainState], state: TrainState, end: jax.Array
) -> TrainState:
    def unfinished(state: TrainState) -> jax.Array:
        return (state.step < end) & jnp.isfinite(state.loss)

    return jax.lax.while_loop(unfinished, step, state)


def _guarded(update: Update, state: TrainState, batch: Batch) -> TrainState:
    after = train_step(state, batch, update)
    chosen: TrainState = jax.tree.map(
        functools.partial(jnp.where, jnp.isfinite(state.loss)), after, state
    )
    return chosen


def mapped(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Returns a function under pmap: its arguments and results have a leading device axis."""
    result: Callable[Arguments, Result] = jax.pmap(function, axis_name=AXIS)
    return result


def mapped_twice(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Returns a function whose arguments and results have leading axes [devices, members]."""
    result: Callable[Arguments, Result] = jax.pmap(jax.vmap(function))
    return result


_identity = jax.pmap(lambda tree: tree, axis_name=AXIS)  # a single one, to share its programs


def replicate(tree: Tree) -> Tree:
    """Puts a copy of a tree on each of this process's devices.

    In the layout of pmap's results; otherwise a step would be compiled a second time for the state
    that it returns.
    """
    replicated: Tree = put_shards(jax_utils.replicate(tree))
    return replicated


def put_alone(tree: Tree, device: jax.Device) -> Tree:
    """Puts a tree on one device, in the layout of a step that uses this device alone."""
    leading = jax.tree.map(lambda x: np.asarray(x)[None], tree)
    placed: Tree = _identity_on(device)(leading)
    return placed


@functools.cache
def _identity_on(device: jax.Device) -> Callable[[Any], Any]:
    mapped_identity: Callable[[Any], Any] = jax.pmap(
        lambda tree: tree, axis_name=AXIS, devices=[device]
    )
    return mapped_identity


def put_shards(tree: Any) -> Any:
    """Puts arrays [devices, ...] on this process's devices, one row each."""
    return _identity(tree)


def single(replicated: Tree) -> Tree:
    """Returns the copy on this process's first device."""
    copy: Tree = jax.tree.map(lambda x: x.addressable_data(0)[0], replicated)
    return copy
