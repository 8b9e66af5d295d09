"""Magnitude pruning: exact counts and ties, masks held by any optimiser, on one and two devices."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from infojax import pruning


def network(rng=None, draw=None):
    """Parameters of a small net as flax names them, with many equal magnitudes."""
    rng = rng or np.random.default_rng(0)
    draw = draw or (lambda *shape: np.round(2 * rng.normal(size=shape)) / 2)
    shapes = {
        "Conv_0": {"kernel": (3, 3, 2, 5), "bias": (5,)},
        "BatchNorm_0": {"scale": (5,), "bias": (5,)},
        "head": {"kernel": (5, 4), "bias": (4,)},
    }
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    return jax.tree.map(lambda s: jnp.asarray(draw(*s), jnp.float32), shapes, is_leaf=is_shape)


KERNELS = [("Conv_0", "kernel"), ("head", "kernel")]
N = 3 * 3 * 2 * 5 + 5 * 4


def flat(tree, kernels=KERNELS):
    return np.concatenate([np.asarray(tree[layer][name]).reshape(-1) for layer, name in kernels])


def expected_mask(weights, sparsity):
    """From the definition: a stable sort, and the first floor(s n) go."""
    kept = np.ones(weights.size, bool)
    kept[np.argsort(np.abs(weights), kind="stable")[: math.floor(sparsity * weights.size)]] = False
    return kept


# Masks


@pytest.mark.parametrize("sparsity", [0, 0.1, 0.37, 0.5, 0.7, 0.9, 0.98, 0.995, np.float64(0.3)])
def test_the_smallest_go_and_of_equal_ones_the_first(sparsity):
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


def test_ties_go_in_the_order_of_the_flattened_tree():
    """Which is not that of the names: 10 comes after 2."""
    params = [jnp.ones((2, 3)) for _ in range(12)]
    params[4] = jnp.ones(3)
    mask = pruning.magnitude_mask(params, 0.5)
    kept = np.concatenate([m.reshape(-1) for m in mask if m.ndim == 2])
    np.testing.assert_array_equal(kept, np.arange(66) >= 33)
    assert jnp.all(mask[4])


def test_array_sparsities_are_rounded_in_their_own_precision():
    """In float32 0.9 is below nine tenths, and so is not 10 times 0.9."""
    params = {"kernel": jnp.ones((2, 5))}
    for sparsity in (0.9, np.float32(0.9), jnp.float32(0.9)):
        assert float(pruning.sparsity(pruning.magnitude_mask(params, sparsity))) == np.float32(0.9)
    wide = {"kernel": jnp.ones((400, 500))}
    assert pruning.sparsity(pruning.magnitude_mask(wide, np.float16(0.5))) == 0.5


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16"), ("float64", "float32")])
def test_precisions_are_ranked_together_to_the_last_bit(dtypes, x64):
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


def test_what_is_prunable_is_up_to_the_caller():
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


def test_random_masks_prune_as_many_but_others():
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


def test_bad_masks_are_named():
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
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer = pruning.masked(optax.sgd(0.1), mask)
        optimizer.update(params, optimizer.init(params))
    with pytest.raises(
        ValueError, match=r"head/kernel is \(5, 4\) in the state's mask and \(4, 5\)"
    ):
        pruning.with_mask(optimizer.init(params), other)
    with pytest.raises(ValueError, match=r"that of pruning\.masked, got tuple"):
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


def test_gradual_sparsity_names_what_is_wrong():
    with pytest.raises(ValueError, match="begin must be before end, got 10 and 10"):
        pruning.gradual_sparsity(0, 10, 0.9, begin=10)
    with pytest.raises(ValueError, match=r"final must be in \[0, 1\), got 1.0"):
        pruning.gradual_sparsity(0, 10, 1.0)


# The optimiser


@pytest.fixture
def usual_promotion():
    """Adam in optax multiplies integers with floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


OPTIMIZERS = {
    "nesterov": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "coupled decay": lambda: optax.chain(
        optax.add_decayed_weights(0.1), optax.sgd(0.05, momentum=0.9, nesterov=True)
    ),
    "adamw": lambda: optax.adamw(0.02, weight_decay=0.3),
    "by leaf": lambda: optax.partition(
        {"fast": optax.sgd(0.1, momentum=0.9), "slow": optax.adam(0.01)},
        {"Conv_0": "fast", "BatchNorm_0": "slow", "head": "slow"},
    ),
}
INPUTS = jnp.asarray(np.random.default_rng(5).normal(size=(8, 18)), jnp.float32)
TARGETS = jnp.asarray(np.random.default_rng(6).normal(size=(8, 4)), jnp.float32)


def loss(params, inputs, targets):
    conv, norm, head = params["Conv_0"], params["BatchNorm_0"], params["head"]
    hidden = jnp.tanh(inputs @ conv["kernel"].reshape(18, 5) + conv["bias"][None])
    hidden = hidden * norm["scale"][None] + norm["bias"][None]
    return jnp.mean((hidden @ head["kernel"] + head["bias"][None] - targets) ** 2)


def train(optimizer, loss_fn, params, state, num_steps=20, axis_name=None):
    def step(carry, _):
        params, state = carry
        gradient = jax.grad(loss_fn)(params)
        if axis_name is not None:
            gradient = jax.lax.pmean(gradient, axis_name)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, state), None, num_steps)[0]


def momenta(state, kernels=KERNELS):
    """Arrays of the optimiser's state that belong to a kernel, by the kernel's path."""
    found = [
        (path[-2:], np.asarray(x))
        for path, x in jax.tree_util.tree_leaves_with_path(state.inner)
        if len(path) > 1
    ]
    names = {tuple(map(jax.tree_util.DictKey, kernel)): kernel for kernel in kernels}
    return [(names[end], x) for end, x in found if end in names]


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_zero_and_the_others_train_as_if_alone(name):
    params = jax.tree.map(lambda x: 0.3 * x, network(np.random.default_rng(7)))
    mask = pruning.magnitude_mask(params, 0.7)
    start = pruning.apply_mask(params, mask)
    optimizer = pruning.masked(OPTIMIZERS[name](), mask)
    full = lambda params: loss(params, INPUTS, TARGETS)  # noqa: E731
    got, state = jax.jit(lambda p: train(optimizer, full, p, optimizer.init(p)))(start)
    assert np.all(flat(got)[~flat(mask)] == 0)
    assert len(momenta(state)) >= 2
    for (layer, kernel), momentum in momenta(state):
        kept = np.asarray(mask[layer][kernel])
        assert np.all(momentum[~kept] == 0)
        assert np.any(momentum[kept] != 0)
    # masked weights that do not enter the loss have no gradient, and 0 does not decay
    reduced = lambda params: full(pruning.apply_mask(params, mask))  # noqa: E731
    plain = OPTIMIZERS[name]()
    expected, _ = jax.jit(lambda p: train(plain, reduced, p, plain.init(p)))(start)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), got, expected)
    assert full(got) < 0.9 * full(start)


def test_weights_that_were_not_zero_are_after_one_update():
    params, gradient = network(), network(np.random.default_rng(8))
    gradient["head"]["kernel"] = gradient["head"]["kernel"].at[0, 0].set(jnp.nan)
    mask = pruning.magnitude_mask(params, 0.6)
    mask["head"]["kernel"] = mask["head"]["kernel"].at[0, 0].set(False)
    optimizer = pruning.masked(OPTIMIZERS["coupled decay"](), mask)
    update = jax.jit(lambda g, p: optimizer.update(g, optimizer.init(p), p))
    updates, state = update(gradient, params)
    updated = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(flat(updated) != 0, flat(mask))
    assert len(momenta(state)) == 2
    for (layer, kernel), momentum in momenta(state):  # nor do they decay into momentum
        np.testing.assert_array_equal(momentum != 0, mask[layer][kernel])


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.parametrize("name", ["coupled decay", "by leaf"])
def test_one_compiled_step_serves_growing_masks(name):
    """Gradual pruning: the mask in the state is replaced, momentum of what goes is dropped."""
    params = network(np.random.default_rng(9))
    optimizer = pruning.masked(OPTIMIZERS[name](), pruning.magnitude_mask(params, 0.0))
    state = optimizer.init(params)
    full = lambda params: loss(params, INPUTS, TARGETS)  # noqa: E731
    advance = jax.jit(
        lambda params, state: train(optimizer, full, params, state, 3), donate_argnums=(0, 1)
    )
    grown = np.ones(N, bool)
    for step in range(1, 5):
        mask = pruning.magnitude_mask(params, pruning.gradual_sparsity(step, 4, 0.9))
        old, state = momenta(state), pruning.with_mask(state, mask)
        dropped = 0
        for ((layer, kernel), before), (_, after) in zip(old, momenta(state), strict=True):
            np.testing.assert_array_equal(after, np.where(mask[layer][kernel], before, 0))
            dropped += np.sum(before != after)
        assert step == 1 or dropped > 0
        params, state = advance(params, state)
        assert np.all(grown | ~flat(mask))  # what is gone does not come back
        grown = flat(mask)
        assert np.all(flat(params)[~grown] == 0)
        assert np.all(flat(params)[grown] != 0)
    assert advance._cache_size() == 1
    assert np.sum(~grown) == math.floor(0.9 * N)
    assert float(pruning.sparsity(params)) == np.float32(math.floor(0.9 * N) / N)


@pytest.mark.usefixtures("usual_promotion")
def test_with_mask_inside_a_jitted_step_and_bare_arrays():
    optimizer = pruning.masked(optax.adam(0.1), jnp.ones((2, 2), bool))

    @jax.jit
    def step(params, state, sparsity):
        state = pruning.with_mask(state, pruning.magnitude_mask(params, sparsity))
        updates, state = optimizer.update(params, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    params, state = step(params, optimizer.init(params), 0.25)
    assert (params == 0).tolist() == [[True, False], [False, False]]
    params, state = step(params, state, 0.5)
    assert (params == 0).tolist() == [[True, True], [False, False]]
    assert (state.inner[0].mu == 0).tolist() == [[True, True], [False, False]]
    assert int(state.inner[0].count) == 2


def test_momentum_is_found_by_the_longest_path():
    params = {"kernel": jnp.ones((2, 2)), "inner": {"kernel": jnp.ones((2, 2))}}
    whole = jax.tree.map(lambda x: x > 0, params)
    optimizer = pruning.masked(optax.sgd(0.1, momentum=0.9), whole)
    state = optimizer.update(params, optimizer.init(params), params)[1]
    outer_only = whole | {"kernel": jnp.zeros((2, 2), bool)}
    trace = pruning.with_mask(state, outer_only).inner[0].trace
    assert jnp.all(trace["kernel"] == 0)
    assert jnp.all(trace["inner"]["kernel"] == 1)


@pytest.mark.parametrize("mapping", ["pmap", "shard_map"])
def test_two_devices_keep_zeros(mapping):
    params = network(np.random.default_rng(10))
    mask = pruning.magnitude_mask(params, 0.9)
    optimizer = pruning.masked(OPTIMIZERS["coupled decay"](), mask)

    def fine_tune(params, state, inputs, targets):
        local = lambda params: loss(params, inputs, targets)  # noqa: E731
        return train(optimizer, local, params, state, 5, "batch")

    start = pruning.apply_mask(params, mask)
    args = start, optimizer.init(start), INPUTS, TARGETS
    if mapping == "pmap":
        halves = [x.reshape(2, 4, -1) for x in args[2:]]
        mapped = jax.pmap(fine_tune, axis_name="batch", in_axes=(None, None, 0, 0))
        got = jax.tree.map(lambda x: x[1], mapped(*args[:2], *halves)[0])
    else:
        mapped = jax.shard_map(
            fine_tune,
            mesh=jax.make_mesh((2,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,)),
            in_specs=(P(), P(), P("batch"), P("batch")),
            out_specs=P(),
            check_vma=False,
        )
        got = jax.jit(mapped)(*args)[0]
    assert np.sum(flat(got) == 0) == np.sum(~flat(mask)) == math.floor(0.9 * N)
    assert np.all(flat(got)[~flat(mask)] == 0)
    alone = jax.jit(lambda p, s: train(optimizer, lambda p: loss(p, INPUTS, TARGETS), p, s, 5))(
        *args[:2]
    )[0]
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), got, alone)
