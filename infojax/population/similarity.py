"""How alike the features of a data set are: entropies within and between classes, ranks."""

import jax
import jax.numpy as jnp

from infojax import _checks, information, spectrum
from infojax._meshes import replicated
from infojax.population.statistics import Statistics, is_usable, nan_unless


@replicated
def within_class_entropies(statistics: Statistics, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of the features of each class, `H_α(G(Z_c))`: low where they are alike.

    Args:
      statistics: of the data set.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats, one per slot [m], in [0, log d] up to rounding; 0 for a class without
      samples; NaN as in `interplay`.

    Raises:
      ValueError: alpha <= 0.

    References:
      Song et al. 2024, arXiv:2409.16767.

    >>> import jax.numpy as jnp
    >>> s = Statistics.zeros(2, 3).update(jnp.eye(3), jnp.array([0, 1, 1]))
    >>> round(float(within_class_entropies(s)[1]), 4)  # log 2
    0.6931
    """
    alpha = _checks.order(alpha)
    entropies: jax.Array = jax.lax.map(lambda a: spectrum.entropy(a, alpha), statistics.moments)
    return nan_unless(is_usable(statistics), entropies)


@replicated
def class_mean_entropy(statistics: Statistics, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of the class means, not centred; `class_interplay` centres them.

    Args:
      statistics: of the data set.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropy in nats [], in [0, log min(C, d)]; classes without samples are omitted; NaN as in
      `interplay`.

    Raises:
      ValueError: alpha <= 0.

    References:
      Song et al. 2024, arXiv:2409.16767.

    >>> import jax.numpy as jnp
    >>> s = Statistics.zeros(2, 3).update(jnp.eye(3), jnp.array([0, 1, 1]))
    >>> round(float(class_mean_entropy(s)), 4)  # orthogonal means: log 2
    0.6931
    """
    entropy = information.feature_entropy(
        statistics.means_about(jnp.zeros_like(statistics.references[0])), alpha
    )
    return nan_unless(is_usable(statistics), entropy)


@replicated
def effective_rank(statistics: Statistics) -> jax.Array:
    """Effective rank of all features, `exp(H(G(Z)))`.

    Args:
      statistics: of the data set.

    Returns:
      Effective number of directions [], in [1, min(N, d)]; NaN as in `interplay`.

    References:
      Roy & Vetterli 2007; Song et al. 2024, lemma 4.4.

    >>> import jax.numpy as jnp
    >>> s = Statistics.zeros(2, 3).update(jnp.eye(3), jnp.array([0, 1, 1]))
    >>> round(float(effective_rank(s)), 3)
    3.0
    """
    rank = jnp.exp(spectrum.entropy(jnp.sum(statistics.moments, 0)))
    return nan_unless(is_usable(statistics), rank)


def rank_bound(rank1: jax.Array, rank2: jax.Array) -> jax.Array:
    r"""Least error of predicting from Z2 what Z1 predicts exactly: `max(0, 1 - rank₂ / rank₁)`.

    Let y be a target that Z1 [n, d1] predicts without error, drawn uniformly from the unit vectors
    of its column space. The expected least-squares error of predicting it from Z2 [n, d2] is

    .. math:: \mathbb E \min_h \lVert y - Z_2 h \rVert^2
       = 1 - \frac{\operatorname{tr} P_1 P_2}{\operatorname{rank} Z_1}
       \ge 1 - \frac{\operatorname{rank} Z_2}{\operatorname{rank} Z_1}

    with P1, P2 the projections onto the column spaces. With effective ranks in place of ranks it
    is `1 - exp(H(G(Z2)) - H(G(Z1)))`, which is no longer a bound, but interprets the difference of
    the entropies.

    Args:
      rank1: rank or effective rank of Z1, floating, positive.
      rank2: rank or effective rank of Z2, of the same shape.

    Returns:
      Bounds in [0, 1], in units of |y|².

    Raises:
      ValueError: an argument is not real floating.

    References:
      In the sense of Song et al. 2024, theorem 4.6.

    >>> import jax.numpy as jnp
    >>> float(rank_bound(jnp.array(8.0), jnp.array(6.0)))
    0.25
    """
    rank1, rank2 = _checks.real_array("rank1", rank1), _checks.real_array("rank2", rank2)
    return jnp.maximum(1 - rank2 / rank1, 0)
