"""Entropy of the joint matrix G(Z) ∘ G(V) where it is too large for dense eigenvalues."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from infojax import moments
from infojax.population import krylov, lanczos, quadrature

_HIGHEST = jax.lax.Precision.HIGHEST


def purity(a: jax.Array, w_hat: jax.Array) -> jax.Array:
    """Trace of the square of the joint matrix of unit trace.

    `tr K² = Σ_{cc'} G²_{cc'} ⟨A_c, A_c'⟩ / (tr K)²`, from the moments A_c [C, d, d] and the
    normalised head w_hat [C, d].
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


def product_basis(a, coordinates) -> tuple[jax.Array, jax.Array]:
    """Moments and coordinates in the eigenvectors of the two marginals of the joint matrix.

    The joint matrix is a state of two systems, whose marginals `Σ_c |k_c|² A_c` and
    `Σ_c tr(A_c) k_c k_cᵀ` have the spectra of G(Z) and G(V), and the mutual information is their
    quantum mutual information: the relative entropy to the product of the marginals. The less is
    shared, the closer the joint matrix is to that product, which is diagonal in this basis.

    Args:
      a: class moments A_c, float [C, d, d].
      coordinates: k_c, float [C, r].

    Returns:
      Both in the new basis.
    """
    u = jnp.linalg.eigh(jnp.einsum("c,cij->ij", jnp.sum(coordinates**2, 1), a))[1]
    weighted = jnp.sqrt(_traces(a))[:, None] * coordinates
    v = jnp.linalg.eigh(moments.outer_product(weighted.T))[1]

    def rotate(a):
        return jnp.matmul(u.T, jnp.matmul(a, u, precision=_HIGHEST), precision=_HIGHEST)

    return jax.lax.map(rotate, a), jnp.matmul(coordinates, v, precision=_HIGHEST)


def moment_operator(a, coordinates, square) -> quadrature.Operator:
    """The joint matrix on the moment side, `X ↦ Σ_c A_c (X k_c) k_cᵀ` on X [d, r].

    Args:
      a: class moments A_c, float [C, d, d].
      coordinates: k_c, float [C, r].
      square: `purity`.

    Returns:
      Operator of size d r and unit trace.
    """
    c, d, _ = a.shape
    r = coordinates.shape[1]
    scale = 1 / _joint_trace(a, moments.outer_product(coordinates))

    def apply(v):
        b = v.shape[0]
        x = v.reshape(b, r, d).transpose(1, 0, 2).reshape(r, b * d)
        x = jnp.matmul(coordinates, x, precision=_HIGHEST).reshape(c, b, d)
        # One product after another: XLA's batched one is several times slower on CPU.
        x = jax.lax.map(lambda xa: jnp.matmul(*xa, precision=_HIGHEST), (x, a))
        x = jnp.matmul(coordinates.T, x.reshape(c, b * d), precision=_HIGHEST)
        return scale * x.reshape(r, b, d).transpose(1, 0, 2).reshape(b, r * d)

    return quadrature.Operator(apply, d * r, a.dtype, square, _small_part(a, coordinates, scale))


def _small_part(a, coordinates, scale) -> quadrature.Part:
    """Rows whose diagonal element is below a tenth of the largest, as by directions of the head.

    `K_ii = Σ_c (A_c)_aa k_cb²` and `(K²)_ii = Σ_{cc'} G_cc' (A_c A_c')_aa k_cb k_c'b`, i = (b, a).
    """
    g = moments.outer_product(coordinates)
    diagonal = jnp.matmul((coordinates**2).T, jnp.diagonal(a, axis1=1, axis2=2), precision=_HIGHEST)
    rows = (diagonal < 0.1 * jnp.max(diagonal)).astype(a.dtype)

    def squares(of_a):  # (K²)_ii of all i = (b, a) for one a, from rows of all A_c
        weighted = jnp.matmul(g * moments.outer_product(of_a), coordinates, precision=_HIGHEST)
        return jnp.sum(coordinates * weighted, 0)

    square = jax.lax.map(squares, a.transpose(1, 0, 2)).T
    return quadrature.Part(
        rows.reshape(-1), scale * jnp.sum(rows * diagonal), scale**2 * jnp.sum(rows * square)
    )


def sample_operator(z_hat, y, w_hat) -> quadrature.Operator:
    """The joint matrix on the sample side, `(K v)_i = ẑ_i · Σ_c G_{y_i c} Σ_{j in c} v_j ẑ_j`.

    Args:
      z_hat: normalised features, float [n, d].
      y: labels, integer [n].
      w_hat: normalised head rows, float [C, d].

    Returns:
      Operator of size n and unit trace, whose square is unknown.
    """
    n, d = z_hat.shape
    c = w_hat.shape[0]
    g = moments.outer_product(w_hat)
    rows, owner = moments.class_blocks(y, c)
    counted = jnp.sum(z_hat * z_hat, 1) * jnp.take(jnp.diag(g), y, mode="clip")
    scale = 1 / jnp.maximum(jnp.sum(counted), 1)

    def apply(v):
        b = v.shape[0]

        def gather(sums, block):
            rows, c = block
            of_block = v.at[:, rows].get(mode="fill", fill_value=0)
            z_block = z_hat.at[rows].get(mode="fill", fill_value=0)
            return sums.at[c].add(jnp.matmul(of_block, z_block, precision=_HIGHEST)), None

        sums = jax.lax.scan(gather, jnp.zeros((c, b, d), v.dtype), (rows, owner))[0]
        sums = jnp.matmul(g, sums.reshape(c, b * d), precision=_HIGHEST).reshape(c, b, d)

        def spread(out, block):
            rows, c = block
            z_block = z_hat.at[rows].get(mode="fill", fill_value=0)
            of_block = jnp.matmul(sums[c], z_block.T, precision=_HIGHEST)
            return out.at[:, rows].set(of_block, mode="drop"), None

        return scale * jax.lax.scan(spread, jnp.zeros_like(v), (rows, owner))[0]

    return quadrature.Operator(apply, n, z_hat.dtype, None)


def estimated_entropy(
    operator: quadrature.Operator, alpha: float, rtol: float, entropies, key, max_probes: int
) -> quadrature.Estimate:
    """Estimates the entropy of an operator's spectrum.

    Args:
      operator: K.
      alpha: order, positive; `math.inf` gives the largest eigenvalue's residual as the error.
      rtol: error that is enough, relative to `entropies - value`, the mutual information; float
        or float [].
      entropies: sum of the entropies of features and head, float [].
      key: JAX random key.
      max_probes: see `quadrature.trace`.

    Returns:
      The entropy in nats, its standard error and the probes it took.
    """
    key_leading, key = jax.random.split(key)
    leading = krylov.leading(operator.apply, operator.size, operator.dtype, key_leading)
    index = jnp.argmax(leading.values)
    top = jnp.where(leading.values[index] == 0, 1, leading.values[index])  # 0: no joint matrix
    if alpha == math.inf:
        return quadrature.Estimate(
            -jnp.log(top), jnp.sqrt(leading.residuals[index]) / top, jnp.int32(0)
        )
    function, entropy = _entropy_from_trace(alpha, top)

    def slope(trace):
        return jnp.abs(jax.grad(entropy)(trace))

    def tolerance(trace):
        return rtol * jnp.abs(entropies - entropy(trace)) / slope(trace)

    trace, error, probes = quadrature.trace(function, operator, leading, key, tolerance, max_probes)
    value = entropy(trace)
    rounding = 4 * jnp.finfo(value.dtype).eps * jnp.abs(value)
    return quadrature.Estimate(value, jnp.hypot(error * slope(trace), rounding), probes)


def _entropy_from_trace(alpha: float, top: jax.Array) -> tuple[lanczos.Function, Callable]:
    """A function f and the entropy of a K of unit trace as it follows from `tr f(K)`.

    Args:
      alpha: order, finite.
      top: about the largest eigenvalue of K, float [].
    """
    beta, log_top = alpha - 1, jnp.log(top)
    near_one = abs(beta) < 0.5
    null = 8 * jnp.finfo(top.dtype).eps * top if alpha < 1 else jnp.zeros_like(top)

    def power(x):
        log_x = jnp.log(jnp.where(x == 0, 1, jnp.abs(x)))
        if alpha == 1:
            return -x * log_x
        if near_one:  # of Σ x = 1 what Σ x^α lacks, without cancellation
            return -x * jnp.expm1(beta * log_x) / beta
        return jnp.sign(x) * jnp.exp(alpha * (log_x - log_top))  # over the largest: no underflow

    function = lanczos.Function(
        lambda x: jnp.where(jnp.abs(x) <= null, 0, power(x)),
        lambda x: jnp.where(jnp.abs(x) <= null, jnp.abs(power(null)), 0),
    )

    def entropy(trace):
        if alpha == 1:
            return trace
        if near_one:
            return -jnp.log1p(-beta * trace) / beta
        return -(jnp.log(jnp.where(trace == 0, 1, trace)) + alpha * log_top) / beta

    return function, entropy
