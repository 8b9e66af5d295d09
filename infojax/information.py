"""Matrix entropy, mutual information, MIR and HDR of features and classification heads.

Entropies are in nats, of Gram matrices normalised to unit trace.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks, moments, spectrum
from infojax.matrices import Interplay, combine


def feature_entropy(z: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of features, `H_α(G(Z))`, computed from the smaller of Ẑ Ẑᵀ and Ẑᵀ Ẑ.

    Args:
      z: features, floating [n, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropy in nats [], in [0, log min(n, d)]. Zero rows are ignored; 0 if all rows are zero;
      NaN if z contains NaN or inf.

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
      Effective number of directions [], between 1 and min(n, d).

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

    The joint entropy is computed from G(Z) ∘ G(V) [n, n] or, where `d e < n`, from the second
    moment [d e, d e] of the products `ẑ_i ⊗ v̂_i`, which has the same nonzero eigenvalues.

    Args:
      z: features, floating [n, d].
      v: features or head rows of the same samples, floating [n, e].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. A sample whose row in z (or v) is zero is ignored in the entropy
      of z (or v) and in the joint entropy. Ratios with a zero denominator are 0, see `mir` and
      `hdr`.

    Raises:
      ValueError: z or v is not a real matrix, or they differ in rows or dtype; alpha is
        not positive.

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

    V has at most C distinct rows, so it needs no n×n matrix: H(G(V)) is computed from the C head
    rows weighted by class counts, and the joint entropy from a matrix of size `min(n, d r)`,
    `r = min(C, d)`, built from the second moments of the features per class.

    First derivatives are exact. So are second derivatives with respect to w, with one exception:
    where `d C < n` and the head rows are linearly dependent (as at collapse), second derivatives
    along directions that break this dependence are wrong. At alpha <= 1 they do not exist there,
    since the entropy grows as `t² log t`.

    Args:
      z: features, floating [n, d].
      y: labels, integer [n], in [0, C); a label outside this range makes every field NaN.
      w: head, one row per class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars.

    Raises:
      ValueError: z or w is not a real matrix, or they differ in columns or dtype; y is not integer
        [n]; alpha is not positive.

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
    z_hat, y, w_hat = sample_arguments(z, y, w)
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
    """Interplay of centred class means and head rows, G(M) and G(W).

    Row c of M is the mean of the features of class c minus the mean of all features.

    Args:
      z: features, floating [n, d].
      y: labels, integer [n], in [0, C); a label outside this range makes every field NaN.
      w: head, one row per class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. Classes without samples are omitted from both M and W, but NaN or
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
    _, y, w_hat = sample_arguments(z, y, w)
    z, w = _checks.real_array("z", z, ndim=2), _checks.real_array("w", w, ndim=2)
    z = z - jnp.mean(z, 0)[None]  # first: removing a large offset later would cost digits
    counts = jnp.bincount(y, length=w.shape[0]).astype(z.dtype)[:, None]
    sums = jax.ops.segment_sum(z, y, num_segments=w.shape[0])
    means = sums / jnp.maximum(counts, 1) - jnp.mean(z, 0)[None]
    result = interplay(jnp.where(counts > 0, means, 0), jnp.where(counts > 0, w, 0), alpha)
    valid = jnp.all((y >= 0) & (y < w.shape[0])) & jnp.all(jnp.isfinite(w_hat))
    return Interplay(*(jnp.where(valid, field, jnp.nan) for field in result))


def _unit_rows(name: str, x: ArrayLike) -> jax.Array:
    return moments.unit_rows(_checks.real_array(name, x, ndim=2))


def sample_arguments(
    z: ArrayLike, y: ArrayLike, w: ArrayLike
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Checks features, labels and head, and returns them with unit rows."""
    z_hat, w_hat = _unit_rows("z", z), _unit_rows("w", w)
    _checks.same_columns("z", z_hat, "w", w_hat)
    _checks.same_dtype("z", z_hat, "w", w_hat)
    return z_hat, _checks.labels("y", y, z_hat.shape[0]), w_hat
