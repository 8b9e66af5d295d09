import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.grokking import get_config
from infojax import losses
from infojax.data import modular
from infojax.errors import UserError
from infojax.models.transformer import PairTransformer
from launch import grokking_updates as updates

FITTED, _ = modular.split_examples(13, "a+b", 0.3, seed=0)


def _config(**changes):
    config = get_config("smoke")
    config.update({"information_batch_size": 12, **changes})
    updates.check(config)
    return config


@functools.cache
def _model():
    return PairTransformer(num_tokens=14, d_model=16, num_heads=2, d_mlp=32)


def _outputs(params, operands):
    return _model().apply({"params": params}, operands)


@functools.cache
def _params():
    return jax.jit(_model().init)(jax.random.key(0), FITTED.operands[:1])["params"]


@functools.cache
def _compiled(changes):
    """Loss and gradient by parameters, model state, batch and index."""
    loss_fn = updates.make_update(_config(**dict(changes)), _outputs).loss_fn
    return jax.jit(jax.value_and_grad(lambda *arguments: loss_fn(*arguments)[0]))


def _loss(changes=(), model_state=None, index=0, seed=0, num_devices=1):
    """Loss and gradient on the first device."""
    batch = updates.batch_of(_config(**dict(changes)), FITTED, seed, num_devices)
    batch = jax.tree.map(lambda x: x[0], batch)
    return _compiled(changes)(_params(), model_state or {}, batch, jnp.int32(index))


MI, ID = (("mi_weight", 1.0),), (("id_weight", 1.0),)


def _terms(**drawn):
    """What each weight of 1 adds to the loss."""
    return [float(_loss(weight, **drawn)[0] - _loss()[0]) for weight in (MI, ID)]


def test_information_of_a_training_batch_drawn_at_every_step():
    """Features against head rows of distinct examples; by seed and step alone."""
    gain, cost = _terms()
    assert gain < -0.1 and cost > 0.01
    assert _terms() == [gain, cost]
    assert len({tuple(_terms(index=i, seed=s)) for i, s in [(0, 0), (1, 0), (0, 1)]}) == 3
    everything = (*MI, ("information_batch_size", len(FITTED.results)))
    features, _ = _outputs(_params(), FITTED.operands)
    head = _params()["unembed"][FITTED.results]
    expected = losses.information_loss(features, head, 1.0, 0.0)
    np.testing.assert_allclose(_loss(everything)[0] - _loss()[0], expected, rtol=1e-4)


def test_information_without_an_eigensolver():
    by_squarings = _loss((*MI, *ID, ("information_entropy", "squarings")))[0]
    np.testing.assert_allclose(by_squarings, _loss((*MI, *ID))[0], rtol=1e-5)
    assert by_squarings != _loss((*MI, *ID))[0]


def test_weights_of_either_sign():
    gain, cost = _terms()
    changed = _loss((("mi_weight", -0.5), ("id_weight", -2.0)))[0] - _loss()[0]
    np.testing.assert_allclose(changed, -0.5 * gain - 2 * cost, rtol=1e-4)


def test_every_replica_adds_the_same_information():
    shares = [_loss(MI, num_devices=k)[0] - _loss(num_devices=k)[0] for k in (1, 2)]
    np.testing.assert_allclose(*shares, rtol=1e-5)


def test_information_until_generalisation():
    before, after = ({"generalised": jnp.float32(step)} for step in (-1, 40))
    for expected, state in ((MI, before), ((), after)):
        actual = _loss((*MI, ("information_until", "generalisation")), state)
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
            actual,
            _loss(expected),
        )


def test_generalisation_is_noted_once():
    update = updates.make_update(_config(), _outputs)
    state = updates.init_state(_config(stop_after=30), update, _params())
    for step, accuracy in [(10, 0.5), (20, 0.99), (30, 0.995), (40, 0.2), (50, 1.0)]:
        state = state.replace(step=jnp.int32(step))
        state = updates.note_generalisation(state, {"test/accuracy": accuracy})
        assert float(state.model_state["generalised"]) == (30 if step >= 30 else -1)
        assert updates.finished(30, state) == (step >= 60)
    assert updates.finished(20, state) and not updates.finished(0, state)


def test_a_run_without_interventions_keeps_no_more_state():
    update = updates.make_update(_config(), _outputs)
    state = updates.init_state(_config(), update, _params())
    assert state.model_state == {}
    assert updates.note_generalisation(state, {"test/accuracy": 1.0}) is state
    jax.tree.map(np.testing.assert_array_equal, state.params, _params())
    assert len(updates.batch_of(_config(), FITTED, 0, 2)) == 2


def test_scale_and_precision_of_the_initial_weights():
    update = updates.make_update(_config(), _outputs)
    for config, factor in [(_config(init_scale=3.0), 3), (_config(precision="float64"), 1)]:
        with updates.in_precision(config):
            state = updates.init_state(config, update, _params())
            jax.tree.map(
                lambda x, y, f=factor: np.testing.assert_array_equal(x, f * np.asarray(y)),
                state.params,
                _params(),
            )
            assert {x.dtype.name for x in state.params.values()} == {config.precision}
            assert state.loss.dtype == state.lowest_loss.dtype == config.precision
    assert jnp.ones(1).dtype == jnp.float32  # float64 ends with its run


@pytest.mark.parametrize("name", ["grokfast_ema", "grokfast_ma", "orthogonal"])
def test_filters_precede_the_optimiser(name):
    """AdamW sees the filtered gradients of three steps."""
    config = _config(gradient_filter=name, grokfast_window=2, learning_rate=0.1, warmup_steps=1)
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}
    plain = updates.make_update(_config(learning_rate=0.1, warmup_steps=1), _outputs).optimizer
    whole, own = updates.make_update(config, _outputs).optimizer, updates._FILTERS[name](config)
    states, differ = [x.init(params) for x in (whole, own, plain)], []
    with jax.numpy_dtype_promotion("standard"):  # optax raises floats to integers
        for _ in range(3):
            gradient = {"w": jnp.asarray(rng.normal(size=(3, 4)), jnp.float32)}
            moved, states[0] = whole.update(gradient, states[0], params)
            filtered, states[1] = own.update(gradient, states[1], params)
            expected, states[2] = plain.update(filtered, states[2], params)
            np.testing.assert_allclose(moved["w"], expected["w"], rtol=1e-6)
            differ.append(float(jnp.max(jnp.abs(filtered["w"] - gradient["w"]))))
    assert differ[-1] > 0.1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loss": "hinge"}, ["loss", "margin or ordinary"]),
        ({"gradient_filter": "adam"}, ["gradient_filter", "none", "orthogonal"]),
        ({"precision": "float16"}, ["precision", "float32 or float64"]),
        ({"information_until": "ever"}, ["information_until", "generalisation"]),
        ({"information_until": "generalisation"}, ["information_until", "mi_weight"]),
        ({"information_batch_size": 1}, ["information_batch_size", "at least 2"]),
        ({"stop_after": -1}, ["stop_after", "at least 0"]),
        ({"grokfast_alpha": 1.0}, ["grokfast_alpha", "[0, 1)"]),
        ({"grokfast_window": 0}, ["grokfast_window", "at least 1"]),
        ({"mi_weight": float("nan")}, ["mi_weight", "finite"]),
        ({"init_scale": 0.0}, ["init_scale", "positive"]),
        ({"beta2": 1.0}, ["beta2", "[0, 1)"]),
    ],
)
def test_settings_that_cannot_be_run(changes, words):
    with pytest.raises(UserError) as caught:
        _config(**changes)
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)
