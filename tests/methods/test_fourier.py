"""Progress measures against np.fft in float64 on a trained network, and where waves are planted."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import losses
from infojax.methods import fourier
from infojax.models.transformer import PairTransformer
from tests import reference

P = 23


def pairs(p=P, sign=1, seed=0):
    """All pairs in random order, and their results."""
    operands = (
        np.random.default_rng(seed)
        .permutation(np.stack(np.divmod(np.arange(p**2), p), 1))
        .astype(np.int32)
    )
    return operands, (operands[:, 0] + sign * operands[:, 1]) % p


@functools.cache
def trained():
    """A network after a hundred steps on half of the sums, and its logits of all pairs."""
    model = PairTransformer(num_tokens=P + 1, d_model=24, num_heads=2, d_mlp=48)
    operands, results = pairs()
    half = len(results) // 2

    def loss(params):
        logits = model.apply({"params": params}, operands[:half])[1]
        return jnp.mean(losses.cross_entropy(logits, results[:half]))

    @jax.jit
    def fit(params):
        def step(_, params):
            gradient = jax.grad(loss)(params)
            return jax.tree.map(lambda x, g: 0.998 * x - 0.5 * g, params, gradient)

        return jax.lax.fori_loop(0, 100, step, params)

    params = fit(model.init(jax.random.key(0), operands[:1])["params"])
    return params, model.apply({"params": params}, operands)[1][:, :P]


def reference_norms(weights):
    components = np.fft.fft(np.asarray(weights, np.float64), axis=0)[1 : (P + 1) // 2]
    return np.sqrt(2 / P * np.sum(np.abs(components) ** 2, 1))


def reference_gini(x):
    return np.abs(x[:, None] - x[None]).sum() / (2 * len(x) * x.sum())


def reference_split(logits, operands, sign):
    """Key frequencies, restricted and excluded logits by the transform over (a, b)."""
    a, b = operands.T
    grid = np.zeros((P, P, P))
    grid[a, b] = logits
    transform = np.fft.fft2(grid, axes=(0, 1))
    k = np.arange(1, (P + 1) // 2)
    power = np.sum(np.abs(transform[k, sign * k % P]) ** 2, 1)
    key = k[power > power.mean()]
    kept = np.zeros_like(transform)
    for i in (*key, *-key):
        kept[i % P, sign * i % P] = transform[i % P, sign * i % P]
    waves = np.fft.ifft2(kept, axes=(0, 1)).real
    return key, (grid.mean((0, 1)) + waves)[a, b], (grid - waves)[a, b]


@pytest.mark.parametrize("sign", [1, -1])
def test_trained_network(sign):
    operands, results = pairs(sign=sign)
    logits = np.asarray(trained()[1], np.float64)
    expected_key, *expected = reference_split(logits, operands, sign)
    found = fourier.waves(trained()[1], results)
    key = fourier.key_frequencies(found)
    assert list(np.flatnonzero(key) + 1) == list(expected_key)
    got = (
        fourier.restricted_logits(found, key, results),
        fourier.excluded_logits(trained()[1], found, key, results),
    )
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5 * np.abs(logits).max())
        loss = np.mean(losses.cross_entropy(x, jnp.asarray(results)))
        np.testing.assert_allclose(loss, reference.cross_entropy(y, results).mean(), rtol=1e-4)


def test_fourier_norms_and_gini_of_a_trained_network():
    params, _ = trained()
    weights = jax.tree.map(lambda x: np.asarray(x, np.float64), params)
    maps = {
        fourier.embedding_norms: weights["embed"][:-1],
        fourier.logit_map_norms: weights["unembed"][:-1] @ weights["mlp_out"].T,
    }
    for norms, of in maps.items():
        np.testing.assert_allclose(norms(params), reference_norms(of), rtol=1e-5)
        got, expected = fourier.gini(norms(params)), reference_gini(reference_norms(of))
        np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize("sign", [1, -1])
def test_planted_frequencies(sign):
    """Logits of key frequencies alone: all remains when restricted, chance when excluded."""
    planted = 2, 5, 9
    _, results = pairs(sign=sign)
    difference = results[:, None] - np.arange(P)[None]
    logits = sum(np.cos(2 * np.pi * k * difference / P) for k in planted)
    logits = jnp.asarray(4 * logits + 3 + np.arange(P)[None] / P, jnp.float32)
    found = fourier.waves(logits, results)
    key = fourier.key_frequencies(found)
    assert tuple(np.flatnonzero(key) + 1) == planted
    np.testing.assert_allclose(fourier.restricted_logits(found, key, results), logits, atol=3e-5)
    flat = fourier.excluded_logits(logits, found, key, results)
    np.testing.assert_allclose(flat, jnp.broadcast_to(found.constant, flat.shape), atol=3e-5)
    even = losses.cross_entropy(flat - found.constant[None], jnp.asarray(results))
    np.testing.assert_allclose(even, np.log(P), rtol=1e-5)


def test_measures_under_vmap():
    """Over seeds, as an ensemble is measured."""
    _, results = pairs()
    logits = jnp.stack([trained()[1], trained()[1][::-1]])

    def measures(logits):
        found = fourier.waves(logits, results)
        key = fourier.key_frequencies(found)
        return jnp.sum(key), fourier.excluded_logits(logits, found, key, results)

    numbers, excluded = jax.jit(jax.vmap(measures))(logits)
    number, single = measures(logits[1])
    assert numbers[1] == number
    np.testing.assert_allclose(excluded[1], single, atol=1e-5)


def test_no_waves_no_key_frequencies():
    _, results = pairs()
    found = fourier.waves(jnp.ones((P**2, P)), results)
    found = found._replace(components=jnp.zeros_like(found.components))
    assert not np.any(fourier.key_frequencies(found))
    assert fourier.gini(jnp.zeros(3)) == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fourier.norms(jnp.ones((4, 2))), "must be odd and at least 3, got 4"),
        (lambda: fourier.waves(jnp.ones((8, 3)), np.zeros(8, np.int32)), "all p² pairs of p = 3"),
        (lambda: fourier.waves(jnp.ones((9, 3)), np.zeros(8, np.int32)), "results must be integer"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()
