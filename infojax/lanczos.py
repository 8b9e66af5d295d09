"""Lanczos quadrature of `vᵀ f(K) v`, bracketed by Gauss and Gauss-Radau rules."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

_STEPS = (8, 16, 28, 48, 80, 128)  # Lanczos steps at which the bracket is looked at


def rules(function: Callable, apply: Callable, start: jax.Array, goal: Callable) -> jax.Array:
    """Quadratures of vᵀ f(K) v for unit rows v of start [b, size].

    Args:
      function: f.
      apply: products with K.
      start: rows v.
      goal: from the mean of the values to the half bracket that is enough.

    Returns:
      Middle and half width of the bracket, vᵀ K v and |K v|² [4, b].
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
        stage, lanczos, _, _ = state
        until = jnp.array((0, *_STEPS), jnp.int32)
        lanczos = jax.lax.fori_loop(until[stage], until[stage + 1], step, lanczos)
        looks = [functools.partial(_bracket, function, j) for j in _STEPS]
        return stage + 1, lanczos, *jax.lax.switch(stage, looks, *lanczos[2:])

    def unfinished(state):
        stage, _, middle, half = state
        enough = jnp.mean(half) <= goal(jnp.mean(middle))
        return (stage == 0) | ((stage < len(_STEPS)) & ~enough & jnp.all(jnp.isfinite(half)))

    state = jnp.int32(0), (start, jnp.zeros_like(start), zeros, zeros), zeros[:, 0], zeros[:, 0]
    _, (_, _, alphas, betas), middle, half = jax.lax.while_loop(unfinished, advance, state)
    return jnp.stack([middle, half, alphas[:, 0], alphas[:, 0] ** 2 + betas[:, 0] ** 2])


def _bracket(function, j: int, alphas, betas) -> tuple[jax.Array, jax.Array]:
    """Middle and half distance of the Gauss and the Gauss-Radau rule of j steps."""
    alphas, betas = alphas[:, :j], betas[:, : j - 1]
    gauss = _gauss(function, alphas, betas)
    # With the last pivot of the Cholesky factorisation zero, 0 becomes an eigenvalue.
    last = jnp.clip(alphas[:, -1] - _last_pivot(alphas, betas), 0, alphas[:, -1])
    radau = _gauss(function, alphas.at[:, -1].set(last), betas)
    return (gauss + radau) / 2, jnp.abs(gauss - radau) / 2


def _gauss(function, alphas, betas) -> jax.Array:
    above = jax.vmap(lambda beta: jnp.diag(beta, 1))(betas)
    nodes, vectors = jnp.linalg.eigh(jax.vmap(jnp.diag)(alphas) + above + jnp.swapaxes(above, 1, 2))
    return jnp.sum(vectors[:, 0] ** 2 * function(nodes), 1)


def _last_pivot(alphas, betas) -> jax.Array:
    """Last squared diagonal entry of the Cholesky factors of tridiagonal matrices [b]."""

    def next_pivot(pivot, row):
        alpha, beta = row
        return alpha - beta**2 / jnp.where(pivot > 0, pivot, jnp.inf), None

    return jax.lax.scan(next_pivot, alphas[:, 0], (alphas[:, 1:].T, betas.T))[0]
