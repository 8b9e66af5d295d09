"""Lanczos quadrature of `vᵀ f(K) v`, bracketed by Gauss and Gauss-Radau rules."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_STEPS = (8, 16, 28, 48, 80, 128)  # Lanczos steps at which the bracket is looked at
# How far from the Gauss end of the bracket to the other the value is taken to lie. Measured for
# flat, decaying and nearly collapsed spectra it lies between 0 and a third: the Gauss rule is exact
# for polynomials of one degree more and has no node at zero, where there need be no eigenvalue.
_FROM_GAUSS = 1 / 6


class Function(NamedTuple):
    """A function on [0, inf) whose arguments carry rounding errors.

    Attributes:
      value: f, elementwise on float arrays; its even derivatives of high order must have one sign
        on (0, inf), as those of `x log x` and `x^α` do, and f(0) = 0.
      slack: elementwise, the most that f may lack where its argument is zero up to rounding.
    """

    value: Callable[[jax.Array], jax.Array]
    slack: Callable[[jax.Array], jax.Array]


def rules(function: Function, apply: Callable, start: jax.Array, enough: Callable) -> jax.Array:
    """Quadratures of vᵀ f(K) v for unit rows v of start [b, size].

    Args:
      function: f.
      apply: products with K.
      start: rows v.
      enough: from what is returned to whether its bounds will do, bool [].

    Returns:
      Values, bounds of their errors, slacks, vᵀ K v and |K v|² [5, b].
    """
    zeros = jnp.zeros((start.shape[0], _STEPS[-1]), start.dtype)

    def step(j, state):
        q, previous, alphas, betas = state
        beta = jnp.where(j > 0, betas[:, j - 1], 0)[:, None]
        w = apply(q) - beta * previous
        alpha = jnp.sum(w * q, 1)
        w = w - alpha[:, None] * q
        beta = jnp.linalg.norm(w, axis=1)
        following = w / jnp.where(beta == 0, 1, beta)[:, None]
        return following, q, alphas.at[:, j].set(alpha), betas.at[:, j].set(beta)

    def advance(state):
        stage, lanczos, _ = state
        until = jnp.array((0, *_STEPS), jnp.int32)
        lanczos = jax.lax.fori_loop(until[stage], until[stage + 1], step, lanczos)
        _, _, alphas, betas = lanczos
        looks = [functools.partial(_bracket, function, j) for j in _STEPS]
        quadratures = jax.lax.switch(stage, looks, alphas, betas)
        first, second = alphas[:, 0], alphas[:, 0] ** 2 + betas[:, 0] ** 2
        return stage + 1, lanczos, jnp.stack([*quadratures, first, second])

    def unfinished(state):
        stage, _, found = state
        more = (stage < len(_STEPS)) & ~enough(found) & jnp.all(jnp.isfinite(found))
        return (stage == 0) | more

    lanczos = start, jnp.zeros_like(start), zeros, zeros
    found = jnp.zeros((5, start.shape[0]), start.dtype)
    return jax.lax.while_loop(unfinished, advance, (jnp.int32(0), lanczos, found))[2]


def _bracket(function: Function, j: int, alphas, betas) -> list[jax.Array]:
    """Value between the Gauss and the Gauss-Radau rule of j steps, way to the far one, slack."""
    alphas, betas = alphas[:, :j], betas[:, : j - 1]
    gauss, slack = _gauss(function, alphas, betas)
    # With the last pivot of the Cholesky factorisation zero, 0 becomes an eigenvalue.
    last = jnp.clip(alphas[:, -1] - _last_pivot(alphas, betas), 0, alphas[:, -1])
    radau, _ = _gauss(function, alphas.at[:, -1].set(last), betas)
    width = radau - gauss
    return [gauss + _FROM_GAUSS * width, (1 - _FROM_GAUSS) * jnp.abs(width), slack]


def _gauss(function: Function, alphas, betas) -> list[jax.Array]:
    above = jax.vmap(lambda beta: jnp.diag(beta, 1))(betas)
    nodes, vectors = jnp.linalg.eigh(jax.vmap(jnp.diag)(alphas) + above + jnp.swapaxes(above, 1, 2))
    return [jnp.sum(vectors[:, 0] ** 2 * f(nodes), 1) for f in function]


def _last_pivot(alphas, betas) -> jax.Array:
    """Last squared diagonal entry of the Cholesky factors of tridiagonal matrices [b]."""

    def next_pivot(pivot, row):
        alpha, beta = row
        return alpha - beta**2 / jnp.where(pivot > 0, pivot, jnp.inf), None

    return jax.lax.scan(next_pivot, alphas[:, 0], (alphas[:, 1:].T, betas.T))[0]
