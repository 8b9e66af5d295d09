"""MIR, HDR and entropies of a whole data set, from statistics collected in one pass.

Let `A_c` be the second moments of the normalised features per class, `n_c` the counts and `k_c`
coordinates of the normalised head rows. Up to zeros and division by the trace, the spectra of the
three n x n matrices are those of `Σ_c A_c`, `Σ_c n_c k_c k_cᵀ` and `Σ_c A_c ⊗ k_c k_cᵀ`.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import information, moments, spectrum
from infojax._meshes import replicated
from infojax.matrices import Interplay, combine
from infojax.population import estimates, joint
from infojax.population.quadrature import exactly
from infojax.population.result import PopulationInterplay, Route, with_errors
from infojax.population.statistics import Statistics, head, is_usable, nan_unless


@replicated
def interplay(
    statistics: Statistics,
    w: ArrayLike,
    alpha: float = 1.0,
    *,
    rtol: float = 1e-3,
    key: jax.Array | None = None,
    max_probes: int = 512,
) -> PopulationInterplay:
    """Interplay of all features and the head rows of their labels: Z1 = z_i, Z2 = w_{y_i}.

    `infojax.sample_interplay` of the whole data set. The entropies of features and head are
    exact. The joint entropy is exact at order 2 (closed form, no eigenvalues), and where `d r`,
    `r = min(C, d)`, is at most 5,000 or rtol is 0 (dense eigenvalues). Otherwise it is estimated,
    see `infojax.population.quadrature`: probes are added until the standard error of the mutual
    information, and hence of MIR, is at most rtol relative to it, or max_probes are used.

    Args:
      statistics: of the data set, float32 or float64.
      w: head, one row per class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`. Below 1, the estimate treats
        eigenvalues below a millionth of the largest (in float32) as zero, and its standard error
        includes the most that they can contribute.
      rtol: sufficient relative standard error, a Python number >= 0.
      key: JAX random key of the estimate; `jax.random.key(0)` if None.
      max_probes: largest number of probes, rounded up to a multiple of 64.

    Returns:
      A `PopulationInterplay`. Every number is NaN if a sample or w held NaN or inf, if a label
      was out of range under jit, or if there are no samples. Zero feature rows and classes
      without samples are handled as in `infojax.sample_interplay`; a zero head row is ignored.
      Exact results are differentiable with respect to w, estimates are not.

    Raises:
      ValueError: w does not fit the statistics in shape or dtype; alpha <= 0; rtol < 0;
        max_probes < 1; rtol is 0 and `d r` exceeds 32,766; an estimate is differentiated.

    References:
      Song et al. 2024, corollary 4.3.

    >>> import jax.numpy as jnp
    >>> from infojax import collapse, population
    >>> etf = collapse.simplex_etf(4, 8)
    >>> y = jnp.array([0, 1, 2, 3, 0, 1, 2, 3])
    >>> result = population.interplay(population.Statistics.zeros(4, 8).update(etf[y], y), etf)
    >>> round(float(result.mir), 3), result.route, float(result.standard_error.mir)
    (0.754, 'moments', 0.0)
    """
    alpha, rtol, max_probes = estimates.settings(alpha, rtol, max_probes)
    w = head(statistics, w)
    w_hat = moments.unit_rows(statistics.rows_of(w))
    a, coordinates = statistics.moments, moments.head_coordinates(w_hat)
    size = a.shape[1] * coordinates.shape[1]
    if alpha != 2 and rtol == 0 and size > estimates.LAPACK:
        raise ValueError(
            f"dense eigenvalues are limited to 32,766 rows, but d min(C, d) is {size}; "
            "set rtol > 0 for an estimate with a standard error"
        )
    entropy_z = spectrum.entropy(jnp.sum(a, 0), alpha)
    entropy_v = estimates.head_entropy(statistics.counts, w_hat, alpha)
    route: Route
    if alpha == 2:
        purity, route = joint.purity(a, w_hat), "closed form"
        entropy_j = exactly(-jnp.log(jnp.where(purity == 0, 1, purity)))
    elif rtol == 0 or size <= estimates.DENSE:
        route = "moments"
        entropy_j = exactly(spectrum.entropy(moments.joint_moment(a, coordinates), alpha))
    else:
        route, key = "lanczos", jax.random.key(0) if key is None else key
        inputs = estimates.without_derivative((a, coordinates, joint.purity(a, w_hat)))
        entropy_j = estimates.entropy(
            joint.moment_operator, inputs, entropy_z + entropy_v, key, rtol, alpha, max_probes
        )
    result = with_errors(combine(entropy_z, entropy_v, entropy_j.value), entropy_j, route)
    return nan_unless(is_usable(statistics, w), result)


@replicated
def class_interplay(statistics: Statistics, w: ArrayLike, alpha: float = 1.0) -> Interplay:
    """Interplay of centred class means and head rows, G(M) and G(W); exact.

    Args:
      statistics: of the data set.
      w: head, one row per class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. Classes without samples are omitted from both M and W. Class means
      that are equal up to rounding count as zero after centring. NaN as in `interplay`.

    Raises:
      ValueError: w does not fit the statistics in shape or dtype; alpha <= 0.

    References:
      Song et al. 2024, theorem 4.2.

    >>> import jax.numpy as jnp
    >>> from infojax import collapse, population
    >>> etf = collapse.simplex_etf(3, 5)
    >>> statistics = population.Statistics.zeros(3, 5).update(10.0 * etf + 1.0, jnp.arange(3))
    >>> round(float(population.class_interplay(statistics, etf).mir), 3)
    0.5
    """
    w = head(statistics, w)
    present = (statistics.counts > 0)[:, None]
    rows = jnp.where(present, statistics.rows_of(w), 0)
    result = information.interplay(statistics.scaled_centred_means, rows, alpha)
    return nan_unless(is_usable(statistics, w), result)
