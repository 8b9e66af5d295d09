r"""Trace of a function of a large positive semi-definite matrix given by products with vectors.

Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017) with four additions, which together save
orders of magnitude of work at equal error:

- A block Krylov method finds the leading eigenvectors, whose share of the trace is computed rather
  than sampled, as in Hutch++ (Meyer et al. 2021). Only the trace on their complement is sampled.
- The probes are random signs, so the diagonal adds nothing to the variance. The caller chooses
  coordinates in which the matrix is nearly diagonal.
- The dimension of the complement and the traces of the matrix and of its square are known exactly.
  Lanczos yields each sample's own values of them for free, and they serve as control variates. So
  do the same traces of the part of the matrix with small diagonal elements, at the cost of one
  more product.
- Each sample's quadrature is bracketed by the Gauss rule and the Gauss-Radau rule with a node at
  zero (Golub & Meurant 1994). The number of Lanczos steps follows from the tolerance and from the
  spread of the samples, to whose error the bracket must not add. The basis is neither stored nor
  reorthogonalised: the complement has no separated eigenvalues that would delay plain Lanczos, and
  the bracket reveals any remaining delay. Memory does not grow with the steps.

The reported error combines the standard error of the sampled part, corrected for the small number
of samples, the brackets, and the value that the function may lose where eigenvalues are zero up to
rounding. The quadrature of matfree has neither brackets nor the moments of each sample, and stores
the basis.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax._products import matmul
from infojax.population import krylov, lanczos
from infojax.population.controls import Known, controlled_mean
from infojax.population.krylov import Map


class Part(NamedTuple):
    """A set S of coordinates, with exact traces of a matrix on it.

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
      apply: maps rows [b, size] to their products with the matrix [b, size].
      size: number of rows of the matrix.
      dtype: float32 or float64.
      square: trace of its square, float [], or None if unknown.
      part: coordinates with small diagonal elements, or None.
      batch: probes drawn together.
      leading: largest dimension of the space that the leading eigenvectors are sought in.
    """

    apply: Map
    size: int
    dtype: jnp.dtype
    square: jax.Array | None
    part: Part | None = None
    batch: int = 64  # 32 take as long
    leading: int = 512


class Estimate(NamedTuple):
    """A number, its standard error (both float []) and the number of probes used (int32 [])."""

    value: jax.Array
    error: jax.Array
    probes: jax.Array


class _Split(NamedTuple):
    """A trace of f(K) split into a computed part and a part to sample.

    Attributes:
      share: trace on the leading vectors, float [].
      coupling: bound on the error of the split, float [].
      known: means of the control variates of the samples.
    """

    function: lanczos.Function
    operator: Operator
    leading: krylov.Leading
    share: jax.Array
    coupling: jax.Array
    known: list[Known]


def exactly(value: jax.Array) -> Estimate:
    """Returns a value without error as an `Estimate`."""
    return Estimate(value, jnp.zeros_like(value), jnp.int32(0))


def trace(
    function: lanczos.Function,
    operator: Operator,
    leading: krylov.Leading,
    key: jax.Array,
    tolerance: Map,
    max_probes: int,
) -> Estimate:
    """Estimates `tr f(K)`.

    Args:
      function: f.
      operator: K.
      leading: Ritz pairs of K, see `krylov.leading`.
      key: JAX random key.
      tolerance: maps an estimate of the trace to the absolute error that suffices.
      max_probes: largest number of random vectors, rounded up to whole batches.

    Returns:
      An `Estimate`; NaN if products with K are.
    """
    split = _deflate(function, operator, leading)
    length = -(-max_probes // operator.batch) * operator.batch
    State = tuple[jax.Array, jax.Array, Estimate]  # key, samples, result so far

    def unfinished(state: State) -> jax.Array:
        _, _, result = state
        enough = result.error <= tolerance(result.value)
        more = (result.probes < length) & ~enough & jnp.isfinite(result.error)
        return more | (result.probes == 0)

    def add_batch(state: State) -> State:
        key, samples, result = state
        key, subkey = jax.random.split(key)
        batch = _draw(split, subkey, lambda batch: _bracketed(split, batch, tolerance))
        samples = jax.lax.dynamic_update_slice_in_dim(samples, batch, result.probes, 1)
        return key, samples, _estimate(split, samples, result.probes + operator.batch)

    zero = jnp.zeros((), operator.dtype)
    samples = jnp.zeros((3 + len(split.known), length), operator.dtype)
    state = key, samples, Estimate(zero, zero, jnp.int32(0))
    _, samples, result = jax.lax.while_loop(unfinished, add_batch, state)
    # The slack is a possible bias, which more probes do not reduce.
    slack = jnp.sum(samples[2]) / result.probes.astype(operator.dtype)
    return result._replace(error=result.error + slack)


def _deflate(function: lanczos.Function, operator: Operator, leading: krylov.Leading) -> _Split:
    leading = krylov.converged(leading)
    values, eps = leading.values, np.finfo(operator.dtype).eps
    share = jnp.sum(function.value(values))
    coupling = 16 * jnp.sum(krylov.spread(function.value, leading))
    size = operator.size - jnp.sum(values > 0).astype(operator.dtype)
    known = [Known(size, eps * size), Known(1 - jnp.sum(values), jnp.full_like(size, 4 * eps))]
    if operator.square is not None:
        second = operator.square - jnp.sum(values**2 + 2 * leading.residuals)
        known.append(Known(second, 8 * eps * operator.square))
    if operator.part is not None:
        known += [Known(x, 4 * eps * x) for x in (operator.part.trace, operator.part.square)]
    return _Split(function, operator, leading, share, coupling, known)


def _draw(split: _Split, key: jax.Array, enough: Map) -> jax.Array:
    """Draws a batch of samples: values, error bounds, slacks and controls [3 + known, batch]."""
    apply, size, dtype, square, part, count, _ = split.operator
    vectors = split.leading.vectors

    def project(v: jax.Array) -> jax.Array:
        return v - matmul(matmul(v, vectors.T), vectors)

    signs = jax.random.rademacher(key, (count, size), dtype)
    start = project(project(signs))
    squares = jnp.sum(start * start, 1)
    start = start / jnp.sqrt(squares)[:, None]
    of_part = []
    if part is not None:
        inside = signs * part.rows[None]
        product_inside = apply(inside)
        of_part = [jnp.sum(inside * product_inside, 1), jnp.sum(product_inside**2, 1)]

    def samples(found: jax.Array) -> jax.Array:
        *quadratures, first, second = found * squares[None]
        of_square = [] if square is None else [second]
        return jnp.stack([*quadratures, squares, first, *of_square, *of_part])

    found = lanczos.rules(
        split.function, lambda v: project(apply(v)), start, lambda found: enough(samples(found))
    )
    return samples(found)


def _bracketed(split: _Split, batch: jax.Array, tolerance: Map) -> jax.Array:
    """Whether the brackets of a batch are small beside the tolerance and its standard error."""
    rest, error = controlled_mean(
        batch[0], batch[3:], jnp.ones(split.operator.batch, bool), split.known
    )
    value = split.share + rest
    goal = jnp.minimum(0.3 * tolerance(value), 0.5 * error)
    return jnp.mean(batch[1]) <= jnp.maximum(goal, 8 * np.finfo(batch.dtype).eps * value)


def _estimate(split: _Split, samples: jax.Array, count: jax.Array) -> Estimate:
    """Estimate from the first `count` samples; the others are zero."""
    used = jnp.arange(samples.shape[1], dtype=count.dtype) < count
    rest, error = controlled_mean(samples[0], samples[3:], used, split.known)
    value = split.share + rest
    bound = jnp.sum(samples[1]) / count.astype(samples.dtype)
    rounding = 8 * np.finfo(samples.dtype).eps * value
    return Estimate(value, jnp.sqrt(error**2 + (split.coupling + bound) ** 2 + rounding**2), count)
