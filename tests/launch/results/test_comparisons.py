"""Paired differences against scipy's."""

import numpy as np
import pytest
from scipy import stats

from launch.results import comparisons


@pytest.mark.parametrize(
    ("values", "baseline"),
    [([0.9, 0.85, 0.95, 0.91], [0.8, 0.86, 0.9, 0.82]), ([0.3, 0.1, 0.4, 0.2], [0, 0, 0, 0])],
)
def test_intervals_are_those_of_student(values, baseline):
    interval = stats.ttest_rel(values, baseline).confidence_interval(0.95)
    found = comparisons.difference(values, baseline)
    np.testing.assert_allclose([found["low"], found["high"]], [interval.low, interval.high], 1e-9)
    assert found["mean"] == pytest.approx(np.mean(values) - np.mean(baseline))


def test_verdicts():
    baseline = np.array([0.8, 0.86, 0.9, 0.82])
    for values, verdict in (
        ([0.9, 0.85, 0.95, 0.91], "no difference"),
        (np.add(baseline, [0.1, 0.11, 0.1, 0.1]), "higher"),
        (baseline - 0.1, "lower"),
    ):
        found = comparisons.difference(values, baseline)
        assert found["verdict"] == verdict
        assert comparisons.is_clear(found) == (verdict != "no difference")


def test_a_single_seed_has_no_interval():
    found = comparisons.difference([1.0], [0.0])
    assert found == {"mean": 1.0, "low": None, "high": None, "verdict": "no difference"}
    assert not comparisons.is_clear(found)
    assert comparisons.described(found, 2) == "+1.00"


def test_described():
    found = {"mean": -0.0125, "low": -0.05, "high": 0.025}
    assert comparisons.described(found) == "-0.0125 [-0.0500, +0.0250]"
    assert comparisons.described(found, 3) == "-0.013 [-0.050, +0.025]"
