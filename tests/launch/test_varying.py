"""What is varied: every pair of representations against its definition."""

import numpy as np
import pytest

from launch import varying
from launch.varying import Outputs, Settings, Varying
from tests import reference

RNG = np.random.default_rng(0)
N, C, D = 48, 4, 6
Y = RNG.permutation(np.arange(N) % C).astype(np.int32)


def _normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


FOUND = Outputs(
    Y, {"block": _normal(N, D), "features": _normal(N, D)}, _normal(N, C), _normal(C, D)
)
Z, W = FOUND.layers["features"], FOUND.w
MEANS = np.stack([Z[c == Y].mean(0) for c in range(C)]) - Z.mean(0)
SETTINGS = Settings(16, (16, 32), ("1", "2"), (3.0,), 2)


@pytest.mark.parametrize(
    ("factor", "value", "z", "v"),
    [
        ("base", "", Z, W[Y]),
        ("order", "2", Z, W[Y]),
        ("layer", "block", FOUND.layers["block"], W[Y]),
        ("features", "centred", Z - Z.mean(0), W[Y]),
        ("features", "centred, and head", Z - Z.mean(0), (W - W.mean(0))[Y]),
        ("against", "class means", Z, MEANS[Y]),
        ("against", "logits", Z, FOUND.logits),
        ("against", "one-hot targets", Z, np.eye(C)[Y]),
    ],
)
def test_pairs(factor, value, z, v):
    """Up to coordinates: the same inner products."""
    pair = varying.varied(FOUND, factor, value)
    np.testing.assert_allclose(pair.z @ pair.z.T, z @ z.T, atol=1e-4)
    np.testing.assert_allclose(pair.v @ pair.v.T, v @ v.T, atol=1e-4)


def test_unequal_classes():
    kept = varying.imbalanced(Y, C, 8.0)
    assert list(np.bincount(Y[kept])) == [12, 6, 3, 2]  # 12 times 1, 1/2, 1/4, 1/8
    assert {*kept} == {i for i, c in enumerate(Y) if np.sum(Y[:i] == c) < (12, 6, 3, 2)[c]}
    assert np.any(np.diff(kept) < 0)
    pair = varying.varied(FOUND, "classes", "1 : 8")
    np.testing.assert_array_equal(pair.z, Z[kept])


def test_values_leave_out_the_base():
    values = varying.values(SETTINGS, ["train"], ["block"])
    assert values[0] == ("base", "") and len(set(values)) == len(values)
    assert [v for f, v in values if f == "order"] == ["2"]
    assert [v for f, v in values if f in ("batch size", "classes")] == ["16", "32", "1 : 3"]


def test_points():
    measure = Varying(SETTINGS, lambda name: FOUND).measure
    base, order = measure("base", ""), measure("order", "2")
    assert base["images"] == N
    assert base["accuracy"] == pytest.approx(np.mean(np.argmax(FOUND.logits, 1) == Y))
    for point, alpha in ((base, 1), (order, 2)):
        expected = reference.interplay(Z, W[Y], alpha)
        assert point["all"]["mir"] == pytest.approx(expected[4], rel=1e-5)
    sized = measure("batch size", "16")
    assert sized["batch"] == base["batch"]
    assert set(sized["extrapolated"]) == {"value", "half_width"}
    assert sized["extrapolated"]["value"] < sized["batch"]["mir"]
