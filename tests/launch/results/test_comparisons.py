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


def test_ratio_is_of_geometric_means():
    found = comparisons.ratio([2.0, 5.0, 6.0], [1.0, 2.0, 3.0])
    logs = np.log([2.0, 2.5, 2.0])
    half = stats.t.ppf(0.975, 2) * np.std(logs, ddof=1) / np.sqrt(3)
    assert found["mean"] == pytest.approx(10 ** (1 / 3))
    assert found["low"] == pytest.approx(np.exp(np.mean(logs) - half))
    assert found["high"] == pytest.approx(np.exp(np.mean(logs) + half))
    assert found["verdict"] == "higher" and found["low"] > 1
    swapped = comparisons.ratio([1.0, 2.0, 3.0], [2.0, 5.0, 6.0])
    assert swapped["mean"] == pytest.approx(1 / found["mean"]) and swapped["verdict"] == "lower"
    single = comparisons.ratio([3.0], [1.0])
    assert single == {
        "mean": pytest.approx(3), "low": None, "high": None, "verdict": "no difference"
    }  # fmt: skip


def test_interval_of_a_rank_correlation_covers_the_true_one():
    """Normal variables of correlation r have the rank correlation 6/pi asin(r/2)."""
    rng, r, n = np.random.default_rng(0), 0.6, 12
    true, covered = 6 / np.pi * np.arcsin(r / 2), []
    for _ in range(300):
        x, noise = rng.normal(size=(2, n))
        found = comparisons.rank_correlation(x, r * x + np.sqrt(1 - r**2) * noise)
        assert found["low"] < found["correlation"] < found["high"]
        covered.append(found["low"] <= true <= found["high"])
    assert 0.91 <= np.mean(covered) <= 0.99


def test_rank_correlations_of_few_or_equal_values():
    found = comparisons.rank_correlation([1, 2, 3, 4, 5], [1, 4, 9, 16, 25])
    assert found["correlation"] == pytest.approx(1) and found["seeds"] == 5
    assert found["low"] is None and found["high"] is None  # the interval would have no width
    few = comparisons.rank_correlation([1, 2, 3], [3, 2, 1])
    assert few == {"correlation": pytest.approx(-1), "low": None, "high": None, "seeds": 3}
    equal = comparisons.rank_correlation([1, 2, 3, 4, 5, 6], [7] * 6)
    assert equal == {"correlation": None, "low": None, "high": None, "seeds": 6}
    assert comparisons.rank_correlation([], [])["seeds"] == 0


def test_shares():
    assert comparisons.share(0, 0) == {"hits": 0, "of": 0, "low": None, "high": None}
    found = comparisons.share(8, 8)
    assert found["low"] == pytest.approx(0.025 ** (1 / 8)) and found["high"] == 1
