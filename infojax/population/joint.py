"""Entropy of a joint matrix G(Z) ∘ G(V) that is too large for dense eigenvalues."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from infojax import moments
from infojax._products import matmul
from infojax.population import krylov, lanczos, quadrature


def purity(a: jax.Array, w_hat: jax.Array) -> jax.Array:
    """Trace of the square of the joint matrix, normalised to unit trace.

    `tr K² = Σ_{cc'} G²_{cc'} ⟨A_c, A_c'⟩ / (tr K)²`, from the moments A_c [C, d, d] and the
    normalised head rows w_hat [C, d].
    """
    c = a.shape[0]
    g = moments.outer_product(w_hat)
    products = moments.outer_product(a.reshape(c, -1))
    return jnp.sum(g * g * products) / _joint_trace(a, g) ** 2


def _joint_trace(a: jax.Array, g: jax.Array) -> jax.Array:
    trace = jnp.sum(jnp.diag(g) * _traces(a))
    return jnp.where(trace == 0, 1, trace)


def _traces(a: jax.Array) -> jax.Array:
    c, d, _ = a.shape
    return jnp.sum(a.reshape(c, d * d)[:, :: d + 1], 1)  # jnp.trace would copy all of a


def _product_basis(a: jax.Array, coordinates: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moments and coordinates in the eigenvectors of the two marginals of the joint matrix.

    The joint matrix is a quantum state of two systems, whose marginals `Σ_c |k_c|² A_c` and
    `Σ_c tr(A_c) k_c k_cᵀ` have the spectra of G(Z) and G(V). The mutual information is their
    quantum mutual information, the relative entropy to the product of the marginals. The less the
    systems share, the closer the joint matrix is to this product, which is diagonal in this basis.

    Args:
      a: class moments A_c, float [C, d, d].
      coordinates: k_c, float [C, r].

    Returns:
      Both in the new basis.
    """
    u = jnp.linalg.eigh(jnp.einsum("c,cij->ij", jnp.sum(coordinates**2, 1), a))[1]
    weighted = jnp.sqrt(_traces(a))[:, None] * coordinates
    v = jnp.linalg.eigh(moments.outer_product(weighted.T))[1]

    return jax.lax.map(lambda a: matmul(u.T, matmul(a, u)), a), matmul(coordinates, v)


def moment_operator(a: jax.Array, coordinates: jax.Array, square: jax.Array) -> quadrature.Operator:
    """The joint matrix on the moment side, `X ↦ Σ_c A_c (X k_c) k_cᵀ` on X [d, r].

    In coordinates in which the matrix is nearly diagonal, see `_product_basis`.

    Args:
      a: class moments A_c, float [C, d, d].
      coordinates: k_c, float [C, r].
      square: trace of the square of the joint matrix, see `purity`.

    Returns:
      Operator of size d r and unit trace.
    """
    a, coordinates = _product_basis(a, coordinates)
    c, d, _ = a.shape
    r = coordinates.shape[1]
    scale = 1 / _joint_trace(a, moments.outer_product(coordinates))

    def apply(v: jax.Array) -> jax.Array:
        b = v.shape[0]
        x = v.reshape(b, r, d).transpose(1, 0, 2).reshape(r, b * d)
        x = matmul(coordinates, x).reshape(c, b, d)
        # One product after another: XLA's batched product is several times slower on CPU.
        x = jax.lax.map(lambda xa: matmul(*xa), (x, a))
        x = matmul(coordinates.T, x.reshape(c, b * d))
        return scale * x.reshape(r, b, d).transpose(1, 0, 2).reshape(b, r * d)

    return quadrature.Operator(apply, d * r, a.dtype, square, _small_part(a, coordinates, scale))


def _small_part(a: jax.Array, coordinates: jax.Array, scale: jax.Array) -> quadrature.Part:
    """Rows whose diagonal element is below a tenth of the largest.

    `K_ii = Σ_c (A_c)_aa k_cb²` and `(K²)_ii = Σ_{cc'} G_cc' (A_c A_c')_aa k_cb k_c'b`, i = (b, a).
    """
    g = moments.outer_product(coordinates)
    diagonal = matmul((coordinates**2).T, jnp.diagonal(a, axis1=1, axis2=2))
    rows = (diagonal < 0.1 * jnp.max(diagonal)).astype(a.dtype)

    def squares(of_a: jax.Array) -> jax.Array:
        """(K²)_ii of all i = (b, a) for one a, from row a of every A_c."""
        weighted = matmul(g * moments.outer_product(of_a), coordinates)
        return jnp.sum(coordinates * weighted, 0)

    square = jax.lax.map(squares, a.transpose(1, 0, 2)).T
    return quadrature.Part(
        rows.reshape(-1), scale * jnp.sum(rows * diagonal), scale**2 * jnp.sum(rows * square)
    )


def estimated_entropy(
    operator: quadrature.Operator,
    alpha: float,
    rtol: jax.Array | float,
    entropies: jax.Array,
    key: jax.Array,
    max_probes: int,
) -> quadrature.Estimate:
    """Estimates the entropy of an operator's spectrum.

    Args:
      operator: K.
      alpha: order, positive. For `math.inf` the error is derived from the residual of the largest
        eigenvalue.
      rtol: sufficient error relative to the mutual information, `entropies - value`; float [].
      entropies: sum of the entropies of features and head, float [].
      key: JAX random key.
      max_probes: see `quadrature.trace`.

    Returns:
      The entropy in nats, its standard error and the number of probes used.
    """
    key_leading, key = jax.random.split(key)
    leading = krylov.leading(
        operator.apply, operator.size, operator.dtype, key_leading, operator.leading
    )
    index = jnp.argmax(leading.values)
    top = jnp.where(leading.values[index] == 0, 1, leading.values[index])  # 0: K is zero
    if alpha == math.inf:
        return quadrature.Estimate(
            -jnp.log(top), jnp.sqrt(leading.residuals[index]) / top, jnp.int32(0)
        )
    function, entropy = _entropy_from_trace(alpha, top)

    def slope(trace: jax.Array) -> jax.Array:
        return jnp.abs(jax.grad(entropy)(trace))

    def tolerance(trace: jax.Array) -> jax.Array:
        return rtol * jnp.abs(entropies - entropy(trace)) / slope(trace)

    trace, error, probes = quadrature.trace(function, operator, leading, key, tolerance, max_probes)
    value = entropy(trace)
    rounding = 4 * np.finfo(value.dtype).eps * jnp.abs(value)
    return quadrature.Estimate(value, jnp.hypot(error * slope(trace), rounding), probes)


def _entropy_from_trace(alpha: float, top: jax.Array) -> tuple[lanczos.Function, krylov.Map]:
    """A function f, and the map from `tr f(K)` to the entropy of a matrix K of unit trace.

    Args:
      alpha: order, finite.
      top: estimate of the largest eigenvalue of K, float [].
    """
    beta, log_top = alpha - 1, jnp.log(top)
    near_one = abs(beta) < 0.5
    null = 8 * np.finfo(top.dtype).eps * top if alpha < 1 else jnp.zeros_like(top)

    def power(x: jax.Array) -> jax.Array:
        log_x = jnp.log(jnp.where(x == 0, 1, jnp.abs(x)))
        if alpha == 1:
            return -x * log_x
        if near_one:  # (x - x^α) / β without cancellation; Σ x = 1
            return -x * jnp.expm1(beta * log_x) / beta
        return jnp.sign(x) * jnp.exp(alpha * (log_x - log_top))  # relative to top: no underflow

    function = lanczos.Function(
        lambda x: jnp.where(jnp.abs(x) <= null, 0, power(x)),
        lambda x: jnp.where(jnp.abs(x) <= null, jnp.abs(power(null)), 0),
    )

    def entropy(trace: jax.Array) -> jax.Array:
        if alpha == 1:
            return trace
        if near_one:
            return -jnp.log1p(-beta * trace) / beta
        return -(jnp.log(jnp.where(trace == 0, 1, trace)) + alpha * log_top) / beta

    return function, entropy
