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
    return _measured(params, state, split, evaluation.Metrics((8, 16), True))


def _measured(params, state, split, metrics):
    head_of = lambda params: (params["w"], params["b"])  # noqa: E731
    assert jax.local_device_count() == 2
    replicated = jax_utils.replicate(params), jax_utils.replicate(state)
    shards = evaluation.shard(split, CHUNK)
    return evaluation.make_measure(_forward, head_of, metrics)("test", *replicated, shards)


@pytest.fixture(scope="module")
def with_chance(problem):
    params, state, split, *_ = problem
    return _measured(params, state, split, evaluation.Metrics((8, 16), True, 1e-3, 1.0, 11))


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


def test_chance_levels_change_no_other_metric(found, with_chance):
    names = (f"{prefix}_mir{size}" for prefix in ("chance", "corrected") for size in ("_8", "_16"))
    added = {f"test/{name}" for name in names}
    added |= {f"test/population_{prefix}_mir" for prefix in ("chance", "corrected")}
    assert with_chance.keys() - found.keys() == added
    assert {name: with_chance[name] for name in found} == found


@pytest.mark.parametrize("n", [8, 16])  # 8 full batches, permuted once or twice, and 4
def test_chance_level_of_batches(problem, with_chance, n):
    """Each of 11 permutations is that of the next full batch, over both devices."""
    params, _, split, features, _ = problem
    values = []
    for i in range(11):
        at = i % (N // n) * n
        y = jax.random.permutation(
            jax.random.fold_in(jax.random.key(0), i), jnp.asarray(split.labels[at : at + n])
        )
        values.append(reference.sample_interplay(features[at : at + n], y, params["w"])[4])
    expected, mir = np.mean(values), with_chance[f"test/mir_{n}"]
    np.testing.assert_allclose(with_chance[f"test/chance_mir_{n}"], expected, rtol=1e-5)
    corrected = (mir - expected) / (1 - expected)
    np.testing.assert_allclose(with_chance[f"test/corrected_mir_{n}"], corrected, atol=1e-5)


def test_chance_level_of_the_split(problem, with_chance):
    params, _, split, features, _ = problem
    statistics = population.Statistics.zeros(C, D).update(features, split.labels)
    level, mir = population.chance_level(statistics, params["w"]).mir, "test/population_mir"
    np.testing.assert_allclose(with_chance["test/population_chance_mir"], level, rtol=1e-5)
    corrected = (with_chance[mir] - level) / (1 - level)
    np.testing.assert_allclose(with_chance["test/population_corrected_mir"], corrected, atol=1e-5)
    assert 0 < level < with_chance[mir]


def test_no_chance_level_of_the_split_at_other_orders(problem):
    params, state, split, *_ = problem
    metrics = evaluation.Metrics((16,), True, 1e-3, 3.0, 2)
    found = _measured(params, state, split, metrics)
    assert "test/corrected_mir_16" in found and "test/population_chance_mir" not in found


def test_shuffled_labels_are_at_chance(problem):
    """Within two errors, at the sizes of one batch and of many."""
    params, state, split, *_ = problem
    labels = np.random.default_rng(5).permutation(split.labels)
    found = _measured(
        params, state, split._replace(labels=labels), evaluation.Metrics((8,), False, 1e-3, 1.0, 64)
    )
    assert abs(found["test/corrected_mir_8"]) < 0.05 < found["test/chance_mir_8"]
