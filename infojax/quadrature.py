r"""The trace of a function of a large positive semi-definite matrix that is known by its products.

Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017) with three additions, which together save
orders of magnitude of work at equal error:

- the leading eigenvectors are found by a block Krylov method and their share is computed, not
  sampled, as in Hutch++ (Meyer et al. 2021); what is sampled is the trace on their complement;
- the trace of the matrix and of its square are known exactly, so each sample's own value of both,
  which Lanczos yields for free, serve as control variates;
- each sample's quadrature is bracketed by the Gauss rule and the Gauss-Radau rule with a node at
  zero (Golub & Meurant 1994), so the number of Lanczos steps follows from the tolerance. The basis
  is not kept and not reorthogonalised: on the complement there are no separated eigenvalues that
  would make plain Lanczos lag, and the bracket sees what lag remains. Memory does not grow with
  the steps.

The reported error joins the standard error of the sampled part, with a factor for the few samples
it rests on, and the brackets of the computed parts. matfree's quadrature has neither brackets nor
the moments of each sample, and keeps the basis.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

_HIGHEST = jax.lax.Precision.HIGHEST
_BATCH = 32  # probes multiplied together
_DEFLATED = 256  # most dimensions of the Krylov space of leading eigenvectors
_POWERS = 16  # products with the matrix that build it
_STEPS = (8, 16, 32, 64, 128)  # Lanczos steps at which the bracket is looked at


class Operator(NamedTuple):
    """A symmetric positive semi-definite matrix of unit trace.

    Attributes:
      apply: rows [b, size] to the products with each of them [b, size].
      size: number of rows of the matrix.
      dtype: float32 or float64.
      square: trace of its square, float [], or None where unknown.
    """

    apply: Callable[[jax.Array], jax.Array]
    size: int
    dtype: jnp.dtype
    square: jax.Array | None


class Estimate(NamedTuple):
    """A number, its standard error (both float []) and the probes it took (int32 [])."""

    value: jax.Array
    error: jax.Array
    probes: jax.Array


class _Leading(NamedTuple):
    """Orthonormal vectors y [k, size], θ = yᵀ K y [k], |K y - θ y|² [k]; zero where unused."""

    vectors: jax.Array
    values: jax.Array
    residuals: jax.Array


class _Rest(NamedTuple):
    """The orthogonal complement of the leading vectors: dimension, moments, their rounding [2]."""

    size: jax.Array
    moments: jax.Array
    rounding: jax.Array


def trace(function, operator: Operator, key, tolerance, max_probes: int) -> Estimate:
    """Estimates `tr f(K)` for f(0) = 0.

    Args:
      function: f, elementwise on float arrays; its even derivatives of high order must have one
        sign on (0, inf), as those of `x log x` and `x^α` do.
      operator: K.
      key: JAX random key.
      tolerance: from an estimate of the trace to the absolute error that is enough.
      max_probes: the most random vectors to use, rounded up to a multiple of 32.

    Returns:
      An `Estimate`; NaN if products with K are.
    """
    key_leading, key_probes = jax.random.split(key)
    leading = _converged(function, _leading(operator, key_leading))
    known = jnp.sum(function(leading.values))
    coupling = 16 * jnp.sum(_spread(function, leading))
    rest = _complement(operator, leading)

    def project(v):
        return v - _product(_product(v, leading.vectors.T), leading.vectors)

    def apply(v):
        return project(operator.apply(v))

    length = -(-max_probes // _BATCH) * _BATCH

    def unfinished(state):
        _, _, result = state
        enough = result.error <= tolerance(result.value)
        more = (result.probes < length) & ~enough & jnp.isfinite(result.error)
        return more | (result.probes == 0)

    def add_batch(state):
        key, samples, result = state
        key, subkey = jax.random.split(key)
        start = jax.random.normal(subkey, (_BATCH, operator.size), operator.dtype)
        start = project(project(start))
        start = start / jnp.linalg.norm(start, axis=1, keepdims=True)
        batch = rest.size * _rules(
            function,
            apply,
            start,
            lambda mean: 0.2 * tolerance(known + rest.size * mean) / rest.size,
        )
        samples = jax.lax.dynamic_update_slice_in_dim(samples, batch, result.probes, 1)
        count = result.probes + _BATCH
        value, error, half = _controlled_mean(samples, count, rest)
        value = known + value
        rounding = 8 * jnp.finfo(operator.dtype).eps * jnp.abs(value)
        error = jnp.sqrt(error**2 + (coupling + half) ** 2 + rounding**2)
        return key, samples, Estimate(value, error, count)

    zero = jnp.zeros((), operator.dtype)
    state = key_probes, jnp.zeros((4, length), operator.dtype), Estimate(zero, zero, jnp.int32(0))
    return jax.lax.while_loop(unfinished, add_batch, state)[2]


def largest_eigenvalue(operator: Operator, key) -> Estimate:
    """Estimates the largest eigenvalue; the error is the residual's norm, a bound.

    Args:
      operator: K.
      key: JAX random key.

    Returns:
      An `Estimate` without probes.
    """
    leading = _leading(operator, key)
    top = jnp.argmax(leading.values)
    return Estimate(leading.values[top], jnp.sqrt(leading.residuals[top]), jnp.int32(0))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _leading(operator: Operator, key) -> _Leading:
    """Ritz pairs of the block Krylov space of a random block."""
    most = min(_DEFLATED, operator.size // 4, 2**26 // operator.size)
    block = max(1, most // _POWERS)
    total = block * _POWERS

    def grow(i, state):
        basis, projected, v = state
        basis = jax.lax.dynamic_update_slice_in_dim(basis, v, i * block, 0)
        w = operator.apply(v)
        coefficients = _product(w, basis.T)
        projected = jax.lax.dynamic_update_slice_in_dim(projected, coefficients, i * block, 0)
        floor = (32 * jnp.finfo(w.dtype).eps) ** 2 * jnp.max(jnp.sum(w * w, 1))
        v = _orthonormal(w - _product(coefficients, basis), floor)
        # Where the space is exhausted, as by eigenvalues of high multiplicity, a new start.
        ended = jnp.sum(v * v, 1, keepdims=True) < 0.5
        v = jnp.where(ended, random_rows(jax.random.fold_in(key, i + 1)), v)
        for _ in range(2):
            v = _orthonormal(v - _product(_product(v, basis.T), basis), 0)
        return basis, projected, v

    def random_rows(key):
        rows = jax.random.normal(key, (block, operator.size), operator.dtype)
        return rows / math.sqrt(operator.size)

    zeros = jnp.zeros((total, operator.size), operator.dtype)
    start = _orthonormal(_orthonormal(random_rows(key), 0), 0)
    state = zeros, jnp.zeros((total, total), operator.dtype), start
    basis, projected, _ = jax.lax.fori_loop(0, _POWERS, grow, state)
    projected = jnp.tril(projected) + jnp.tril(projected, -1).T
    vectors = _product(jnp.linalg.eigh(projected)[1].T, basis)

    def rayleigh(y):
        ky = operator.apply(y)
        values = jnp.sum(y * ky, 1)
        return values, jnp.sum((ky - values[:, None] * y) ** 2, 1)

    values, residuals = jax.lax.map(rayleigh, vectors.reshape(_POWERS, block, -1))
    return _Leading(vectors, values.reshape(-1), residuals.reshape(-1))


def _orthonormal(w: jax.Array, floor) -> jax.Array:
    """Orthonormal rows that span the rows of w; zeros for those dependent or of square <= floor."""
    squares, u = jnp.linalg.eigh(_product(w, w.T))
    kept = squares > jnp.maximum(floor, 8 * w.shape[0] * jnp.finfo(w.dtype).eps * squares[-1])
    scale = jnp.where(kept, 1 / jnp.sqrt(jnp.where(kept, squares, 1)), 0)
    return _product((u * scale[None]).T, w)


def _converged(function, leading: _Leading) -> _Leading:
    """Keeps the Ritz pairs that are eigenpairs but for a 1e-7 of their share of the trace."""
    keep = leading.values > 1e-5 * jnp.max(leading.values)
    keep &= leading.residuals <= 1e-7 * leading.values**2
    keep &= jnp.abs(jnp.sum(leading.vectors**2, 1) - 1) <= 1e-3
    return _Leading(
        jnp.where(keep[:, None], leading.vectors, 0),
        jnp.where(keep, leading.values, 0),
        jnp.where(keep, leading.residuals, 0),
    )


def _spread(function, leading: _Leading) -> jax.Array:
    """Distance of the Gauss value f(θ) of yᵀ f(K) y and the Gauss-Radau one, nodes 0, θ + ρ²/θ.

    What is lost by cutting K into blocks, its trace on the leading vectors and on the rest, is
    this times the logarithm of the ratio of eigenvalues on both sides, at most some 16.
    """
    values = jnp.where(leading.values > 0, leading.values, 1)
    node = values + leading.residuals / values
    spread = jnp.abs(function(values) - values / node * function(node))
    return jnp.where(leading.values > 0, spread, 0)


def _complement(operator: Operator, leading: _Leading) -> _Rest:
    values, eps = leading.values, jnp.finfo(operator.dtype).eps
    first = 1 - jnp.sum(values)
    if operator.square is None:  # a control that is zero in every sample
        second, rounding = jnp.zeros_like(first), jnp.ones_like(first)
    else:
        second = operator.square - jnp.sum(values**2 + 2 * leading.residuals)
        rounding = 16 * eps * operator.square
    kept = jnp.sum(values > 0).astype(operator.dtype)
    return _Rest(
        operator.size - kept,
        jnp.stack([first, second]),
        jnp.stack([jnp.full_like(first, 4 * eps), rounding]),
    )


def _rules(function, apply, start: jax.Array, goal) -> jax.Array:
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


def _controlled_mean(samples, count, rest: _Rest) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean of the samples at the known moments, its standard error, and the mean half bracket.

    Least squares on the two control variates, one after the other, since they are often nearly
    proportional. A ridge keeps a coefficient from amplifying the rounding of the known moments,
    where the samples' own moments are hardly larger than that (as at collapse).
    """
    used = jnp.arange(samples.shape[1], dtype=count.dtype) < count
    p = count.astype(samples.dtype)
    y, half = samples[0], jnp.sum(jnp.where(used, samples[1], 0)) / p
    first, second = samples[2:] - rest.moments[:, None]
    rounding, second_rounding = rest.rounding

    def regress(y, x, rounding):
        """Takes the part of y that x explains from y, at x = 0: coefficient, leverage."""
        x_mean, y_mean = (jnp.sum(jnp.where(used, a, 0)) / p for a in (x, y))
        dx = jnp.where(used, x - x_mean, 0)
        square = jnp.sum(dx * dx) + p**2 * rounding**2
        slope = jnp.sum(dx * (y - y_mean)) / jnp.where(square == 0, 1, square)
        leverage = x_mean**2 / jnp.where(square == 0, 1, square)
        return y - slope * x, leverage, (slope * rounding) ** 2

    y, leverage, rounded = regress(y, first, rounding)
    scale = jnp.max(jnp.where(used, jnp.abs(second), 0))
    second, _, inherited = regress(second, first, rounding)
    noise = 4 * jnp.finfo(samples.dtype).eps * scale
    y, more_leverage, more_rounded = regress(
        y, second, jnp.sqrt(second_rounding**2 + inherited + noise**2)
    )
    mean, freedom = jnp.sum(jnp.where(used, y, 0)) / p, p - 3
    variance = jnp.sum(jnp.where(used, y - mean, 0) ** 2) / freedom
    student = 1 + 1.25 / freedom + 1.5 / freedom**2  # so that two errors hold 95 %
    square = student**2 * variance * (1 / p + leverage + more_leverage)
    return mean, jnp.sqrt(square + rounded + more_rounded), half
