"""Observations of similarity on curves with known relations."""

from pathlib import Path

import numpy as np
import pytest

from launch.results import similarity
from launch.runs import Run

STEPS = range(0, 13)


def _history(seed):
    """Accuracy is MIR; the entropy of the features is noise, the entropy of the head constant."""
    rng = np.random.default_rng(seed)
    return [_record(step, rng) for step in STEPS]


def _record(step, rng):
    along, noise = step / 12, rng.normal()
    measures = {
        **{"accuracy": along, "mir_64": 0.3 + 0.4 * along, "hdr_64": noise},
        **{"entropy_features": noise, "entropy_head": 2.2, "nc1": 1 - along},
        **{"within_class_entropy": 1 - along, "cosine_within": along, "silhouette": along},
        **{"class_mean_entropy": along, "cosine_between": along, "nmi": noise},
        **{"error_from_head": 0.9, "rank_bound_from_head": 0.8},
        **{"effective_bound_from_head": 0.95, "error_from_features": 0.1},
        **{"rank_bound_from_features": 0.0, "effective_bound_from_features": 0.1 * along},
    }
    return {"step": step} | {f"test/{name}": value for name, value in measures.items()}


@pytest.fixture(scope="module")
def summary():
    return similarity.summarize([_history(seed) for seed in range(4)], "test", 64)


def _holds(summary, name):
    return summary["observations"][name]["holds"][0]


def test_correlations(summary):
    observed = summary["observations"]["within_class_entropy_cosine_within"]
    assert observed["measured"] == [pytest.approx({"mean": -1, "low": -1, "high": -1})]
    assert observed["holds"] == [True]
    assert _holds(summary, "class_mean_entropy_accuracy") is True
    assert _holds(summary, "class_mean_entropy_cosine_between") is False  # of the other sign
    assert _holds(summary, "within_class_entropy_nmi") is None  # the interval holds 0
    (interval,) = summary["observations"]["within_class_entropy_nmi"]["measured"]
    assert -1 <= interval["low"] < 0 < interval["high"] <= 1


def test_predictions(summary):
    """MIR tells the accuracy; noise and a constant do not."""
    errors = {name: np.mean(values) for name, values in summary["prediction"].items()}
    assert errors["mir_64"] < 1e-3 < 0.1 < min(errors["entropy_features"], errors["hdr_64"])
    assert errors["entropy_head"] == pytest.approx(errors["constant"])
    for alone in ("entropy_features", "entropy_head"):
        assert _holds(summary, f"mir_64_against_{alone}") is True


def test_bounds(summary):
    """Smallest slack over training, and at the end."""
    (found,) = summary["observations"]["effective_bound_from_features"]["measured"]
    assert found == pytest.approx({"smallest": 0, "at_the_end": 0})
    holds = {
        **{"rank_bound_from_head": True, "effective_bound_from_head": False},
        **{"rank_bound_from_features": True, "effective_bound_from_features": True},
    }
    assert {name: _holds(summary, name) for name in holds} == holds


def test_bounds_hold_at_initialisation_too():
    """Step 0 is part of training for them, unlike for correlations."""
    history = _history(0)
    history[0]["test/effective_bound_from_features"] = 0.5
    summary = similarity.summarize([history, _history(1)], "test", 64)
    assert _holds(summary, "effective_bound_from_features") is False
    assert _holds(summary, "class_mean_entropy_accuracy") is True


def test_few_evaluations():
    summary = similarity.summarize([_history(s)[:5] for s in range(3)], "test", 64)
    assert summary["observations"]["class_mean_entropy_accuracy"]["measured"] == [None]


def test_one_seed():
    """No interval, and no other seed to predict from."""
    summary = similarity.summarize([_history(0)], "test", 64)
    assert summary["prediction"] == {}
    (found,) = summary["observations"]["class_mean_entropy_accuracy"]["measured"]
    assert found == {"mean": pytest.approx(1), "low": None, "high": None}


def _network(name, model, seeds):
    config = {"model": model, "mlp_depth": 2, "mlp_width": 64, "dataset": "digits"}
    config |= {"metric_batch_sizes": [64], "validation_fraction": 0.0}
    return Run(name, Path(name), config, [_history(seed) for seed in seeds])


def test_across_networks():
    """MIR has one relation to accuracy in all of them; the entropy of the head rows has none."""
    points = [_network("model=mlp", "mlp", (0, 1)), _network("model=own", "own:net", (2, 3, 4))]
    found, text = similarity.compare(points)
    across = found["comparison"]
    assert across["networks"] == ["MLP-2x64", "own:net"]
    errors = across["prediction"]
    assert {name: len(each) for name, each in errors.items()} == dict.fromkeys(errors, 2)
    assert max(errors["mir_64"]) < 1e-3 < 0.1 < min(errors["entropy_features"])
    assert errors["entropy_head"] == pytest.approx(errors["constant"])
    assert "| predicted from | MLP-2x64 | own:net |" in text.splitlines()
    words = across["observations"]["mir_64_against_entropy_head"]["text"]
    assert words.startswith("accuracy of a left-out network's evaluations, predicted from MIR")


def test_one_network():
    """As in a grid of which one point is finished: nothing to predict from."""
    found, _ = similarity.compare([_network("model=mlp", "mlp", (0,))])
    assert found["comparison"]["prediction"] == found["comparison"]["observations"] == {}


def test_points_with_the_same_network_have_their_own_names():
    points = [_network(f"learning_rate={x}", "mlp", (0,)) for x in (0.1, 0.2)]
    assert similarity.names(points) == ["learning_rate=0.1", "learning_rate=0.2"]
