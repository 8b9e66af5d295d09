"""Masks equal leaving samples out, and leading axes equal flattening them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import infojax
from infojax import losses
from tests import devices

N, D, C = 24, 3, 5
# Of each function: its arguments by name, those with a gradient first.
CASES = {
    "feature_entropy": (infojax.feature_entropy, "z"),
    "effective_rank": (infojax.effective_rank, "z"),
    "interplay": (infojax.interplay, "z v"),
    "interplay by products": (lambda z, v, **k: infojax.interplay(z[..., :2], v, **k), "z v"),
    "sample_interplay": (lambda z, w, y, **k: infojax.sample_interplay(z, y, w, **k), "z w y"),
    "sample_interplay by class": (
        lambda z, w, y, **k: infojax.sample_interplay(z[..., :2], y, w[:, :2], **k),
        "z w y",
    ),
    "sample_interplay, C > n": (
        lambda z, w, y, **k: infojax.sample_interplay(z, y, w, **k),
        "z head y",
    ),
    "class_interplay": (lambda z, w, y, **k: infojax.class_interplay(z, y, w, **k), "z w y"),
    "class_interplay, C > n": (
        lambda z, w, y, **k: infojax.class_interplay(z, y, w, **k),
        "z head y",
    ),
    "information_loss": (
        lambda z, v, **k: losses.information_loss(z, v, 0.7, 0.3, **k),
        "z v",
    ),
    "global_interplay": (losses.global_interplay, "z v"),
}


@functools.cache
def arrays():
    rng = np.random.default_rng(0)
    y = rng.integers(0, C, N)
    w = rng.normal(size=(C, D))
    found = {"z": w[y] + rng.normal(size=(N, D)), "v": rng.normal(size=(N, 5)), "w": w}
    found["head"] = rng.normal(size=(2 * N, D))  # more classes than samples
    mask = np.arange(N) % 5 != 2
    return {name: x.astype(np.float32) for name, x in found.items()} | {"y": y, "mask": mask}


def arguments(case):
    return [arrays()[name] for name in CASES[case][1].split()]


def is_per_sample(x):
    return len(x) == N


@functools.cache
def value_and_gradient(case):
    f, names = CASES[case]
    by = tuple(k for k, name in enumerate(names.split()) if name != "y")

    def weighted(*args, **kwargs):
        leaves = jax.tree.leaves(f(*args, **kwargs))
        return sum(k * leaf for k, leaf in enumerate(leaves, 1)), jnp.stack(leaves)

    return jax.jit(jax.grad(weighted, by, has_aux=True))


@pytest.mark.parametrize("bad", [1.0, math.nan, math.inf])
@pytest.mark.parametrize("case", CASES)
def test_mask_equals_leaving_out(case, bad):
    """Whatever masked samples hold, labels out of range too; their gradient is zero."""
    mask, args = arrays()["mask"], arguments(case)
    kept = [x[mask] if is_per_sample(x) else x for x in args]
    want_gradient, want = value_and_gradient(case)(*kept)
    padding = {"f": bad, "i": 1 if bad == 1 else -100}
    filled = [x.copy() for x in args]
    for x in filter(is_per_sample, filled):
        x[~mask] = padding[x.dtype.kind]
    gradient, got = value_and_gradient(case)(*filled, mask=mask)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=3e-6)
    for x, g, w in zip(args, gradient, want_gradient, strict=False):
        if is_per_sample(x):
            np.testing.assert_array_equal(g[~mask], 0)
            g = g[mask]
        np.testing.assert_allclose(g, w, atol=3e-5)
        assert np.max(np.abs(w)) > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_all_kept_and_none_kept(case):
    f, args = CASES[case][0], arguments(case)
    whole = np.ones(N, bool)
    expected = jax.tree.leaves(f(*args))
    for got, want in zip(jax.tree.leaves(f(*args, mask=whole)), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    gradient, nothing = value_and_gradient(case)(*args, mask=~whole)
    np.testing.assert_array_equal(nothing, 1 if case == "effective_rank" else 0)
    assert all(np.all(g == 0) for g in gradient)


@pytest.mark.parametrize("case", CASES)
def test_leading_axes_are_flattened(case):
    mask, args = arrays()["mask"], arguments(case)
    deep = [x.reshape(2, 3, 4, *x.shape[1:]) if is_per_sample(x) else x for x in args]
    want_gradient, want = value_and_gradient(case)(*args, mask=mask)
    gradient, got = value_and_gradient(case)(*deep, mask=mask.reshape(2, 3, 4))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    for x, g, w in zip(deep, gradient, want_gradient, strict=False):
        assert g.shape == x.shape
        np.testing.assert_allclose(g.reshape(w.shape), w, atol=1e-6)
    if len(args) > 1:
        unmasked = value_and_gradient(case)(*deep)[1], value_and_gradient(case)(*args)[1]
        np.testing.assert_allclose(*unmasked, rtol=1e-6, atol=1e-6)


def test_vmap_over_masks():
    z = arrays()["z"]
    masks = np.stack([np.arange(N) < k for k in (3, 10, N)])
    got = jax.jit(jax.vmap(lambda m: infojax.feature_entropy(z, mask=m)))(masks)
    np.testing.assert_allclose(got, [infojax.feature_entropy(z[m]) for m in masks], rtol=1e-5)


def test_mask_on_two_devices():
    """The loss of the global batch, where one device holds more padding than the other."""
    z, v, mask = (jnp.asarray(arrays()[name]) for name in ("z", "v", "mask"))
    mask = mask.at[:9].set(False)
    whole = functools.partial(losses.information_loss, mi_weight=0.7, id_weight=0.3)
    value, gradient = jax.jit(jax.value_and_grad(whole))(z, v=v, mask=mask)

    def replica(z, v, mask):
        f = functools.partial(whole, axis_name="batch")
        value, gradient = jax.value_and_grad(f)(z, v=v, mask=mask)
        return value[None], gradient

    halves = [x.reshape(2, N // 2, *x.shape[1:]) for x in (z, v, mask)]
    mapped = {"pmap": jax.pmap(replica, "batch")(*halves)}
    for check_vma in (True, False):
        sharded = jax.shard_map(
            replica,
            mesh=devices.mesh(),
            in_specs=P("batch"),
            out_specs=P("batch"),
            check_vma=check_vma,
        )
        mapped[check_vma] = jax.jit(sharded)(z, v, mask)
    for found_value, found_gradient in mapped.values():
        np.testing.assert_allclose(found_value.reshape(2), [value] * 2, atol=1e-6)
        # Each device differentiates the sum of both devices' equal losses.
        np.testing.assert_allclose(found_gradient.reshape(N, D) / 2, gradient, atol=1e-6)


Z, V, W = jnp.ones((2, 3, 4)), jnp.ones((2, 3, 5)), jnp.ones((7, 4))
Y, M = jnp.zeros((2, 3), int), jnp.ones((2, 3), bool)
FLAT = Z.reshape(6, 4)
RESHAPE = r"z must have 2 dim.*\(2, 3, 4\).* z\.reshape\(-1, z\.shape\[-1\]\)$"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: infojax.feature_entropy(Z), RESHAPE),
        (lambda: infojax.effective_rank(Z), RESHAPE),
        (lambda: infojax.gram(Z), RESHAPE),
        (lambda: infojax.feature_entropy(Z, mask=M.reshape(6)), RESHAPE),
        (lambda: infojax.interplay(Z, FLAT), RESHAPE),
        (lambda: infojax.interplay(FLAT, V), r"v must have 2 .*v\.reshape\(-1, v\.shape\[-1\]\)$"),
        (lambda: infojax.sample_interplay(Z, Y.reshape(6), W), RESHAPE),
        (lambda: infojax.sample_interplay(FLAT, Y, W), r"y must .*\(6,\).*y\.reshape\(-1\)$"),
        (lambda: infojax.class_interplay(Z, Y[:, :2], W), RESHAPE),
        (lambda: infojax.class_interplay(Z, Y, W[None]), r"w must have 2 .*\(1, 7, 4\)"),
        (lambda: losses.information_loss(Z, V[:1], 1.0, 1.0), RESHAPE),
        (lambda: infojax.feature_entropy(FLAT, mask=M), r"mask must be bool of shape \(6,\).*3\)"),
        (lambda: infojax.interplay(Z, V, mask=M.reshape(6)), r"mask .*\(2, 3\), one .*bool of sh"),
        (lambda: infojax.interplay(FLAT, FLAT, mask=jnp.ones(6)), r"mask must be bool .*float32"),
        (lambda: infojax.sample_interplay(Z, Y, W, mask=Y), r"mask must be bool .*int32"),
        (
            lambda: losses.global_interplay(Z, V, mask=True),
            r"mask .*\(2, 3\), .* bool of shape \(\)",
        ),
    ],
)
def test_errors_say_how_to_reshape(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
