"""Matrix entropy, mutual information, MIR and HDR of given Gram matrices.

Entropies are in nats, of matrices normalised to unit trace.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, spectrum
from infojax._meshes import replicated
from infojax._products import scaled


class Interplay(NamedTuple):
    """Information shared by features Z and targets V (head rows or other features); float [].

    Attributes:
      entropy_z: H(G(Z)), nats.
      entropy_v: H(G(V)), nats.
      joint_entropy: H(G(Z) ∘ G(V)), nats.
      mutual_information: H(G(Z)) + H(G(V)) - H(G(Z) ∘ G(V)), nats.
      mir: matrix mutual information ratio, mutual information / smaller entropy.
      hdr: matrix entropy difference ratio, |difference of the entropies| / larger entropy.
    """

    entropy_z: jax.Array
    entropy_v: jax.Array
    joint_entropy: jax.Array
    mutual_information: jax.Array
    mir: jax.Array
    hdr: jax.Array


@replicated
def matrix_entropy(k: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of order alpha, `H_α(K) = log tr((K / tr K)^α) / (1 - α)`.

    At alpha = 1 this is the von Neumann entropy `-tr(P log P)`, P = K / tr K, and at alpha = inf
    `-log λ_max(P)`. See `infojax.spectrum.entropy` for derivatives and numerical behaviour.

    Args:
      k: positive semi-definite matrices, floating [..., n, n]. A Gram matrix of normalised rows
        has trace n, so `K / tr K` is the papers' `K / n`.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...], in [0, log n] up to rounding (1e-6 + 1e-7 n nats in float32); NaN if
      k contains NaN or inf.

    Raises:
      ValueError: k is not square or not real; alpha is not positive.

    References:
      Song et al. 2024, definition 3.2.

    >>> import jax.numpy as jnp
    >>> round(float(matrix_entropy(jnp.ones((3, 3)))), 4)  # one direction
    0.0
    """
    return spectrum.entropy(k, alpha)


@replicated
def mutual_information(k1: ArrayLike, k2: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix mutual information, `I_α(K1; K2) = H_α(K1) + H_α(K2) - H_α(K1 ∘ K2)`.

    Args:
      k1: Gram matrices, floating [..., n, n].
      k2: Gram matrices of the same samples, same shape and dtype as k1.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Mutual information in nats [...].

    Raises:
      ValueError: k1 or k2 is not square or not real, or they differ in shape or dtype; alpha is
        not positive.

    References:
      Song et al. 2024, definition 3.3. The joint is the Hadamard product of the two Gram
      matrices, not the Gram matrix of a product of features.

    >>> import jax.numpy as jnp
    >>> round(float(mutual_information(jnp.eye(2), jnp.eye(2))), 4)  # log 2
    0.6931
    """
    return _interplay_of_grams(k1, k2, alpha).mutual_information


@replicated
def mir(k1: ArrayLike, k2: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix mutual information ratio, `I_α(K1; K2) / min(H_α(K1), H_α(K2))`.

    Args:
      k1: Gram matrices, floating [..., n, n].
      k2: Gram matrices of the same samples, same shape and dtype as k1.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Ratios [...]; 0 where the smaller entropy is zero up to rounding (1e-4 nats in float32),
      because a constant representation shares no information.

    Raises:
      ValueError: k1 or k2 is not square or not real, or they differ in shape or dtype; alpha is
        not positive.

    References:
      Song et al. 2024, definition 3.4.

    >>> import jax.numpy as jnp
    >>> round(float(mir(jnp.eye(2), jnp.eye(2))), 4)
    1.0
    """
    return _interplay_of_grams(k1, k2, alpha).mir


@replicated
def hdr(k1: ArrayLike, k2: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy difference ratio, `|H_α(K1) - H_α(K2)| / max(H_α(K1), H_α(K2))`.

    Args:
      k1: Gram matrices, floating [..., n, n].
      k2: Gram matrices of the same samples, same shape and dtype as k1.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Ratios [...] in [0, 1] up to rounding; 0 where both entropies are zero up to rounding
      (1e-4 nats in float32).

    Raises:
      ValueError: k1 or k2 is not square or not real, or they differ in shape or dtype; alpha is
        not positive.

    References:
      Song et al. 2024, definition 3.5.

    >>> import jax.numpy as jnp
    >>> round(float(hdr(jnp.eye(2), jnp.ones((2, 2)))), 3)
    1.0
    """
    k1, k2 = _gram_pair(k1, k2)
    return entropy_difference_ratio(spectrum.entropy(k1, alpha), spectrum.entropy(k2, alpha))


def combine(entropy_z: jax.Array, entropy_v: jax.Array, joint_entropy: jax.Array) -> Interplay:
    """Returns the `Interplay` given by the three entropies, each float [...]."""
    information = entropy_z + entropy_v - joint_entropy
    return Interplay(
        entropy_z,
        entropy_v,
        joint_entropy,
        information,
        ratio(information, jnp.minimum(entropy_z, entropy_v)),
        entropy_difference_ratio(entropy_z, entropy_v),
    )


def entropy_difference_ratio(h1: jax.Array, h2: jax.Array) -> jax.Array:
    """Returns the HDR of two entropies, each float [...]."""
    return ratio(jnp.abs(h1 - h2), jnp.maximum(h1, h2))


def ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Returns the ratio, or 0 where the denominator, an entropy in nats, is zero up to rounding.

    The entropy of parallel features is up to 1e-4 nats in float32, all of it rounding error; a
    ratio of two such numbers would be arbitrary.
    """
    is_zero = denominator <= 1024 * np.finfo(denominator.dtype).eps
    return jnp.where(is_zero, 0, numerator / jnp.where(is_zero, 1, denominator))


def _gram_pair(k1: ArrayLike, k2: ArrayLike) -> tuple[jax.Array, jax.Array]:
    k1, k2 = _checks.square("k1", k1), _checks.square("k2", k2)
    if k1.shape != k2.shape:
        raise ValueError(f"k1 and k2 must have the same shape, got {k1.shape} and {k2.shape}")
    _checks.same_dtype("k1", k1, "k2", k2)
    return k1, k2


def _interplay_of_grams(k1: ArrayLike, k2: ArrayLike, alpha: float) -> Interplay:
    k1, k2 = (scaled(k, (-2, -1)) for k in _gram_pair(k1, k2))  # their product must not overflow
    return combine(
        spectrum.entropy(k1, alpha), spectrum.entropy(k2, alpha), spectrum.entropy(k1 * k2, alpha)
    )
