"""Metrics of layers, whatever their width, against float64 from n x n matrices."""

import jax
import numpy as np
import pytest

from launch.measuring import Request, of_layer
from tests import reference

RNG = np.random.default_rng(0)
Y = RNG.permutation(np.arange(72) % 4).astype(np.int32)


def _normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def _nc1(z):
    z = z.astype(np.float64)
    means = np.stack([z[c == Y].mean(0) for c in range(4)])
    within = (z - means[Y]).T @ (z - means[Y]) / len(z)
    centred = means - means.mean(0)
    return np.trace(within @ np.linalg.pinv(centred.T @ centred / 4, rcond=1e-10)) / 4


@pytest.mark.parametrize(("d", "e", "alpha"), [(5, 9, 1.0), (9, 5, 2.0)])
def test_layers_of_another_width_than_the_head(d, e, alpha):
    z, w = _normal(72, d), _normal(4, e)
    found = of_layer(z, Y, w, Request((32,), alpha, (), 64, 3))
    batches = [reference.interplay(z[i : i + 32], w[Y[i : i + 32]], alpha) for i in (0, 32)]
    whole = reference.interplay(z, w[Y], alpha)
    for name, at in {"mir": 4, "hdr": 5}.items():
        one, other = (batch[at] for batch in batches)
        assert found[f"{name}_32"] == pytest.approx((one + other) / 2, rel=1e-5, abs=1e-5)
        assert found[f"{name}_32_error"] == pytest.approx(abs(one - other) / 2, abs=1e-5)
        assert found[f"population_{name}"] == pytest.approx(whole[at], rel=1e-5, abs=1e-5)
    assert found["entropy"] == pytest.approx(whole[0], rel=1e-5)
    permuted = []
    for i, start in enumerate((0, 32, 0)):
        key = jax.random.fold_in(jax.random.key(0), i)
        order = np.asarray(jax.random.permutation(key, Y[start : start + 32]))
        permuted.append(reference.interplay(z[start : start + 32], w[order], alpha)[4])
    assert found["chance_mir_32"] == pytest.approx(np.mean(permuted), rel=1e-5)
    assert found["population_corrected_mir"] < found["population_mir"]
    assert found["population_mir_error"] == 0
    assert found["nc1"] == pytest.approx(_nc1(z), rel=1e-3)


def test_a_single_batch_has_no_standard_error():
    found = of_layer(_normal(72, 9), Y, _normal(4, 5), Request((64,), 2.0, (), 64, 0))
    assert "mir_64" in found and "mir_64_error" not in found
    assert not any("chance" in name for name in found)
