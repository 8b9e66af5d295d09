"""FreeMatch on several devices, by pmap and by shard_map, against one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tests.devices import mesh, run_on_eight
from tests.methods.freematch_problem import C, N, in_training, logits, losses


def objective(params, state, weak, strong, axis_name=None):
    """Sum of both losses, as in a training step, for a classifier that is one matrix."""
    unsupervised, fairness, rest = losses(state, weak @ params, strong @ params, axis_name)
    return unsupervised + 0.5 * fairness, (unsupervised, fairness, rest)


def replica_step(params, state, weak, strong):
    (_, (unsupervised, fairness, (state, mask, labels))), gradient = jax.value_and_grad(
        objective, has_aux=True
    )(params, state, weak, strong, "batch")
    unsupervised, gradient = jax.lax.pmean((unsupervised, gradient), "batch")
    return unsupervised[None], fairness[None], gradient, state, mask, labels


def problem():
    weak, strong = logits(6)
    params = jnp.eye(C) + 0.1 * jnp.asarray(np.random.default_rng(7).normal(size=(C, C)), "float32")
    return params, in_training(), weak, strong


def assert_equal_to_one_device(unsupervised, fairness, gradient, state, mask, labels):
    (_, (expected_u, expected_f, (expected_state, expected_mask, expected_labels))), expected = (
        jax.jit(jax.value_and_grad(objective, has_aux=True))(*problem())
    )
    assert 0 < jnp.sum(expected_mask) < N and expected_f < -0.1
    np.testing.assert_allclose(unsupervised.ravel(), expected_u, rtol=1e-5)
    np.testing.assert_allclose(fairness.ravel(), expected_f, rtol=1e-5)
    np.testing.assert_allclose(gradient.reshape(-1, C, C)[0], expected, atol=1e-6)
    assert jnp.max(jnp.abs(expected)) > 0.05
    for got, want in zip(state, expected_state, strict=True):
        np.testing.assert_allclose(got.reshape(-1, *want.shape)[0], want, rtol=1e-6)
    np.testing.assert_array_equal(mask.ravel(), expected_mask)
    np.testing.assert_array_equal(labels.ravel(), expected_labels)


def check_pmap():
    params, state, weak, strong = problem()
    k = jax.device_count()
    mapped = jax.pmap(replica_step, axis_name="batch", in_axes=(None, None, 0, 0))
    assert_equal_to_one_device(
        *mapped(params, state, weak.reshape(k, -1, C), strong.reshape(k, -1, C))
    )


def test_two_devices_equal_one():
    assert jax.device_count() == 2
    check_pmap()


@pytest.mark.parametrize("check_vma", [True, False])
def test_shard_map_equals_one(check_vma):
    def replica(params, state, weak, strong):
        if check_vma:  # otherwise gradients of replicated parameters are summed over devices
            params = jax.lax.pcast(params, "batch", to="varying")
        return replica_step(params, state, weak, strong)

    mapped = jax.shard_map(
        replica,
        mesh=mesh(),
        in_specs=(P(), P(), P("batch"), P("batch")),
        out_specs=(P("batch"), P("batch"), P(), P(), P("batch"), P("batch")),
        check_vma=check_vma,
    )
    assert_equal_to_one_device(*jax.jit(mapped)(*problem()))


def test_eight_devices_equal_one():
    run_on_eight(check_pmap)
