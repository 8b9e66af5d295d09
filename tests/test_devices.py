"""Equal results under jit, vmap and scan, and on several devices under pmap and shard_map."""

import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import infojax
from infojax import losses

N, D, C = 16, 5, 3


def problem():
    """Parameters (projection and head), inputs and labels."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in ((4, D), (C, D), (N, 4))]
    return tuple(map(jnp.asarray, arrays[:2])), jnp.asarray(arrays[2]), jnp.arange(N) % C


def loss(params, x, y, axis_name=None):
    projection, head = params
    return losses.information_loss(jnp.tanh(x @ projection), head[y], 0.7, 0.3, axis_name)


def step(params, x, y):
    """Loss and gradients on one replica, as in a training step."""
    value, gradient = jax.value_and_grad(loss)(params, x, y, "batch")
    return value[None], jax.lax.pmean(gradient, "batch")


def assert_equal_to_one_device(value, gradient):
    expected_value, expected = jax.jit(jax.value_and_grad(loss))(*problem())
    assert jnp.all(value.reshape(-1) == value.reshape(-1)[0])
    np.testing.assert_allclose(value.reshape(-1), expected_value, atol=1e-6)
    for got, want in zip(gradient, expected, strict=True):
        assert jnp.max(jnp.abs(want)) > 1e-2
        error = jnp.linalg.norm(got.reshape(-1, *want.shape)[0] - want)
        assert error <= 1e-5 * jnp.linalg.norm(want)


def check_pmap():
    params, x, y = problem()
    k = jax.device_count()
    mapped = jax.pmap(step, axis_name="batch", in_axes=(None, 0, 0))
    assert_equal_to_one_device(*mapped(params, x.reshape(k, -1, 4), y.reshape(k, -1)))


def test_information_loss_under_pmap():
    assert jax.device_count() == 2
    check_pmap()


@pytest.mark.parametrize("check_vma", [True, False])
def test_information_loss_under_shard_map(check_vma):
    def replica(params, x, y):
        if check_vma:  # otherwise shard_map sums gradients of replicated parameters
            params = jax.lax.pcast(params, "batch", to="varying")
        return step(params, x, y)

    mapped = jax.shard_map(
        replica,
        mesh=jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
        in_specs=(P(), P("batch"), P("batch")),
        out_specs=(P("batch"), P()),
        check_vma=check_vma,
    )
    assert_equal_to_one_device(*jax.jit(mapped)(*problem()))


def test_information_loss_on_eight_devices():
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=8")
    path = str(pathlib.Path(__file__).parents[1])
    code = "import jax, tests.test_devices as t; t.check_pmap(); print(jax.device_count())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "8", run.stderr


def test_measures_under_shard_map():
    """Each device measures its own half of the samples."""
    rng = np.random.default_rng(1)
    z = jnp.asarray(rng.normal(size=(2 * N, 2)), jnp.float32)
    y, w = jnp.arange(2 * N) % C, jnp.asarray(rng.normal(size=(C, 2)), jnp.float32)

    def measures(z, y):
        found, gradient = jax.value_and_grad(lambda z: infojax.sample_interplay(z, y, w).mir)(z)
        return found[None], gradient

    alone = jax.jit(measures)
    halves = [alone(z[part], y[part]) for part in (slice(N), slice(N, None))]
    assert not np.allclose(halves[0][0], halves[1][0], atol=1e-3)
    for check_vma in (True, False):
        mapped = jax.shard_map(
            measures,
            mesh=jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
            in_specs=(P("batch"), P("batch")),
            out_specs=(P("batch"), P("batch")),
            check_vma=check_vma,
        )
        for got, want in zip(jax.jit(mapped)(z, y), zip(*halves, strict=True), strict=True):
            np.testing.assert_allclose(got, jnp.concatenate(want), atol=3e-6)


def test_vmap_and_batches_equal_a_loop():
    rng = np.random.default_rng(2)
    z = jnp.asarray(rng.normal(size=(2, 3, 7, 4)), jnp.float32)
    k = z @ z.swapaxes(-1, -2)
    one = jax.jit(infojax.matrix_entropy)
    loop = jnp.stack([one(x) for x in k.reshape(6, 7, 7)]).reshape(2, 3)
    np.testing.assert_allclose(one(k), loop, rtol=1e-6)
    mapped = jax.jit(jax.vmap(jax.vmap(infojax.matrix_entropy)))
    np.testing.assert_allclose(mapped(k), loop, rtol=1e-6)
    gradient = jax.jit(jax.grad(infojax.matrix_entropy))
    one_by_one = jnp.stack([gradient(x) for x in k[0]])
    np.testing.assert_allclose(jax.jit(jax.vmap(gradient))(k[0]), one_by_one, atol=1e-6)
    of_pair = jax.jit(infojax.mutual_information)
    loop = jnp.stack([of_pair(a, b) for a, b in zip(k[0], k[1], strict=True)])
    np.testing.assert_allclose(of_pair(k[0], k[1]), loop, atol=3e-6)
    assert not np.allclose(loop[0], loop[1], atol=1e-3)


@pytest.mark.parametrize("d", [2, 12])
def test_sample_interplay_under_vmap_and_scan(d):
    """Covers class moments (d = 2) and the n x n matrix (d = 12)."""
    rng = np.random.default_rng(3)
    z = jnp.asarray(rng.normal(size=(3, N, d)), jnp.float32)
    y = jnp.asarray(rng.integers(0, C, (3, N)))
    w = jnp.asarray(rng.normal(size=(3, C, d)), jnp.float32)
    one = jax.jit(infojax.sample_interplay)
    alone = jnp.stack([jnp.stack(one(*x)) for x in zip(z, y, w, strict=True)])
    mapped = jnp.stack(jax.jit(jax.vmap(infojax.sample_interplay))(z, y, w), 1)
    np.testing.assert_allclose(mapped, alone, atol=3e-6)
    if d == 2:
        _, scanned = jax.lax.scan(lambda _, x: (None, one(*x)), None, (z, y, w))
        np.testing.assert_allclose(jnp.stack(scanned, 1), alone, atol=3e-6)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
