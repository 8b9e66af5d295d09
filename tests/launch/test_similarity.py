"""Measures of similarity against loops over pairs, and known cases."""

import numpy as np
import pytest

from infojax import feature_entropy
from launch import similarity
from tests.reference import unit_rows

RNG = np.random.default_rng(0)
Y = np.array([0, 1, 2, 1, 0, 2, 2, 1, 0, 0, 1, 2])
Z = RNG.normal(size=(12, 5)).astype(np.float32) + np.eye(5, dtype=np.float32)[Y]
W = RNG.normal(size=(3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def found():
    return similarity.measure(Z, Y, W)


def test_cosines(found):
    cosine = unit_rows(Z) @ unit_rows(Z).T
    same, different = Y[:, None] == Y, ~np.eye(12, dtype=bool)
    assert found["cosine_within"] == pytest.approx(cosine[same & different].mean())
    assert found["cosine_between"] == pytest.approx(cosine[~same].mean())


def test_entropies(found):
    within = [float(feature_entropy(Z[y == Y])) for y in range(3)]
    assert found["within_class_entropy"] == pytest.approx(np.mean(within), rel=1e-5)
    means = np.stack([Z[y == Y].mean(0) for y in range(3)])
    assert found["class_mean_entropy"] == pytest.approx(float(feature_entropy(means)), rel=1e-5)


def test_predictions_agree_with_least_squares(found):
    """The mean error over an orthonormal basis of targets is that of random ones."""
    z, v = unit_rows(Z), unit_rows(W[Y])
    for side, target, inputs in (("head", z, v), ("features", v, z)):
        basis = np.linalg.svd(target, full_matrices=False)[0][:, : np.linalg.matrix_rank(target)]
        residual = basis - inputs @ np.linalg.lstsq(inputs, basis, rcond=1e-6)[0]
        error = np.sum(residual**2) / basis.shape[1]
        assert found[f"error_from_{side}"] == pytest.approx(error, rel=1e-5)
        assert found[f"rank_bound_from_{side}"] <= error
    assert found["rank_bound_from_head"] == pytest.approx(1 - 3 / 5)
    assert found["rank_bound_from_features"] == 0


def test_a_side_without_directions():
    """A head of zeros, as some start with, and dead features: no target, nothing predicted."""
    found = similarity.predictions(Z, 0 * W[Y])
    assert found["error_from_head"] == found["rank_bound_from_head"] == 1
    assert found["error_from_features"] == found["rank_bound_from_features"] == 0
    assert similarity.predictions(0 * Z, W[Y])["error_from_features"] == 1


def test_at_collapse():
    """Features that are the head rows of their classes: no error, one cluster per class."""
    w = np.eye(3, 5, dtype=np.float32)
    found = similarity.measure(3 * w[Y], Y, w)
    expected = {"cosine_within": 1, "cosine_between": 0, "nmi": 1, "silhouette": 1}
    expected |= {"within_class_entropy": 0, "class_mean_entropy": np.log(3)}
    expected |= dict.fromkeys(("error_from_head", "error_from_features"), 0)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)
