"""MIR of two representations by batches, against float64 from n x n matrices."""

import jax
import numpy as np
import pytest

from launch import pairs
from launch.pairs import Pair
from tests import reference

RNG = np.random.default_rng(0)
N = 40


def _normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("d", [3, 9])
def test_rows_of_labels_keep_their_inner_products(d):
    w, y = _normal(5, d), RNG.integers(0, 5, N)
    rows = pairs.of_labels(w, y)
    assert rows.shape == (N, min(5, d)) and rows.dtype == np.float32
    np.testing.assert_allclose(rows @ rows.T, w[y] @ w[y].T, atol=1e-5)


def test_widening_keeps_inner_products():
    z = _normal(4, 3)
    wide = pairs.widened(z, 5)
    assert wide.shape == (4, 5) and pairs.widened(z, 2).shape == (4, 3)
    np.testing.assert_array_equal(wide @ wide.T, z @ z.T)


@pytest.mark.parametrize("alpha", [1.0, np.inf])
def test_metrics_of_batches(alpha):
    pair = Pair(_normal(N, 6), _normal(N, 3))
    found = pairs.of_batches(pair, 16, alpha, 3)
    parts = [slice(0, 16), slice(16, 32)]
    each = np.array([reference.interplay(pair.z[p], pair.v[p], alpha) for p in parts])
    permuted = []
    for i in range(3):
        order = jax.random.permutation(jax.random.fold_in(jax.random.key(0), i), 16)
        z, v = (x[parts[i % 2]] for x in pair)
        permuted.append(reference.interplay(z, v[np.asarray(order)], alpha)[4])
    np.testing.assert_allclose(found.permuted, permuted, rtol=1e-4)
    metrics = pairs.summarized(found)
    mir, hdr = each[:, 4], each[:, 5]
    assert metrics["mir"] == pytest.approx(mir.mean(), rel=1e-5)
    assert metrics["hdr"] == pytest.approx(hdr.mean(), rel=1e-4)
    assert metrics["mir_error"] == pytest.approx(abs(mir[0] - mir[1]) / 2, abs=1e-5)
    chance = np.mean(permuted)
    assert metrics["corrected_mir"] == pytest.approx((mir.mean() - chance) / (1 - chance), rel=1e-3)
    shuffled = each[:, 0] + each[:, 1] - permuted[:2] * np.min(each[:, :2], 1)
    entropies = np.column_stack([each[:, :3], shuffled])
    np.testing.assert_allclose(pairs.entropies(found, 2, 1), entropies, rtol=1e-4)
    np.testing.assert_allclose(pairs.entropies(found, 1, 2), [entropies.mean(0)], rtol=1e-4)


def test_all_samples_are_one_batch():
    pair = Pair(_normal(N, 6), _normal(N, 3))
    found = pairs.of_batches(pair, N, 1.0, 8)
    assert len(found.permuted) == 2
    metrics = pairs.summarized(found)
    expected = reference.interplay(*pair)
    assert metrics["mir"] == pytest.approx(expected[4], rel=1e-5)
    assert "mir_error" not in metrics
