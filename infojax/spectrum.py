"""Entropy of the spectrum of a positive semi-definite matrix, with exact derivatives.

The entropy is a spectral function, so its derivative is again a matrix function: with
`P = V diag(w) Vᵀ`, `dS = ⟨V diag(s'(w)) Vᵀ, dP⟩`, and the derivative of that matrix function is
given by divided differences of `s'` (Daleckii & Krein 1965; Higham, Functions of Matrices, 2008,
theorem 3.11). Neither differentiates an eigenvector, so both are finite at repeated eigenvalues.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks

_HIGHEST = jax.lax.Precision.HIGHEST


def eigenvalues(k: ArrayLike) -> jax.Array:
    """Returns the eigenvalues of symmetric matrices in ascending order.

    Args:
      k: symmetric matrices, float32 or float64 [..., n, n].

    Returns:
      Eigenvalues [..., n]. On CPU they come from a tridiagonal reduction and bisection, without
      the eigenvectors that `jnp.linalg.eigvalsh` computes there and drops: 3 times faster at
      n = 1280, and as accurate. Elsewhere from `jnp.linalg.eigvalsh`.

    Raises:
      ValueError: k is not square or not real, or n exceeds 32,766, where the 32-bit work space
        of LAPACK ends.
    """
    k = _checks.square("k", k)
    _check_size(k)
    if k.shape[-1] == 1:
        return k[..., 0]
    return jax.lax.platform_dependent(k, cpu=_bisection, default=jnp.linalg.eigvalsh)


def _check_size(k: jax.Array) -> None:
    if k.shape[-1] > 32_766:
        raise ValueError(
            f"dense eigenvalues end at 32,766 rows, got shape {k.shape}; use fewer samples, or "
            "infojax.population, whose cost does not depend on the number of samples"
        )


def _bisection(k: jax.Array) -> jax.Array:
    _, diagonal, off_diagonal, _ = jax.lax.linalg.tridiagonal(
        (k + jnp.swapaxes(k, -1, -2)) / 2, lower=True
    )
    solve = functools.partial(jax.scipy.linalg.eigh_tridiagonal, eigvals_only=True)
    w = jnp.vectorize(solve, signature="(n),(m)->(n)")(diagonal, off_diagonal)
    # The m null eigenvalues all end in the middle of the same interval, with the same error of up
    # to half a unit, which adds up over the null space. The sum of all errors is known from the
    # trace; those of the other n - m are independent, so this share of it is the best estimate.
    null = _is_null(w).astype(w.dtype)
    m = jnp.sum(null, -1, keepdims=True)
    excess = jnp.sum(w, -1, keepdims=True) - jnp.sum(diagonal, -1, keepdims=True)
    return w - null * excess * m / (m * m + (w.shape[-1] - m))


def entropy(k: ArrayLike, alpha: float = 1.0) -> jax.Array:
    r"""Entropy of order alpha of the spectrum of a positive semi-definite matrix.

    .. math:: S_\alpha(P) = \frac{\log \operatorname{tr} P^\alpha}{1 - \alpha},
       \qquad S_1(P) = -\operatorname{tr} P \log P,
       \qquad S_\infty(P) = -\log \lambda_{\max}(P),
       \qquad P = K / \operatorname{tr} K

    Forward and reverse mode, second derivatives, jit and vmap work at every positive
    semi-definite K. Eigenvalues that are zero up to rounding contribute nothing to derivatives
    (`0 log 0 = 0`); these are exact for every perturbation that leaves the rank as it is, hence
    for every `K = Z Zᵀ` with respect to Z. At a repeated largest eigenvalue, `S_∞` has no
    derivative and the mean over the eigenspace is returned.

    Args:
      k: positive semi-definite matrices, float32 or float64 [..., n, n].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...], in [0, log n]; 0 for the zero matrix; NaN if k holds NaN or inf, or
      if its trace is negative.

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
    """`entropy` of a matrix `K = X Xᵀ` that is differentiated with respect to X.

    The null space of K takes X to zero, so whatever slope it is given drops out. Nothing then has
    to be taken for zero: in float32, true eigenvalues as small as rounding keep their share of
    the gradient, whose error falls from 1e-2 to 1e-5 where X is nearly square.

    Args:
      k: products X Xᵀ, float32 or float64 [..., n, n].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...], as `entropy`.

    Raises:
      ValueError: as `entropy`.

    >>> import jax.numpy as jnp
    >>> round(float(product_entropy(jnp.eye(4))), 4)  # log 4
    1.3863
    """
    return _normalised_entropy(k, alpha, of_product=True)


def _normalised_entropy(k: ArrayLike, alpha: float, of_product: bool) -> jax.Array:
    alpha = _checks.order(alpha)
    k = _checks.square("k", k)
    trace = jnp.trace(k, axis1=-2, axis2=-1)
    scale = jnp.where(trace == 0, 1, jnp.where(trace < 0, jnp.nan, trace))
    p = k / scale[..., None, None]
    if alpha == 2:  # the Frobenius norm: no eigenvalues
        value = _purity_entropy(p)
    else:
        _check_size(k)
        value = _entropy(alpha, of_product, p)
    return jnp.where(jnp.isfinite(jnp.sum(k, (-2, -1))), value, jnp.nan)


def entropy_of_spectrum(w: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Entropy of order alpha of given eigenvalues, `S_α(w / Σ w)`, without derivatives' care.

    Args:
      w: eigenvalues, float [..., n]. Rounding may have made some of the null ones negative: for
        alpha >= 1 the summand is continued as an odd function, so that rounding errors, which
        have both signs and zero sum, cancel instead of adding up; for alpha < 1, where the
        summand is too steep for that, they are dropped.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...]; 0 where all eigenvalues are zero.

    Raises:
      ValueError: w is not real; alpha is not positive.

    >>> import jax.numpy as jnp
    >>> round(float(entropy_of_spectrum(jnp.array([3.0, 3.0, 0.0]))), 4)  # log 2
    0.6931
    """
    alpha = _checks.order(alpha)
    w = _checks.real_array("w", w)
    total = jnp.sum(w, -1, keepdims=True)
    return _sum_entropy(alpha, w / jnp.where(total == 0, 1, total))


def _purity_entropy(p: jax.Array) -> jax.Array:
    purity = jnp.sum(p * p, (-2, -1))
    return -jnp.log(jnp.where(purity == 0, 1, purity))


def _sum_entropy(alpha: float, w: jax.Array) -> jax.Array:
    """Entropy of eigenvalues [..., n] with unit sum."""
    beta = alpha - 1
    if alpha < 1:
        w = jnp.where(_is_null(w), 0, w)
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


def _is_null(w: jax.Array) -> jax.Array:
    """Marks eigenvalues that are zero up to rounding.

    Rounding leaves |w| up to about n/16 units in null eigenvalues of Gram matrices, and up to
    3 units where n is small; a larger bound would take true small eigenvalues out of the
    derivatives. NaN is not marked.
    """
    return jnp.abs(w) <= _rounding(w)


def _rounding(w: jax.Array) -> jax.Array:
    bound = max(4, 0.125 * w.shape[-1]) * jnp.finfo(w.dtype).eps
    return bound * jnp.max(jnp.abs(w), -1, keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _entropy(alpha: float, of_product: bool, p: jax.Array) -> jax.Array:
    """Entropy of matrices of unit trace."""
    return _sum_entropy(alpha, eigenvalues(p))


@_entropy.defjvp
def _entropy_jvp(alpha, of_product, primals, tangents):
    (p,), (dp,) = primals, tangents
    value, gradient = _entropy_and_gradient(alpha, of_product, p)
    return value, jnp.sum(gradient * dp, (-2, -1))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _entropy_and_gradient(
    alpha: float, of_product: bool, p: jax.Array
) -> tuple[jax.Array, jax.Array]:
    w, v = jnp.linalg.eigh(p)
    value = _sum_entropy(alpha, w)
    return value, _congruence(v, _slope(alpha, of_product, w, value))


@_entropy_and_gradient.defjvp
def _entropy_and_gradient_jvp(alpha, of_product, primals, tangents):
    (p,), (dp,) = primals, tangents
    w, v = jnp.linalg.eigh(p)
    value = _sum_entropy(alpha, w)
    slope = _slope(alpha, of_product, w, value)
    gradient = _congruence(v, slope)
    dvalue = jnp.sum(gradient * dp, (-2, -1))
    dp = (dp + jnp.swapaxes(dp, -1, -2)) / 2
    rotated = jnp.matmul(
        jnp.matmul(jnp.swapaxes(v, -1, -2), dp, precision=_HIGHEST), v, precision=_HIGHEST
    )
    rotated = rotated * _divided_differences(alpha, w, value, slope)
    dslope = _slope_by_value(alpha, w, value, slope) * dvalue[..., None]
    dgradient = _congruence(v, dslope) + jnp.matmul(
        jnp.matmul(v, rotated, precision=_HIGHEST), jnp.swapaxes(v, -1, -2), precision=_HIGHEST
    )
    return (value, gradient), (dvalue, dgradient)


def _congruence(v: jax.Array, diagonal: jax.Array) -> jax.Array:
    """V diag(.) Vᵀ."""
    return jnp.matmul(v * diagonal[..., None, :], jnp.swapaxes(v, -1, -2), precision=_HIGHEST)


def _slope(alpha: float, of_product: bool, w: jax.Array, value: jax.Array) -> jax.Array:
    """Derivative of the entropy by each eigenvalue, up to a constant; 0 on the null space.

    `-α (e^{β(log w + S)} - 1) / β` with β = α - 1, which at α = 1 is `-(log w + S)`. The constant
    (free, since the trace of P is fixed) makes the mean over w zero, so that all slopes vanish
    at a flat spectrum, and nothing cancels. For products and orders from 1 on, the null space has
    the slope of a hundredth of rounding instead of 0; first and second derivatives must agree on
    it, as it drops out of their sum.
    """
    if alpha == math.inf:
        largest = jnp.max(w, -1, keepdims=True)
        return -_top(w) / jnp.where(largest == 0, jnp.inf, largest)
    if of_product and alpha >= 1:
        w = jnp.maximum(w, 0.01 * _rounding(w))
        return -alpha * _power(alpha - 1, _log_abs(w) + value[..., None])
    return jnp.where(_is_null(w), 0, -alpha * _power(alpha - 1, _log_abs(w) + value[..., None]))


def _power(beta: float, x: jax.Array) -> jax.Array:
    """(e^{βx} - 1) / β, which is x at β = 0."""
    return x if beta == 0 else jnp.expm1(beta * x) / beta


def _top(w: jax.Array) -> jax.Array:
    """Weights of the largest eigenvalue's eigenspace, of sum one."""
    top = (jnp.max(w, -1, keepdims=True) - w <= _rounding(w)).astype(w.dtype)
    return top / jnp.sum(top, -1, keepdims=True)


def _slope_by_value(alpha, w, value, slope):
    """Derivative of the slopes by the entropy's value, which they contain."""
    if alpha == math.inf:
        return slope
    factor = jnp.exp((alpha - 1) * (_log_abs(w) + value[..., None]))
    return jnp.where(_is_null(w), 0, -alpha * factor)


def _divided_differences(alpha, w, value, slope):
    """(s'(wi) - s'(wj)) / (wi - wj) [..., n, n], with its limit at ties."""
    wi, wj = w[..., :, None], w[..., None, :]
    low, gap = jnp.minimum(wi, wj), jnp.abs(wi - wj)
    null = _is_null(w)
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
