"""Progress measures of networks that learn addition modulo p, after Nanda et al. 2023.

Such a network computes `cos w_k(a + b - c)` for a few key frequencies `w_k = 2πk / p`. The measures
quantify this: Fourier norms of weights, and the loss with and without the key frequencies of the
logits. For c = a - b, the same holds with a - b in place of a + b.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks
from infojax._products import matmul


class Waves(NamedTuple):
    """The part of logits that depends on the result alone, as waves `cos w_k s`, `sin w_k s`.

    Attributes:
      constant: mean logits over all pairs, float [p].
      components: coefficients of normalised cosines and sines, k = 1 ... (p - 1)/2, of the logits
        of every class, float [(p - 1)/2, 2, p].
    """

    constant: jax.Array
    components: jax.Array


def norms(weights: ArrayLike) -> jax.Array:
    """Fourier norms of weights with a row per residue.

    For each frequency k, the norm over the columns of both components, `cos w_k s` and `sin w_k s`,
    which does not depend on their phase. The constant is omitted.

    Args:
      weights: floating [p, m], p odd.

    Returns:
      Norms [(p - 1)/2] of the frequencies 1 ... (p - 1)/2.

    Raises:
      ValueError: weights is not a real matrix, or p is even or less than 3.

    References:
      Nanda et al. 2023, section 4.1 and figure 3.

    >>> angles = 2 * jnp.pi * 2 * jnp.arange(9.0) / 9
    >>> jnp.round(norms(2**0.5 * jnp.cos(angles + 0.3)[:, None])).tolist()
    [0.0, 3.0, 0.0, 0.0]
    """
    weights = _checks.real_array("weights", weights, ndim=2)
    _, components = _transform(weights)
    return jnp.sqrt(jnp.sum(components**2, (1, 2)))


def embedding_norms(params: dict[str, jax.Array]) -> jax.Array:
    """Fourier norms [(p - 1)/2] of the embedding of the residues of a `PairTransformer`."""
    return norms(params["embed"][:-1])


def logit_map_norms(params: dict[str, jax.Array]) -> jax.Array:
    """Fourier norms [(p - 1)/2] of the map from neurons to logits, W_L, of a `PairTransformer`."""
    return norms(matmul(params["unembed"][:-1], params["mlp_out"].T))


def gini(values: ArrayLike) -> jax.Array:
    """Gini coefficient of nonnegative values: 0 if all are equal, 1 - 1/n if all but one are 0.

    `Σ_ij |x_i - x_j| / (2 n Σ x)`.

    Args:
      values: floating [n], at least 0.

    Returns:
      Coefficient []; 0 if all values are 0.

    Raises:
      ValueError: values is not a real vector.

    References:
      Hurley & Rickard 2009; Nanda et al. 2023, section 5.1.

    >>> float(gini(jnp.ones(4))), float(gini(jnp.array([0.0, 0.0, 5.0, 0.0])))
    (0.0, 0.75)
    """
    values = _checks.real_array("values", values, ndim=1)
    n = values.shape[0]
    total = jnp.sum(values)
    weights = (2 * jnp.arange(1, n + 1) - n - 1).astype(values.dtype)
    weighted = jnp.sum(weights * jnp.sort(values)) / n
    return jnp.where(total == 0, 0, weighted / jnp.where(total == 0, 1, total))


def waves(logits: ArrayLike, results: ArrayLike) -> Waves:
    """Projects the logits of all pairs onto the waves of the result.

    The projection onto all functions of s = a + b is the mean of the logits of the p pairs with
    this sum, so the discrete Fourier transform over (a, b) is never formed.

    Args:
      logits: of all p² pairs in any order, floating [p², p].
      results: of the pairs, integer [p²]; every result occurs p times.

    Returns:
      The waves.

    Raises:
      ValueError: the shapes do not fit, or p is even or less than 3.

    References:
      Nanda et al. 2023, section 4.1.
    """
    logits = _checks.real_array("logits", logits, ndim=2)
    n, p = logits.shape
    if n != p**2:
        raise ValueError(f"logits must hold all p² pairs of p = {p} classes, got {logits.shape}")
    results = _checks.labels("results", results, n)
    means = jax.ops.segment_sum(logits, results, num_segments=p) / p
    return Waves(*_transform(means))


def key_frequencies(found: Waves) -> jax.Array:
    """Marks the frequencies whose waves have more than average power in the logits.

    The power of frequency k is the sum of the squares of its components. Before training, about
    two fifths of the frequencies are above average by chance; a network that generalises
    concentrates on a handful. Nanda et al. use those of the final network throughout training.

    Args:
      found: waves.

    Returns:
      bool [(p - 1)/2], all False if there is no power.
    """
    power = jnp.sum(found.components**2, (1, 2))
    return power > jnp.mean(power)


def restricted_logits(found: Waves, key: jax.Array, results: ArrayLike) -> jax.Array:
    """Logits with nothing but the constant and the waves of the key frequencies.

    Their loss is the restricted loss: how well the network does with its key frequencies alone.

    Args:
      found: waves of the logits.
      key: key frequencies, bool [(p - 1)/2].
      results: integer [n].

    Returns:
      Logits [n, p].

    References:
      Nanda et al. 2023, section 5.1.
    """
    return found.constant[None] + _of_results(found, key, results)


def excluded_logits(
    logits: jax.Array, found: Waves, key: jax.Array, results: ArrayLike
) -> jax.Array:
    """Logits without the waves of the key frequencies.

    Their loss on the training examples is the excluded loss: how well the network does with what it
    memorised.

    Args:
      logits: floating [n, p].
      found: waves of the logits of all pairs.
      key: key frequencies, bool [(p - 1)/2].
      results: of the n examples, integer [n].

    Returns:
      Logits [n, p].

    References:
      Nanda et al. 2023, section 5.1.
    """
    return logits - _of_results(found, key, results)


def _of_results(found: Waves, key: jax.Array, results: ArrayLike) -> jax.Array:
    """Sum of the waves of the key frequencies [n, p] at the results."""
    p = found.constant.shape[0]
    kept = jnp.where(key[:, None, None], found.components, 0).reshape(p - 1, p)
    return matmul(_basis(p, kept.dtype)[1:].T, kept)[jnp.asarray(results)]


def _transform(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean over the rows of x [p, m], and its components [(p - 1)/2, 2, m]."""
    p, m = x.shape
    if p < 3 or p % 2 == 0:
        raise ValueError(f"the number of residues must be odd and at least 3, got {p}")
    components = matmul(_basis(p, x.dtype), x)
    return components[0] / p**0.5, components[1:].reshape((p - 1) // 2, 2, m)


def _basis(p: int, dtype: np.dtype) -> jax.Array:
    """Orthonormal rows 1, cos w_1 s, sin w_1 s, cos w_2 s, ... over the residues s, [p, p]."""
    s, k = np.arange(p), np.arange(1, (p + 1) // 2)[:, None]
    angles = 2 * np.pi * (k * s % p) / p
    pairs = np.stack([np.cos(angles), np.sin(angles)], 1).reshape(p - 1, p)
    rows = np.concatenate([np.full((1, p), 0.5**0.5), pairs]) * (2 / p) ** 0.5
    return jnp.asarray(rows, dtype)
