"""Fine-tuning under masks: comparison with the features before, gradual masks, exact zeros."""

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import training
from launch import classification, fine_tuning
from tests import reference
from tests.launch.pruning_problem import KERNELS, build, kernels, smoke


@pytest.fixture(scope="module")
def program():
    return build()


@pytest.fixture(scope="module")
def template(program):
    """An untrained state with a mask."""
    start = classification.init_state(program.network, program.finetune, 0)
    return training.init_state(program.network.update, start.params, start.model_state)


@pytest.fixture(scope="module")
def trained(program, template):
    source = classification.make_source(program.network, program.finetune, 0)
    return fine_tuning.Trained(0, template.params, template.model_state, [], 0.0, source)


def test_comparison_against_numpy():
    """On two devices, with padding; the incomplete batch is ignored."""
    rng = np.random.default_rng(0)
    z, v = (rng.normal(size=(44, d)).astype(np.float32) for d in (5, 3))
    labels = np.where(np.arange(48) < 44, 1, -1).astype(np.int32)
    pad = lambda x: np.pad(x, ((0, 4), (0, 0))).reshape(2, 3, 8, -1)  # noqa: E731
    chunks = [[training.put_shards(pad(x)[:, i]) for i in range(3)] for x in (z, v)]
    compare = fine_tuning.make_compare((4, 8), 3)
    found = training.single(compare(*chunks, training.put_shards(labels.reshape(2, 24))))
    for n, count in ((4, 11), (8, 5)):
        parts = [slice(n * i, n * i + n) for i in range(count)]
        shared = np.mean([reference.interplay(z[p], v[p]) for p in parts], 0)
        np.testing.assert_allclose(found[f"between_mir_{n}"], shared[4], rtol=1e-5)
        np.testing.assert_allclose(found[f"between_hdr_{n}"], shared[5], rtol=1e-4)
        keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(3)]
        orders = [np.asarray(jax.random.permutation(key, n)) for key in keys]
        pairs = [(z[p], v[p][o]) for p, o in zip(parts, orders, strict=False)]
        expected = np.mean([reference.interplay(*pair)[4] for pair in pairs])
        np.testing.assert_allclose(found[f"between_chance_mir_{n}"], expected, rtol=1e-5)
        corrected = (shared[4] - expected) / (1 - expected)
        np.testing.assert_allclose(found[f"between_corrected_mir_{n}"], corrected, atol=1e-5)


def test_gradual_pruning_does_not_depend_on_dispatches(program, trained, template):
    """Masks are renewed at the same steps however the steps are grouped."""
    states = []
    for counts in ((6,), (1, 2, 3), (3, 3)):
        state = training.replicate(template)
        for count in counts:
            state = fine_tuning.advance_gradually(program, trained, 0.9, state, count)
        states.append(training.single(state))
    for other in states[1:]:
        jax.tree.map(np.testing.assert_array_equal, states[0], other)
    assert np.sum(kernels(states[0].params) == 0) == math.floor(0.9 * KERNELS)
    middle = fine_tuning.advance_gradually(program, trained, 0.9, training.replicate(template), 3)
    sparsity = 0.9 * (1 - 0.5**3)  # after two of four steps
    zeros = np.sum(kernels(training.single(middle).params) == 0)
    assert zeros == math.floor(sparsity * KERNELS)


def test_a_nonzero_masked_weight_in_a_checkpoint_is_reported(program, trained, template, tmp_path):
    state = fine_tuning.with_sparsity(program, template, 0.5)
    kernel = state.params["stem"]["kernel"]
    spoilt = state.params | {"stem": {"kernel": jnp.ones_like(kernel)}}
    for step, params in enumerate((state.params, spoilt)):
        with contextlib.closing(training.Checkpoints(tmp_path / "checkpoints")) as checkpoints:
            checkpoints.save(step, state.replace(params=params))
        if step == 0:
            counted = fine_tuning.check_zeros(program, tmp_path, template, 0.5)
            assert counted == {"weights": KERNELS, "zeros": math.floor(0.5 * KERNELS)}
            with pytest.raises(RuntimeError, match=r"sparsity 0\.6 of \d+ weights"):
                fine_tuning.check_zeros(program, tmp_path, template, 0.6)
    with pytest.raises(RuntimeError, match=r"\d+ masked weights, [1-9]\d* of them not zero"):
        fine_tuning.check_zeros(program, tmp_path, template, 0.5)


def test_head_is_pruned_if_so_configured():
    for prune_head in (True, False):
        head = frozenset({"head/kernel", "head/bias"})
        program = fine_tuning.Program(smoke(prune_head=prune_head), *[None] * 5, head)
        assert program.prunable("head/kernel", np.ones((2, 2))) == prune_head
        assert program.prunable("stem/kernel", np.ones((2, 2)))
        assert not program.prunable("head/bias", np.ones(2))
        assert not program.prunable("norm/scale", np.ones(2))
