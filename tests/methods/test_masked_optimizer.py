"""The masked optimiser: pruned weights stay zero, the others train as without them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from infojax.methods import pruning
from tests.devices import mesh
from tests.methods.networks import KERNELS, N, flat, network


@pytest.fixture
def usual_promotion():
    """Allows Adam in optax to multiply integers by floats."""
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
    """Kernels, and the arrays in the optimiser's state that belong to them."""
    found = [
        (path[-2:], np.asarray(x))
        for path, x in jax.tree_util.tree_leaves_with_path(state.inner)
        if len(path) > 1
    ]
    names = {tuple(map(jax.tree_util.DictKey, kernel)): kernel for kernel in kernels}
    return [(names[end], x) for end, x in found if end in names]


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_zero_and_the_others_train_without_them(name):
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
    # Masked weights that do not enter the loss have no gradient, and 0 does not decay.
    reduced = lambda params: full(pruning.apply_mask(params, mask))  # noqa: E731
    plain = OPTIMIZERS[name]()
    expected, _ = jax.jit(lambda p: train(plain, reduced, p, plain.init(p)))(start)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), got, expected)
    assert full(got) < 0.9 * full(start)


def test_one_update_zeroes_masked_weights():
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
    for (layer, kernel), momentum in momenta(state):  # weight decay leaves no momentum either
        np.testing.assert_array_equal(momentum != 0, mask[layer][kernel])


@pytest.mark.usefixtures("usual_promotion")
@pytest.mark.parametrize("name", ["coupled decay", "by leaf"])
def test_one_compiled_step_serves_growing_masks(name):
    """Gradual pruning replaces the mask in the state and drops the momentum of pruned weights."""
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
        assert np.all(grown | ~flat(mask))  # no weight is restored
        grown = flat(mask)
        np.testing.assert_array_equal(flat(params) != 0, grown)
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
            mesh=mesh(),
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
