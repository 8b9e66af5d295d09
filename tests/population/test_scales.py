"""Numbers that do not depend on the scale of features and head, nor on a large common mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import collapse, population
from infojax.population import Statistics, scales
from tests import reference
from tests.population.populations import problem
from tests.test_neural_collapse import defined


def away_from_zero(x):
    """Entries of at least a tenth, which stay normal numbers when scaled by 1e-36."""
    return np.where(np.abs(x) < 0.1, 0.1, x)


@jax.jit
def every_number(z, y, w, b):
    s = Statistics.zeros(*w.shape)
    for part in (slice(0, 130), slice(130, None)):
        s = s.update(z[part], y[part])
    return (
        *population.class_interplay(s, w),
        *collapse.neural_collapse(s, w, b),
        collapse.nearest_class_mean_agreement(z, s, w, b),
        population.class_mean_entropy(s),
        population.effective_rank(s),
        *population.within_class_entropies(s),
        population.interplay(s, w).mir,
        population.interplay_of_features(z, y, w).mir,
    )


def scaled(x, k):
    x = (x.astype(np.float64) * 10.0**k).astype(np.float32)
    assert np.all((np.abs(x) >= np.finfo(x.dtype).tiny) | (x == 0)) and np.all(np.isfinite(x))
    return x


@pytest.mark.parametrize("k", [-36, -30, -20, -19, 18, 19, 20, 30, 37])
def test_features_and_head_of_any_scale(k):
    z, y, w = problem(300)
    z, w, b = away_from_zero(z), away_from_zero(w), np.zeros(5, np.float32)
    expected = np.array(every_number(z, y, w, b))
    for k_head in (0, k, min(-k, 36)):
        got = np.array(every_number(scaled(z, k), y, scaled(w, max(k_head, -36)), b))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("k", "k_head"), [(-18, -18), (-30, 0), (20, 16), (30, -30)])
def test_biases_on_the_scale_of_the_logits(k, k_head):
    z, y, w = problem(300)
    z, w, b = away_from_zero(z), away_from_zero(w), np.linspace(-1.7, 2, 5, dtype=np.float32)
    expected = np.array(every_number(z, y, w, b))
    got = np.array(every_number(scaled(z, k), y, scaled(w, k_head), scaled(b, k + k_head)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-6)


def test_biases_decide_where_features_are_tiny():
    z, y, w = problem(300)
    b = jnp.array([0.0, 0, 1, 0, 0])
    s = Statistics.zeros(5, 7).update(jnp.asarray(z) * 1e-30, jnp.asarray(y))
    found = collapse.neural_collapse(s, w * np.float32(1e-20), b)
    np.testing.assert_allclose(found.nc4, 0.8, rtol=1e-6)


def test_scales_of_batches_and_shards_may_differ():
    """Numbers of a batch of 1e-25 and one of 1e10: only the second is left, and none is wrong."""
    z, y, w = problem(400)
    small, large = (jnp.asarray(z[i::2]) * s for i, s in ((0, 1e-25), (1, 1e10)))
    zeros = Statistics.zeros(5, 7)
    merged = zeros.update(small, y[::2]).merge(zeros.update(large, y[1::2]))
    z = np.zeros((400, 7), np.float32)
    z[::2], z[1::2] = small, large
    for s in (merged, zeros.update(z, y), zeros.update(large, y[1::2]).update(small, y[::2])):
        expected = defined(z.astype(np.float64), y, w.astype(np.float64), np.zeros(5))
        np.testing.assert_allclose(collapse.neural_collapse(s, w)[:-1], expected[:-1], rtol=1e-4)


@pytest.mark.parametrize("x", [0.0, 1e-45, 1e-38, 0.75, 1.0, 3.9, 3e38, np.inf, np.nan])
def test_scale_is_a_power_of_two_whose_square_is_not_needed(x):
    scale = float(scales.scale_of(jnp.array([x / 2, x], jnp.float32)))
    mantissa, exponent = np.frexp(scale)
    assert mantissa == 0.5 and -120 <= exponent - 1 <= 120
    if 1e-36 < x < 1e36:
        assert scale <= x < 2 * scale


def streamed(z, y, c, size=130):
    s = Statistics.zeros(c, z.shape[1])
    for start in range(0, len(z), size):
        s = s.update(z[start : start + size], y[start : start + size])
    return s


def merged(z, y, c, size=130):
    empty, total = Statistics.zeros(c, z.shape[1]), Statistics.zeros(c, z.shape[1])
    for start in range(0, len(z), size):
        total = total.merge(empty.update(z[start : start + size], y[start : start + size]))
    return total


@pytest.mark.parametrize("collect", [streamed, merged])
@pytest.mark.parametrize(("ratio", "separation"), [(1e6, 1.0), (1e6, 0.1), (1e5, 1e3), (0, 1e6)])
def test_large_means_keep_class_level_numbers(collect, ratio, separation):
    """Standard deviation 1 within classes; large common means, or large distances of classes."""
    rng = np.random.default_rng(0)
    n, d, c = 1040, 8, 5
    y, means = rng.integers(0, c, n), separation * rng.normal(size=(c, d))
    z = (ratio * rng.normal(size=d) + means[y] + rng.normal(size=(n, d))).astype(np.float32)
    w, exact = rng.normal(size=(c, d)).astype(np.float32), z.astype(np.float64)
    s = collect(z, y, c)
    expected = reference.class_interplay(exact, y, w)
    np.testing.assert_allclose(population.class_interplay(s, w), expected, rtol=1e-3)
    expected = defined(exact, y, w.astype(np.float64), np.zeros(c))
    np.testing.assert_allclose(collapse.neural_collapse(s, w), expected, rtol=1e-3, atol=1e-6)
    centred = np.stack([exact[y == k].mean(0) for k in range(c)]) - exact.mean(0)
    np.testing.assert_allclose(s.centred_means, centred, atol=1e-5 * np.max(np.abs(centred)))


def test_an_unrepresentative_first_sample_is_no_worse_than_its_size():
    z, y, w = problem(400, offset=100.0)
    first = np.zeros((1, 7), np.float32)
    s = Statistics.zeros(5, 7).update(first, np.array([0])).update(z, y)
    exact, labels = np.concatenate([first, z]).astype(np.float64), np.append(0, y)
    expected = defined(exact, labels, w.astype(np.float64), np.zeros(5))
    np.testing.assert_allclose(collapse.neural_collapse(s, w)[:-1], expected[:-1], rtol=1e-4)
