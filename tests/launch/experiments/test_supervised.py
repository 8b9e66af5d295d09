"""The step of image classification: its definition, devices, and the papers' settings."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import cifar10, cifar100
from infojax import losses, training
from infojax.data import images
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.models.wide_resnet import WideResNet
from launch import classification, networks, updates
from launch.experiments import supervised
from tests import reference
from tests.launch.experiments import supervised_problem as problem
from tests.launch.launcher import ROOT


@pytest.fixture(scope="module")
def program():
    return classification.build(problem.config())


def _advanced(program, settings, steps, seed=3):
    state = training.replicate(classification.init_state(program, settings, seed))
    source = classification.make_source(program, settings, seed)
    return jax.device_get(training.single(program.advance(state, source, steps)))


def _batch(settings, data, seed, step):
    """The batch of a step from the key alone: shuffled epochs, random crops."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    b = settings.batch_size
    positions = jnp.arange(step * b, (step + 1) * b, dtype=jnp.int32)
    rows = shuffled_epochs(jax.random.fold_in(key, 0), positions, len(data.train.labels))
    x = flip_and_crop(
        jax.random.fold_in(key, 1),
        jnp.asarray(data.train.images),
        rows,
        positions,
        settings.crop_padding,
        settings.flip,
    )
    x = (np.asarray(x) / 255 - data.mean) / data.std
    return jnp.asarray(x, jnp.float32), jnp.asarray(data.train.labels)[rows]


def _trained_in_a_loop(settings, data, state, steps):
    """One network on whole batches, with SGD written out.

    Returns:
      Parameters, network state and moving average, by name; features, head rows, labels and logits
      of the last batch; and its loss.
    """
    model = WideResNet(10, depth=10, width=1, decay=settings.batchnorm_decay)

    def loss_fn(params, model_state, x, y):
        (z, logits), model_state = model.apply(
            {"params": params, **model_state}, x, train=True, mutable=["batch_stats"]
        )
        v = params["head"]["kernel"].T[y]
        loss = jnp.mean(losses.cross_entropy(logits, y, 0.1))
        return loss + losses.information_loss(z, v, 0.2, 0.3), (model_state, z, v, logits)

    derive = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    params, model_state, ema = state.params, state.model_state, state.params
    momentum = jax.tree.map(np.zeros_like, params)
    for t in range(steps):
        x, y = _batch(settings, data, 3, t)
        (loss, (model_state, z, v, logits)), gradient = derive(params, model_state, x, y)
        rate = np.float32(0.1 * np.cos(7 * np.pi * t / (16 * settings.num_steps)))
        decay = lambda g, p: g + np.float32(5e-4 if p.ndim > 1 else 0) * p  # noqa: E731
        gradient = jax.tree.map(decay, gradient, params)
        momentum = jax.tree.map(lambda m, g: np.float32(0.9) * m + g, momentum, gradient)
        ahead = jax.tree.map(lambda m, g: g + np.float32(0.9) * m, momentum, gradient)
        params = optax.tree_utils.tree_add_scale(params, -rate, ahead)
        ema = jax.tree.map(lambda e, p: np.float32(0.5) * (e + p), ema, params)
    trees = {"params": params, "ema": ema, "model_state": model_state}
    return trees, (z, v, y, logits), loss


def test_steps_are_sgd_on_the_papers_loss(program):
    """Three steps on two devices against one."""
    settings = problem.config()
    state = classification.init_state(program, settings, 3)
    trees, (z, v, y, logits), loss = _trained_in_a_loop(settings, program.data, state, 3)
    after = _advanced(program, settings, 3)
    np.testing.assert_allclose(after.loss, loss, rtol=1e-5)
    for name, expected in trees.items():
        got, want = problem.flat(getattr(after, name)), problem.flat(expected)
        np.testing.assert_allclose(got, want, atol=2e-5 * np.abs(want).max(), err_msg=name)
    k1, k2 = reference.gram(z), reference.gram(v)
    information = reference.mutual_information(k1, k2)
    difference = abs(reference.entropy(k1) - reference.entropy(k2))
    ce = np.mean(reference.cross_entropy(logits, y, 0.1))
    terms = {"mutual_information": information, "entropy_difference": difference}
    terms |= {"cross_entropy": ce, "mir": reference.mir(k1, k2), "hdr": reference.hdr(k1, k2)}
    for name, value in terms.items():
        np.testing.assert_allclose(after.terms[name], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(after.loss, ce - 0.2 * information + 0.3 * difference, rtol=1e-4)
    accuracy = np.mean(np.argmax(logits, 1) == np.asarray(y))
    np.testing.assert_allclose(after.terms["accuracy"], accuracy, rtol=1e-6)


def test_one_program_serves_seeds_and_weights(program, monkeypatch):
    """Nothing is traced again, and each value has an effect."""
    settings = problem.config()
    first = problem.flat(_advanced(program, settings, 2).params)
    monkeypatch.setattr(losses, "global_interplay", None)  # tracing the loss would fail
    others = [
        {"mi_weight": 0.0}, {"id_weight": 0.0}, {"label_smoothing": 0.5},
        {"learning_rate": 0.01}, {"weight_decay": 0.1},
    ]  # fmt: skip
    assert set(supervised.TRACED) == {"seed"}.union(*others)
    for change in others:
        other = _advanced(program, problem.config(**change), 2)
        assert np.abs(problem.flat(other.params) - first).max() > 1e-5, change
    other = _advanced(program, settings, 2, seed=4)
    assert np.abs(problem.flat(other.params) - first).max() > 1e-2
    np.testing.assert_array_equal(problem.flat(_advanced(program, settings, 2).params), first)


def test_ratios_as_terms():
    settings = problem.config(information_terms="ratios", mi_weight=0.7, id_weight=0.4)
    state = _advanced(classification.build(settings), settings, 1)
    terms = state.terms
    expected = terms["cross_entropy"] - 0.7 * terms["mir"] + 0.4 * terms["hdr"]
    np.testing.assert_allclose(state.loss, expected, rtol=1e-5)


def test_information_losses_without_an_eigensolver():
    """What the losses change in two updates is the same as by eigenvalues."""
    found = {}
    for route, weight in (("eigenvalues", 0), ("eigenvalues", 0.7), ("squarings", 0.7)):
        settings = problem.config(information_entropy=route, mi_weight=weight, id_weight=weight)
        state = _advanced(classification.build(settings), settings, 2)
        found[route, weight] = problem.flat(state.params)
    without, one, other = found.values()
    assert 0 < np.linalg.norm(other - one) < 0.01 * np.linalg.norm(one - without)


@pytest.mark.slow
def test_eight_devices_equal_one():
    """Losses, gradients (through the parameters and momentum) after 1 and 20 steps."""
    results = {}
    for devices in (1, 8):
        flags = os.environ["XLA_FLAGS"].replace("device_count=2", f"device_count={devices}")
        done = subprocess.run(
            [sys.executable, "-m", problem.__name__],
            cwd=ROOT,
            env={**os.environ, "XLA_FLAGS": flags},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert found["devices"] == devices
        results[devices] = found["results"]
    for steps in ("1", "20"):
        one, eight = results[1][steps], results[8][steps]
        for name, x in one.items():
            x, y = np.array(x), np.array(eight[name])
            assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(x), (steps, name)
    assert results[1]["1"]["loss"] != results[1]["20"]["loss"]


def test_optimizer_under_strict_settings():
    """Weight decay touches kernels only; the rate ends at cos(7π/16) of its start."""
    settings = problem.config(weight_decay=0.1, learning_rate=1.0)
    optimizer = updates.make_optimizer(settings)
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    state = optimizer.init(params)
    zeros = jax.tree.map(jnp.zeros_like, params)
    update = jax.jit(optimizer.update)
    change, state = update(zeros, state, params)
    np.testing.assert_allclose(change["kernel"], -0.1 * 1.9, rtol=1e-6)
    assert not np.any(change["bias"])
    for _ in range(settings.num_steps - 1):
        change, state = update(zeros, state, params)
    trace = 0.1 * (1 - 0.9 ** (settings.num_steps)) / 0.1
    last = np.cos(7 * np.pi / 16 * (settings.num_steps - 1) / settings.num_steps)
    np.testing.assert_allclose(change["kernel"], -last * (0.1 + 0.9 * trace), rtol=1e-4)


@pytest.mark.parametrize(("module", "width", "d"), [(cifar10, 2, 10), (cifar100, 8, 100)])
def test_paper_variants_are_the_papers_settings(module, width, d):
    config = module.get_config("paper")
    expected = {
        "depth": 28, "width": width, "batch_size": 64, "num_steps": 2**20, "learning_rate": 0.03,
        "momentum": 0.9, "weight_decay": 5e-4, "ema_decay": 0.999, "batchnorm_decay": 0.999,
        "label_smoothing": 0.0, "mi_weight": 0.0, "id_weight": 0.0, "crop_padding": 4,
        "flip": True, "train_size": 0, "metric_batch_sizes": (64,), "num_groups": 3,
        "first_stride": 1, "compute_dtype": "float32", "model": "wide_resnet",
        "wide_resnet_form": "torchssl",
    }  # fmt: skip
    assert {name: config[name] for name in expected} == expected
    supervised.check(config)
    model = networks.make_model(config, (32, 32, 3), d)
    x = jnp.zeros((2, 32, 32, 3))
    params, _ = jax.eval_shape(model.init, jax.random.key(0), x)
    head = params["head"]["kernel"]
    assert head.shape == (64 * width, d)


def test_standardise():
    data = images.load("digits")
    x = updates.standardise(data, jnp.asarray(data.train.images))
    np.testing.assert_allclose([jnp.mean(x), jnp.std(x)], [0, 1], atol=1e-4)
