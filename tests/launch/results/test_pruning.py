"""Conclusions of pruning from points with known answers."""

import pytest

from configs import pruning as configs
from launch.results import pruning

CONFIG = configs.get_config("smoke")


def made_up():
    """Points of two seeds: accuracy falls with sparsity, faster at random; MIR is constant."""
    for seed in (0, 1):
        for method, slope in (("one_shot", 0.1), ("random", 0.5)):
            for sparsity in CONFIG.sparsities:
                if sparsity == 0 and method != "one_shot":
                    continue
                accuracy = 0.9 - slope * sparsity + 0.01 * seed * (method == "random")
                metrics = {"accuracy": accuracy, "loss": 1.0, "between_population_hdr": 0.1}
                metrics |= {"population_mir": 0.5, "population_hdr": 0.2}
                for n in (32, 64):
                    metrics |= {f"between_mir_{n}": 0.5 - 0.01 * sparsity, f"mir_{n}": 0.6}
                    metrics |= {f"between_hdr_{n}": 0.0, f"hdr_{n}": 0.3}
                named = {f"test/{name}": value for name, value in metrics.items()} | {
                    "seconds": 3.0
                }
                stages = {"before": named | {"test/accuracy": 0.9 - sparsity}, "after": named}
                yield {"seed": seed, "method": method, "sparsity": sparsity, "weights": 9} | stages


def test_above_chance():
    """The trained network against the least accurate one up to the paper's sparsity."""
    points = list(made_up())
    for p in points:
        for stage in ("before", "after"):
            p[stage] = p[stage] | {"test/corrected_mir_32": 0.4 * (1 - p["sparsity"])}
    summary = pruning.summarize(points, CONFIG)
    observed = summary["observations"]
    expected = {"trained": 0.4, "least accurate": 0.04}
    assert observed["corrected_mir_random"]["measured"] == [pytest.approx(expected)]
    assert observed["corrected_mir_random"]["text"].startswith("pruned at random: MIR")
    assert "between_corrected_mir_random" not in observed
    found = summary["results"]["random"]["0.5"]["after"]["test/corrected_mir_32"]
    assert found["mean"] == pytest.approx(0.2)


def test_summary_of_known_points():
    summary = pruning.summarize(list(made_up()), CONFIG)
    assert summary["seconds"] == 30
    found = summary["results"]["random"]["0.9"]["after"]["test/accuracy"]
    assert found["mean"] == pytest.approx(0.455)
    assert found["std"] == pytest.approx(0.01 / 2**0.5)
    assert summary["results"]["random"]["0.0"] == summary["results"]["one_shot"]["0.0"]
    difference = summary["differences"]["random - one_shot"]["0.9"]["test/accuracy"]
    assert difference["mean"] == pytest.approx(-0.36 + 0.005)
    assert difference["low"] < difference["mean"] < difference["high"]
    observed = summary["observations"]
    assert observed["mir_one_shot"]["measured"] == [pytest.approx([0.491, 0.5])]
    assert observed["mir_one_shot"]["holds"] == [True]
    assert observed["accuracy_one_shot"]["measured"] == [0.0]
    assert observed["accuracy_one_shot"]["holds"] == [None]
    assert observed["self_information"]["measured"] == [pytest.approx({"MIR": 0.5, "HDR": 0})]


@pytest.mark.parametrize(("sparsities", "measured"), [({0.95}, None), ({0.5}, [0.495, 0.495])])
def test_too_few_sparsities_say_nothing_of_a_range(sparsities, measured):
    points = [p | {"sparsity": s} for s in sparsities for p in made_up() if p["sparsity"] == 0.5]
    found = pruning.summarize(points, CONFIG)["observations"]["mir_one_shot"]
    assert found["measured"] == [measured] and found["holds"] == [None]
