"""Control variates: quantities with a known exact mean and a value for every sample."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Known(NamedTuple):
    """The exact mean of a control variate, and a bound on its rounding error; both float []."""

    value: jax.Array
    rounding: jax.Array


def controlled_mean(
    y: jax.Array, controls: jax.Array, used: jax.Array, known: list[Known]
) -> tuple[jax.Array, jax.Array]:
    """Mean of the used samples y [n], adjusted to the known means of their controls [k, n].

    Least squares on one control after the other, since controls are often nearly proportional. A
    ridge keeps a coefficient from amplifying the rounding error of a known mean where the samples
    hardly vary more than that (as at collapse).

    Returns:
      Mean and standard error. Two standard errors cover 95 %, also for few samples.
    """
    p = jnp.sum(used).astype(y.dtype)
    eps = np.finfo(y.dtype).eps
    variance_factor, rounded = 1 / p, jnp.zeros_like(p)
    xs = [x - k.value for x, k in zip(controls, known, strict=True)]
    roundings = [k.rounding for k in known]
    for i, x in enumerate(xs):
        y, leverage, inherited = _regress(y, x, roundings[i], used, p)
        variance_factor, rounded = variance_factor + leverage, rounded + inherited
        for j in range(i + 1, len(xs)):
            noise = 4 * eps * jnp.max(jnp.where(used, jnp.abs(xs[j]), 0))
            xs[j], _, inherited = _regress(xs[j], x, roundings[i], used, p)
            roundings[j] = jnp.sqrt(roundings[j] ** 2 + inherited + noise**2)
    freedom = p - 1 - len(xs)
    mean = _mean(y, used, p)
    variance = jnp.sum(jnp.where(used, y - mean, 0) ** 2) / freedom
    student = 1 + 1.25 / freedom + 1.5 / freedom**2
    return mean, jnp.sqrt(student**2 * variance * variance_factor + rounded)


def _mean(x: jax.Array, used: jax.Array, p: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(used, x, 0)) / p


def _regress(
    y: jax.Array, x: jax.Array, rounding: jax.Array, used: jax.Array, p: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Residual of y regressed on x, at x = 0; its leverage; the squared rounding error it gains."""
    mean = _mean(x, used, p)
    dx = jnp.where(used, x - mean, 0)
    square = jnp.sum(dx * dx) + p**2 * rounding**2
    square = jnp.where(square == 0, 1, square)
    slope = jnp.sum(dx * (y - _mean(y, used, p))) / square
    return y - slope * x, mean**2 / square, (slope * rounding) ** 2
