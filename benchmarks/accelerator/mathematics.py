"""Part 1: values and gradients of every route against float64, at collapse too."""

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import infojax
from benchmarks import contenders, problems, reference
from benchmarks.accelerator import determinism
from benchmarks.accelerator.context import Context, Measurement
from infojax import collapse, population
from infojax._products import matmul

_VALUES, _GRADIENTS = 1e-5, 1e-4  # relative errors allowed
_PRODUCT = 1e-5  # of a product of 4,096 terms an entry: float32 errs by 1e-6, TF32 by 3e-4
_STANDARD_ERRORS = 5.0  # that an estimate may be off
# By route, as n, d, C: the n x n matrix, the moments, and the head rows of the labels alone.
_FULL = {
    "n x n": (256, 128, 10),
    "moments": (4096, 128, 10),
    "more classes than samples": (64, 128, 100),
    "n x n, n = 1,024": (1024, 512, 100),
}
_SMALL = {
    "n x n": (32, 16, 5),
    "moments": (128, 8, 4),
}


def measurements(context: Context) -> Iterator[Measurement]:
    """Values and gradients by route, at collapse, of whole populations; then determinism."""
    for route, shape in (_SMALL if context.small else _FULL).items():
        yield Measurement(f"MIR and HDR, {route}", functools.partial(_by_route, *shape))
    size = (8, 4, 16) if context.small else (10, 10, 128)
    yield Measurement("gradient at collapse", functools.partial(_at_collapse, *size))
    yield Measurement("gradient of repeated samples", functools.partial(_repeated, *size))
    n, d = (24, 8) if context.small else (512, 128)
    for alpha in (0.5, 2.0, math.inf):
        yield Measurement(f"entropy of order {alpha}", functools.partial(_of_order, n, d, alpha))
    yield Measurement("two representations, class level", functools.partial(_others, n, d))
    shape = (300, 8, 4) if context.small else (50_000, 128, 10)
    run = functools.partial(_population, *shape, "means")
    yield Measurement("population, exact", run)
    if not context.small:  # part 5 estimates in its small form
        run = functools.partial(_population, 50_000, 512, 100, "orthonormal")
        yield Measurement("population, estimated", run)
    yield Measurement("products", functools.partial(_products, 64 if context.small else 4096))
    yield from determinism.measurements(context)


def _by_route(n: int, d: int, classes: int) -> dict[str, Any]:
    problem = problems.problem(n, d, classes)
    return _against_reference(problem)


def _repeated(classes: int, copies: int, d: int) -> dict[str, Any]:
    """Every sample several times: eigenvalues repeat, and most are zero."""
    distinct = problems.problem(2 * classes, d, classes)
    rows = np.repeat(np.arange(2 * classes), copies)
    return _against_reference(distinct._replace(z=distinct.z[rows], y=distinct.y[rows]))


def _against_reference(problem: problems.Problem) -> dict[str, Any]:
    found = [np.asarray(x, np.float64) for x in contenders.CONTENDERS["infojax"](problem, True)()]
    exact = reference.interplay(problem, gradient=True)
    assert exact is not None
    expected = [np.asarray(exact.gradient_z), np.asarray(exact.gradient_w)]
    errors = {
        "error_mir": abs(found[0] - exact.mir) / exact.mir,
        "error_hdr": abs(found[1] - exact.hdr) / exact.hdr,
    }
    wrong = math.hypot(*(_distance(x, y) for x, y in zip(found[2:], expected, strict=True)))
    gradient = wrong / math.hypot(*(_norm(x) for x in expected))
    holds = bool(max(errors.values()) <= _VALUES and gradient <= _GRADIENTS)
    return _fields(holds, mir=found[0], hdr=found[1], **errors, error_gradient=gradient)


def _at_collapse(classes: int, copies: int, d: int) -> dict[str, Any]:
    """At exact collapse MIR is known, and the gradient of the mutual information is zero."""
    etf = collapse.simplex_etf(classes, d)
    y = jnp.arange(classes * copies, dtype=jnp.int32) % classes

    @jax.jit
    def run(z, w):
        gradient = jax.grad(lambda z, w: infojax.sample_interplay(z, y, w).mutual_information)
        return infojax.sample_interplay(z, y, w), gradient(z, w)

    found, gradient = run(3 * etf[y], etf)
    expected = collapse.mir_at_collapse(classes)
    error, size = abs(float(found.mir) - expected) / expected, float(jnp.max(jnp.abs(gradient)))
    holds = error <= _VALUES and size <= _GRADIENTS and float(found.hdr) <= _VALUES
    return _fields(holds, mir=found.mir, hdr=found.hdr, error_mir=error, largest_gradient=size)


def _of_order(n: int, d: int, alpha: float) -> dict[str, Any]:
    z = problems.problem(n, d, 4).z
    value = float(jax.jit(lambda z: infojax.feature_entropy(z, alpha))(z))
    expected = _entropy(_gram(z), alpha)
    error = abs(value - expected) / expected
    return _fields(error <= _VALUES, value=value, error=error)


def _others(n: int, d: int) -> dict[str, Any]:
    """`interplay` by both routes, `class_interplay`, and the functions of Gram matrices."""
    rng = np.random.default_rng(0)
    z, y, w = problems.problem(n, d, 4)
    v = z[:, :3] + 0.1 * rng.normal(size=(n, 3)).astype(np.float32)  # no MIR near 0 to divide by
    few = z[:, :4]
    means = np.stack([z[y == c].mean(0, np.float64) for c in range(4)]) - z.mean(0, np.float64)
    grams = infojax.gram(z), infojax.gram(v)
    errors = {
        "error_samples": _error(jax.jit(infojax.interplay)(z, v).mir, _mir(z, v)),
        "error_moments": _error(jax.jit(infojax.interplay)(few, v).mir, _mir(few, v)),
        "error_class": _error(jax.jit(infojax.class_interplay)(z, y, w).mir, _mir(means, w)),
        "error_matrices": _error(jax.jit(infojax.mir)(*grams), _mir(z, v)),
    }
    return _fields(max(errors.values()) <= _VALUES, **errors)


def _population(n: int, d: int, classes: int, head: str) -> dict[str, Any]:
    """Statistics of batches and their interplay, exact or estimated."""
    problem = problems.problem(n, d, classes, head)
    z, y, w = (jnp.asarray(x) for x in problem)
    update = jax.jit(lambda statistics, z, y: statistics.update(z, y))
    statistics = population.Statistics.zeros(classes, d)
    for part in np.array_split(np.arange(n), 4):
        statistics = update(statistics, z[part], y[part])
    found = population.interplay(statistics, w, rtol=1e-3)
    split = head == "orthonormal"
    exact = reference.interplay_by_class(problem) if split else reference.interplay(problem, False)
    assert exact is not None
    error = abs(float(found.mir) - exact.mir) / exact.mir
    spread = float(found.standard_error.mir) / exact.mir
    holds = error <= _VALUES + _STANDARD_ERRORS * spread
    fields = {"mir": found.mir, "error_mir": error, "standard_error": spread}
    return {"route": found.route, **_fields(holds, **fields)}


def _products(n: int) -> dict[str, Any]:
    """Whether TF32 is off in infojax's products, and what jax's default would do."""
    x = np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)
    exact = x.astype(np.float64) @ x.T.astype(np.float64)
    errors = {
        "error": _distance(np.asarray(jax.jit(matmul)(x, x.T)), exact) / _norm(exact),
        "error_default": _distance(np.asarray(jax.jit(jnp.matmul)(x, x.T)), exact) / _norm(exact),
    }
    return _fields(errors["error"] <= _PRODUCT, **errors)


def _fields(holds: bool, **values: Any) -> dict[str, Any]:
    return {"holds": bool(holds), **{name: float(x) for name, x in values.items()}}


def _error(value: Any, expected: float) -> float:
    return abs(float(value) - expected) / abs(expected)


def _distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.norm(x - y))


def _norm(x: np.ndarray) -> float:
    return float(np.linalg.norm(x))


def _gram(z: Any) -> np.ndarray:
    rows = np.asarray(z, np.float64)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def _entropy(k: np.ndarray, alpha: float = 1.0) -> float:
    p = np.linalg.eigvalsh(k / np.trace(k))
    p = p[p > 1e-13]
    if alpha == 1:
        return float(-np.sum(p * np.log(p)))
    if alpha == math.inf:
        return float(-np.log(p[-1]))
    return float(np.log(np.sum(p**alpha)) / (1 - alpha))


def _mir(z: Any, v: Any) -> float:
    k1, k2 = _gram(z), _gram(v)
    a, b = _entropy(k1), _entropy(k2)
    return (a + b - _entropy(k1 * k2)) / min(a, b)
