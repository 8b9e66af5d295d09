"""Labelled samples, checked, flattened and masked, and the head rows of their labels."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks


def labelled(
    z: ArrayLike, y: ArrayLike, w: ArrayLike, mask: ArrayLike | None = None
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Checks features, labels and head, and flattens leading axes.

    Returns:
      `(z, y, w, valid)`: features [n, d] and labels [n], zero and C for samples that the mask
      excludes; the head [C, d]; whether all other labels are in [0, C), bool [].
    """
    shape = np.shape(z)[:-1]
    z, w = _checks.features("z", z, np.shape(y)), _checks.real_array("w", w, ndim=2)
    _checks.same_columns("z", z, "w", w)
    _checks.same_dtype("z", z, "w", w)
    y = _checks.labels("y", y, *shape).reshape(-1)
    kept, c = _checks.mask(mask, shape), w.shape[0]
    if kept is not None:
        z, y = kept_rows(z, kept), jnp.where(kept, y, c)
    inside = (y >= 0) & (y < c)
    return z, y, w, jnp.all(inside if kept is None else inside | ~kept)


def kept_rows(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Returns rows [n, d] with zeros, which entropies ignore, where the mask is False."""
    return x if mask is None else jnp.where(mask[:, None], x, 0)


def rows_of_labels(w: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the head rows of the labels [n, d]; zero for the label C."""
    return w.at[y].get(mode="fill", fill_value=0)


def first_of_class(y: jax.Array, c: int) -> jax.Array:
    """Returns for each sample the index of the first sample of its class [n]; n for the label C."""
    n = y.shape[0]
    first = jax.ops.segment_min(jnp.arange(n, dtype=y.dtype), y, num_segments=c)
    return first.at[y].get(mode="fill", fill_value=n)
