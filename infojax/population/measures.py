"""MIR, HDR and entropies of a whole data set from statistics that one pass collects.

With `A_c` the second moments of normalised features by class, `n_c` the counts and `k_c`
coordinates of the normalised head rows, the spectra of the three n x n matrices are, but for
zeros, those of `Σ_c A_c`, of `Σ_c n_c k_c k_cᵀ` and of `Σ_c A_c ⊗ k_c k_cᵀ`, all over their trace.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from infojax import _checks, information, moments, spectrum
from infojax.information import Interplay
from infojax.population import joint
from infojax.population.quadrature import Estimate
from infojax.population.statistics import Statistics, is_usable, nan_unless

_DENSE = 5000  # rows up to which dense eigenvalues take seconds
_LAPACK = 32_766  # rows at which LAPACK's 32-bit work space ends
_MOMENTS = 2**26  # numbers in the class moments up to which they are kept


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[*Interplay._fields, "standard_error", "probes"],
    meta_fields=["route"],
)
@dataclasses.dataclass(frozen=True)
class PopulationInterplay:
    """The fields of `infojax.Interplay` with standard errors and the route; a pytree.

    Attributes:
      entropy_z: H(G(Z)), nats, float [], as all numbers here.
      entropy_v: H(G(V)), nats.
      joint_entropy: H(G(Z) ∘ G(V)), nats.
      mutual_information: nats.
      mir: matrix mutual information ratio.
      hdr: entropy difference ratio.
      standard_error: an `Interplay` with the standard error of each of them; 0 where exact.
      probes: random vectors that the joint entropy rests on, int32 []; 0 where it is exact.
      route: how the joint entropy came about: "gram" (dense eigenvalues, n x n), "moments" (dense
        eigenvalues, d r x d r), "closed form" (order 2), "lanczos" (estimated).
    """

    entropy_z: jax.Array
    entropy_v: jax.Array
    joint_entropy: jax.Array
    mutual_information: jax.Array
    mir: jax.Array
    hdr: jax.Array
    standard_error: Interplay
    probes: jax.Array
    route: str


def interplay(
    statistics: Statistics,
    w: jax.Array,
    alpha: float = 1.0,
    *,
    rtol: float = 1e-3,
    key: jax.Array | None = None,
    max_probes: int = 512,
) -> PopulationInterplay:
    """Interplay of all features and the head rows of their labels: Z1 = z_i, Z2 = w_{y_i}.

    `infojax.sample_interplay` of the whole data set. The entropies of features and head are
    exact. The joint entropy is exact at order 2 (closed form, no eigenvalues) and where `d r`,
    `r = min(C, d)`, is at most 5,000 or rtol is 0 (dense eigenvalues); elsewhere it is estimated,
    see `infojax.population.quadrature`, and probes are added until the standard error of the mutual
    information, hence of MIR, is at most rtol of it, or max_probes are used.

    Args:
      statistics: of the data set, float32 or float64.
      w: head, one row a class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`. Below 1, the estimate takes
        eigenvalues for zero that are below a millionth of the largest (in float32), and the most
        that they can be worth is part of its standard error.
      rtol: relative standard error that is enough, a Python number >= 0.
      key: JAX random key of the estimate; `jax.random.key(0)` if None.
      max_probes: the most probes, rounded up to a multiple of 64.

    Returns:
      A `PopulationInterplay`. Every number is NaN if a sample or w held NaN or inf, if a label
      was out of range under jit, or if there are no samples. Zero feature rows and classes
      without samples are as in `infojax.sample_interplay`; a zero head row does not count.
      Exact results can be differentiated by w, estimates cannot.

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
            f"dense eigenvalues end at 32,766 rows and d min(C, d) is {size} here; "
            "state an rtol > 0 for an estimate with a standard error"
        )
    entropy_z = spectrum.entropy(jnp.sum(a, 0), alpha)
    entropy_v = _head_entropy(statistics.counts, w_hat, alpha)
    zero = jnp.zeros_like(entropy_z)
    error, probes = zero, jnp.int32(0)
    if alpha == 2:
        purity, route = joint.purity(a, w_hat), "closed form"
        entropy_j = -jnp.log(jnp.where(purity == 0, 1, purity))
    elif rtol == 0 or size <= _DENSE:
        entropy_j, route = spectrum.entropy(moments.joint_moment(a, coordinates), alpha), "moments"
    else:
        route, key = "lanczos", jax.random.key(0) if key is None else key
        inputs = _without_derivative((a, coordinates, joint.purity(a, w_hat)))
        entropy_j, error, probes = _of_moments(
            inputs, entropy_z + entropy_v, key, rtol, alpha, max_probes
        )
    result = _with_errors(
        information.combine(entropy_z, entropy_v, entropy_j), error, probes, route
    )
    return nan_unless(is_usable(statistics, w_hat), result)


def interplay_of_features(
    z: jax.Array,
    y: jax.Array,
    w: jax.Array,
    alpha: float = 1.0,
    *,
    rtol: float = 1e-3,
    key: jax.Array | None = None,
    max_probes: int = 512,
) -> PopulationInterplay:
    """Interplay of features that are all in memory, by the cheapest route of all.

    Dense eigenvalues of size `min(n, d r)`, `r = min(C, d)`, up to 5,000 (or where rtol is 0);
    beyond, `interplay` of their statistics; and where these would be too large (`C d²` above
    2²⁶) an estimate from products of the n x n matrix with vectors, `(K v)_i = ẑ_i · Σ_c G_{y_i c}
    Σ_{j in c} v_j ẑ_j`, without forming it.

    Args:
      z: features, floating [n, d].
      y: labels, integer [n], in [0, C); a label outside makes every number NaN.
      w: head, one row a class, floating [C, d].
      alpha: as `interplay`.
      rtol: as `interplay`.
      key: as `interplay`.
      max_probes: as `interplay`.

    Returns:
      A `PopulationInterplay`, see `interplay`.

    Raises:
      ValueError: as `infojax.sample_interplay` and `interplay`.

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
        zero, route = jnp.zeros_like(exact.mir), "gram" if n <= d * min(c, d) else "moments"
        return nan_unless(usable, _with_errors(exact, zero, jnp.int32(0), route))
    if c * d * d <= _MOMENTS:
        statistics = Statistics.zeros(c, d, z_hat.dtype).update(z, y, (y >= 0) & (y < c))
        result = interplay(statistics, w, alpha, rtol=rtol, key=key, max_probes=max_probes)
        return nan_unless(usable, result)
    if rtol == 0:
        raise ValueError(f"dense eigenvalues end at 32,766 rows, {size} are needed here; rtol > 0")
    entropy_z = spectrum.entropy(moments.smaller_product(z_hat), alpha)
    counts = jnp.bincount(y, length=c)
    entropy_v = _head_entropy(counts, w_hat, alpha)
    key = jax.random.key(0) if key is None else key
    z_hat, w_hat = _without_derivative((z_hat, w_hat))
    entropy_j, error, probes = _of_samples(
        (z_hat, y, w_hat), entropy_z + entropy_v, key, rtol, alpha, max_probes
    )
    value = information.combine(entropy_z, entropy_v, entropy_j)
    return nan_unless(usable, _with_errors(value, error, probes, "lanczos"))


def class_interplay(statistics: Statistics, w: jax.Array, alpha: float = 1.0) -> Interplay:
    """Interplay of centred class means and head rows, G(M) against G(W); exact.

    Args:
      statistics: of the data set.
      w: head, one row a class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. Classes without samples are left out of both M and W. Class means
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
        raise ValueError(f"rtol >= 0 and max_probes >= 1, got rtol={rtol}, max_probes={max_probes}")
    return alpha, rtol, max_probes


@functools.partial(jax.jit, static_argnames=("alpha", "max_probes"))
def _of_moments(inputs, entropies, key, rtol, alpha: float, max_probes: int) -> Estimate:
    a, coordinates, square = inputs
    operator = joint.moment_operator(*joint.product_basis(a, coordinates), square)
    rtol = rtol.astype(a.dtype)
    return joint.estimated_entropy(operator, alpha, rtol, entropies, key, max_probes)


@functools.partial(jax.jit, static_argnames=("alpha", "max_probes"))
def _of_samples(inputs, entropies, key, rtol, alpha: float, max_probes: int) -> Estimate:
    operator = joint.sample_operator(*inputs)
    rtol = rtol.astype(operator.dtype)
    return joint.estimated_entropy(operator, alpha, rtol, entropies, key, max_probes)


@jax.custom_jvp
def _without_derivative(inputs):
    """The inputs; whoever differentiates by them gets a clear error."""
    return inputs


@_without_derivative.defjvp
def _refuse(primals, tangents):
    raise ValueError(
        "an estimate has no derivative; rtol=0 takes dense eigenvalues, which have one, and "
        "jax.lax.stop_gradient around the arguments makes it a plain metric"
    )


def _head(statistics: Statistics, w: jax.Array) -> jax.Array:
    w_hat = moments.unit_rows(w)
    shape = statistics.sum_pairs[:, 0].shape
    if w_hat.shape != shape:
        raise ValueError(f"w must have shape {shape}, as the statistics, got {w_hat.shape}")
    _checks.same_dtype("statistics", statistics.sum_pairs, "w", w_hat)
    return w_hat


def _head_entropy(counts: jax.Array, w_hat: jax.Array, alpha: float) -> jax.Array:
    weighted = jnp.sqrt(counts.astype(w_hat.dtype))[:, None] * w_hat
    return spectrum.entropy(moments.smaller_product(weighted), alpha)


def _with_errors(value: Interplay, error, probes, route: str) -> PopulationInterplay:
    """Errors of the fields that follow from that of the joint entropy."""
    zero = jnp.zeros_like(error)
    denominator = jnp.minimum(value.entropy_z, value.entropy_v)
    of_mir = jnp.where(value.mir == 0, 0, error / jnp.where(value.mir == 0, 1, denominator))
    errors = Interplay(zero, zero, error, error, of_mir, zero)
    return PopulationInterplay(*value, errors, probes, route)
