"""Cross-modal alignment: entropy of the image and text features of a class over its maximum."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks, moments, spectrum
from infojax._meshes import replicated
from infojax._products import matmul

VARIANTS = ("classwise", "modal", "all")


@replicated
def cross_modal_alignment(
    images: ArrayLike,
    texts: ArrayLike,
    labels: ArrayLike,
    variant: str = "classwise",
    axis_name: str | None = None,
) -> jax.Array:
    r"""Cross-modal alignment (CMA) loss of a batch of images and one text per class.

    .. math:: L = \frac{1}{|P|} \sum_{c \in P} \frac{H(G(S_c))}{\log |S_c|},
       \qquad S_c = \{x_i : y_i = c\} \cup \{t_c\},
       \qquad P = \{y_1, \dots, y_n\}

    This is the variant `classwise`. In `modal`, `S_c` has two vectors: the mean of the normalised
    images of the class, and its text. `all` is a single entropy, of all images of the batch and the
    texts of P, divided by the logarithm of their number. The classes present may differ between
    batches under jit, because all shapes follow from the arguments.

    Entropy is not a mean over samples: under pmap or shard_map the images of all replicas are
    gathered, and every replica returns the loss of the global batch (see `information_loss` for
    its gradient).

    Args:
      images: image features, floating [n, d]; on each replica, its shard of the batch.
      texts: text features, one row per class, floating [C, d]; the same on every replica.
      labels: class of each image, integer [n], in [0, C). Images with label -1 are ignored as
        padding; any other label makes the loss NaN.
      variant: `classwise`, `modal` or `all`.
      axis_name: mapped axis that the batch is split over, if any.

    Returns:
      Loss [] in [0, 1] up to rounding: 0 where image and text features of each class coincide (with
      `all`, where those of all classes do), 1 where all are orthogonal; 0 for a batch without
      images. Texts of classes absent from the batch have no effect, even if NaN. Zero rows count in
      `|S_c|` but not in the entropy. Derivatives are finite for any finite features.

    Raises:
      ValueError: images or texts is not a real matrix, or they differ in columns or dtype; labels
        are not integer [n]; the variant is unknown.

    References:
      Song et al. 2024, arXiv:2409.16767 (cross-model alignment).

    >>> import jax.numpy as jnp
    >>> image, text = jnp.array([[1.0, 0.0]]), jnp.array([[0.6, 0.8]])  # at cos θ = 0.6
    >>> round(float(cross_modal_alignment(image, text, jnp.array([0]))), 4)  # h₂(0.8) / log 2
    0.7219
    """
    if variant not in VARIANTS:
        known = ", ".join(VARIANTS)
        raise ValueError(f"variant must be one of {known}, got {variant!r}")
    x, t, y = _arguments(images, texts, labels)
    if axis_name is not None:
        x, y = jax.lax.all_gather((x, y), axis_name, tiled=True)
    c = t.shape[0]
    counts = jnp.sum(_one_hot(y, c, x.dtype), 0)
    # Entropies ignore zero rows, so this removes padding and the texts of absent classes.
    x = moments.unit_rows(jnp.where((y < 0)[:, None], 0, x))
    t = moments.unit_rows(jnp.where((counts == 0)[:, None], 0, t))
    loss = _LOSSES[variant](x, t, y, counts)
    return _checks.nan_unless(jnp.all((y >= -1) & (y < c)), loss)


def _arguments(
    images: ArrayLike, texts: ArrayLike, labels: ArrayLike
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x = _checks.real_array("images", images, ndim=2)
    t = _checks.real_array("texts", texts, ndim=2)
    _checks.same_columns("images", x, "texts", t)
    _checks.same_dtype("images", x, "texts", t)
    return x, t, _checks.labels("labels", labels, x.shape[0]).astype(jnp.int32)


def _classwise(
    images: jax.Array, texts: jax.Array, labels: jax.Array, counts: jax.Array
) -> jax.Array:
    """Returns `Σ_c g_c H(S_c)`, from C matrices [d, d] or by `_grouped_entropy`."""
    (n, d), c = images.shape, texts.shape[0]
    weights = _mean_weights(counts) / jnp.log1p(jnp.maximum(counts, 1))
    if c * d**3 < (n + min(n, c)) ** 3:
        second = moments.class_moments(images, labels, c) + texts[:, :, None] * texts[:, None, :]
        return jnp.sum(weights * spectrum.product_entropy(second))
    if c <= n:
        rows, owner = texts, jnp.arange(c, dtype=jnp.int32)
    else:  # at most n classes are in the batch: put the text of each beside its first image
        is_repeated = jnp.any(jnp.tril(labels[:, None] == labels[None], -1), 1)
        rows = jnp.where(is_repeated[:, None], 0, texts.at[labels].get(mode="clip"))
        rows, owner = jnp.where((labels < 0)[:, None], 0, rows), labels
    rows, owner = jnp.concatenate([images, rows]), jnp.concatenate([labels, owner])
    return _grouped_entropy(rows, owner, weights)


def _grouped_entropy(rows: jax.Array, owner: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns `Σ_c g_c H(S_c)` from the eigenvalues of one matrix.

    Let K be block diagonal, where block c is `G(S_c)` scaled to trace g_c. By the grouping property
    of entropy, `H(K / T) = H(g / T) + Σ_c (g_c / T) H(S_c)`, T = Σ_c g_c.

    Args:
      rows: normalised rows of all S_c, float [m, d].
      owner: class of each row, int [m].
      weights: g_c, float [C].
    """
    one_hot = _one_hot(owner, weights.shape[0], rows.dtype)
    square = jax.lax.stop_gradient(jnp.sum(rows * rows, 1))
    traces = jnp.sum(one_hot * square[:, None], 0)
    weights = jnp.where(traces == 0, 0, weights)  # all rows are zero
    scale = jnp.sum(one_hot * (weights / jnp.where(traces == 0, 1, traces))[None], 1)
    same = owner[:, None] == owner[None]
    k = jnp.where(same, moments.outer_product(jnp.sqrt(scale)[:, None] * rows), 0)
    between = spectrum.entropy_of_spectrum(weights)
    return jnp.sum(weights) * (spectrum.product_entropy(k) - between)


def _modal(images: jax.Array, texts: jax.Array, labels: jax.Array, counts: jax.Array) -> jax.Array:
    sums = jax.ops.segment_sum(images, labels, num_segments=texts.shape[0])
    pairs = jnp.stack([moments.unit_rows(sums), texts], 1)
    grams = matmul(pairs, jnp.swapaxes(pairs, 1, 2))
    return jnp.sum(_mean_weights(counts) * spectrum.product_entropy(grams)) / math.log(2)


def _all(images: jax.Array, texts: jax.Array, labels: jax.Array, counts: jax.Array) -> jax.Array:
    size = jnp.sum(counts) + jnp.sum((counts > 0).astype(counts.dtype))
    product = moments.smaller_product(jnp.concatenate([images, texts]))
    return spectrum.product_entropy(product) / jnp.log(jnp.maximum(size, 2))


def _one_hot(labels: jax.Array, c: int, dtype: jnp.dtype) -> jax.Array:
    return (labels[:, None] == jnp.arange(c, dtype=jnp.int32)[None]).astype(dtype)


def _mean_weights(counts: jax.Array) -> jax.Array:
    """Returns the weights [C] of a mean over the classes that have images."""
    present = (counts > 0).astype(counts.dtype)
    return present / jnp.maximum(jnp.sum(present), 1)


_LOSSES = {"classwise": _classwise, "modal": _modal, "all": _all}
