"""All metrics of a small network against NumPy, on two devices, with padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import jax_utils

from infojax import collapse, population
from infojax.data.images import Split
from infojax.training import evaluation
from tests import reference

C, D, N, CHUNK = 3, 5, 70, 16


def _forward(params, model_state, images):
    x = images.reshape(len(images), -1).astype(jnp.float32) / 255 - 0.5
    features = jnp.tanh(x @ params["hidden"] + model_state["shift"][None])
    return features, features @ params["w"].T + params["b"][None]


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    params = {"hidden": draw(48, D), "w": draw(C, D), "b": draw(C)}
    images = rng.integers(0, 256, (N, 4, 4, 3), np.uint8)
    labels = rng.integers(0, C, N).astype(np.int32)
    state = {"shift": draw(D)}
    features, logits = jax.device_get(_forward(params, state, images))
    return params, state, Split(images, labels), features, logits


@pytest.fixture(scope="module")
def found(problem):
    params, state, split, *_ = problem
    measure = evaluation.make_measure(
        _forward, lambda params: (params["w"], params["b"]), evaluation.Metrics((8, 16), True)
    )
    assert jax.local_device_count() == 2
    replicated = jax_utils.replicate(params), jax_utils.replicate(state)
    return measure("test", *replicated, evaluation.shard(split, CHUNK))


def test_accuracy_and_loss_are_exact(problem, found):
    *_, split, _, logits = problem
    hits = np.argmax(logits, 1) == split.labels
    assert 0 < np.mean(hits) < 1
    np.testing.assert_allclose(found["test/accuracy"], np.mean(hits), rtol=1e-6)
    loss = np.mean(reference.cross_entropy(logits, split.labels))
    np.testing.assert_allclose(found["test/loss"], loss, rtol=1e-5)


@pytest.mark.parametrize("n", [8, 16])
def test_full_batches_in_order(problem, found, n):
    params, _, split, features, _ = problem
    parts = [slice(s, s + n) for s in range(0, N - n + 1, n)]
    expected = np.mean(
        [reference.sample_interplay(features[p], split.labels[p], params["w"]) for p in parts], 0
    )
    names = ("entropy_features", "entropy_head", None, None, "mir", "hdr")
    for name, value in zip(names, expected, strict=True):
        if name:
            np.testing.assert_allclose(found[f"test/{name}_{n}"], value, rtol=1e-5, err_msg=name)


def test_population_and_collapse(problem, found):
    params, _, split, features, _ = problem
    whole = reference.sample_interplay(features, split.labels, params["w"])
    np.testing.assert_allclose(found["test/population_mir"], whole[4], rtol=1e-5)
    np.testing.assert_allclose(found["test/population_hdr"], whole[5], rtol=1e-5)
    np.testing.assert_allclose(found["test/entropy_features"], whole[0], rtol=1e-5)
    np.testing.assert_allclose(found["test/entropy_head"], whole[1], rtol=1e-5)
    assert found["test/population_mir_error"] == 0
    by_class = reference.class_interplay(features, split.labels, params["w"])
    np.testing.assert_allclose(found["test/class_mir"], by_class[4], rtol=1e-4)
    np.testing.assert_allclose(found["test/class_hdr"], by_class[5], rtol=1e-4)
    statistics = population.Statistics.zeros(C, D).update(features, split.labels)
    collapsed = collapse.neural_collapse(statistics, params["w"], params["b"])
    for name, value in collapsed._asdict().items():
        np.testing.assert_allclose(found[f"test/{name}"], value, rtol=1e-4, err_msg=name)


def test_shards_hold_every_image_once(problem):
    split = problem[2]
    shards = evaluation.shard(split, CHUNK)
    labels = np.concatenate(np.asarray(shards.labels))
    np.testing.assert_array_equal(labels[:N], split.labels)
    assert np.all(labels[N:] == -1)
    images = np.concatenate([np.asarray(chunk) for chunk in shards.images], 1)
    np.testing.assert_array_equal(np.concatenate(images)[:N], split.images)
