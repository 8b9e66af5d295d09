"""Part 5: MIR and HDR of populations whose features are on the device."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import problems, reference
from benchmarks.accelerator.context import Context, Measurement
from benchmarks.accelerator.timing import median_seconds, timed
from infojax import population

_RTOL = 1e-3
_LANGUAGE_RTOL = 1e-2
_FULL = (1_000_000, 512, 100, 10_000)  # N, d, C, batch
_SMALL = (400, 72, 72, 100)
_LANGUAGE = {"n = 4,096": (4096, 768, 50_257), "N = 100,000": (100_000, 768, 50_257)}
_SMALL_LANGUAGE = {"n = 4,096": (64, 16, 200)}


def measurements(context: Context) -> Iterator[Measurement]:
    """A large population, checked against float64; then a language model's sizes."""
    shape = _SMALL if context.small else _FULL
    yield Measurement("N, d, C = {:,}, {}, {}".format(*shape), lambda: _large(*shape), 30.0)
    for name, size in (_SMALL_LANGUAGE if context.small else _LANGUAGE).items():
        for labels in ("zipf",) if context.small else ("uniform", "zipf"):
            run = functools.partial(_language, *size, labels)
            yield Measurement(f"language model, {name}, {labels} labels", run, 30.0)


def _large(n: int, d: int, classes: int, batch: int) -> dict[str, Any]:
    """Statistics in one pass, one product for comparison, and the interplay."""
    z, y, w = _population(n, d, classes)
    zeros = population.Statistics.zeros(classes, d)

    def collected(z, y):
        pieces = z.reshape(-1, batch, d), y.reshape(-1, batch)
        return jax.lax.scan(lambda s, piece: (s.update(*piece), None), zeros, pieces)[0]

    collect = jax.jit(collected)
    product = jax.jit(lambda z: jnp.matmul(z.T, z, precision="highest"))
    measure = jax.jit(functools.partial(population.interplay, rtol=_RTOL))
    statistics = collect(z, y)
    compiling, found = timed(lambda: jax.block_until_ready(measure(statistics, w)))
    exact = reference.interplay_by_class(problems.Problem(*map(np.asarray, (z, y, w))))
    wait = jax.block_until_ready
    return {
        "statistics_seconds": median_seconds(lambda: collect(z, y), wait),
        "product_seconds": median_seconds(lambda: product(z), wait),
        "interplay_seconds": median_seconds(lambda: measure(statistics, w), wait),
        "first_interplay_seconds": compiling,
        "route": found.route,
        "mir": float(found.mir),
        "error_mir": abs(float(found.mir) - exact.mir) / exact.mir,
        "standard_error": float(found.standard_error.mir) / exact.mir,
    }


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _population(n: int, d: int, classes: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Features of a power-law spectrum around class means, and orthonormal head rows."""
    keys = jax.random.split(jax.random.key(0), 4)
    scale = (1 + jnp.arange(d, dtype=jnp.float32)) ** -0.5
    means = jax.random.normal(keys[0], (classes, d)) * scale[None]
    y = jax.random.randint(keys[1], (n,), 0, classes)
    z = jax.random.normal(keys[2], (n, d)) * scale[None] + means[y]
    return z, y, jnp.linalg.qr(jax.random.normal(keys[3], (d, classes)))[0].T


def _language(n: int, d: int, classes: int, labels: str) -> dict[str, Any]:
    """Features against the head of a language model, labels uniform or by Zipf's law."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((classes, d), dtype=np.float32)
    share = 1 / np.arange(1, classes + 1) if labels == "zipf" else np.ones(classes)
    y = rng.choice(classes, n, p=share / share.sum()).astype(np.int32)
    z = w[y] + rng.standard_normal((n, d), dtype=np.float32)

    held: Any = jax.device_put((z, y, w))

    def run():
        return population.interplay_of_features(held[0], held[1], held[2], rtol=_LANGUAGE_RTOL)

    first, found = timed(lambda: jax.block_until_ready(run()))
    again, found = timed(lambda: jax.block_until_ready(run()))
    return {
        "first_seconds": first,
        "seconds": again,
        "route": found.route,
        "mir": float(found.mir),
        "standard_error": float(found.standard_error.mir) / float(found.mir),
    }
