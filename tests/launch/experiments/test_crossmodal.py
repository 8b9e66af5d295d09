"""Few-shot fine-tuning: the choice of λ, and a run from the command line to its summary."""

import functools
import json

import jax
import numpy as np
import pytest

from configs import crossmodal as configs
from infojax.data import few_shot
from infojax.errors import UserError
from launch import workdir as workdirs
from launch.experiments import crossmodal
from launch.ledger import read_points
from launch.results import comparisons
from tests import features as small
from tests.launch.launcher import Launcher, done, timeless


def smoke(directory, **changes):
    config = configs.get_config("smoke")
    config.update({"data_dir": str(directory), "features": ("small",), **changes})
    return config


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("features")
    small.write(directory)
    return directory


@pytest.fixture(scope="module")
def features(directory):
    return few_shot.load(directory, "small")


def test_best_weight_is_that_of_the_validation_images():
    hits = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 0], [1, 1, 1, 0, 1]])
    losses = np.array([[0, 0, 2.0, 2, 0], [9, 9, 1.0, 2, 9], [0, 0, 2.5, 0.4, 0]])
    best = functools.partial(crossmodal._best, losses, hits)
    assert best(few_shot.Shots(np.array([0]), np.array([2, 3]))) == 1  # more hits
    assert best(few_shot.Shots(np.array([0]), np.array([0, 1]))) == 0  # a tie, the first
    losses[0, :2] = 0.1
    assert best(few_shot.Shots(np.array([0]), np.array([0, 1]))) == 2  # a tie, the lower loss


@pytest.fixture(scope="module")
def finished(directory, tmp_path_factory):
    """A run through the command line."""
    launcher = Launcher(tmp_path_factory.mktemp("launcher"), "configs/crossmodal.py:smoke")
    run = tmp_path_factory.mktemp("runs") / "crossmodal"
    overrides = [f"--config.data_dir={directory}", "--config.features=('small',)"]
    assert launcher.run(run, *overrides) == (0, done(run, "crossmodal"), "")
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
    before, *points = read_points(finished)
    assert (before["model"], before["head"], before["shots"]) == ("small", None, None)
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
    points = read_points(finished)[1:]
    assert len(summary["results"]) == 4
    for result, point in zip(summary["results"], points, strict=True):
        accuracy = point["test_accuracy"]
        difference = np.subtract(accuracy["ce_cma"], accuracy["ce"])
        assert result["differences"]["ce_cma - ce"]["mean"] == pytest.approx(np.mean(difference))
        assert result["test_accuracy"]["ce"]["mean"] == pytest.approx(np.mean(accuracy["ce"]))
    gaps = [p["measures"]["modality_gap"] for p in points]
    smaller = sum(bool(np.mean(gap["ce_cma"]) < np.mean(gap["ce"])) for gap in gaps)
    assert summary["observations"]["smaller_gap"]["measured"] == [smaller]
    assert summary["observations"]["smaller_gap"]["holds"] == [smaller > 2]
    verdicts = [r["differences"]["ce_cma - ce"]["verdict"] for r in summary["results"]]
    of_two = [np.array(p["test_accuracy"]["ce_cma"]) for p in points if p["shots"] == 2]
    base = [np.array(p["test_accuracy"]["ce"]) for p in points if p["shots"] == 2]
    expected = comparisons.difference((of_two[0] + of_two[1]) / 2, (base[0] + base[1]) / 2)
    assert summary["over_models_and_heads"]["2"]["ce_cma - ce"] == pytest.approx(expected)
    assert summary["observations"]["more_accurate"]["measured"] == [verdicts.count("higher")]
    assert summary["verdicts"]["ce_cma - ce"] == {v: verdicts.count(v) for v in set(verdicts)}


def test_stopped_run_is_resumed_to_the_same_numbers(finished, directory, killed):
    """Killed in the middle of the last line."""
    workdir, config = killed(finished, 4), smoke(directory)
    workdirs.prepare(workdir, config)
    with jax.numpy_dtype_promotion("standard"):
        crossmodal.run(config, workdir)
    expected, got = (timeless(read_points(d)) for d in (finished, workdir))
    assert got[:-1] == expected[:-1] and len(got) == len(expected)
    for name in ("test_accuracy", "alignment_weight", "by_weight"):
        assert got[-1][name] == expected[-1][name]


def test_another_config_is_refused(finished, directory):
    with pytest.raises(UserError, match="adapter_width: 4 there, 5 here"):
        workdirs.prepare(finished, smoke(directory, adapter_width=5))
