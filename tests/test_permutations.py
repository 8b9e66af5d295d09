"""The chance level of MIR: brute force, the adjusted mutual information, and edge cases."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics

import infojax
from infojax import collapse, population
from tests import reference

NUMBER = 400
chance = functools.partial(
    jax.jit(infojax.chance, static_argnames=("num_permutations", "alpha")), num_permutations=NUMBER
)
chance_level = jax.jit(population.chance_level, static_argnums=2)


@functools.partial(jax.jit, static_argnums=2)
def collect(z, y, c):
    return population.Statistics.zeros(c, z.shape[1], z.dtype).update(z, y)


def problem(n=12, d=4, c=3, seed=0, signal=1.0):
    rng = np.random.default_rng(seed)
    y, w = rng.integers(0, c, n).astype(np.int32), rng.normal(size=(c, d)).astype(np.float32)
    z = signal * w[y] + rng.normal(size=(n, d)).astype(np.float32)
    return z.astype(np.float32), y, w


def brute_force(z, y, w, number, alpha=1):
    """MIR of many permutations in float64, from n x n matrices."""
    rng = np.random.default_rng(1)
    k1, k2 = reference.gram(z), reference.gram(w)
    order = np.stack([rng.permutation(y) for _ in range(number)])
    joint = k1 * k2[order[:, :, None], order[:, None]] / len(y)
    spectra = np.maximum(np.linalg.eigvalsh(joint), 1e-300)
    entropy = -np.sum(spectra * np.log(spectra), 1)
    if alpha != 1:
        entropy = np.log(np.sum(spectra**alpha, 1)) / (1 - alpha)
    h = [reference.entropy(k, alpha) for k in (k1, k2[np.ix_(y, y)])]
    return (sum(h) - entropy) / min(h)


@pytest.mark.parametrize(("c", "alpha"), [(3, 1.0), (20, 1.0), (3, 2.0)])  # C < n, and C > n
def test_agrees_with_ten_thousand_permutations(c, alpha):
    z, y, w = problem(c=c)
    expected = brute_force(z, y, w, 10_000, alpha)
    result = chance(z, y, w, jax.random.key(0), alpha=alpha)
    error = np.hypot(result.standard_error, expected.std() / 100)
    assert abs(result.expected_mir - expected.mean()) < 3 * error
    np.testing.assert_allclose(result.standard_deviation, expected.std(), rtol=0.1)
    np.testing.assert_allclose(result.standard_error, result.standard_deviation / NUMBER**0.5)
    mir, hdr = reference.sample_interplay(z, y, w, alpha)[4:]
    np.testing.assert_allclose([result.mir, result.hdr], [mir, hdr], rtol=1e-5)
    np.testing.assert_allclose(
        result.corrected_mir, (mir - expected.mean()) / (1 - expected.mean()), atol=0.02
    )


@pytest.mark.parametrize("n", [16, 64, 256, 1024])
def test_corrected_mir_of_shuffled_labels_is_zero(n):
    z, y, w = problem(n)
    keys = jax.random.split(jax.random.key(0), 50)
    shuffled = jax.vmap(lambda key: jax.random.permutation(key, jnp.asarray(y)))(keys)
    each = jax.vmap(functools.partial(infojax.chance, num_permutations=30), (None, 0, None, 0))
    corrected = jax.jit(each)(z, shuffled, w, keys[::-1]).corrected_mir
    assert abs(np.mean(corrected)) < 2 * np.std(corrected) / 50**0.5


def test_is_the_adjusted_mutual_information_of_one_hot_rows():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 4, 60).astype(np.int32)
    clusters = np.where(rng.random(60) < 0.6, y, rng.integers(0, 5, 60))
    z, w = jnp.eye(6)[clusters], jnp.eye(6)[:4]
    result = chance(z, y, w, jax.random.key(0))
    expected = metrics.adjusted_mutual_info_score(y, clusters, average_method="min")
    error = result.standard_error / (1 - result.expected_mir)
    assert abs(result.corrected_mir - expected) < 3 * error < 0.02


def test_one_sample_per_class_at_collapse():
    """Every permutation gives the same matrix; chance explains all of MIR."""
    etf = collapse.simplex_etf(5, 8)
    result = chance(etf, jnp.arange(5), etf, jax.random.key(0))
    np.testing.assert_allclose(result.mir, collapse.mir_at_collapse(5), rtol=1e-5)
    np.testing.assert_allclose(result.expected_mir, result.mir, rtol=1e-5)
    assert abs(result.corrected_mir) < 1e-4
    assert result.z_score == 0


def test_collapse_with_many_samples():
    etf, y = collapse.simplex_etf(5, 8), jnp.arange(2000, dtype=jnp.int32) % 5
    result = chance(etf[y], y, etf, jax.random.key(0))
    at_collapse = collapse.mir_at_collapse(5)
    np.testing.assert_allclose(result.mir, at_collapse, rtol=1e-5)
    level = chance_level(collect(etf[y], y, 5), etf, 1)
    np.testing.assert_allclose(level.mutual_information, 3**2 / (2 * 1999), rtol=1e-5)
    assert abs(level.mir - result.expected_mir) < 3 * result.standard_error
    assert 0.99 * at_collapse < result.corrected_mir < at_collapse


def test_nothing_to_exceed():
    key, y = jax.random.key(0), jnp.arange(4)
    full = chance(jnp.eye(4), y, jnp.eye(4), key)  # orthogonal rows share all, whatever the pairing
    np.testing.assert_allclose([full.mir, full.expected_mir], 1, rtol=1e-6)
    constant = chance(jnp.ones((4, 4)), y, jnp.eye(4), key)
    for result in (full, constant):
        assert (result.corrected_mir, result.z_score) == (0, 0)
    assert (constant.mir, constant.expected_mir) == (0, 0)


def test_masked_samples_do_not_matter():
    z, y, w = problem(18)
    mask = np.arange(18) % 3 > 0
    junk = jnp.where(mask[:, None], z, jnp.nan), jnp.where(mask, y, -100)
    key = jax.random.key(0)
    results = [chance(*x, w, key, mask=mask) for x in ((z, y), junk)]
    np.testing.assert_array_equal(*results)
    alone = chance(z[mask], y[mask], w, jax.random.key(1))
    np.testing.assert_allclose(results[0].mir, alone.mir, rtol=1e-5)
    error = np.hypot(results[0].standard_error, alone.standard_error)
    assert abs(results[0].expected_mir - alone.expected_mir) < 3 * error


@pytest.mark.parametrize("changed", ["z", "w", "y"])
def test_invalid_values_give_nan(changed):
    z, y, w = map(jnp.asarray, problem())
    if changed == "y":
        y = y.at[0].set(3)
    else:
        z, w = (
            x.at[0, 0].set(jnp.inf) if name == changed else x
            for name, x in {"z": z, "w": w}.items()
        )
    assert np.all(np.isnan(chance(z, y, w, jax.random.key(0))))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_permutations": 1}, "num_permutations must be at least 2, got 1"),
        ({"num_permutations": 2.5}, "num_permutations must be a Python integer"),
        ({"w": np.ones((3, 5), np.float32)}, "z"),
    ],
)
def test_errors(changes, words):
    arguments = dict(zip("zyw", problem(), strict=True)) | {"key": jax.random.key(0)} | changes
    with pytest.raises(ValueError, match=words):
        infojax.chance(**arguments)


def test_order_two_is_exact_in_the_mean(x64):
    """`tr K²` averaged over all 720 permutations."""
    z, y, w = (x.astype(np.float64) if x.ndim == 2 else x for x in problem(6))
    k1, k2 = reference.gram(z), reference.gram(w[y])
    orders = np.array(list(itertools.permutations(range(6))))
    purity = np.mean((k1 * k2[orders[:, :, None], orders[:, None]] / 6) ** 2, 0).sum()
    expected = np.log(purity) + reference.entropy(k1, 2) + reference.entropy(k2, 2)
    level = chance_level(collect(z, y, 3), w, 2)
    np.testing.assert_allclose(level.mutual_information, expected, rtol=1e-10)


@pytest.mark.parametrize("alpha", [1, 2])
def test_chance_level_of_a_population(alpha):
    z, y, w = problem(2000, d=8, c=5)
    level = chance_level(collect(z, y, 5), w, alpha)
    result = chance(z, y, w, jax.random.key(0), alpha=alpha)
    np.testing.assert_allclose(level.mir, result.expected_mir, rtol={1: 0.1, 2: 0.03}[alpha])


def test_chance_level_refuses_what_it_does_not_know():
    empty, w = population.Statistics.zeros(5, 8), jnp.ones((5, 8))
    with pytest.raises(ValueError, match="alpha = 1 and 2, got 3"):
        population.chance_level(empty, w, 3)
    assert np.all(np.isnan(chance_level(empty, w, 1)))
