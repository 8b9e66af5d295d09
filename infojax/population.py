"""MIR, HDR and entropies of a whole data set from statistics that one pass collects.

With `A_c` the second moments of normalised features by class, `n_c` the counts and `k_c`
coordinates of the normalised head rows, the spectra of the three n x n matrices are, but for
zeros, those of `Σ_c A_c`, of `Σ_c n_c k_c k_cᵀ` and of `Σ_c A_c ⊗ k_c k_cᵀ`, all over their trace.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from infojax import _checks, information, joint, moments, spectrum
from infojax.information import Interplay
from infojax.statistics import Statistics

__all__ = [
    "PopulationInterplay",
    "Statistics",
    "class_interplay",
    "class_mean_entropy",
    "effective_rank",
    "interplay",
    "interplay_of_features",
    "rank_bound",
    "within_class_entropies",
]

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
    see `infojax.quadrature`, and probes are added until the standard error of the mutual
    information, hence of MIR, is at most rtol of it, or max_probes are used.

    Args:
      statistics: of the data set, float32 or float64.
      w: head, one row a class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`. Below 1, the estimate takes
        eigenvalues for zero that are below a millionth of the largest (in float32).
      rtol: relative standard error that is enough, a Python number >= 0.
      key: JAX random key of the estimate; `jax.random.key(0)` if None.
      max_probes: the most probes, rounded up to a multiple of 32.

    Returns:
      A `PopulationInterplay`. Every number is NaN if a sample or w held NaN or inf, if a label
      was out of range under jit, or if there are no samples. Zero feature rows and classes
      without samples are as in `infojax.sample_interplay`; a zero head row does not count.

    Raises:
      ValueError: w does not fit the statistics in shape or dtype; alpha <= 0; rtol < 0;
        max_probes < 1; rtol is 0 and `d r` exceeds 32,766.

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
    alpha, rtol = _checks.order(alpha), _checks.number("rtol", rtol)
    w_hat = _head(statistics, w)
    a, coordinates = statistics.moments, moments.head_coordinates(w_hat)
    size = a.shape[1] * coordinates.shape[1]
    if not rtol >= 0 or max_probes < 1:
        raise ValueError(f"rtol >= 0 and max_probes >= 1, got rtol={rtol}, max_probes={max_probes}")
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
        entropy_j, route = -jnp.log(joint.purity(a, w_hat)), "closed form"
    elif rtol == 0 or size <= _DENSE:
        entropy_j, route = spectrum.entropy(moments.joint_moment(a, coordinates), alpha), "moments"
    else:
        route, key = "lanczos", jax.random.key(0) if key is None else key
        operator = joint.moment_operator(a, coordinates, joint.purity(a, w_hat))
        entropy_j, error, probes = joint.estimated_entropy(
            operator, alpha, rtol, entropy_z + entropy_v, key, max_probes
        )
    result = _with_errors(
        information.combine(entropy_z, entropy_v, entropy_j), error, probes, route
    )
    return _nan_unless(_is_usable(statistics, w_hat), result)


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
    alpha, rtol = _checks.order(alpha), _checks.number("rtol", rtol)
    z_hat, w_hat = moments.unit_rows(z), moments.unit_rows(w)
    (n, d), c = z_hat.shape, w_hat.shape[0]
    size = min(n, d * min(c, d))
    if size <= _DENSE or (rtol == 0 and size <= _LAPACK):
        exact = information.sample_interplay(z, y, w, alpha)
        zero, route = jnp.zeros_like(exact.mir), "gram" if n <= d * min(c, d) else "moments"
        return _with_errors(exact, zero, jnp.int32(0), route)
    valid = jnp.all((y >= 0) & (y < c))
    if c * d * d <= _MOMENTS:
        statistics = Statistics.zeros(c, d, z_hat.dtype).update(z, y, (y >= 0) & (y < c))
        result = interplay(statistics, w, alpha, rtol=rtol, key=key, max_probes=max_probes)
        return _nan_unless(valid, result)
    if rtol == 0:
        raise ValueError(f"dense eigenvalues end at 32,766 rows, {size} are needed here; rtol > 0")
    entropy_z = spectrum.entropy(moments.smaller_product(z_hat), alpha)
    counts = jnp.bincount(y, length=c)
    entropy_v = _head_entropy(counts, w_hat, alpha)
    entropy_j, error, probes = joint.estimated_entropy(
        joint.sample_operator(z_hat, y, w_hat),
        alpha,
        rtol,
        entropy_z + entropy_v,
        jax.random.key(0) if key is None else key,
        max_probes,
    )
    value = information.combine(entropy_z, entropy_v, entropy_j)
    result = _with_errors(value, error, probes, "lanczos")
    return _nan_unless(valid & jnp.all(jnp.isfinite(w_hat)), result)


def class_interplay(statistics: Statistics, w: jax.Array, alpha: float = 1.0) -> Interplay:
    """Interplay of centred class means and head rows, G(M) against G(W); exact.

    Args:
      statistics: of the data set.
      w: head, one row a class, floating [C, d].
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      An `Interplay` of scalars. Classes without samples are left out of both M and W. NaN as in
      `interplay`.

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
    means = jnp.where(present, statistics.means - statistics.mean[None], 0)
    result = information.interplay(means, jnp.where(present, w_hat, 0), alpha)
    return _nan_unless(_is_usable(statistics, w_hat), result)


def within_class_entropies(statistics: Statistics, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of the features of each class, `H_α(G(Z_c))`: how alike they are.

    Args:
      statistics: of the data set.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropies in nats [C], in [0, log d]; 0 for a class without samples; NaN as in `interplay`.

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
    entropies = jax.lax.map(lambda a: spectrum.entropy(a, alpha), statistics.moments)
    return _nan_unless(_is_usable(statistics), entropies)


def class_mean_entropy(statistics: Statistics, alpha: float = 1.0) -> jax.Array:
    """Matrix entropy of the class means as they are; `class_interplay` has that of centred ones.

    Args:
      statistics: of the data set.
      alpha: order, a positive Python number or `math.inf`.

    Returns:
      Entropy in nats [], in [0, log min(C, d)]; classes without samples are left out; NaN as in
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
    entropy = information.feature_entropy(statistics.means, alpha)
    return _nan_unless(_is_usable(statistics), entropy)


def effective_rank(statistics: Statistics) -> jax.Array:
    """Effective rank of all features, `exp(H(G(Z)))`.

    Args:
      statistics: of the data set.

    Returns:
      Number of directions [], in [1, min(N, d)]; NaN as in `interplay`.

    References:
      Roy & Vetterli 2007; Song et al. 2024, lemma 4.4.

    >>> import jax.numpy as jnp
    >>> s = Statistics.zeros(2, 3).update(jnp.eye(3), jnp.array([0, 1, 1]))
    >>> round(float(effective_rank(s)), 3)
    3.0
    """
    rank = jnp.exp(spectrum.entropy(jnp.sum(statistics.moments, 0)))
    return _nan_unless(_is_usable(statistics), rank)


def rank_bound(rank1: jax.Array, rank2: jax.Array) -> jax.Array:
    r"""How badly one representation must predict what another can: `max(0, 1 - rank₂ / rank₁)`.

    Let y be a target that Z1 [n, d1] predicts without error, drawn evenly from the unit vectors
    of its column space. The least-squares error of predicting it from Z2 [n, d2] is, on average,

    .. math:: \mathbb E \min_h \lVert y - Z_2 h \rVert^2
       = 1 - \frac{\operatorname{tr} P_1 P_2}{\operatorname{rank} Z_1}
       \ge 1 - \frac{\operatorname{rank} Z_2}{\operatorname{rank} Z_1}

    with P1, P2 the projections on the column spaces. With effective ranks in place of ranks it is
    `1 - exp(H(G(Z2)) - H(G(Z1)))`: no bound any more, but what the entropy difference stands for.

    Args:
      rank1: rank or effective rank of Z1, floating, positive.
      rank2: of Z2, of the same shape.

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


def _is_usable(statistics: Statistics, *others: jax.Array) -> jax.Array:
    finite = [jnp.isfinite(jnp.sum(x)) for x in (statistics.sum_pairs, *others)]
    return functools.reduce(jnp.logical_and, finite) & jnp.any(statistics.counts > 0)


def _nan_unless(usable: jax.Array, tree):
    def mark(x):
        return jnp.where(usable, x, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(mark, tree)


def _with_errors(value: Interplay, error, probes, route: str) -> PopulationInterplay:
    """Errors of the fields that follow from that of the joint entropy."""
    zero = jnp.zeros_like(error)
    denominator = jnp.minimum(value.entropy_z, value.entropy_v)
    of_mir = jnp.where(value.mir == 0, 0, error / jnp.where(value.mir == 0, 1, denominator))
    errors = Interplay(zero, zero, error, error, of_mir, zero)
    return PopulationInterplay(*value, errors, probes, route)
