"""MIR, HDR and entropies of a whole data set, from statistics collected in one pass.

Let `A_c` be the second moments of the normalised features per class, `n_c` the counts and `k_c`
coordinates of the normalised head rows. Up to zeros and division by the trace, the spectra of the
three n x n matrices are those of `Σ_c A_c`, `Σ_c n_c k_c k_cᵀ` and `Σ_c A_c ⊗ k_c k_cᵀ`.
"""

import functools
from collections.abc import Callable
from typing import NoReturn, TypeVar

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from infojax import _checks, information, moments, spectrum
from infojax.matrices import Interplay, combine
from infojax.population import joint
from infojax.population.quadrature import Estimate, Operator, exactly
from infojax.population.result import PopulationInterplay, Route, with_errors
from infojax.population.statistics import Statistics, is_usable, nan_unless

_DENSE = 5000  # rows up to which dense eigenvalues take seconds
_LAPACK = 32_766  # rows up to which LAPACK's 32-bit workspace suffices
_MOMENTS = 2**26  # largest number of elements in the class moments

Arrays = TypeVar("Arrays", bound=tuple[jax.Array, ...])


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
    alpha, rtol, max_probes = _settings(alpha, rtol, max_probes)
    w_hat = _head(statistics, w)
    a, coordinates = statistics.moments, moments.head_coordinates(w_hat)
    size = a.shape[1] * coordinates.shape[1]
    if alpha != 2 and rtol == 0 and size > _LAPACK:
        raise ValueError(
            f"dense eigenvalues are limited to 32,766 rows, but d min(C, d) is {size}; "
            "set rtol > 0 for an estimate with a standard error"
        )
    entropy_z = spectrum.entropy(jnp.sum(a, 0), alpha)
    entropy_v = _head_entropy(statistics.counts, w_hat, alpha)
    route: Route
    if alpha == 2:
        purity, route = joint.purity(a, w_hat), "closed form"
        entropy_j = exactly(-jnp.log(jnp.where(purity == 0, 1, purity)))
    elif rtol == 0 or size <= _DENSE:
        route = "moments"
        entropy_j = exactly(spectrum.entropy(moments.joint_moment(a, coordinates), alpha))
    else:
        route, key = "lanczos", jax.random.key(0) if key is None else key
        inputs = _without_derivative((a, coordinates, joint.purity(a, w_hat)))
        entropy_j = _estimated_entropy(
            joint.moment_operator, inputs, entropy_z + entropy_v, key, rtol, alpha, max_probes
        )
    result = with_errors(combine(entropy_z, entropy_v, entropy_j.value), entropy_j, route)
    return nan_unless(is_usable(statistics, w_hat), result)


def interplay_of_features(
    z: ArrayLike,
    y: ArrayLike,
    w: ArrayLike,
    alpha: float = 1.0,
    *,
    rtol: float = 1e-3,
    key: jax.Array | None = None,
    max_probes: int = 512,
) -> PopulationInterplay:
    """Interplay of features held in memory, by the cheapest route.

    Dense eigenvalues of size `min(n, d r)`, `r = min(C, d)`, up to 5,000 (or if rtol is 0);
    above, `interplay` of the statistics of the features; and if these would be too large (`C d²`
    above 2²⁶), an estimate from products of the n x n matrix with vectors,
    `(K v)_i = ẑ_i · Σ_c G_{y_i c} Σ_{j in c} v_j ẑ_j`, without forming the matrix.

    Args:
      z: features, floating [n, d].
      y: labels, integer [n], in [0, C); a label outside this range makes every number NaN.
      w: head, one row per class, floating [C, d].
      alpha: as in `interplay`.
      rtol: as in `interplay`.
      key: as in `interplay`.
      max_probes: as in `interplay`.

    Returns:
      A `PopulationInterplay`, see `interplay`.

    Raises:
      ValueError: as in `infojax.sample_interplay` and `interplay`.

    >>> import jax.numpy as jnp
    >>> from infojax import collapse, population
    >>> etf = collapse.simplex_etf(4, 8)
    >>> result = population.interplay_of_features(etf, jnp.arange(4), etf)
    >>> round(float(result.mir), 3), result.route
    (0.754, 'gram')
    """
    alpha, rtol, max_probes = _settings(alpha, rtol, max_probes)
    z_hat, y, w_hat = information.sample_arguments(z, y, w)
    (n, d), c = z_hat.shape, w_hat.shape[0]
    usable = jnp.all((y >= 0) & (y < c)) & jnp.isfinite(jnp.sum(z_hat) + jnp.sum(w_hat))
    size = min(n, d * min(c, d))
    if size <= _DENSE or (rtol == 0 and size <= _LAPACK):
        exact = information.sample_interplay(z, y, w, alpha)
        route: Route = "gram" if n <= d * min(c, d) else "moments"
        return nan_unless(usable, with_errors(exact, exactly(exact.joint_entropy), route))
    if c * d * d <= _MOMENTS:
        statistics = Statistics.zeros(c, d, z_hat.dtype).update(z, y, (y >= 0) & (y < c))
        result = interplay(statistics, w, alpha, rtol=rtol, key=key, max_probes=max_probes)
        return nan_unless(usable, result)
    if rtol == 0:
        raise ValueError(
            f"dense eigenvalues are limited to 32,766 rows, but {size} are needed; set rtol > 0"
        )
    entropy_z = spectrum.entropy(moments.smaller_product(z_hat), alpha)
    entropy_v = _head_entropy(jnp.bincount(y, length=c), w_hat, alpha)
    key = jax.random.key(0) if key is None else key
    z_hat, w_hat = _without_derivative((z_hat, w_hat))
    inputs = z_hat, y, w_hat
    entropy_j = _estimated_entropy(
        joint.sample_operator, inputs, entropy_z + entropy_v, key, rtol, alpha, max_probes
    )
    value = combine(entropy_z, entropy_v, entropy_j.value)
    return nan_unless(usable, with_errors(value, entropy_j, "lanczos"))


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
    w_hat = _head(statistics, w)
    present = (statistics.counts > 0)[:, None]
    head = jnp.where(present, w_hat, 0)
    result = information.interplay(statistics.centred_means, head, alpha)
    return nan_unless(is_usable(statistics, w_hat), result)


def _settings(alpha: float, rtol: float, max_probes: int) -> tuple[float, float, int]:
    alpha, rtol = _checks.order(alpha), _checks.number("rtol", rtol)
    max_probes = _checks.integer("max_probes", max_probes)
    if not rtol >= 0 or max_probes < 1:
        raise ValueError(f"rtol >= 0 and max_probes >= 1 are required, got {rtol} and {max_probes}")
    return alpha, rtol, max_probes


@functools.partial(jax.jit, static_argnames=("operator", "alpha", "max_probes"))
def _estimated_entropy(
    operator: Callable[..., Operator],
    inputs: tuple[jax.Array, jax.Array, jax.Array],
    entropies: jax.Array,
    key: jax.Array,
    rtol: jax.Array,
    alpha: float,
    max_probes: int,
) -> Estimate:
    matrix = operator(*inputs)
    rtol = rtol.astype(matrix.dtype)
    return joint.estimated_entropy(matrix, alpha, rtol, entropies, key, max_probes)


@jax.custom_jvp
def _without_derivative(inputs: Arrays) -> Arrays:
    """Returns the inputs; differentiating with respect to them is an error."""
    return inputs


@_without_derivative.defjvp
def _refuse(primals: tuple[Arrays], tangents: tuple[Arrays]) -> NoReturn:
    raise ValueError(
        "an estimate has no derivative; set rtol=0 for dense eigenvalues, which have one, or wrap "
        "the arguments in jax.lax.stop_gradient to use the estimate as a metric"
    )


def _head(statistics: Statistics, w: ArrayLike) -> jax.Array:
    w_hat = moments.unit_rows(w)
    shape = statistics.sum_pairs[:, 0].shape
    if w_hat.shape != shape:
        raise ValueError(f"w must have shape {shape}, like the statistics, got {w_hat.shape}")
    _checks.same_dtype("statistics", statistics.sum_pairs, "w", w_hat)
    return w_hat


def _head_entropy(counts: jax.Array, w_hat: jax.Array, alpha: float) -> jax.Array:
    weighted = jnp.sqrt(counts.astype(w_hat.dtype))[:, None] * w_hat
    return spectrum.entropy(moments.smaller_product(weighted), alpha)
