"""MIR, HDR and entropies of features held in memory, by the cheapest route that fits."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, _samples, information, moments, spectrum
from infojax._meshes import replicated
from infojax.matrices import combine
from infojax.population import estimates
from infojax.population.measures import interplay
from infojax.population.quadrature import Operator, exactly
from infojax.population.result import PopulationInterplay, Route, with_errors
from infojax.population.samples import sample_operator
from infojax.population.statistics import Statistics, is_known, nan_unless

_COPIES = 6  # arrays of a matrix's size that its entropy needs at once
_ROWS = 4096  # samples per block; more are not faster


@replicated
def interplay_of_features(
    z: ArrayLike,
    y: ArrayLike,
    w: ArrayLike,
    alpha: float = 1.0,
    *,
    mask: ArrayLike | None = None,
    rtol: float = 1e-3,
    key: jax.Array | None = None,
    max_probes: int = 512,
    memory: int = 2**31,
) -> PopulationInterplay:
    """Interplay of features held in memory, by the cheapest route that fits.

    Dense eigenvalues of size `min(n, d r)`, `r = min(C, d)`, up to 5,000 (or if rtol is 0);
    above, `interplay` of the statistics of the features; and if these are too large for the memory
    (about `24 C d²` bytes in float32), an estimate from products of the n x n matrix with vectors,
    `(K v)_i = ẑ_i · M ŵ_{y_i}`, `M = Σ_j v_j ẑ_j ŵ_{y_j}ᵀ`, without forming the matrix; each takes
    `4 min(n, C) d²` operations. Outside jit, C counts the classes that occur.

    Args:
      z: features, floating [n, d] or [..., d].
      y: labels, integer [n] or [...], in [0, C); a label outside this range makes every number NaN.
      w: head, one row per class, floating [C, d].
      alpha: as in `interplay`.
      mask: bool [n] or [...]; samples with False are ignored, whatever z and y hold there.
      rtol: as in `interplay`.
      key: as in `interplay`.
      max_probes: largest number of probes, rounded up to a multiple of 64, or of 8 for products
        with the n x n matrix.
      memory: bytes that temporary arrays may take, beside copies of z and w.

    Returns:
      A `PopulationInterplay`, see `interplay`.

    Raises:
      ValueError: as in `infojax.sample_interplay` and `interplay`; the memory suffices for no
        route.

    >>> import jax.numpy as jnp
    >>> from infojax import collapse, population
    >>> etf = collapse.simplex_etf(4, 8)
    >>> result = population.interplay_of_features(etf, jnp.arange(4), etf)
    >>> round(float(result.mir), 3), result.route
    (0.754, 'gram')
    """
    alpha, rtol, max_probes = estimates.settings(alpha, rtol, max_probes)
    memory = _checks.integer("memory", memory)
    z, y, w, valid = _samples.labelled(z, y, w, mask)
    valid &= jnp.all(jnp.isfinite(z)) & jnp.all(jnp.isfinite(w)) & jnp.any(y < w.shape[0])
    y, w = _occurring(y, w)
    (n, d), c, itemsize = z.shape, w.shape[0], z.dtype.itemsize
    size = min(n, d * min(c, d))
    needed = _COPIES * itemsize * size**2
    if (size <= estimates.DENSE or (rtol == 0 and size <= estimates.LAPACK)) and needed <= memory:
        exact = information.sample_interplay(z, y, w, alpha, mask=y < c)
        route: Route = "gram" if n <= d * min(c, d) else "moments"
        result = with_errors(exact, exactly(exact.joint_entropy), route)
    elif itemsize * _size_of_moments(c, d, alpha, rtol) <= memory:
        statistics = Statistics.zeros(c, d, z.dtype).update(z, y, y < c)
        result = interplay(statistics, w, alpha, rtol=rtol, key=key, max_probes=max_probes)
    elif rtol == 0:
        raise ValueError(_too_large(size, needed))
    else:
        operator = _operator(*_plan(n, c, d, rtol, itemsize, memory))
        result = _by_products(operator, (z, y, w), alpha, rtol, key, max_probes)
    return nan_unless(valid, result)


def _occurring(y: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Labels and head of the classes that occur, where they are known; C for samples to ignore."""
    c = w.shape[0]
    y = jnp.where((y >= 0) & (y < c), y, c)
    if not is_known(y):
        return y, w
    classes = np.unique(np.asarray(y))
    classes = classes[classes < c]
    if len(classes) in (0, c):
        return y, w
    place = np.full(c + 1, len(classes), np.int32)
    place[classes] = np.arange(len(classes))
    return jnp.asarray(place)[y], w[classes]


def _size_of_moments(c: int, d: int, alpha: float, rtol: float) -> float:
    """Elements of the temporary arrays of `interplay`; infinite where it would refuse."""
    size = d * min(c, d)
    if alpha == 2:
        return _COPIES * c * d * d
    if rtol == 0 and size > estimates.LAPACK:
        return math.inf
    if rtol == 0 or size <= estimates.DENSE:
        return _COPIES * (c * d * d + size**2)
    return _COPIES * (c * d * d + 64 * size) + 3 * min(512 * size, 2**25)


def _too_large(size: int, needed: int) -> str:
    if size > estimates.LAPACK:
        return f"dense eigenvalues are limited to 32,766 rows, but {size} are needed; set rtol > 0"
    return (
        f"dense eigenvalues of {size} rows take {needed} bytes; set memory={needed} or more, "
        "or rtol > 0 for an estimate"
    )


def _plan(n: int, c: int, d: int, rtol: float, itemsize: int, memory: int) -> tuple[int, int]:
    """Samples per block of products with vectors, and the dimension of the Krylov space.

    Both are as large as useful and as memory allows: a loose tolerance is not worth many products.
    """
    rows, leading = min(n, 256), 16
    row, vector = 3 * itemsize * d, 3 * itemsize * n
    least = itemsize * (48 * n + 4 * d * d + (2 * c * d if n > c else 0))
    least += rows * row + leading * vector
    if least > memory:
        raise ValueError(
            f"the interplay of {n} samples of {d} features in {c} classes does not fit "
            f"{memory} bytes; set memory={least} or more"
        )
    rest, work = (memory - least) // 2, 4e11 if rtol >= 3e-3 else 3e12
    useful = min(512, 2**25 // n, int(work) // (min(n, c) * d * d))
    return min(n, _ROWS, rows + rest // row), max(leading, min(useful, leading + rest // vector))


@functools.cache  # a new function would be compiled anew
def _operator(rows: int, leading: int) -> Callable[..., Operator]:
    return functools.partial(sample_operator, rows=rows, leading=leading)


def _by_products(
    operator: Callable[..., Operator],
    samples: tuple[jax.Array, jax.Array, jax.Array],
    alpha: float,
    rtol: float,
    key: jax.Array | None,
    max_probes: int,
) -> PopulationInterplay:
    """Estimate from products with the n x n matrix, each of which takes long."""
    z, y, w = samples
    z_hat, w_hat = moments.unit_rows(z), moments.unit_rows(w)
    entropy_z = spectrum.entropy(moments.smaller_product(z_hat), alpha)
    counts = jnp.bincount(y, length=w.shape[0] + 1)[:-1]
    entropy_v = estimates.head_entropy(counts, w_hat, alpha)
    key = jax.random.key(0) if key is None else key
    z_hat, w_hat = estimates.without_derivative((z_hat, w_hat))
    entropy_j = estimates.entropy(
        operator, (z_hat, y, w_hat), entropy_z + entropy_v, key, rtol, alpha, max_probes
    )
    return with_errors(combine(entropy_z, entropy_v, entropy_j.value), entropy_j, "lanczos")
