import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from infojax.data.sampling import epochs_on_host, shuffled_epochs


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 1000])
def test_every_epoch_is_a_permutation(n):
    epochs = np.asarray(shuffled_epochs(jax.random.key(0), jnp.arange(3 * n), n)).reshape(3, n)
    np.testing.assert_array_equal(np.sort(epochs, 1), np.tile(np.arange(n), (3, 1)))
    if n >= 16:
        assert len({tuple(epoch) for epoch in epochs}) == 3
        assert tuple(epochs[0]) != tuple(range(n))


def test_depends_only_on_key_and_position():
    """Not on the batch that contains the position, nor on jit."""
    key, n = jax.random.key(3), 50
    whole = np.asarray(shuffled_epochs(key, jnp.arange(120), n))
    parts = [shuffled_epochs(key, jnp.arange(s, s + 40), n) for s in (0, 40, 80)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    jitted = jax.jit(shuffled_epochs, static_argnums=2)(key, jnp.arange(120), n)
    np.testing.assert_array_equal(jitted, whole)
    assert np.any(np.asarray(shuffled_epochs(jax.random.key(4), jnp.arange(120), n)) != whole)


@pytest.mark.parametrize("n", [1, 2, 6, 50, 1000, 2**20 + 1])
def test_the_host_computes_the_same(n):
    key, rng = jax.random.key(n), np.random.default_rng(n)
    positions = np.concatenate([np.arange(20), rng.integers(0, min(2**31, 5 * n), 80)])
    positions = np.append(positions, min(2**31 - 1, 5 * n)).astype(np.int32)
    expected = shuffled_epochs(key, jnp.asarray(positions), n)
    found = epochs_on_host(key, n)(positions)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)


def test_orders_are_uniform():
    """Over 4,000 epochs of 6: each index at each place, and each pair of neighbours."""
    n, epochs = 6, 4000
    order = shuffled_epochs(jax.random.key(1), jnp.arange(n * epochs), n)
    order = np.asarray(order).reshape(epochs, n)
    places = np.stack([np.bincount(order[:, place], minlength=n) for place in range(n)])
    assert stats.chisquare(places.ravel()).pvalue > 1e-3
    pairs = np.bincount((order[:, :-1] * n + order[:, 1:]).ravel(), minlength=n * n).reshape(n, n)
    different = pairs[~np.eye(n, dtype=bool)]
    assert stats.chisquare(different).pvalue > 1e-3


def test_epochs_of_a_large_set_are_uncorrelated():
    n = 50_000
    orders = np.asarray(shuffled_epochs(jax.random.key(2), jnp.arange(2 * n), n)).reshape(2, n)
    assert abs(np.corrcoef(*orders)[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(orders[0], np.arange(n))[0, 1]) < 4 / np.sqrt(n)
    assert abs(np.corrcoef(orders[0][:-1], orders[0][1:])[0, 1]) < 4 / np.sqrt(n)
