"""Magnitude and random masks, exact in counts and ties; the gradual schedule."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from infojax.methods import pruning
from tests.methods.networks import KERNELS, N, flat, network


def expected_mask(weights, sparsity):
    """By definition: prunes the first floor(s n) of a stable sort."""
    kept = np.ones(weights.size, bool)
    kept[np.argsort(np.abs(weights), kind="stable")[: math.floor(sparsity * weights.size)]] = False
    return kept


# Masks


@pytest.mark.parametrize("sparsity", [0, 0.1, 0.37, 0.5, 0.7, 0.9, 0.98, 0.995, np.float64(0.3)])
def test_prunes_the_smallest_and_the_first_of_equal_weights(sparsity):
    params = network()
    mask = pruning.magnitude_mask(params, sparsity)
    np.testing.assert_array_equal(flat(mask), expected_mask(flat(params), sparsity))
    for name in ("scale", "bias"):
        assert jnp.all(mask["BatchNorm_0"][name])
    assert jnp.all(mask["head"]["bias"])
    assert jax.tree.map(jnp.shape, mask) == jax.tree.map(jnp.shape, params)
    assert all(m.dtype == bool for m in jax.tree.leaves(mask))


def test_traced_sparsity_needs_one_compilation_and_equals_static():
    params, traced = network(), jax.jit(pruning.magnitude_mask)
    for sparsity in (0.0, 0.25, 0.9, 0.98):
        np.testing.assert_array_equal(
            flat(traced(params, sparsity)), flat(pruning.magnitude_mask(params, sparsity))
        )
    assert traced._cache_size() == 1
    for sparsity, share in [(-0.5, 1.0), (math.nan, 1.0), (1.0, 0.0), (math.inf, 0.0)]:
        assert np.mean(flat(traced(params, sparsity))) == share
    many = jax.vmap(pruning.magnitude_mask, (None, 0))(params, jnp.array([0.25, 0.9]))
    np.testing.assert_array_equal(many["head"]["kernel"][1], traced(params, 0.9)["head"]["kernel"])


@pytest.mark.parametrize("value", [0.0, -1.5])
def test_all_equal_weights(value):
    params = network(draw=lambda *shape: np.full(shape, value))
    for sparsity in (0.0, 0.3, 0.95):
        mask = flat(pruning.magnitude_mask(params, sparsity))
        np.testing.assert_array_equal(mask, np.arange(N) >= math.floor(sparsity * N))


def test_ties_are_pruned_in_the_order_of_the_flattened_tree():
    """Not in the order of the names, which would put 10 before 2."""
    params = [jnp.ones((2, 3)) for _ in range(12)]
    params[4] = jnp.ones(3)
    mask = pruning.magnitude_mask(params, 0.5)
    kept = np.concatenate([m.reshape(-1) for m in mask if m.ndim == 2])
    np.testing.assert_array_equal(kept, np.arange(66) >= 33)
    assert jnp.all(mask[4])


def test_array_sparsities_are_rounded_in_their_own_precision():
    """In float32, 0.9 is below nine tenths, but 10 times 0.9 is 9."""
    params = {"kernel": jnp.ones((2, 5))}
    for sparsity in (0.9, np.float32(0.9), jnp.float32(0.9)):
        assert float(pruning.sparsity(pruning.magnitude_mask(params, sparsity))) == np.float32(0.9)
    wide = {"kernel": jnp.ones((400, 500))}
    assert pruning.sparsity(pruning.magnitude_mask(wide, np.float16(0.5))) == 0.5


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("float64", "float32")])
def test_mixed_precisions_are_ranked_to_the_last_bit(dtypes, x64):
    rng = np.random.default_rng(3)
    values = rng.permutation(
        np.concatenate([1 + np.arange(40) * 2.0**-50, 2.0 ** np.arange(-140, -116)])
    )
    params = [
        jnp.asarray(values.reshape(8, 8), dtypes[0]),
        jnp.asarray(rng.normal(size=(6, 6)), dtypes[1]),
    ]
    weights = np.concatenate([np.asarray(x).astype(np.float64).reshape(-1) for x in params])
    for sparsity in (0.2, 0.5, 0.8):
        mask = np.concatenate([x.reshape(-1) for x in pruning.magnitude_mask(params, sparsity)])
        np.testing.assert_array_equal(mask, expected_mask(weights, sparsity))


def test_nan_and_inf_are_pruned_last():
    kernel = jnp.array([[jnp.nan, 3e38], [-jnp.inf, 0.0]])
    mask = pruning.magnitude_mask({"kernel": kernel}, 0.5)["kernel"]
    assert mask.tolist() == [[True, False], [True, False]]
    mask = pruning.magnitude_mask({"kernel": kernel}, 0.75)["kernel"]
    assert mask.tolist() == [[False, False], [True, False]]
    assert pruning.apply_mask({"kernel": kernel}, {"kernel": mask})["kernel"][0, 0] == 0


def test_the_caller_chooses_the_prunable_leaves():
    params = network()
    without_head = lambda path, x: pruning.is_kernel(path, x) and not path.startswith("head")  # noqa: E731
    mask = pruning.magnitude_mask(params, 0.8, without_head)
    assert jnp.all(mask["head"]["kernel"])
    np.testing.assert_array_equal(
        flat(mask, KERNELS[:1]), expected_mask(flat(params, KERNELS[:1]), 0.8)
    )
    assert float(pruning.sparsity(mask, without_head)) == np.float32(0.8)
    assert float(pruning.sparsity(mask)) == np.float32(72 / N)
    biases = pruning.magnitude_mask(params, 0.5, lambda path, x: path.endswith("bias"))
    assert sum(int(jnp.sum(~m)) for m in jax.tree.leaves(biases)) == 7
    assert jnp.all(biases["Conv_0"]["kernel"])


def test_masks_are_nested():
    params, key = network(), jax.random.key(1)
    for make in (pruning.magnitude_mask, lambda p, s: pruning.random_mask(key, p, s)):
        masks = [flat(make(params, s)) for s in (0.0, 0.2, 0.5, 0.9)]
        assert masks[0].all()
        for larger, smaller in itertools.pairwise(masks):
            assert np.all(larger | ~smaller)
            assert larger.sum() > smaller.sum()


def test_random_masks_prune_as_many_weights_but_others():
    params, key = network(), jax.random.key(0)
    for sparsity in (0.0, 0.3, 0.9):
        mask = pruning.random_mask(key, params, sparsity)
        assert np.sum(~flat(mask)) == math.floor(sparsity * N)
        assert jnp.all(mask["head"]["bias"])
    by_magnitude = flat(pruning.magnitude_mask(params, 0.9))
    another = flat(pruning.random_mask(jax.random.key(1), params, 0.9))
    assert len({tuple(m) for m in (by_magnitude, another, flat(mask))}) == 3


def test_random_masks_are_uniform():
    make = lambda key: pruning.random_mask(key, network(), 0.4)  # noqa: E731
    masks = jax.jit(jax.vmap(make))(jax.random.split(jax.random.key(2), 2000))
    shares = np.concatenate(
        [masks[layer][name].reshape(2000, -1).mean(0) for layer, name in KERNELS]
    )
    np.testing.assert_allclose(shares, 0.6, atol=5 * math.sqrt(0.24 / 2000))


def test_sparsity_counts_zeros_of_kernels():
    params = jax.tree.map(jnp.ones_like, network())
    assert pruning.sparsity(params) == 0
    params["head"]["bias"] = jnp.zeros(4)
    params["head"]["kernel"] = params["head"]["kernel"].at[2:].set(0)
    assert float(jax.jit(pruning.sparsity)(params)) == np.float32(12 / N)


@pytest.mark.parametrize("sparsity", [1.0, 1, -0.1, math.nan, np.float32(1.5)])
def test_sparsity_out_of_range(sparsity):
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), got"):
        pruning.magnitude_mask(network(), sparsity)
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\), got"):
        pruning.random_mask(jax.random.key(0), network(), sparsity)


def test_errors_name_the_leaf():
    params = network()
    with pytest.raises(ValueError, match="no leaf is prunable among bias"):
        pruning.magnitude_mask({"bias": jnp.ones(3)}, 0.5)
    with pytest.raises(ValueError, match="table cannot be pruned: int32 is not floating"):
        pruning.magnitude_mask({"table": jnp.ones((3, 3), int)}, 0.5)
    with pytest.raises(ValueError, match=r"one number, got shape \(2,\)"):
        pruning.magnitude_mask(params, jnp.array([0.1, 0.2]))
    mask = pruning.magnitude_mask(params, 0.5)
    with pytest.raises(ValueError, match="but Conv_0/bias is in the tree only"):
        pruning.apply_mask(params, mask | {"Conv_0": {"kernel": mask["Conv_0"]["kernel"]}})
    other = mask | {"head": {"kernel": jnp.ones((4, 5), bool), "bias": mask["head"]["bias"]}}
    with pytest.raises(ValueError, match=r"head/kernel is \(5, 4\) in params and \(4, 5\) in mask"):
        pruning.masked(optax.sgd(0.1), other).init(params)
    with pytest.raises(ValueError, match="requires the parameters"):
        optimizer = pruning.masked(optax.sgd(0.1), mask)
        optimizer.update(params, optimizer.init(params))
    with pytest.raises(
        ValueError, match=r"head/kernel is \(5, 4\) in the state's mask and \(4, 5\)"
    ):
        pruning.with_mask(optimizer.init(params), other)
    with pytest.raises(ValueError, match=r"a pruning\.MaskedState, got tuple"):
        pruning.with_mask(optax.sgd(0.1).init(params), mask)


# The gradual schedule


def test_gradual_sparsity():
    schedule = lambda t: pruning.gradual_sparsity(t, 130, 0.9, begin=30, initial=0.1)  # noqa: E731
    for step, expected in [(0, 0.1), (30, 0.1), (130, 0.9), (500, 0.9)]:
        assert schedule(step) == expected
    np.testing.assert_allclose(schedule(80), 0.9 - 0.8 / 8, rtol=1e-15)
    np.testing.assert_allclose(schedule(55), 0.9 - 0.8 * 27 / 64, rtol=1e-15)
    traced = jax.vmap(schedule)(jnp.arange(0, 160, 5))
    np.testing.assert_allclose(traced, [schedule(t) for t in range(0, 160, 5)], rtol=1e-6)
    assert traced[-1] == jnp.float32(0.9)
    assert jnp.all(jnp.diff(traced)[6:26] > 0)


def test_gradual_sparsity_names_the_wrong_argument():
    with pytest.raises(ValueError, match="begin must be before end, got 10 and 10"):
        pruning.gradual_sparsity(0, 10, 0.9, begin=10)
    with pytest.raises(ValueError, match=r"final must be in \[0, 1\), got 1.0"):
        pruning.gradual_sparsity(0, 10, 1.0)
