"""Matrix entropy, mutual information, MIR and HDR of features and classification heads.

Entropies are in nats, of Gram matrices normalised to unit trace.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, _samples, moments, spectrum
from infojax._meshes import replicated
from infojax._products import matmul, scaled
from infojax.matrices import Interplay, combine

Entropy = Callable[..., jax.Array]  # of a product X Xᵀ [..., n, n], with a keyword alpha


@replicated
def feature_entropy(
    z: ArrayLike, alpha: float = 1.0, *, mask: ArrayLike | None = None
) -> jax.Array:
    """Matrix entropy of features, `H_α(G(Z))`, computed from the smaller of Ẑ Ẑᵀ and Ẑᵀ Ẑ.

    Args:
      z: features, floating [n, d], or [..., d] with a mask.
      alpha: order, a positive Python number or `math.inf`.
      mask: bool [n] or [...]; samples with False are ignored, whatever z holds there.

    Returns:
      Entropy in nats [], in [0, log min(n, d)] up to rounding. Zero rows are ignored; 0 if all rows
      are zero; NaN if z contains NaN or inf.

    Raises:
      ValueError: z is not a real matrix; the mask is not bool or does not fit z; alpha is not
        positive.

    References:
      Song et al. 2024, definition 3.2.

    >>> import jax.numpy as jnp
    >>> round(float(feature_entropy(jnp.eye(4, 3)[:3])), 4)  # log 3
    1.0986
    """
    leading = () if mask is None else (np.shape(mask),)
    rows = _checks.features("z", z, *leading)
    z_hat = moments.unit_rows(_samples.kept_rows(rows, _checks.mask(mask, np.shape(z)[:-1])))
    return spectrum.product_entropy(moments.smaller_product(z_hat), alpha)


@replicated
def effective_rank(z: ArrayLike, *, mask: ArrayLike | None = None) -> jax.Array:
    """Effective rank of features, `exp(H(G(Z)))`.

    Args:
      z: features, floating [n, d], or [..., d] with a mask.
      mask: as in `feature_entropy`.

    Returns:
      Effective number of directions [], in [1, min(n, d)] up to rounding.

    Raises:
      ValueError: as `feature_entropy`.

    References:
      Roy & Vetterli 2007; Song et al. 2024, lemma 4.4.

    >>> import jax.numpy as jnp
    >>> round(float(effective_rank(jnp.eye(4))), 3)
    4.0
    """
    return jnp.exp(feature_entropy(z, mask=mask))


@replicated
def interplay(
    z: ArrayLike,
    v: ArrayLike,
    alpha: float = 1.0,
    *,
    mask: ArrayLike | None = None,
    entropy: Entropy = spectrum.product_entropy,
) -> Interplay:
    """Entropies, mutual information, MIR and HDR of two representations of the same samples.

    The joint entropy is computed from G(Z) ∘ G(V) [n, n] or, where `d e < n`, from the second
    moment [d e, d e] of the products `ẑ_i ⊗ v̂_i`, which has the same nonzero eigenvalues.

    Args:
      z: features, floating [n, d] or [..., d].
      v: features or head rows of the same samples, floating [n, e] or [..., e].
      alpha: order, a positive Python number or `math.inf`.
      mask: bool [n] or [...]; samples with False are ignored, whatever z and v hold there.
      entropy: called as `entropy(k, alpha=alpha)` with products X Xᵀ; by default from an
        eigensolver. `infojax.squarings.product_entropy`, of order 1, uses matrix products alone.

    Returns:
      An `Interplay` of scalars. A sample whose row in z (or v) is zero is ignored in the entropy
      of z (or v) and in the joint entropy. Ratios with a zero denominator are 0, see `mir` and
      `hdr`.

    Raises:
      ValueError: z or v is not a real matrix, or they differ in rows or dtype; the mask is not
        bool or does not fit; alpha is not positive, or not 1 where entropies are by squarings.

    References:
      Song et al. 2024, section 3.

    >>> import jax.numpy as jnp
    >>> result = interplay(jnp.eye(3), jnp.eye(3))
    >>> round(float(result.mir), 3), round(float(result.hdr), 3)
    (1.0, 0.0)
    """
    shape = np.shape(z)[:-1]
    z, v = _checks.features("z", z, np.shape(v)[:-1]), _checks.features("v", v, shape)
    _checks.same_rows("z", z, "v", v)
    _checks.same_dtype("z", z, "v", v)
    kept = _checks.mask(mask, shape)
    z_hat, v_hat = (moments.unit_rows(_samples.kept_rows(x, kept)) for x in (z, v))
    return _interplay_of_unit_rows(z_hat, v_hat, functools.partial(entropy, alpha=alpha))


@replicated
def sample_interplay(
    z: ArrayLike, y: ArrayLike, w: ArrayLike, alpha: float = 1.0, *, mask: ArrayLike | None = None
) -> Interplay:
    """Interplay of features and the head rows of their labels: Z1 = z_i, Z2 = w_{y_i}.

    V has at most C distinct rows, so it needs no n×n matrix: H(G(V)) is computed from the C head
    rows weighted by class counts, and the joint entropy from a matrix of size `min(n, d r)`,
    `r = min(C, d)`, built from the second moments of the features per class. With more classes
    than samples, only the head rows of the labels are used, and no matrix grows with C.

    First derivatives are exact. So are second derivatives with respect to w, with one exception:
    where `d C < n` and the head rows are linearly dependent (as at collapse), second derivatives
    along directions that break this dependence are wrong. At alpha <= 1 they do not exist there,
    since the entropy grows as `t² log t`.

    Args:
      z: features, floating [n, d] or [..., d].
      y: labels, integer [n] or [...], in [0, C); a label outside this range makes every field NaN.
      w: head, one row per class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.
      mask: bool [n] or [...]; samples with False are ignored, whatever z and y hold there.

    Returns:
      An `Interplay` of scalars.

    Raises:
      ValueError: z or w is not a real matrix, or they differ in columns or dtype; y is not integer
        or does not fit z; the mask is not bool or does not fit; alpha is not positive.

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
    z, y, w, valid = _samples.labelled(z, y, w, mask)
    z_hat = moments.unit_rows(z)
    if w.shape[0] > z.shape[0]:
        rows = _checks.nan_unless(jnp.all(jnp.isfinite(w)), _samples.rows_of_labels(w, y))
        entropy = functools.partial(spectrum.product_entropy, alpha=alpha)
        result = _interplay_of_unit_rows(z_hat, moments.unit_rows(rows), entropy)
    else:
        result = _interplay_by_class(z_hat, y, moments.unit_rows(w), alpha)
    return Interplay(*(_checks.nan_unless(valid, field) for field in result))


@replicated
def class_interplay(
    z: ArrayLike, y: ArrayLike, w: ArrayLike, alpha: float = 1.0, *, mask: ArrayLike | None = None
) -> Interplay:
    """Interplay of centred class means and head rows, G(M) and G(W).

    Row c of M is the mean of the features of class c minus the mean of all features.

    Args:
      z: features, floating [n, d] or [..., d].
      y: labels, integer [n] or [...], in [0, C); a label outside this range makes every field NaN.
      w: head, one row per class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.
      mask: as in `sample_interplay`.

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
    z, y, w, valid = _samples.labelled(z, y, w, mask)
    n, c = z.shape[0], w.shape[0]
    total = jnp.maximum(jnp.sum(y < c), 1).astype(z.dtype)
    z = scaled(z)
    z = z - (jnp.sum(z, 0) / total)[None]  # first: removing a large offset later would cost digits
    z = jnp.where((y < c)[:, None], z, 0)
    group, head = (
        (y, w) if c <= n else (_samples.first_of_class(y, c), _samples.rows_of_labels(w, y))
    )
    size = min(c, n)
    counts = jnp.bincount(group, length=size).astype(z.dtype)[:, None]
    sums = jax.ops.segment_sum(z, group, num_segments=size)
    means = sums / jnp.maximum(counts, 1) - (jnp.sum(z, 0) / total)[None]
    result = interplay(jnp.where(counts > 0, means, 0), jnp.where(counts > 0, head, 0), alpha)
    valid &= jnp.all(jnp.isfinite(w))
    return Interplay(*(_checks.nan_unless(valid, field) for field in result))


def _interplay_of_unit_rows(
    z_hat: jax.Array, v_hat: jax.Array, entropy: Callable[[jax.Array], jax.Array]
) -> Interplay:
    n, d = z_hat.shape
    if n <= d * v_hat.shape[1]:
        joint = moments.outer_product(z_hat) * moments.outer_product(v_hat)
    else:
        products = (z_hat[:, :, None] * v_hat[:, None, :]).reshape(n, -1)
        joint = moments.outer_product(products.T)
    return combine(
        entropy(moments.smaller_product(z_hat)),
        entropy(moments.smaller_product(v_hat)),
        entropy(joint),
    )


def _interplay_by_class(
    z_hat: jax.Array, y: jax.Array, w_hat: jax.Array, alpha: float
) -> Interplay:
    """As `_interplay_of_unit_rows` of z_hat and w_hat[y], for at most n classes."""
    c = w_hat.shape[0]
    counts = jnp.bincount(y, length=c).astype(w_hat.dtype)
    head = moments.smaller_product(jnp.sqrt(counts)[:, None] * w_hat)
    return combine(
        spectrum.product_entropy(moments.smaller_product(z_hat), alpha),
        spectrum.product_entropy(head, alpha),
        spectrum.product_entropy(joint_matrix(z_hat, y, w_hat), alpha),
    )


def joint_matrix(z_hat: jax.Array, y: jax.Array, w_hat: jax.Array) -> jax.Array:
    """Returns G(Z) ∘ G(V) [n, n], or a matrix [d r, d r] of its nonzero eigenvalues where smaller.

    For unit rows z_hat [n, d] and w_hat [C, d] of at most n classes, `r = min(C, d)`.
    """
    (n, d), c = z_hat.shape, w_hat.shape[0]
    if n <= d * min(c, d):
        return moments.outer_product(z_hat) * _gram_of_labels(w_hat, y)
    return moments.joint_moment(moments.class_moments(z_hat, y, c), moments.head_coordinates(w_hat))


def _gram_of_labels(w_hat: jax.Array, y: jax.Array) -> jax.Array:
    """Returns `G(W)[y, y]` [n, n] by products, whose derivatives need no scatter."""
    if w_hat.shape[0] > w_hat.shape[1]:
        return moments.outer_product(_samples.rows_of_labels(w_hat, y))
    one_hot = jax.nn.one_hot(y, w_hat.shape[0], dtype=w_hat.dtype)
    return matmul(matmul(one_hot, moments.outer_product(w_hat)), one_hot.T)
