"""Entropy of the spectrum of a positive semi-definite matrix, with exact derivatives.

The entropy is a spectral function, so its derivative is a matrix function: with
`P = V diag(w) Vᵀ`, `dS = ⟨V diag(s'(w)) Vᵀ, dP⟩`. The derivative of this matrix function is given
by divided differences of `s'` (Daleckii & Krein 1965; Higham, Functions of Matrices, 2008, theorem
3.11). Neither derivative differentiates eigenvectors, so both are finite at repeated eigenvalues.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks
from infojax._eigenvalues import (
    check_size,
    decomposition,
    eigenvalues as eigenvalues,
    is_null,
    rounding,
)
from infojax._products import matmul, scaled, unit_trace


def entropy(k: ArrayLike, alpha: float = 1.0) -> jax.Array:
    r"""Entropy of order alpha of the spectrum of a positive semi-definite matrix.

    .. math:: S_\alpha(P) = \frac{\log \operatorname{tr} P^\alpha}{1 - \alpha},
       \qquad S_1(P) = -\operatorname{tr} P \log P,
       \qquad S_\infty(P) = -\log \lambda_{\max}(P),
       \qquad P = K / \operatorname{tr} K

    Supports forward and reverse mode, second derivatives, jit and vmap at every positive
    semi-definite K. Eigenvalues that are zero up to rounding contribute nothing to derivatives
    (`0 log 0 = 0`). Derivatives are exact for every perturbation that preserves the rank, hence
    for every `K = Z Zᵀ` with respect to Z. Where the largest eigenvalue is repeated, `S_∞` is not
    differentiable and the mean over the eigenspace is returned.

    Args:
      k: positive semi-definite matrices, float32 or float64 [..., n, n].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...], in [0, log n] up to rounding, at any scale of k; 0 for the zero
      matrix; NaN if k contains NaN or inf, or if its trace is negative.

    Raises:
      ValueError: k is not square or not real; alpha is not positive.

    References:
      Song et al. 2024, definition 3.2 (matrix entropy); Giraldo, Rao & Principe 2014 (order alpha).

    >>> import jax.numpy as jnp
    >>> round(float(entropy(jnp.eye(4))), 4)  # log 4
    1.3863
    """
    return _normalised_entropy(k, alpha, of_product=False)


def product_entropy(k: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """`entropy` of a product `K = X Xᵀ`, to be differentiated with respect to X.

    The null space of K annihilates X, so the slope assigned to it cancels and no eigenvalue has to
    be treated as zero. In float32, true eigenvalues as small as rounding keep their share of the
    gradient, whose error falls from 1e-2 to 1e-5 where X is nearly square.

    Args:
      k: products X Xᵀ, float32 or float64 [..., n, n].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...], as for `entropy`.

    Raises:
      ValueError: as for `entropy`.

    >>> import jax.numpy as jnp
    >>> round(float(product_entropy(jnp.eye(4))), 4)  # log 4
    1.3863
    """
    return _normalised_entropy(k, alpha, of_product=True)


def _normalised_entropy(k: ArrayLike, alpha: float, of_product: bool) -> jax.Array:
    alpha = _checks.order(alpha)
    k = _checks.square("k", k)
    p, valid = unit_trace(k)
    if not of_product:
        p = (p + jnp.swapaxes(p, -1, -2)) / 2
    if alpha == 2:  # the Frobenius norm needs no eigenvalues
        value = _purity_entropy(p)
    else:
        check_size(k)
        value = _entropy(alpha, of_product, p)
    return _checks.nan_unless(valid, value)


def entropy_of_spectrum(w: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Entropy of order alpha of given eigenvalues, `S_α(w / Σ w)`, for values, not derivatives.

    Args:
      w: eigenvalues, float [..., n]. Null eigenvalues may be negative from rounding. For
        alpha >= 1 the summand is continued as an odd function, so that rounding errors, which
        have both signs and zero sum, cancel instead of adding up. For alpha < 1 the summand is too
        steep at zero for that, and null eigenvalues are dropped.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...]; 0 where all eigenvalues are zero; NaN if w contains NaN or inf, or
      if its sum is negative.

    Raises:
      ValueError: w is not real; alpha is not positive.

    >>> import jax.numpy as jnp
    >>> round(float(entropy_of_spectrum(jnp.array([3.0, 3.0, 0.0]))), 4)  # log 2
    0.6931
    """
    alpha = _checks.order(alpha)
    w = scaled(_checks.real_array("w", w), -1)
    total = jnp.sum(w, -1)
    value = _sum_entropy(alpha, w / jnp.where(total == 0, 1, total)[..., None])
    return _checks.nan_unless(jnp.isfinite(total) & (total >= 0), value)


def _purity_entropy(p: jax.Array) -> jax.Array:
    purity = jnp.sum(p * p, (-2, -1))
    return -jnp.log(jnp.where(purity == 0, 1, purity))


def _sum_entropy(alpha: float, w: jax.Array) -> jax.Array:
    """Returns the entropy of eigenvalues [..., n] with unit sum."""
    beta = alpha - 1
    if alpha < 1:
        w = jnp.where(is_null(w), 0, w)
    log_w = _log_abs(w)
    if alpha == 1:
        return -jnp.sum(w * log_w, -1)
    if abs(beta) < 0.5:  # Σ w^α - Σ w without cancellation
        return -jnp.log1p(jnp.sum(w * jnp.expm1(beta * log_w), -1)) / beta
    largest = jnp.max(w, -1, keepdims=True)
    log_largest = _log_abs(largest)
    if alpha == math.inf:
        return -log_largest[..., 0]
    terms = jnp.where(w == 0, 0, jnp.sign(w) * jnp.exp(alpha * (log_w - log_largest)))
    total = jnp.sum(terms, -1)
    log_total = jnp.log(jnp.where(total == 0, 1, total))
    return -(alpha * log_largest[..., 0] + log_total) / beta


def _log_abs(w: jax.Array) -> jax.Array:
    return jnp.log(jnp.where(w == 0, 1, jnp.abs(w)))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _entropy(alpha: float, of_product: bool, p: jax.Array) -> jax.Array:
    """Returns the entropy of matrices of unit trace."""
    return _sum_entropy(alpha, eigenvalues(p))


@_entropy.defjvp
def _entropy_jvp(
    alpha: float, of_product: bool, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (p,), (dp,) = primals, tangents
    value, gradient = _entropy_and_gradient(alpha, of_product, p)
    return value, jnp.sum(gradient * dp, (-2, -1))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _entropy_and_gradient(
    alpha: float, of_product: bool, p: jax.Array
) -> tuple[jax.Array, jax.Array]:
    w, v = decomposition(p)
    value = _sum_entropy(alpha, w)
    return value, _congruence(v, _slope(alpha, of_product, w, value))


@_entropy_and_gradient.defjvp
def _entropy_and_gradient_jvp(
    alpha: float, of_product: bool, primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
    (p,), (dp,) = primals, tangents
    w, v = decomposition(p)
    value = _sum_entropy(alpha, w)
    slope = _slope(alpha, of_product, w, value)
    gradient = _congruence(v, slope)
    dvalue = jnp.sum(gradient * dp, (-2, -1))
    dp = (dp + jnp.swapaxes(dp, -1, -2)) / 2
    vt = jnp.swapaxes(v, -1, -2)
    rotated = matmul(matmul(vt, dp), v)
    rotated = rotated * _divided_differences(alpha, w, value, slope)
    dslope = _slope_by_value(alpha, w, value, slope) * dvalue[..., None]
    dgradient = _congruence(v, dslope) + matmul(matmul(v, rotated), vt)
    return (value, gradient), (dvalue, dgradient)


def _congruence(v: jax.Array, diagonal: jax.Array) -> jax.Array:
    """Returns V diag(diagonal) Vᵀ."""
    return matmul(v * diagonal[..., None, :], jnp.swapaxes(v, -1, -2))


def _slope(alpha: float, of_product: bool, w: jax.Array, value: jax.Array) -> jax.Array:
    """Returns the derivative by each eigenvalue, up to a constant; 0 on the null space.

    The slope is `-α (e^{β(log w + S)} - 1) / β`, β = α - 1, and `-(log w + S)` at α = 1. The
    constant is free because the trace of P is fixed; it is chosen so that the mean weighted by w is
    zero: all slopes then vanish at a flat spectrum, without cancellation. For products with
    α >= 1, the null space has the slope at a hundredth of the rounding bound instead of 0. First
    and second derivatives must use the same slope there, which cancels in their sum.
    """
    if alpha == math.inf:
        largest = jnp.max(w, -1, keepdims=True)
        return jnp.where(largest == 0, 0, -_top(w) / jnp.where(largest == 0, 1, largest))
    if of_product and alpha >= 1:
        w = jnp.maximum(w, 0.01 * rounding(w))
        return -alpha * _power(alpha - 1, _log_abs(w) + value[..., None])
    return jnp.where(is_null(w), 0, -alpha * _power(alpha - 1, _log_abs(w) + value[..., None]))


def _power(beta: float, x: jax.Array) -> jax.Array:
    """Returns (e^{βx} - 1) / β, or its limit x at β = 0."""
    return x if beta == 0 else jnp.expm1(beta * x) / beta


def _top(w: jax.Array) -> jax.Array:
    """Returns weights with unit sum, uniform on the eigenspace of the largest eigenvalue."""
    top = (jnp.max(w, -1, keepdims=True) - w <= rounding(w)).astype(w.dtype)
    return top / jnp.sum(top, -1, keepdims=True)


def _slope_by_value(alpha: float, w: jax.Array, value: jax.Array, slope: jax.Array) -> jax.Array:
    """Returns the partial derivative of the slopes with respect to the entropy S."""
    if alpha == math.inf:
        return slope
    factor = jnp.exp((alpha - 1) * (_log_abs(w) + value[..., None]))
    return jnp.where(is_null(w), 0, -alpha * factor)


def _divided_differences(
    alpha: float, w: jax.Array, value: jax.Array, slope: jax.Array
) -> jax.Array:
    """Returns (s'(wi) - s'(wj)) / (wi - wj) [..., n, n], or its limit at ties."""
    wi, wj = w[..., :, None], w[..., None, :]
    low, gap = jnp.minimum(wi, wj), jnp.abs(wi - wj)
    null = is_null(w)
    touches_null = null[..., :, None] | null[..., None, :]
    close = (gap <= 0.1 * low) & ~touches_null
    apart = (slope[..., :, None] - slope[..., None, :]) / jnp.where(gap == 0, 1, wi - wj)
    apart = jnp.where(null[..., :, None] & null[..., None, :], 0, apart)
    if alpha == math.inf:
        return jnp.where(gap == 0, 0, apart)
    safe_low = jnp.where(close, low, 1)
    delta = jnp.where(close, gap, 0) / safe_low
    ratio = jnp.where(
        delta == 0, 1, _power(alpha - 1, jnp.log1p(delta)) / jnp.where(delta == 0, 1, delta)
    )
    factor = jnp.exp((alpha - 1) * (jnp.log(safe_low) + value[..., None, None]))
    return jnp.where(close, -alpha * factor / safe_low * ratio, apart)
