"""Gradient filters that bring generalisation forward: Grokfast and orthogonal gradients.

Optax transformations of gradients, to be chained before an optimiser.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from infojax import _checks


class EmaState(NamedTuple):
    """Moving average of the gradients, in the structure of the parameters."""

    steps: jax.Array
    average: optax.Updates


class WindowState(NamedTuple):
    """The latest gradients and sums of them, in blocks as long as the window.

    Attributes:
      steps: number of gradients so far.
      window: `[window, ...]` for every parameter. Places that this block has filled hold its
        gradients. Later places, and all once the block is full, hold sums of gradients from that
        place to the end of a block.
      total: sum of the gradients of this block.
    """

    steps: jax.Array
    window: optax.Updates
    total: optax.Updates


def grokfast_ema(decay: float = 0.98, weight: float = 2.0) -> optax.GradientTransformation:
    """Adds an exponential moving average of the gradients to each gradient: Grokfast.

    `g ← g + weight · h`, `h ← decay · h + (1 - decay) · g`; h starts as the first gradient, as in
    the authors' code.

    Args:
      decay: of the average, in [0, 1).
      weight: of the average.

    Returns:
      An optax transformation.

    Raises:
      ValueError: decay is not in [0, 1).

    References:
      Lee et al. 2024, arXiv:2405.20233, algorithm 2.

    >>> filtered = grokfast_ema(0.5, 2.0)
    >>> state = filtered.init(jnp.zeros(()))
    >>> first, state = filtered.update(jnp.float32(1), state)
    >>> second, state = filtered.update(jnp.float32(0), state)
    >>> float(first), float(second)
    (3.0, 1.0)
    """
    if not 0 <= _checks.number("decay", decay) < 1:
        raise ValueError(f"decay must lie in [0, 1), got {decay}")

    def init(params: optax.Params) -> EmaState:
        return EmaState(jnp.zeros([], jnp.int32), jax.tree.map(jnp.zeros_like, params))

    def update(
        updates: optax.Updates, state: EmaState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, EmaState]:
        del params
        first = state.steps == 0
        average = jax.tree.map(
            lambda h, g: jnp.where(first, g, decay * h + (1 - decay) * g), state.average, updates
        )
        filtered = jax.tree.map(lambda g, h: g + weight * h, updates, average)
        return filtered, EmaState(optax.safe_increment(state.steps), average)

    return optax.GradientTransformation(init, update)


def grokfast_ma(window: int = 100, weight: float = 5.0) -> optax.GradientTransformation:
    """Adds the mean of the last gradients to each gradient, once the window is full: Grokfast.

    `g ← g + weight · mean(the last gradients, g included)`, from step `window` on. It keeps
    `window` copies of the gradients; `grokfast_ema` keeps one. Each sum adds this block and the end
    of the one before: nothing is subtracted, and a step reads two copies, not all.

    Args:
      window: number of gradients averaged, at least 1.
      weight: of the mean.

    Returns:
      An optax transformation.

    Raises:
      ValueError: window is not a positive integer.

    References:
      Lee et al. 2024, arXiv:2405.20233, algorithm 1.

    >>> filtered = grokfast_ma(2, 1.0)
    >>> state = filtered.init(jnp.zeros(()))
    >>> first, state = filtered.update(jnp.float32(1), state)
    >>> second, state = filtered.update(jnp.float32(3), state)
    >>> float(first), float(second)
    (1.0, 5.0)
    """
    if _checks.integer("window", window) < 1:
        raise ValueError(f"window must be at least 1, got {window}")

    def init(params: optax.Params) -> WindowState:
        empty = jax.tree.map(lambda x: jnp.zeros((window, *x.shape), x.dtype), params)
        return WindowState(jnp.zeros([], jnp.int32), empty, jax.tree.map(jnp.zeros_like, params))

    def update(
        updates: optax.Updates, state: WindowState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, WindowState]:
        del params
        slot, full = state.steps % window, state.steps >= window - 1
        total = jax.tree.map(lambda t, g: jnp.where(slot == 0, g, t + g), state.total, updates)

        def filtered(g: jax.Array, total: jax.Array, kept: jax.Array) -> jax.Array:
            rest = kept.at[slot + 1].get(mode="fill", fill_value=0)
            return jnp.where(full, g + weight / window * (total + rest), g)

        found = jax.tree.map(filtered, updates, total, state.window)
        kept = jax.tree.map(lambda w, g: w.at[slot].set(g), state.window, updates)
        kept = jax.lax.cond(slot == window - 1, _sums_to_the_end, lambda x: x, kept)
        return found, WindowState(optax.safe_increment(state.steps), kept, total)

    return optax.GradientTransformation(init, update)


def _sums_to_the_end(window: optax.Updates) -> optax.Updates:
    return jax.tree.map(lambda x: jnp.flip(jnp.cumsum(jnp.flip(x, 0), 0), 0), window)


def orthogonal_gradients() -> optax.GradientTransformation:
    """Removes from each gradient its component along the weights, and keeps its norm: ⊥Grad.

    For every array of parameters θ, `g⊥ = g - (θ·g / θ·θ) θ`, `g ← g⊥ |g| / |g⊥|`: a step changes
    the direction of the weights, and their scale only to second order. Where θ or g⊥ is zero, g or
    zero remains.

    Returns:
      An optax transformation; its update needs the parameters.

    Raises:
      ValueError: in the update, if it is called without parameters.

    References:
      Prieto et al. 2025, arXiv:2501.04697, section 5.1.

    >>> filtered = orthogonal_gradients()
    >>> weights = jnp.array([2.0, 0.0])
    >>> filtered.update(jnp.array([3.0, 4.0]), filtered.init(weights), weights)[0].tolist()
    [0.0, 5.0]
    """

    def update(
        updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:
        if params is None:
            raise ValueError("orthogonal_gradients needs the parameters: update(g, state, params)")
        return jax.tree.map(_orthogonal, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _orthogonal(g: jax.Array, weights: jax.Array) -> jax.Array:
    square = jnp.sum(weights * weights)
    projection = jnp.sum(weights * g) / jnp.where(square == 0, 1, square)
    rest = g - projection * weights
    norm = jnp.sqrt(jnp.sum(rest * rest))
    scale = jnp.sqrt(jnp.sum(g * g)) / jnp.where(norm == 0, 1, norm)
    return rest * scale
