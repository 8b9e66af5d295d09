"""Lanczos quadrature of `vᵀ f(K) v`, bracketed by Gauss and Gauss-Radau rules."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from infojax.population.krylov import Map

_STEPS = (8, 16, 28, 48, 80, 128)  # Lanczos steps after which the bracket is evaluated
# Assumed position of the value within the bracket, as a fraction of its width from the Gauss end.
# For flat, decaying and nearly collapsed spectra it was measured between 0 and 1/3: the Gauss rule
# is exact for polynomials of one degree more, and has no node at zero, where K need not have an
# eigenvalue.
_FROM_GAUSS = 1 / 6


class Function(NamedTuple):
    """A function on [0, inf) whose arguments carry rounding errors.

    Attributes:
      value: f, elementwise on float arrays, with f(0) = 0. Its even derivatives of high order must
        have one sign on (0, inf), as for `x log x` and `x^α`.
      slack: elementwise bound on the value that f loses where its argument is zero up to rounding.
    """

    value: Map
    slack: Map


class _Recurrence(NamedTuple):
    """Latest two Lanczos vectors [b, size], and (off-)diagonals of tridiagonal matrices [b, j]."""

    q: jax.Array
    previous: jax.Array
    alphas: jax.Array
    betas: jax.Array


def rules(function: Function, apply: Map, start: jax.Array, enough: Map) -> jax.Array:
    """Quadratures of vᵀ f(K) v for the unit rows v of start [b, size].

    Args:
      function: f.
      apply: products with K.
      start: rows v.
      enough: whether a result has sufficiently tight bounds; maps [5, b] to bool [].

    Returns:
      Values, error bounds, slacks, vᵀ K v and |K v|² [5, b].
    """
    zeros = jnp.zeros((start.shape[0], _STEPS[-1]), start.dtype)
    State = tuple[jax.Array, _Recurrence, jax.Array]  # stage, recurrence, result so far

    def step(j: jax.Array, state: _Recurrence) -> _Recurrence:
        q, previous, alphas, betas = state
        beta = jnp.where(j > 0, betas[:, j - 1], 0)[:, None]
        w = apply(q) - beta * previous
        alpha = jnp.sum(w * q, 1)
        w = w - alpha[:, None] * q
        beta = jnp.linalg.norm(w, axis=1)
        following = w / jnp.where(beta == 0, 1, beta)[:, None]
        return _Recurrence(following, q, alphas.at[:, j].set(alpha), betas.at[:, j].set(beta))

    def advance(state: State) -> State:
        stage, lanczos, _ = state
        until = jnp.array((0, *_STEPS), jnp.int32)
        lanczos = jax.lax.fori_loop(until[stage], until[stage + 1], step, lanczos)
        alphas, betas = lanczos.alphas, lanczos.betas
        brackets = [functools.partial(_bracket, function, j) for j in _STEPS]
        quadratures = jax.lax.switch(stage, brackets, alphas, betas)
        first, second = alphas[:, 0], alphas[:, 0] ** 2 + betas[:, 0] ** 2
        return stage + 1, lanczos, jnp.stack([*quadratures, first, second])

    def unfinished(state: State) -> jax.Array:
        stage, _, found = state
        more = (stage < len(_STEPS)) & ~enough(found) & jnp.all(jnp.isfinite(found))
        return (stage == 0) | more

    lanczos = _Recurrence(start, jnp.zeros_like(start), zeros, zeros)
    found = jnp.zeros((5, start.shape[0]), start.dtype)
    return jax.lax.while_loop(unfinished, advance, (jnp.int32(0), lanczos, found))[2]


def _bracket(
    function: Function, j: int, alphas: jax.Array, betas: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Value between the Gauss and Gauss-Radau rules of j steps, its error bound, and the slack."""
    alphas, betas = alphas[:, :j], betas[:, : j - 1]
    gauss, slack = _gauss(function, alphas, betas)
    # With a last Cholesky pivot of zero, the tridiagonal matrix gains the eigenvalue 0.
    last = jnp.clip(alphas[:, -1] - _last_pivot(alphas, betas), 0, alphas[:, -1])
    radau, _ = _gauss(function, alphas.at[:, -1].set(last), betas)
    width = radau - gauss
    return gauss + _FROM_GAUSS * width, (1 - _FROM_GAUSS) * jnp.abs(width), slack


def _gauss(function: Function, alphas: jax.Array, betas: jax.Array) -> list[jax.Array]:
    """Gauss quadratures [b] of the function's value and slack."""
    above = jax.vmap(lambda beta: jnp.diag(beta, 1))(betas)
    nodes, vectors = jnp.linalg.eigh(jax.vmap(jnp.diag)(alphas) + above + jnp.swapaxes(above, 1, 2))
    return [jnp.sum(vectors[:, 0] ** 2 * f(nodes), 1) for f in function]


def _last_pivot(alphas: jax.Array, betas: jax.Array) -> jax.Array:
    """Last squared diagonal entry of the Cholesky factors of tridiagonal matrices [b]."""

    def next_pivot(pivot: jax.Array, row: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        alpha, beta = row
        positive = pivot > 0
        return alpha - jnp.where(positive, beta**2 / jnp.where(positive, pivot, 1), 0), None

    return jax.lax.scan(next_pivot, alphas[:, 0], (alphas[:, 1:].T, betas.T))[0]
