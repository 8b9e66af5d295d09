"""Interplay of features in memory: masks, leading axes, memory, many classes, debugging flags."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import collapse, population
from infojax.population import Statistics, estimates, features, samples
from tests import reference
from tests.population.populations import problem, values


@pytest.fixture
def by_products(monkeypatch):
    """Sends small problems to products with the n x n matrix."""
    monkeypatch.setattr(estimates, "DENSE", 0)
    monkeypatch.setattr(features, "_COPIES", 2**40)


def masked(n=400, d=7, c=5):
    """A problem, and the same with rows to leave out that hold NaN and the label -100."""
    z, y, w = problem(n, d, c)
    mask = np.arange(n) % 3 > 0
    spoilt = np.where(mask[:, None], z, np.nan).astype(np.float32), np.where(mask, y, -100)
    return (z[mask], y[mask], w), (*spoilt, w), mask


@pytest.mark.parametrize(
    ("limit", "jit"),
    [
        pytest.param(5000, False, marks=pytest.mark.slow),
        (5000, True),
        (0, False),
        pytest.param(0, True, marks=pytest.mark.slow),
    ],
)
def test_mask_leaves_rows_out(limit, jit, monkeypatch):
    monkeypatch.setattr(estimates, "DENSE", limit)
    kept, spoilt, mask = masked()
    run = jax.jit(lambda *a, mask=None: population.interplay_of_features(*a, mask=mask))
    run = run if jit else population.interplay_of_features
    got, expected = run(*spoilt, mask=mask), run(*kept)
    np.testing.assert_allclose(values(got), values(expected), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(values(got)[:2], reference.sample_interplay(*kept)[:2], rtol=1e-5)


def test_mask_leaves_rows_out_of_products(by_products):
    kept, spoilt, mask = masked(600, 20, 12)
    got = population.interplay_of_features(*spoilt, mask=mask, rtol=1e-2)
    exact = reference.sample_interplay(*kept)
    assert got.route == "lanczos" and got.probes < 64
    np.testing.assert_allclose(got.entropy_z, exact[0], rtol=1e-5)
    np.testing.assert_allclose(got.mir, exact[4], atol=4 * got.standard_error.mir)


def test_leading_axes_are_flattened():
    z, y, w = problem(400)
    mask = np.arange(400) % 5 > 0
    shaped = z.reshape(20, 20, 7), y.reshape(20, 20), w
    got = population.interplay_of_features(*shaped, mask=mask.reshape(20, 20))
    # Equal to the last bit, because the same program runs on the same numbers.
    np.testing.assert_array_equal(
        values(got), values(population.interplay_of_features(z, y, w, mask=mask))
    )
    s = Statistics.zeros(5, 7)
    got = s.update(*shaped[:2], mask.reshape(20, 20))
    assert all(map(np.array_equal, jax.tree.leaves(got), jax.tree.leaves(s.update(z, y, mask))))
    with pytest.raises(ValueError, match=r"z\.reshape\(-1, z\.shape\[-1\]\)"):
        s.update(z.reshape(20, 20, 7), y)
    with pytest.raises(ValueError, match="mask must be bool"):
        population.interplay_of_features(*shaped, mask=mask)


def test_no_samples_give_nan():
    z, y, w = problem(20)
    assert np.isnan(population.interplay_of_features(z, y, w, mask=np.zeros(20, bool)).mir)


@pytest.mark.parametrize(("n", "c"), [(50, 200), (50, 20), (300, 40), (50, 7)])
@pytest.mark.parametrize("rows", [16, 50])
def test_products_with_the_joint_matrix(n, c, rows, x64):
    """More and fewer classes than samples and than dimensions, blocks that overlap."""
    d, rng = 6, np.random.default_rng(0)
    z_hat, w_hat = (reference.unit_rows(rng.normal(size=(k, d))) for k in (n, c))
    y = rng.integers(0, c + 1, n)  # c: to be left out
    z_hat[y == c] = 0
    operator = samples.sample_operator(
        jnp.asarray(z_hat), jnp.asarray(y), jnp.asarray(w_hat), rows=rows, leading=16
    )
    v = rng.normal(size=(3, n))
    rows_of = np.append(w_hat, np.zeros((1, d)), 0)[y]
    joint = (z_hat @ z_hat.T) * (rows_of @ rows_of.T)
    np.testing.assert_allclose(operator.apply(v), v @ joint / np.trace(joint), atol=1e-14)


@pytest.mark.parametrize("jit", [pytest.param(False, marks=pytest.mark.slow), True])
def test_more_classes_than_samples(jit, by_products):
    """Only classes that occur take part; nothing of the size of C² exists."""
    n, d, c = 700, 24, 30_000
    rng = np.random.default_rng(0)
    y = rng.integers(0, c, n) // 100 * 100
    w = rng.normal(size=(c, d)).astype(np.float32)
    z = (w[y] + rng.normal(size=(n, d))).astype(np.float32)
    run = functools.partial(population.interplay_of_features, rtol=3e-3)
    got = (jax.jit(run) if jit else run)(z, y, w)
    exact = reference.sample_interplay(z, y, w)
    np.testing.assert_allclose(got.mir, exact[4], atol=4 * got.standard_error.mir)
    assert 0 < got.standard_error.mir <= 3e-3 * got.mir
    w[17] = np.nan  # a class that does not occur
    assert all(np.isnan(x) for x in values(run(z, y, w)))


def test_memory_chooses_the_route_or_says_what_would_do(monkeypatch):
    z, y, w = problem(600, 20, 12)
    run = functools.partial(population.interplay_of_features, z, y, w, rtol=1e-2)
    assert run().route == "moments"
    exact = reference.sample_interplay(z, y, w)
    got = run(memory=1_000_000)
    assert got.route == "lanczos"
    np.testing.assert_allclose(got.mir, exact[4], atol=4 * got.standard_error.mir)
    with pytest.raises(ValueError, match=r"does not fit 1000 bytes; set memory=(\d+) or more") as e:
        run(memory=1000)
    enough = int(str(e.value).split("memory=")[1].split()[0])
    assert run(memory=enough).route == "lanczos"
    with pytest.raises(ValueError, match=r"set memory=\d+ or more, or rtol > 0"):
        run(memory=1000, rtol=0.0)
    with pytest.raises(ValueError, match="memory must be a Python integer"):
        run(memory=1e9)


@pytest.mark.slow
def test_small_batches_of_probes_are_roughly_calibrated(by_products):
    z, y, w = problem(600, 20, 12)
    exact = reference.sample_interplay(z, y, w)[3]

    def estimate(key):
        got = population.interplay_of_features(z, y, w, rtol=2e-2, key=key)
        return got.mutual_information, got.standard_error.mutual_information

    found, error = jax.jit(lambda keys: jax.lax.map(estimate, keys))(
        jax.random.split(jax.random.key(2), 40)
    )
    ratio = (np.asarray(found) - exact) / np.asarray(error)
    assert np.mean(np.abs(ratio) <= 2) >= 0.85 and np.sqrt(np.mean(ratio**2)) < 1.5


@pytest.fixture
def debugging():
    """NaN and inf raise where they arise, in compiled programs and in single operations."""
    names = ("jax_debug_nans", "jax_debug_infs", "jax_disable_jit")
    try:
        for name in names:
            jax.config.update(name, True)
        yield
    finally:
        for name in names:
            jax.config.update(name, False)


@pytest.mark.slow
def test_no_nan_or_inf_arises_on_the_way(debugging):
    z, y, w = problem(12, 4, 3)
    s = Statistics.zeros(9, 4, capacity=3).update(z, y * 2)
    s = s.merge(s)
    w = np.repeat(w, 3, 0)
    found = (
        population.interplay(s, w),
        population.class_interplay(s, w),
        population.within_class_entropies(s),
        population.class_mean_entropy(s),
        population.interplay_of_features(z, y, w, mask=np.arange(12) > 2),
        collapse.neural_collapse(s, w, np.zeros(9, np.float32)),
        collapse.nearest_class_mean_agreement(z, s, w),
    )
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(found))
