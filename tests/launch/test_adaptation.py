"""Fine-tuning on frozen features: heads, the compiled program against plain loops, measures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import crossmodal as configs
from infojax.data import few_shot
from infojax.losses import cross_modal_alignment
from infojax.models import adapters
from launch import adaptation
from launch.experiments import crossmodal
from tests import features as small, reference

STEPS, LEARNING_RATE, SCALE = 12, 0.05, 4.0


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    directory = tmp_path_factory.mktemp("features")
    return few_shot.load(directory, small.write(directory))


@pytest.mark.parametrize(
    ("head", "images_move", "texts_move"),
    [
        (adapters.LinearProbe(), False, True),
        (adapters.ImageAdapter(4), True, False),
        (adapters.TwoAdapters(4), True, True),
    ],
)
def test_heads_start_at_zero_shot_and_move_what_they_should(
    features, head, images_move, texts_move
):
    images, texts = jnp.asarray(features.images), jnp.asarray(features.texts)
    params = head.init(jax.random.key(0), images, texts)
    start = head.apply(params, images, texts)
    np.testing.assert_allclose(start[0], images, atol=1e-3)  # float16 is not quite normalised
    np.testing.assert_allclose(start[1], texts, atol=1e-3)
    moved = head.apply(jax.tree.map(lambda x: x + 0.1, params), images, texts)
    assert images_move == bool(np.max(np.abs(moved[0] - start[0])) > 0.01)
    assert texts_move == bool(np.max(np.abs(moved[1] - start[1])) > 0.01)
    if images_move:
        np.testing.assert_allclose(np.linalg.norm(moved[0], axis=1), 1, atol=1e-5)


@pytest.fixture(scope="module")
def trained(features):
    """Task, plan, linear probes of two seeds at four objectives, and their shots."""
    config = configs.get_config("smoke")
    config.update({"num_steps": STEPS, "logit_scale": SCALE, "weight_decay": 0.1})
    config.alignment_weights = (0.3, 1.0)
    draws = [few_shot.draw_shots(features, 2, seed) for seed in (0, 1)]
    plan = crossmodal._plan(features, draws, range(2), config)
    task = crossmodal._task(features)
    fine_tune = adaptation.make_fine_tune(adapters.LinearProbe(), LEARNING_RATE, config)
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        return task, plan, fine_tune(task, plan), draws


def plainly_trained(task, batches, weight):
    """A head trained in a plain loop, with AdamW and the gradient of CE written out in NumPy."""
    head = task.texts.astype(np.float64)
    first, second = np.zeros_like(head), np.zeros_like(head)
    schedule = optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE, 1, STEPS)
    cma = jax.jit(jax.grad(cross_modal_alignment, 1))
    for t, batch in enumerate(batches):
        rows, y = task.features[batch[batch >= 0]], task.labels[batch[batch >= 0]]
        logits = SCALE * rows @ head.T
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        gradient = (1 - weight) * SCALE * (p - np.eye(len(head))[y]).T @ rows / len(rows)
        is_image = (batch >= 0) & (batch < task.num_images)
        images, labels = task.features[batch], np.where(is_image, task.labels[batch], -1)
        gradient = gradient + weight * np.asarray(cma(images, head.astype(np.float32), labels))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        step = first / (1 - 0.9 ** (t + 1)) / (np.sqrt(second / (1 - 0.999 ** (t + 1))) + 1e-8)
        head = head - float(schedule(t)) * (step + 0.1 * head)
    return head


@pytest.mark.parametrize(("seed", "objective", "weight"), [(0, 0, 0), (1, 1, 0), (1, 2, 0.3)])
def test_all_seeds_and_objectives_at_once_equal_plain_loops(trained, seed, objective, weight):
    task, plan, outcome, _ = trained
    expected = plainly_trained(task, plan.batches[seed, objective], weight)
    got = outcome.params["head"][seed, objective]
    assert np.max(np.abs(expected - task.texts)) > 0.1
    np.testing.assert_allclose(got, expected, atol=2e-3)
    logits = SCALE * task.features[: task.num_images] @ np.asarray(got).T
    labels = task.labels[: task.num_images]
    expected_loss = reference.cross_entropy(logits, labels)
    np.testing.assert_allclose(outcome.losses[seed, objective], expected_loss, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(outcome.hits[seed, objective], logits.argmax(1) == labels)


def test_alignment_alone_lowers_the_entropy_of_the_shots(trained):
    task, _, outcome, draws = trained
    for i, drawn in enumerate(draws):
        shots, labels = task.features[drawn.train], task.labels[drawn.train]
        before = cross_modal_alignment(shots, task.texts, labels)
        after = cross_modal_alignment(shots, outcome.params["head"][i, 3], labels)
        assert after < 0.9 * before


def test_batches_of_objectives(trained):
    task, plan, _, draws = trained
    assert plan.batches.shape == (2, 4, STEPS, 8)
    np.testing.assert_array_equal(plan.weights, np.array([0, 0, 0.3, 1], np.float32))
    for drawn, (images, mixed, *others) in zip(draws, plan.batches, strict=True):
        assert set(images.flat) <= {*drawn.train, -1}
        assert set(mixed[:, :4].flat) <= {*drawn.train, -1}
        assert np.all(mixed[:, 4:] >= task.num_images)
        for other in others:
            np.testing.assert_array_equal(other, images)


def test_measures_match_definitions(features):
    members = adaptation.class_members(features)
    test = features.test
    for c, own in enumerate(members):
        assert set(own) - {-1} == set(test[features.labels[test] == c])
    got = jax.jit(adaptation.measure, static_argnums=5)(
        features.images, features.texts, features.labels, test, members, 2
    )
    z, y = features.images[test].astype(float), features.labels[test]
    t = small.normalised(features.texts.astype(float))
    gap = np.linalg.norm(np.mean(small.normalised(z) - t[y], 0))
    np.testing.assert_allclose(got.modality_gap, gap, rtol=1e-5)
    for c in range(3):
        vectors = np.concatenate([z[y == c], t[c : c + 1]])
        entropy = reference.entropy(reference.gram(vectors)) / np.log(len(vectors))
        np.testing.assert_allclose(got.class_entropies[c], entropy, rtol=1e-5)
    expected = reference.sample_interplay(z, y, t)
    np.testing.assert_allclose([got.mir, got.hdr], expected[4:], rtol=1e-4)
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(2)]
    shuffled = [np.asarray(jax.random.permutation(key, y)) for key in keys]
    chance = np.mean([reference.sample_interplay(z, labels, t)[4] for labels in shuffled])
    np.testing.assert_allclose(got.chance_mir, chance, rtol=1e-4)
    corrected = (expected[4] - chance) / (1 - chance)
    np.testing.assert_allclose(got.corrected_mir, corrected, atol=1e-4)
