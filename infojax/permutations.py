"""The chance level of MIR: features and head rows of the same samples with permuted labels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, _samples, information, moments, spectrum
from infojax._meshes import replicated
from infojax.matrices import combine

_FLOATS = 2**22  # of the matrices of permutations that are computed together: 16 MB in float32


class Chance(NamedTuple):
    """MIR of features and labels beside MIR of the same features with permuted labels; float [].

    Attributes:
      mir: MIR of the labels as they are.
      hdr: HDR, the same for every permutation.
      expected_mir: mean MIR over permutations, the chance level.
      standard_error: of expected_mir.
      standard_deviation: of MIR over permutations.
      z_score: `(mir - expected_mir) / standard_deviation`; 0 where no permutation changes MIR.
      corrected_mir: `(mir - expected_mir) / (1 - expected_mir)`, see `corrected_mir`.
    """

    mir: jax.Array
    hdr: jax.Array
    expected_mir: jax.Array
    standard_error: jax.Array
    standard_deviation: jax.Array
    z_score: jax.Array
    corrected_mir: jax.Array


@replicated
def chance(
    z: ArrayLike,
    y: ArrayLike,
    w: ArrayLike,
    key: jax.Array,
    *,
    num_permutations: int = 100,
    alpha: float = 1.0,
    mask: ArrayLike | None = None,
) -> Chance:
    """Compares MIR of features and head rows with its distribution under permuted labels.

    The features, the head and the number of samples of each class stay; only which sample has
    which label is random. Both entropies stay too, and with them HDR: it does not depend on the
    pairing of features and labels, so it has no chance level of this kind. The joint entropy is
    largest when the two are independent, so MIR of permuted labels falls as samples are added, from
    1 or nearly so to 0; see `population.chance_level`.

    Permutations are computed in batches that fit 16 MB (in float32), one after another; each costs
    as much as the joint entropy of `sample_interplay`.

    Args:
      z: features, floating [n, d] or [..., d].
      y: labels, integer [n] or [...], in [0, C); a label outside this range makes every field NaN.
      w: head, one row per class, floating [C, d].
      key: JAX random key.
      num_permutations: number of random permutations, at least 2.
      alpha: order, a positive Python number or `math.inf`.
      mask: as in `sample_interplay`; labels are permuted among the samples that count.

    Returns:
      A `Chance` of scalars. `corrected_mir` is 0 on average for labels unrelated to the features,
      at every n, and at most 1 up to rounding where no row is zero. At neural collapse with
      balanced classes it tends to `collapse.mir_at_collapse(C)` as n grows; with one sample per
      class it is 0, as every permutation gives the same MIR. Ratios are 0 where an entropy is 0, as
      in `mir`.

    Raises:
      ValueError: as `sample_interplay`; num_permutations is not an integer of at least 2.

    References:
      Vinh, Epps & Bailey 2010, Information theoretic measures for clusterings comparison: the
      adjusted mutual information, to which `corrected_mir` reduces (normalised by the smaller
      entropy) for one-hot features and head rows.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> y = jnp.arange(40) % 4
    >>> result = chance(jnp.eye(4)[y], y, jnp.eye(4), jax.random.key(0))
    >>> round(float(result.mir), 3), round(float(result.corrected_mir), 3)
    (1.0, 1.0)
    >>> bool(0.05 < result.expected_mir < 0.1), bool(result.z_score > 10)
    (True, True)
    """
    number = _checks.integer("num_permutations", num_permutations)
    if number < 2:
        raise ValueError(f"num_permutations must be at least 2, got {number}")
    z, y, w, valid = _samples.labelled(z, y, w, mask)
    valid &= jnp.all(jnp.isfinite(w))
    y, w = _at_most_as_many_classes(y, w, z.shape[0])
    z_hat, w_hat = moments.unit_rows(z), moments.unit_rows(w)
    (n, d), c = z_hat.shape, w_hat.shape[0]
    counts = jnp.bincount(y, length=c).astype(w_hat.dtype)
    h_z, h_v = (
        spectrum.product_entropy(moments.smaller_product(x), alpha)
        for x in (z_hat, jnp.sqrt(counts)[:, None] * w_hat)
    )

    def ratios(of: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        key, permute = of
        labels = jnp.where(permute, _permuted(key, y, y < c), y)
        joint = information.joint_matrix(z_hat, labels, w_hat)
        found = combine(h_z, h_v, spectrum.product_entropy(joint, alpha))
        return found.mir, found.hdr

    batch, total = _batches(number + 1, _floats(n, d, c))
    keys = jax.random.split(key, total)
    mir, hdr = jax.lax.map(ratios, (keys, jnp.arange(total) > 0), batch_size=batch)
    result = _compared(mir[0], hdr[0], mir[1 : number + 1])
    return Chance(*(_checks.nan_unless(valid, field) for field in result))


def _floats(n: int, d: int, c: int) -> int:
    """Floats that the joint matrix of n samples takes while it is formed."""
    size = d * min(c, d)
    return n * n if n <= size else max(size**2, c * d * d)


def _batches(number: int, floats: int) -> tuple[int, int]:
    """Size of equal batches that fit memory, and how many they hold in all, at least number."""
    rounds = -(-number * floats // _FLOATS)
    batch = -(-number // min(rounds, number))
    return batch, batch * -(-number // batch)


def corrected_mir(mir: ArrayLike, expected: ArrayLike) -> jax.Array:
    """MIR corrected for chance, `(mir - expected) / (1 - expected)`: 0 by chance, at most 1.

    1 is the largest MIR where no row is zero: the joint matrix is a mixture of products
    `ẑ ẑᵀ ⊗ v̂ v̂ᵀ`, and the entropy of such a mixture is at least that of either part. It is
    attained where the samples fall into groups, orthogonal between groups in both representations
    and constant within.

    Args:
      mir: floating [...].
      expected: mean MIR by chance, floating, of the same shape.

    Returns:
      Ratios [...]; 0 where chance reaches 1 up to rounding and leaves nothing to exceed it.

    Raises:
      ValueError: an argument is not floating, or the dtypes differ.

    >>> import jax.numpy as jnp
    >>> float(corrected_mir(jnp.float32(0.75), jnp.float32(0.5)))
    0.5
    """
    mir, expected = _checks.real_array("mir", mir), _checks.real_array("expected", expected)
    _checks.same_dtype("mir", mir, "expected", expected)
    room = 1 - expected
    none = room <= 1024 * np.finfo(room.dtype).eps
    return jnp.where(none, 0, (mir - expected) / jnp.where(none, 1, room))


def _at_most_as_many_classes(y: jax.Array, w: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
    """Replaces a head of more than n classes by one whose rows belong to one sample each."""
    c = w.shape[0]
    if c <= n:
        return y, w
    own = jnp.where(y < c, jnp.arange(n, dtype=y.dtype), n)
    return own, w.at[y].get(mode="fill", fill_value=0)


def _permuted(key: jax.Array, y: jax.Array, kept: jax.Array) -> jax.Array:
    """Returns y with the labels of the kept samples permuted at random."""
    order = jax.random.permutation(key, y.shape[0])
    order = order[jnp.argsort(~kept[order], stable=True)]
    return y.at[jnp.argsort(~kept, stable=True)].set(y[order])


def _compared(mir: jax.Array, hdr: jax.Array, permuted: jax.Array) -> Chance:
    number = permuted.shape[0]
    expected = jnp.mean(permuted)
    deviation = jnp.std(permuted, ddof=1)
    constant = deviation <= 64 * np.finfo(deviation.dtype).eps
    score = jnp.where(constant, 0, (mir - expected) / jnp.where(constant, 1, deviation))
    return Chance(
        mir,
        hdr,
        expected,
        deviation / number**0.5,
        deviation,
        score,
        corrected_mir(mir, expected),
    )
