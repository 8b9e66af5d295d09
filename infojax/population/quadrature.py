r"""The trace of a function of a large positive semi-definite matrix that is known by its products.

Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017) with four additions, which together save
orders of magnitude of work at equal error:

- the leading eigenvectors are found by a block Krylov method and their share is computed, not
  sampled, as in Hutch++ (Meyer et al. 2021); what is sampled is the trace on their complement;
- the probes are random signs, so nothing on the diagonal adds to the variance: the caller chooses
  coordinates in which the matrix is nearly diagonal;
- the dimension of the complement and the traces of the matrix and of its square are known exactly,
  so each sample's own values of them, which Lanczos yields for free, serve as control variates;
  and so do those of the part of the matrix where its diagonal is small, for one more product;
- each sample's quadrature is bracketed by the Gauss rule and the Gauss-Radau rule with a node at
  zero (Golub & Meurant 1994), so the number of Lanczos steps follows from the tolerance and from
  the spread of the samples, whose error the bracket must not add to. The basis is not kept and
  not reorthogonalised: on the complement there are no separated eigenvalues that would make plain
  Lanczos lag, and the bracket sees what lag remains. Memory does not grow with the steps.

The reported error joins the standard error of the sampled part, with a factor for the few samples
it rests on, the brackets of the computed parts, and what the function may lack where eigenvalues
are zero up to rounding. matfree's quadrature has neither brackets nor
the moments of each sample, and keeps the basis.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from infojax.population import krylov, lanczos
from infojax.population.krylov import product

_BATCH = 64  # probes multiplied together: 32 take as long


class Part(NamedTuple):
    """A set S of coordinates, with what is known of a matrix there.

    Attributes:
      rows: 1 inside S, 0 outside, float [size].
      trace: `Σ_{i in S} K_ii`, float [].
      square: `Σ_{i in S} (K²)_ii`, float [].
    """

    rows: jax.Array
    trace: jax.Array
    square: jax.Array


class Operator(NamedTuple):
    """A symmetric positive semi-definite matrix of unit trace.

    Attributes:
      apply: rows [b, size] to the products with each of them [b, size].
      size: number of rows of the matrix.
      dtype: float32 or float64.
      square: trace of its square, float [], or None where unknown.
      part: coordinates of small diagonal elements, or None.
    """

    apply: Callable[[jax.Array], jax.Array]
    size: int
    dtype: jnp.dtype
    square: jax.Array | None
    part: Part | None = None


class Estimate(NamedTuple):
    """A number, its standard error (both float []) and the probes it took (int32 [])."""

    value: jax.Array
    error: jax.Array
    probes: jax.Array


class _Known(NamedTuple):
    """A number known exactly but for rounding, of which every sample has its own value."""

    value: jax.Array
    rounding: jax.Array


def trace(
    function: lanczos.Function,
    operator: Operator,
    leading: krylov.Leading,
    key,
    tolerance,
    max_probes: int,
) -> Estimate:
    """Estimates `tr f(K)`.

    Args:
      function: f.
      operator: K.
      leading: of K, see `krylov.leading`.
      key: JAX random key.
      tolerance: from an estimate of the trace to the absolute error that is enough.
      max_probes: the most random vectors to use, rounded up to a multiple of 64.

    Returns:
      An `Estimate`; NaN if products with K are.
    """
    dtype, eps = operator.dtype, jnp.finfo(operator.dtype).eps
    leading = krylov.converged(leading)
    share = jnp.sum(function.value(leading.values))
    coupling = 16 * jnp.sum(krylov.spread(function.value, leading))
    known = _known(operator, leading)
    length = -(-max_probes // _BATCH) * _BATCH

    def bracketed(batch):  # finely enough for the tolerance, and for what the probes leave open
        rest, error = _controlled_mean(batch, jnp.ones(_BATCH, bool), known)
        value = share + rest
        goal = jnp.minimum(0.3 * tolerance(value), 0.5 * error)
        return jnp.mean(batch[1]) <= jnp.maximum(goal, 8 * eps * value)

    def unfinished(state):
        _, _, result = state
        enough = result.error <= tolerance(result.value)
        more = (result.probes < length) & ~enough & jnp.isfinite(result.error)
        return more | (result.probes == 0)

    def add_batch(state):
        key, samples, result = state
        key, subkey = jax.random.split(key)
        batch = _draw(function, operator, leading, subkey, bracketed)
        samples = jax.lax.dynamic_update_slice_in_dim(samples, batch, result.probes, 1)
        count = result.probes + _BATCH
        used = jnp.arange(length, dtype=count.dtype) < count
        rest, error = _controlled_mean(samples, used, known)
        value = share + rest
        bound = jnp.sum(samples[1]) / count.astype(dtype)  # zero where not used
        error = jnp.sqrt(error**2 + (coupling + bound) ** 2 + (8 * eps * value) ** 2)
        return key, samples, Estimate(value, error, count)

    zero = jnp.zeros((), dtype)
    samples = jnp.zeros((3 + len(known), length), dtype)
    state = key, samples, Estimate(zero, zero, jnp.int32(0))
    _, samples, result = jax.lax.while_loop(unfinished, add_batch, state)
    slack = jnp.sum(samples[2]) / result.probes.astype(dtype)  # more probes do not lessen it
    return result._replace(error=result.error + slack)


def _known(operator: Operator, leading: krylov.Leading) -> list[_Known]:
    """What is known on the complement of the leading vectors, and on the part."""
    values, eps = leading.values, jnp.finfo(operator.dtype).eps
    size = operator.size - jnp.sum(values > 0).astype(operator.dtype)
    known = [_Known(size, eps * size), _Known(1 - jnp.sum(values), jnp.full_like(size, 4 * eps))]
    if operator.square is not None:
        second = operator.square - jnp.sum(values**2 + 2 * leading.residuals)
        known.append(_Known(second, 8 * eps * operator.square))
    if operator.part is not None:
        known += [_Known(x, 4 * eps * x) for x in (operator.part.trace, operator.part.square)]
    return known


def _draw(
    function: lanczos.Function, operator: Operator, leading: krylov.Leading, key, enough
) -> jax.Array:
    """Draws a batch of samples: values, bounds, slacks and controls [3 + known, batch]."""
    apply, size, dtype, square, part = operator

    def project(v):
        return v - product(product(v, leading.vectors.T), leading.vectors)

    signs = jax.random.rademacher(key, (_BATCH, size), dtype)
    start = project(project(signs))
    squares = jnp.sum(start * start, 1)
    start = start / jnp.sqrt(squares)[:, None]
    of_part = []
    if part is not None:
        inside = signs * part.rows[None]
        product_inside = apply(inside)
        of_part = [jnp.sum(inside * product_inside, 1), jnp.sum(product_inside**2, 1)]

    def samples(found):
        *quadratures, first, second = found * squares[None]
        of_square = [] if square is None else [second]
        return jnp.stack([*quadratures, squares, first, *of_square, *of_part])

    found = lanczos.rules(
        function, lambda v: project(apply(v)), start, lambda found: enough(samples(found))
    )
    return samples(found)


def _controlled_mean(samples, used, known: list[_Known]) -> tuple[jax.Array, jax.Array]:
    """Mean of the used samples at the known values of their controls, and its standard error.

    Least squares on the controls one after the other, since they are often nearly proportional. A
    ridge keeps a coefficient from amplifying the rounding of a known value, where the samples' own
    values differ hardly more than that (as at collapse).
    """
    y, controls = samples[0], samples[3:]
    p = jnp.sum(used).astype(y.dtype)
    eps = jnp.finfo(y.dtype).eps

    def mean(x):
        return jnp.sum(jnp.where(used, x, 0)) / p

    def regress(y, x, rounding):
        """Takes the part of y that x explains from y, at x = 0: leverage, rounding passed on."""
        dx = jnp.where(used, x - mean(x), 0)
        square = jnp.sum(dx * dx) + p**2 * rounding**2
        square = jnp.where(square == 0, 1, square)
        slope = jnp.sum(dx * (y - mean(y))) / square
        return y - slope * x, mean(x) ** 2 / square, (slope * rounding) ** 2

    variance_factor, rounded = 1 / p, jnp.zeros_like(p)
    xs = [x - k.value for x, k in zip(controls, known, strict=True)]
    roundings = [k.rounding for k in known]
    for i, x in enumerate(xs):
        y, leverage, inherited = regress(y, x, roundings[i])
        variance_factor, rounded = variance_factor + leverage, rounded + inherited
        for j in range(i + 1, len(xs)):
            noise = 4 * eps * jnp.max(jnp.where(used, jnp.abs(xs[j]), 0))
            xs[j], _, inherited = regress(xs[j], x, roundings[i])
            roundings[j] = jnp.sqrt(roundings[j] ** 2 + inherited + noise**2)
    freedom = p - 1 - len(xs)
    variance = jnp.sum(jnp.where(used, y - mean(y), 0) ** 2) / freedom
    student = 1 + 1.25 / freedom + 1.5 / freedom**2  # so that two errors hold 95 %
    return mean(y), jnp.sqrt(student**2 * variance * variance_factor + rounded)
