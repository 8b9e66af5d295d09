"""Small data sets, their statistics, and a float64 NumPy reference for these."""

import jax.numpy as jnp
import numpy as np

import infojax
from infojax.population import Statistics
from tests import reference

FIELDS = infojax.Interplay._fields


def problem(n=400, d=7, c=5, seed=0, offset=0.5):
    """Features, labels and head of unbalanced classes of unequal spread."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, c, n), rng.integers(0, c, n))
    means = rng.normal(size=(c, d))
    z = offset + means[y] + rng.normal(size=(n, d)) * (0.2 + y[:, None] / c)
    return z.astype(np.float32), y, (means + rng.normal(size=(c, d))).astype(np.float32)


def collected(z, y, c, dtype=jnp.float32):
    return Statistics.zeros(c, z.shape[1], dtype).update(jnp.asarray(z, dtype), jnp.asarray(y))


def defined_statistics(z, y, c):
    """Counts, moments, sums and scatter by definition."""
    z = np.asarray(z, np.float64)
    z_hat = reference.unit_rows(z)
    rows = [z[y == k] for k in range(c)]
    centred = [x - x.mean(0) for x in rows if len(x)]
    return (
        np.bincount(y, minlength=c),
        np.stack([z_hat[y == k].T @ z_hat[y == k] for k in range(c)]),
        np.stack([x.sum(0) for x in rows]),
        sum(x.T @ x for x in centred),
    )


def assert_statistics(got, expected, rtol=1e-6):
    np.testing.assert_array_equal(got.counts, expected[0])
    for x, want in zip((got.moments, got.sums, got.scatter), expected[1:], strict=True):
        np.testing.assert_allclose(x, want, atol=rtol * np.max(np.abs(want)))


def values(result):
    return [getattr(result, name) for name in FIELDS]
