import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import grokking as grokking_config
from infojax import losses, training
from infojax.data import modular
from infojax.models.transformer import PairTransformer
from launch import grokking_updates
from launch.experiments import grokking
from tests.models import plain_transformer as plain

P = 11  # modulus
SHAPES = {
    "embed": (P + 1, 12),
    "position": (3, 12),
    "query": (12, 3, 4),
    "key": (12, 3, 4),
    "value": (12, 3, 4),
    "output": (3, 4, 12),
    "mlp_in": (12, 20),
    "mlp_in_bias": (20,),
    "mlp_out": (20, 12),
    "mlp_out_bias": (12,),
    "unembed": (P + 1, 12),
}


@pytest.fixture(scope="module")
def model():
    return PairTransformer(num_tokens=P + 1, d_model=12, num_heads=3, d_mlp=20)


@pytest.fixture(scope="module")
def params():
    """Parameters of size one half, so that attention is far from uniform and biases matter."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape) / 2 for name, shape in SHAPES.items()}


@pytest.fixture(scope="module")
def examples():
    a, b = np.divmod(np.arange(P**2, dtype=np.int32), P)
    return modular.Examples(np.stack([a, b], axis=1), (a * a + 3 * b) % P)


@pytest.fixture
def optax_promotion():
    """optax's Adam raises a Python float to an int32 power, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def _float32(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def test_parameters(model):
    initial = jax.jit(model.init)(jax.random.key(0), np.zeros((1, 2), np.int32))["params"]
    assert {name: x.shape for name, x in initial.items()} == SHAPES
    assert {x.dtype for x in initial.values()} == {jnp.dtype("float32")}


def test_initialisation():
    """Standard deviation 1/sqrt(d_model), for the unembedding 1/sqrt(d_vocab); biases zero."""
    p, d = 113, 128
    init = jax.jit(PairTransformer(num_tokens=p + 1).init)
    initial = init(jax.random.key(1), np.zeros((1, 2), np.int32))["params"]
    assert sum(x.size for x in initial.values()) == 2 * 114 * d + 3 * d + 4 * d * d + 8 * d * d + (
        512 + d
    )
    for name, x in initial.items():
        if name.endswith("bias"):
            assert not np.any(x)
            continue
        expected = 1 / math.sqrt(p + 1 if name == "unembed" else d)
        assert abs(np.std(x) / expected - 1) < 4.5 / math.sqrt(2 * x.size), name
        assert abs(np.mean(x) / expected) < 4.5 / math.sqrt(x.size), name
        assert 3 < np.max(np.abs(x)) / expected < 6.5, name  # not truncated at two deviations
    assert not np.array_equal(initial["query"], initial["key"])
    other = init(jax.random.key(2), np.zeros((1, 2), np.int32))["params"]
    assert not np.array_equal(initial["embed"], other["embed"])


def test_forward_agrees_with_the_plain_model(model, params, examples):
    expected = plain.transformer(np, params, examples.operands, P + 1)
    actual = jax.jit(model.apply)({"params": _float32(params)}, examples.operands)
    for x, y in zip(actual, expected, strict=True):
        assert x.dtype == jnp.float32
        np.testing.assert_allclose(x, y[:, -1], rtol=0, atol=2e-6 * np.abs(y).max())


def test_forward_agrees_in_float64(model, params, examples, x64):
    expected = plain.transformer(np, params, examples.operands, P + 1)
    actual = model.apply({"params": params}, examples.operands)
    for x, y in zip(actual, expected, strict=True):
        np.testing.assert_allclose(x, y[:, -1], rtol=1e-12, atol=1e-13)


def test_operands_are_distinguished(model, params):
    """(a, b) and (b, a) differ, though only in the positions."""
    _, logits = model.apply({"params": _float32(params)}, np.array([[2, 5], [5, 2]], np.int32))
    assert np.max(np.abs(logits[0] - logits[1])) > 0.1


def test_gradients_agree_with_the_plain_model(model, params, examples, x64):
    """For every parameter; the loss weights examples unevenly, and features as well as logits."""
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(P**2, width)) for width in (12, P + 1)]

    def of_package(params):
        features, logits = model.apply({"params": params}, examples.operands)
        return jnp.sum(weights[0] * features**2) + jnp.sum(weights[1] * logits)

    def of_plain(params):
        features, logits = plain.transformer(jnp, params, examples.operands, P + 1)
        return jnp.sum(weights[0] * features[:, -1] ** 2) + jnp.sum(weights[1] * logits[:, -1])

    actual = jax.jit(jax.grad(of_package))(params)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(jax.grad(of_plain))(params)
    for name in SHAPES:
        scale = np.abs(expected[name]).max()
        assert scale > 1e-3, name
        np.testing.assert_allclose(actual[name], expected[name], atol=1e-11 * scale, err_msg=name)


def _smoke():
    config = grokking_config.get_config("smoke")
    config.weight_decay = 0.7
    config.learning_rate = 0.02
    return config


def _adamw(config):
    return plain.AdamW(
        config.learning_rate,
        config.warmup_steps,
        config.beta1,
        config.beta2,
        config.weight_decay,
    )


def test_optimiser_is_adamw_with_warm_up(optax_promotion):
    config = _smoke()
    optimizer, reference = grokking.build(config).update.optimizer, _adamw(config)
    rng = np.random.default_rng(2)
    expected = {"kernel": rng.normal(size=(4, 3)), "bias": rng.normal(size=3)}
    update = jax.jit(optimizer.update)
    params, moved = _float32(expected), []
    opt_state = optimizer.init(params)
    for _ in range(14):
        gradient = {name: rng.normal(size=x.shape) for name, x in expected.items()}
        updates, opt_state = update(_float32(gradient), opt_state, params)
        params = jax.tree.map(jnp.add, params, updates)
        before, expected = expected, reference.update(expected, gradient)
        moved.append(max(np.abs(expected[name] - before[name]).max() for name in expected))
        for name in expected:
            np.testing.assert_allclose(params[name], expected[name], rtol=3e-6, atol=3e-7)
    assert moved[0] == 0
    assert moved[10] > 3 * moved[1] > 0


def test_training_agrees_with_plain_training_in_float64(optax_promotion):
    """Twelve steps of the program, on two devices, against the plain model and AdamW."""
    config = _smoke()
    config.learning_rate = 1e-3
    program, reference = grokking.build(config), _adamw(config)
    fitted, _ = modular.split_examples(config.modulus, "a+b", config.train_fraction, seed=0)
    num_tokens = config.modulus + 1
    initial = jax.jit(program.model.init)(jax.random.key(0), fitted.operands[:1])["params"]
    state = training.init_state(program.update, initial)
    batch = training.shard_padded(fitted, jax.local_device_count())
    replicated = jax.tree.map(lambda x: jnp.stack([x] * jax.local_device_count()), state)
    replicated = program.advance(replicated, batch, 12)
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        loss_of = lambda params: plain.mean_loss(jnp, params, *fitted, num_tokens)  # noqa: E731
        derive = jax.jit(jax.value_and_grad(loss_of))
        expected = {name: np.asarray(x, np.float64) for name, x in initial.items()}
        for _ in range(12):
            loss, gradient = derive(expected)
            expected = reference.update(expected, gradient)
    assert abs(float(replicated.loss[0]) / float(loss) - 1) < 1e-5
    for name, x in expected.items():
        change = np.abs(x - np.asarray(initial[name], np.float64)).max()
        assert change > 1e-3, name
        np.testing.assert_allclose(
            replicated.params[name][0], x, rtol=0, atol=5e-3 * change, err_msg=name
        )


def test_loss_functions_agree(params, examples):
    """The margin-exact loss equals the ordinary one where the latter does not underflow."""
    logits = plain.transformer(np, params, examples.operands, P + 1)[1][:, -1]
    expected = plain.mean_loss(np, params, examples.operands, examples.results, P + 1)
    logits = jnp.asarray(logits, jnp.float32)
    assert set(grokking_updates.LOSSES) == {"margin", "ordinary"}
    assert grokking_updates.LOSSES["margin"] is losses.cross_entropy
    for loss in grokking_updates.LOSSES.values():
        np.testing.assert_allclose(jnp.mean(loss(logits, examples.results)), expected, rtol=1e-6)
