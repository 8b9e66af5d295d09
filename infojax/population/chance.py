"""Chance level of MIR of a whole data set, in closed form from its statistics."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import moments, spectrum
from infojax._meshes import replicated
from infojax.matrices import ratio
from infojax.population import estimates
from infojax.population.statistics import Statistics, head, is_usable, nan_unless


class ChanceLevel(NamedTuple):
    """Expected values for permuted labels; float [].

    Attributes:
      mutual_information: nats.
      mir: mutual information / smaller entropy.
    """

    mutual_information: jax.Array
    mir: jax.Array


@replicated
def chance_level(statistics: Statistics, w: ArrayLike, alpha: float = 1.0) -> ChanceLevel:
    """Expected mutual information and MIR of all features with permuted labels, of order 1 or 2.

    Permuting the labels of N samples replaces the joint matrix by one whose mean is the product of
    the two marginals, so the mutual information falls to 0 as 1/N. With `R_α = exp(H_α)`, the
    effective number of directions of order α,

    - order 1: `(R_½(Z) - 1) (R_½(V) - 1) / (2 (N - 1))`, the leading term in 1/N for even spectra,
      and within a third of it for others; the counterpart of `(rows - 1) (columns - 1) / 2N`
      for contingency tables. It holds where it is small, MIR below 0.1. Elsewhere use
      `infojax.chance`, which permutes the samples themselves;
    - order 2: `log(1 + (R_2(Z) - 1) (R_2(V) - 1) / (N - 1))`, from the mean of `tr K²` over
      permutations, which is exact at every N. The mean of the mutual information is smaller by half
      the relative variance of `tr K²`.

    Args:
      statistics: of the data set; N counts the samples whose features are not zero.
      w: head, one row per class, floating [C, d].
      alpha: order, 1 or 2.

    Returns:
      A `ChanceLevel`, to be used with `infojax.corrected_mir`. At collapse with balanced classes
      it is `(C - 2)² / (2 (N - 1))` at order 1. NaN as in `interplay`, and for a single sample.

    Raises:
      ValueError: w does not fit the statistics in shape or dtype; alpha is neither 1 nor 2.

    References:
      Miller 1955, Note on the bias of information estimates (contingency tables).

    >>> import jax.numpy as jnp
    >>> from infojax import collapse, population
    >>> etf, y = collapse.simplex_etf(4, 8), jnp.arange(400) % 4
    >>> level = chance_level(population.Statistics.zeros(4, 8).update(etf[y], y), etf)
    >>> round(float(level.mutual_information), 5), round(2**2 / (2 * 399), 5)
    (0.00501, 0.00501)
    """
    if alpha not in (1, 2):
        raise ValueError(f"the chance level is known at alpha = 1 and 2, got {alpha}")
    w = head(statistics, w)
    w_hat = moments.unit_rows(statistics.rows_of(w))
    total = jnp.sum(statistics.moments, 0)

    def entropies(order: float) -> tuple[jax.Array, jax.Array]:
        of_head = estimates.head_entropy(statistics.counts, w_hat, order)
        return spectrum.entropy(total, order), of_head

    excess = [jnp.expm1(h) for h in entropies(2 if alpha == 2 else 0.5)]
    share = excess[0] * excess[1] / (jnp.trace(total) - 1)
    information = jnp.log1p(share) if alpha == 2 else share / 2
    level = ChanceLevel(information, ratio(information, jnp.minimum(*entropies(alpha))))
    return nan_unless(is_usable(statistics, w), level)
