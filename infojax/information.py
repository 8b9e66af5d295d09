"""Matrix entropy, mutual information, MIR and HDR, of Gram matrices and of features.

All logarithms are natural (nats). Every entropy is that of a matrix divided by its trace.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks, moments, spectrum


class Interplay(NamedTuple):
    """What features Z and targets V (head rows, or other features) share; all fields float [].

    Attributes:
      entropy_z: H(G(Z)), nats.
      entropy_v: H(G(V)), nats.
      joint_entropy: H(G(Z) ∘ G(V)), nats.
      mutual_information: H(G(Z)) + H(G(V)) - H(G(Z) ∘ G(V)), nats.
      mir: matrix mutual information ratio, mutual information over the smaller entropy.
      hdr: entropy difference ratio, difference of the entropies over the larger.
    """

    entropy_z: jax.Array
    entropy_v: jax.Array
    joint_entropy: jax.Array
    mutual_information: jax.Array
    mir: jax.Array
    hdr: jax.Array


def matrix_entropy(k: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of order alpha, `H_α(K) = log tr((K / tr K)^α) / (1 - α)`.

    At alpha = 1 the von Neumann entropy `-tr(P log P)`, P = K / tr K; at alpha = inf
    `-log λ_max(P)`. See `infojax.spectrum.entropy` for derivatives and numerical behaviour.

    Args:
      k: positive semi-definite matrices, floating [..., n, n]; a Gram matrix of normalised rows
        has trace n, so this is the papers' division by n.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [...], in [0, log n]; NaN if k holds NaN or inf.

    Raises:
      ValueError: k is not square or not real; alpha is not positive.

    References:
      Song et al. 2024, definition 3.2.

    >>> import jax.numpy as jnp
    >>> round(float(matrix_entropy(jnp.ones((3, 3)))), 4)  # one direction
    0.0
    """
    return spectrum.entropy(k, alpha)


def mutual_information(k1: ArrayLike, k2: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix mutual information, `I_α(K1; K2) = H_α(K1) + H_α(K2) - H_α(K1 ∘ K2)`.

    Args:
      k1: Gram matrices of the same samples, floating [..., n, n].
      k2: as k1.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Information in nats [...].

    Raises:
      ValueError: the shapes differ or are not square, the dtype is not real; alpha <= 0.

    References:
      Song et al. 2024, definition 3.3. The joint is the Hadamard product of the two Gram
      matrices, not the Gram matrix of a product of features.

    >>> import jax.numpy as jnp
    >>> round(float(mutual_information(jnp.eye(2), jnp.eye(2))), 4)  # log 2
    0.6931
    """
    return _interplay_of_grams(k1, k2, alpha).mutual_information


def mir(k1: ArrayLike, k2: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix mutual information ratio, `I_α(K1; K2) / min(H_α(K1), H_α(K2))`.

    Args:
      k1: Gram matrices of the same samples, floating [..., n, n].
      k2: as k1.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Ratios [...]; 0 where the smaller entropy is zero up to rounding (1e-4 nats in float32): a
      constant representation shares no information.

    Raises:
      ValueError: the shapes differ or are not square, the dtype is not real; alpha <= 0.

    References:
      Song et al. 2024, definition 3.4.

    >>> import jax.numpy as jnp
    >>> round(float(mir(jnp.eye(2), jnp.eye(2))), 4)
    1.0
    """
    return _interplay_of_grams(k1, k2, alpha).mir


def hdr(k1: ArrayLike, k2: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy difference ratio, `|H_α(K1) - H_α(K2)| / max(H_α(K1), H_α(K2))`.

    Args:
      k1: Gram matrices of the same samples, floating [..., n, n].
      k2: as k1.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Ratios [...] in [0, 1]; 0 where both entropies are zero up to rounding (1e-4 nats in
      float32).

    Raises:
      ValueError: the shapes differ or are not square, the dtype is not real; alpha <= 0.

    References:
      Song et al. 2024, definition 3.5.

    >>> import jax.numpy as jnp
    >>> round(float(hdr(jnp.eye(2), jnp.ones((2, 2)))), 3)
    1.0
    """
    k1, k2 = _gram_pair(k1, k2)
    return _hdr(spectrum.entropy(k1, alpha), spectrum.entropy(k2, alpha))


def feature_entropy(z: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of features, `H_α(G(Z))`, from the smaller of Ẑ Ẑᵀ and Ẑᵀ Ẑ.

    Args:
      z: features, floating [n, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropy in nats [], in [0, log min(n, d)]; zero rows do not count; 0 if all rows are zero;
      NaN if z holds NaN or inf.

    Raises:
      ValueError: z is not a real matrix; alpha is not positive.

    References:
      Song et al. 2024, definition 3.2.

    >>> import jax.numpy as jnp
    >>> round(float(feature_entropy(jnp.eye(4, 3)[:3])), 4)  # log 3
    1.0986
    """
    return spectrum.product_entropy(moments.smaller_product(moments.unit_rows(z)), alpha)


def effective_rank(z: ArrayLike) -> jax.Array:
    """Effective rank of features, `exp(H(G(Z)))`.

    Args:
      z: features, floating [n, d].

    Returns:
      Number of directions [], between 1 and min(n, d).

    Raises:
      ValueError: z is not a real matrix.

    References:
      Roy & Vetterli 2007; Song et al. 2024, lemma 4.4.

    >>> import jax.numpy as jnp
    >>> round(float(effective_rank(jnp.eye(4))), 3)
    4.0
    """
    return jnp.exp(feature_entropy(z))


def interplay(z: ArrayLike, v: ArrayLike, alpha: float = 1.0) -> Interplay:
    """Entropies, mutual information, MIR and HDR of two representations of the same samples.

    The joint entropy comes from G(Z) ∘ G(V) [n, n], or where `d e < n` from the second moment
    [d e, d e] of the products `ẑ_i ⊗ v̂_i`, which has the same nonzero eigenvalues.

    Args:
      z: features, floating [n, d].
      v: features or head rows of the same samples, floating [n, e].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. Samples whose row is zero in z (or v) do not count in that entropy
      and in the joint one. Ratios with a zero denominator are 0, see `mir` and `hdr`.

    Raises:
      ValueError: z or v is not a real matrix, or they differ in rows or dtype; alpha <= 0.

    References:
      Song et al. 2024, section 3.

    >>> import jax.numpy as jnp
    >>> result = interplay(jnp.eye(3), jnp.eye(3))
    >>> round(float(result.mir), 3), round(float(result.hdr), 3)
    (1.0, 0.0)
    """
    z_hat, v_hat = _unit_rows("z", z), _unit_rows("v", v)
    _checks.same_rows("z", z_hat, "v", v_hat)
    _checks.same_dtype("z", z_hat, "v", v_hat)
    n, d = z_hat.shape
    if n <= d * v_hat.shape[1]:
        joint = moments.outer_product(z_hat) * moments.outer_product(v_hat)
    else:
        products = (z_hat[:, :, None] * v_hat[:, None, :]).reshape(n, -1)
        joint = moments.outer_product(products.T)
    return combine(
        spectrum.product_entropy(moments.smaller_product(z_hat), alpha),
        spectrum.product_entropy(moments.smaller_product(v_hat), alpha),
        spectrum.product_entropy(joint, alpha),
    )


def sample_interplay(z: ArrayLike, y: ArrayLike, w: ArrayLike, alpha: float = 1.0) -> Interplay:
    """Interplay of features and the head rows of their labels: Z1 = z_i, Z2 = w_{y_i}.

    The head has few distinct rows, so V needs no n×n matrix: H(G(V)) comes from C rows weighted
    by class counts, and the joint entropy from a matrix of size `min(n, d r)`, `r = min(C, d)`,
    built from the features' second moments by class. Where that is `d C < n`, second derivatives by
    w need head rows of full rank; first ones do not.

    Args:
      z: features, floating [n, d].
      y: labels, integer [n], in [0, C); a label outside makes every field NaN.
      w: head, one row a class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars.

    Raises:
      ValueError: z or w is not a real matrix, they differ in columns or dtype, y is not integer
        [n]; alpha <= 0.

    References:
      Song et al. 2024, corollary 4.3.

    >>> import jax.numpy as jnp
    >>> from infojax import collapse
    >>> etf = collapse.simplex_etf(4, 8)
    >>> y = jnp.array([0, 1, 2, 3, 0, 1, 2, 3])
    >>> result = sample_interplay(etf[y], y, etf)
    >>> round(float(result.mir), 3), round(float(collapse.mir_at_collapse(4)), 3)
    (0.754, 0.754)
    """
    z_hat, y, w_hat = _sample_arguments(z, y, w)
    (n, d), (c, _) = z_hat.shape, w_hat.shape
    counts = jnp.bincount(y, length=c).astype(w_hat.dtype)
    head = moments.smaller_product(jnp.sqrt(counts)[:, None] * w_hat)
    if n <= d * min(c, d):
        joint = moments.outer_product(z_hat) * moments.outer_product(w_hat)[y][:, y]
    else:
        joint = moments.joint_moment(
            moments.class_moments(z_hat, y, c), moments.head_coordinates(w_hat)
        )
    result = combine(
        spectrum.product_entropy(moments.smaller_product(z_hat), alpha),
        spectrum.product_entropy(head, alpha),
        spectrum.product_entropy(joint, alpha),
    )
    valid = jnp.all((y >= 0) & (y < c))
    return Interplay(*(jnp.where(valid, field, jnp.nan) for field in result))


def class_interplay(z: ArrayLike, y: ArrayLike, w: ArrayLike, alpha: float = 1.0) -> Interplay:
    """Interplay of centred class means and head rows: G(M) against G(W).

    Row c of M is the mean of the features of class c minus the mean of all features.

    Args:
      z: features, floating [n, d].
      y: labels, integer [n], in [0, C); a label outside makes every field NaN.
      w: head, one row a class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. Classes without samples are left out of both M and W, but NaN or
      inf anywhere in w still gives NaN.

    Raises:
      ValueError: as `sample_interplay`.

    References:
      Song et al. 2024, theorem 4.2.

    >>> import jax.numpy as jnp
    >>> from infojax import collapse
    >>> etf = collapse.simplex_etf(3, 5)
    >>> result = class_interplay(10.0 * etf + 1.0, jnp.arange(3), etf)
    >>> round(float(result.mir), 3), round(float(result.hdr), 3)
    (0.5, 0.0)
    """
    _, y, w_hat = _sample_arguments(z, y, w)
    z, w = _checks.real_array("z", z, ndim=2), _checks.real_array("w", w, ndim=2)
    z = z - jnp.mean(z, 0)[None]  # first, or an offset would take digits from the class means
    counts = jnp.bincount(y, length=w.shape[0]).astype(z.dtype)[:, None]
    sums = jax.ops.segment_sum(z, y, num_segments=w.shape[0])
    means = sums / jnp.maximum(counts, 1) - jnp.mean(z, 0)[None]
    result = interplay(jnp.where(counts > 0, means, 0), jnp.where(counts > 0, w, 0), alpha)
    valid = jnp.all((y >= 0) & (y < w.shape[0])) & jnp.all(jnp.isfinite(w_hat))
    return Interplay(*(jnp.where(valid, field, jnp.nan) for field in result))


def combine(entropy_z: jax.Array, entropy_v: jax.Array, joint_entropy: jax.Array) -> Interplay:
    """The `Interplay` that follows from the three entropies, each float [...]."""
    information = entropy_z + entropy_v - joint_entropy
    return Interplay(
        entropy_z,
        entropy_v,
        joint_entropy,
        information,
        _ratio(information, jnp.minimum(entropy_z, entropy_v)),
        _hdr(entropy_z, entropy_v),
    )


def _hdr(h1: jax.Array, h2: jax.Array) -> jax.Array:
    return _ratio(jnp.abs(h1 - h2), jnp.maximum(h1, h2))


def _ratio(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The ratio, or 0 where the denominator, an entropy in nats, is zero up to rounding.

    Features that all point the same way have an entropy of up to 1e-4 nats in float32, all of it
    rounding: a ratio of two such numbers would be arbitrary.
    """
    is_zero = denominator <= 1024 * jnp.finfo(denominator.dtype).eps
    return jnp.where(is_zero, 0, numerator / jnp.where(is_zero, 1, denominator))


def _gram_pair(k1: ArrayLike, k2: ArrayLike) -> tuple[jax.Array, jax.Array]:
    k1, k2 = _checks.square("k1", k1), _checks.square("k2", k2)
    if k1.shape != k2.shape:
        raise ValueError(f"k1 and k2 must have the same shape, got {k1.shape} and {k2.shape}")
    _checks.same_dtype("k1", k1, "k2", k2)
    return k1, k2


def _interplay_of_grams(k1: ArrayLike, k2: ArrayLike, alpha: float) -> Interplay:
    k1, k2 = _gram_pair(k1, k2)
    return combine(
        spectrum.entropy(k1, alpha), spectrum.entropy(k2, alpha), spectrum.entropy(k1 * k2, alpha)
    )


def _unit_rows(name: str, x: ArrayLike) -> jax.Array:
    return moments.unit_rows(_checks.real_array(name, x, ndim=2))


def _sample_arguments(z, y, w) -> tuple[jax.Array, jax.Array, jax.Array]:
    z_hat, w_hat = _unit_rows("z", z), _unit_rows("w", w)
    _checks.same_columns("z", z_hat, "w", w_hat)
    _checks.same_dtype("z", z_hat, "w", w_hat)
    return z_hat, _checks.labels("y", y, z_hat.shape[0]), w_hat
