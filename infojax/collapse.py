"""Neural collapse: the simplex ETF, MIR at collapse, and the measures NC1 to NC4."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, moments
from infojax._meshes import replicated
from infojax._products import matmul
from infojax.population.scales import exponent_of, power_of_two, scale_of
from infojax.population.statistics import Statistics, head, is_usable, nan_unless


def simplex_etf(c: int, d: int | None = None) -> jax.Array:
    """Simplex equiangular tight frame: c unit rows with pairwise inner product -1 / (c - 1).

    Deterministic: the rows come from the Helmert matrix.

    Args:
      c: number of classes, at least 2.
      d: dimension of the rows, at least c - 1 (the default).

    Returns:
      Rows [c, d] of the default float dtype.

    Raises:
      ValueError: c < 2, d < c - 1, or either is not an integer.

    References:
      Papyan, Han & Donoho 2020.

    >>> simplex_etf(2, 3).tolist()
    [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    """
    c = _checks.integer("c", c)
    d = c - 1 if d is None else _checks.integer("d", d)
    if c < 2 or d < c - 1:
        raise ValueError(f"a simplex ETF needs c >= 2 and d >= c - 1, got c = {c}, d = {d}")
    k = np.arange(1, c)
    helmert = np.where(np.arange(c)[:, None] < k, 1.0, 0.0)
    helmert[k, k - 1] = -k
    rows = np.zeros((c, d))
    rows[:, : c - 1] = helmert / np.sqrt(k * (k + 1)) * math.sqrt(c / (c - 1))
    return jnp.asarray(rows, dtype=jnp.result_type(float))


def mir_at_collapse(c: int) -> float:
    """MIR of features and head at neural collapse with balanced classes.

    `1/(C-1) + (C-2) log(C-2) / ((C-1) log(C-1))`, for samples and for classes; HDR is 0 there. The
    Gram matrix of the frame has C - 1 equal nonzero eigenvalues, so its entropy is log(C-1).

    Args:
      c: number of classes C, at least 2.

    Returns:
      Ratio in [0, 1]; 0 at C = 2, where the entropies are zero (see `infojax.mir`).

    Raises:
      ValueError: c < 2, or c is not an integer.

    References:
      Song et al. 2024, theorem 4.2 and corollary 4.3.

    >>> round(mir_at_collapse(10), 4), round(mir_at_collapse(100), 4)
    (0.9524, 0.9978)
    """
    c = _checks.integer("c", c)
    if c < 2:
        raise ValueError(f"neural collapse needs at least 2 classes, got c = {c}")
    if c == 2:
        return 0.0
    joint = (c - 2) * math.log(c - 2) / ((c - 1) * math.log(c - 1))
    return 1 / (c - 1) + joint


class NeuralCollapse(NamedTuple):
    """Deviation of features and head from neural collapse; all fields are float [], 0 at collapse.

    Notation: class means μ_c and global mean μ, covariances Σ_W within and Σ_B between classes,
    head rows w_c, and matrices M and W with rows μ_c - μ and w_c.

    Attributes:
      nc1: variability within classes, `tr(Σ_W Σ_B⁺) / C`.
      nc1_quotient: variability within classes without an inverse, `tr Σ_W / tr Σ_B`.
      nc2_norms_means: standard deviation of |μ_c - μ| over c, divided by the mean.
      nc2_norms_head: standard deviation of |w_c| over c, divided by the mean.
      nc2_angles_means: mean over pairs of |cos(μ_c - μ, μ_c' - μ) + 1/(C - 1)|.
      nc2_angles_head: mean over pairs of |cos(w_c, w_c') + 1/(C - 1)|.
      nc3: self-duality, `‖W/‖W‖ - M/‖M‖‖²` in Frobenius norms, in [0, 4].
      nc4: share of classes whose mean the head assigns to another class, the part of NC4 that the
        statistics determine. `nearest_class_mean_agreement` measures it on samples.
    """

    nc1: jax.Array
    nc1_quotient: jax.Array
    nc2_norms_means: jax.Array
    nc2_norms_head: jax.Array
    nc2_angles_means: jax.Array
    nc2_angles_head: jax.Array
    nc3: jax.Array
    nc4: jax.Array


@replicated
def neural_collapse(
    statistics: Statistics, w: ArrayLike, b: ArrayLike | None = None
) -> NeuralCollapse:
    """Measures NC1 to NC4 of a data set.

    Args:
      statistics: of the data set, with C classes and d features.
      w: head, one row per class, floating [C, d].
      b: biases of the head, floating [C], or None.

    Returns:
      A `NeuralCollapse`. Classes without samples are omitted, and C counts the remaining ones.
      Class means that are equal up to rounding, or a single one, are zero after centring.
      Quotients with a zero denominator are 0 if the numerator is 0 too, else inf. Every field is
      NaN if a feature or w contains NaN or inf, if a label was out of range under jit, or if there
      are no samples; nc4 also if b contains NaN.

    Raises:
      ValueError: w or b does not match the statistics in shape or dtype.

    References:
      Papyan, Han & Donoho 2020, figures 2 to 6; Zhu et al. 2021, section 4 (NC1's `/ C`).

    >>> from infojax.population import Statistics
    >>> etf = simplex_etf(4, 8)
    >>> measured = neural_collapse(Statistics.zeros(4, 8).update(3 * etf, jnp.arange(4)), etf)
    >>> [round(float(x), 5) for x in measured]
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    """
    w = head(statistics, w)
    present = statistics.counts > 0
    number = jnp.maximum(jnp.sum(present), 1).astype(w.dtype)
    total = jnp.maximum(jnp.sum(statistics.counts), 1).astype(w.dtype)
    centred = statistics.scaled_centred_means
    means = centred / scale_of(centred)
    rows = jnp.where(present[:, None], statistics.rows_of(w), 0)
    rows = rows / scale_of(rows)
    within = statistics.scaled_scatter / total
    result = NeuralCollapse(
        nc1=_variability(within, centred, number),
        nc1_quotient=_quotient(jnp.trace(within), jnp.sum(centred**2) / number),
        nc2_norms_means=_variation_of_norms(means, present),
        nc2_norms_head=_variation_of_norms(rows, present),
        nc2_angles_means=_deviation_of_angles(means, present),
        nc2_angles_head=_deviation_of_angles(rows, present),
        nc3=jnp.sum((_unit_matrix(rows) - _unit_matrix(means)) ** 2),
        nc4=_misplaced_means(statistics, w, b),
    )
    return nan_unless(is_usable(statistics, w), result)


@replicated
def nearest_class_mean_agreement(
    z: ArrayLike, statistics: Statistics, w: ArrayLike, b: ArrayLike | None = None
) -> jax.Array:
    """NC4: share of samples that the head assigns to the class with the nearest mean.

    This needs the samples themselves, not only their statistics; for a whole data set, average
    over batches of equal size.

    Args:
      z: features, floating [n, d].
      statistics: of the data set that provides the class means, usually the training set.
      w: head, one row per class, floating [C, d].
      b: biases of the head, floating [C], or None.

    Returns:
      Share [] in [0, 1]. Classes without samples are never nearest. NaN if z, w, b or a sample of
      the statistics contains NaN or inf, or if the statistics are empty.

    Raises:
      ValueError: the shapes or dtypes do not match.

    References:
      Papyan, Han & Donoho 2020, figure 7 (which shows the disagreement).

    >>> from infojax.population import Statistics
    >>> etf = simplex_etf(4, 8)
    >>> statistics = Statistics.zeros(4, 8).update(3 * etf, jnp.arange(4))
    >>> float(nearest_class_mean_agreement(etf, statistics, etf))
    1.0
    """
    z, w = _checks.real_array("z", z, ndim=2), head(statistics, w)
    _checks.same_columns("z", z, "w", w)
    _checks.same_dtype("z", z, "w", w)
    scale = jnp.maximum(scale_of(z), statistics.scale)
    logits = _logits(z / scale, scale, w, b)
    # |z - μ_c|² - |z - μ|²; without centring, a large mean μ would cause cancellation
    centre, ratio = statistics.centre, statistics.scale / scale
    means = ratio * statistics.means_about(centre)
    distances = jnp.sum(means**2, 1)[None] - 2 * matmul(z / scale - ratio * centre[None], means.T)
    distances = jnp.where((statistics.counts > 0)[None], distances, np.finfo(z.dtype).max)
    nearest = statistics.classes[jnp.argmin(distances, 1)]
    agree = jnp.argmax(logits, 1).astype(nearest.dtype) == nearest
    share: jax.Array = jnp.mean(agree.astype(z.dtype))
    return nan_unless(is_usable(statistics, logits), share)


def _logits(z: jax.Array, scale: jax.Array, w: jax.Array, b: ArrayLike | None) -> jax.Array:
    """Logits of features `scale * z`, up to a positive factor that keeps them in range."""
    of_w = scale_of(w)
    logits = matmul(z, (w / of_w).T)
    if b is None:
        return logits
    b = _checks.real_array("b", b, ndim=1)
    if b.shape != w.shape[:1]:
        raise ValueError(f"b must have shape {w.shape[:1]}, one number per class, got {b.shape}")
    _checks.same_dtype("b", b, "w", w)
    of_b = scale_of(b)
    exponent = exponent_of(scale) + exponent_of(of_w)
    exponent_b = jnp.where(jnp.any(b != 0), exponent_of(of_b), exponent)
    largest = jnp.maximum(exponent, exponent_b)
    bias = (b / of_b) * power_of_two(exponent_b - largest, w.dtype)
    return logits * power_of_two(exponent - largest, w.dtype) + bias[None]


def _misplaced_means(statistics: Statistics, w: jax.Array, b: ArrayLike | None) -> jax.Array:
    means = statistics.means_about(jnp.zeros_like(statistics.references[0]))
    logits = _logits(means, statistics.scale, w, b)
    wrong = jnp.argmax(logits, 1).astype(jnp.int32) != statistics.classes
    present = statistics.counts > 0
    share = jnp.sum(wrong & present) / jnp.maximum(jnp.sum(present), 1)
    return nan_unless(jnp.all(jnp.isfinite(logits)), share.astype(w.dtype))


def _variability(within: jax.Array, means: jax.Array, number: jax.Array) -> jax.Array:
    """Returns `tr(Σ_W Σ_B⁺) / C` from the SVD of M; forming Σ_B would lose half the digits.

    The means are centred, so the rank of M is at most C - 1; further singular values are rounding.
    """
    _, s, v = jnp.linalg.svd(means, full_matrices=False)
    kept = jnp.arange(len(s), dtype=s.dtype) < number - 1
    kept &= s > max(means.shape) * np.finfo(s.dtype).eps * s[0]
    along = jnp.sum(matmul(v, within) * v, 1)
    value = jnp.sum(jnp.where(kept, along / jnp.where(kept, s**2, 1), 0))
    return jnp.where(s[0] == 0, _quotient(jnp.trace(within), s[0]), value)


def _quotient(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    zero = numerator == 0
    return jnp.where(zero, 0, numerator / jnp.where(zero, 1, denominator))


def _variation_of_norms(rows: jax.Array, present: jax.Array) -> jax.Array:
    norms = jnp.linalg.norm(rows, axis=1)
    number = jnp.maximum(jnp.sum(present), 1).astype(rows.dtype)
    mean = jnp.sum(norms) / number
    variance = jnp.sum(jnp.where(present, (norms - mean) ** 2, 0)) / number
    return _quotient(jnp.sqrt(variance), mean)


def _deviation_of_angles(rows: jax.Array, present: jax.Array) -> jax.Array:
    cosines = moments.gram(rows)
    number = jnp.sum(present).astype(rows.dtype)
    pair = present[:, None] & present[None] & ~jnp.eye(len(rows), dtype=bool)
    expected = -1 / jnp.maximum(number - 1, 1)
    deviations = jnp.sum(jnp.where(pair, jnp.abs(cosines - expected), 0))
    return deviations / jnp.maximum(number * (number - 1), 1)


def _unit_matrix(x: jax.Array) -> jax.Array:
    norm = jnp.linalg.norm(x)
    return x / jnp.where(norm == 0, 1, norm)
