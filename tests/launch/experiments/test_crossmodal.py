"""Few-shot fine-tuning: the program against plain loops, the choice of λ, and a run end to end."""

import functools
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from configs import crossmodal as configs
from infojax.data import few_shot
from infojax.errors import UserError
from infojax.losses import cross_modal_alignment
from infojax.models import adapters
from infojax.training.recorder import read_lines
from launch import adaptation, crossmodal, paired, plots, workdir
from tests import features as small
from tests import reference
from tests.launch.launcher import ROOT, Launcher


def smoke(directory, **changes):
    config = configs.get_config("smoke")
    config.data_dir, config.features = str(directory), ("small",)
    for name, value in changes.items():
        config[name] = value
    return config


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("features")
    small.write(directory)
    return directory


@pytest.fixture(scope="module")
def features(directory):
    return few_shot.load(directory, "small")


# Heads


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


# The program

STEPS, LEARNING_RATE, SCALE = 12, 0.05, 4.0


@pytest.fixture(scope="module")
def trained(directory, features):
    """A linear probe of two seeds at four objectives, and what it was trained on."""
    config = smoke(directory, num_steps=STEPS, logit_scale=SCALE, weight_decay=0.1)
    config.alignment_weights = (0.3, 1.0)
    draws = [few_shot.draw_shots(features, 2, seed) for seed in (0, 1)]
    plan = crossmodal._plan(features, draws, range(2), config)
    task = crossmodal._task(features)
    fine_tune = adaptation.make_fine_tune(adapters.LinearProbe(), LEARNING_RATE, config)
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        return task, plan, fine_tune(task, plan), draws


def plainly_trained(task, batches, weight):
    """A head trained in a plain loop, with the gradient of CE and AdamW written out in NumPy."""
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
    got = jax.jit(adaptation.measure)(
        features.images, features.texts, features.labels, test, members
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


# The choice of λ, and comparisons


def test_best_weight_is_that_of_the_validation_images():
    hits = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 0], [1, 1, 1, 0, 1]])
    losses = np.array([[0, 0, 2.0, 2, 0], [9, 9, 1.0, 2, 9], [0, 0, 2.5, 0.4, 0]])
    best = functools.partial(crossmodal._best, losses, hits)
    assert best(few_shot.Shots(np.array([0]), np.array([2, 3]))) == 1  # more hits
    assert best(few_shot.Shots(np.array([0]), np.array([0, 1]))) == 0  # a tie, the first
    losses[0, :2] = 0.1
    assert best(few_shot.Shots(np.array([0]), np.array([0, 1]))) == 2  # a tie, the lower loss


def test_paired_difference_is_that_of_student():
    values, baseline = [0.9, 0.85, 0.95, 0.91], [0.8, 0.86, 0.9, 0.82]
    interval = stats.ttest_rel(values, baseline).confidence_interval(0.95)
    got = paired.difference(values, baseline)
    np.testing.assert_allclose([got["low"], got["high"]], [interval.low, interval.high], rtol=1e-9)
    assert got["mean"] == pytest.approx(0.0575) and got["verdict"] == "no difference"
    assert (
        paired.difference(np.add(baseline, [0.1, 0.11, 0.1, 0.1]), baseline)["verdict"] == "higher"
    )
    assert paired.difference(baseline, np.add(baseline, 0.1))["verdict"] == "lower"
    assert paired.difference([1.0], [0.0]) == {
        "mean": 1.0,
        "low": None,
        "high": None,
        "verdict": "no difference",
    }


# Runs


@pytest.fixture(scope="module")
def finished(directory, tmp_path_factory):
    """A run through the command line."""
    launcher = Launcher(tmp_path_factory.mktemp("launcher"))
    run = tmp_path_factory.mktemp("runs") / "crossmodal"
    arguments = ["--config=configs/crossmodal.py:smoke", f"--workdir={run}"]
    arguments += [f"--config.data_dir={directory}", "--config.features=('small',)"]
    process = subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        cwd=ROOT,
        env=launcher.environment,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.endswith(f"done: {run / 'summary.json'} and {run / 'figures'}\n")
    return run


def test_run_directory(finished):
    names = {p.name for p in finished.iterdir()}
    assert names >= {"config.json", "environment.json", "points.jsonl", "figures", "summary.json"}
    heads = ("linear_probe", "two_adapters")
    assert {p.stem for p in (finished / "figures").iterdir()} == {
        *(f"crossmodal_{x}" for x in ("accuracy", "differences", "weights")),
        *(f"crossmodal_measures_{head}" for head in heads),
    }
    assert all(p.stat().st_size > 20_000 for p in (finished / "figures").iterdir())


def test_points(finished, features):
    before, *points = read_lines(finished / "points.jsonl")
    hits = np.argmax(features.images @ features.texts.T, 1) == features.labels
    assert before["zero_shot"] == {
        "all": pytest.approx(np.mean(hits)),
        "test": pytest.approx(np.mean(hits[features.test])),
    }
    assert [(p["head"], p["shots"]) for p in points] == [
        (head, shots) for head in ("linear_probe", "two_adapters") for shots in (1, 2)
    ]
    for point in points:
        for i, weight in enumerate(point["alignment_weight"]):
            of_weights = point["by_weight"]
            chosen = of_weights[str(weight)]
            assert point["test_accuracy"]["ce_cma"][i] == chosen["test"][i]
            assert chosen["validation"][i] == max(x["validation"][i] for x in of_weights.values())
        for name, values in point["measures"].items():
            shape = (2, 3) if name == "class_entropies" else (2,)
            assert {m: np.shape(x) for m, x in values.items()} == dict.fromkeys(
                crossmodal.METHODS, shape
            )


def test_summary(finished):
    summary = json.loads((finished / "summary.json").read_text())
    points = read_lines(finished / "points.jsonl")[1:]
    assert len(summary["results"]) == 4
    for result, point in zip(summary["results"], points, strict=True):
        accuracy = point["test_accuracy"]
        difference = np.subtract(accuracy["ce_cma"], accuracy["ce"])
        assert result["differences"]["ce_cma - ce"]["mean"] == pytest.approx(np.mean(difference))
        assert result["test_accuracy"]["ce"]["mean"] == pytest.approx(np.mean(accuracy["ce"]))
    gaps = [p["measures"]["modality_gap"] for p in points]
    smaller = sum(bool(np.mean(gap["ce_cma"]) < np.mean(gap["ce"])) for gap in gaps)
    assert summary["observations"]["smaller_gap"]["measured"] == smaller
    verdicts = [r["differences"]["ce_cma - ce"]["verdict"] for r in summary["results"]]
    of_two = [np.array(p["test_accuracy"]["ce_cma"]) for p in points if p["shots"] == 2]
    base = [np.array(p["test_accuracy"]["ce"]) for p in points if p["shots"] == 2]
    expected = paired.difference((of_two[0] + of_two[1]) / 2, (base[0] + base[1]) / 2)
    assert summary["over_models_and_heads"]["2"]["ce_cma - ce"] == pytest.approx(expected)
    assert summary["observations"]["more_accurate"]["measured"] == verdicts.count("higher")
    assert summary["verdicts"]["ce_cma - ce"] == {v: verdicts.count(v) for v in set(verdicts)}


def test_stopped_run_goes_on_to_the_same_numbers(finished, directory, tmp_path):
    """Cut off in the middle of a line, as by a kill."""
    lines = (finished / "points.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "points.jsonl").write_text("".join(lines[:-1]) + lines[-1][:50])
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    config = smoke(directory)
    workdir.prepare(tmp_path, config)
    with jax.numpy_dtype_promotion("standard"):
        crossmodal.run(config, tmp_path)
    timeless = [
        [{k: v for k, v in line.items() if k != "seconds"} for line in read_lines(path)]
        for path in (finished / "points.jsonl", tmp_path / "points.jsonl")
    ]
    assert timeless[0][:-1] == timeless[1][:-1]
    for name in ("test_accuracy", "alignment_weight", "by_weight"):
        assert timeless[0][-1][name] == timeless[1][-1][name]


def test_another_config_is_refused(finished, directory):
    with pytest.raises(UserError, match="adapter_width: 4 there, 5 here"):
        workdir.prepare(finished, smoke(directory, adapter_width=5))


def test_figures_are_of_one_run(finished, tmp_path):
    with pytest.raises(UserError, match="one at a time"):
        plots.draw([finished, finished], tmp_path)
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    with pytest.raises(UserError, match=r"no results yet: none in points\.jsonl"):
        plots.draw([tmp_path], tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ("missing",)}, r"no features at .*missing\.npz: set data_dir"),
        ({"shots": (1, 9)}, "class 'class 0' has 7 training images, fewer than 9 shots"),
        ({"shots": (0,)}, "shots must be at least 1, got 0"),
        ({"heads": ("probe",)}, "heads holds 'probe'; use some of linear_probe"),
        ({"alignment_weights": (0.0, 0.5)}, r"alignment_weights must lie in \(0, 1\], got 0.0"),
        ({"variant": "class"}, "variant = 'class' is unknown; use one of classwise, modal, all"),
        ({"batch_size": 1}, "batch_size must be at least 2, got 1"),
        ({"features": ()}, "features must not be empty"),
    ],
)
def test_bad_config(directory, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        crossmodal.run(smoke(directory, **changes), tmp_path)
    assert not any(tmp_path.iterdir())


def test_unknown_variant():
    with pytest.raises(ValueError, match="unknown variant 'big'; use cpu, paper or smoke"):
        configs.get_config("big")
