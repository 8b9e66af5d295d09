"""Observations as summaries hold them, and spreads over seeds."""

import math

import pytest

from launch.results import observations
from launch.results.observations import Observation, bounded


@pytest.mark.parametrize(("measured", "holds"), [(0.5, True), (0.2, False), (0.0, False)])
def test_bounded(measured, holds):
    assert bounded("x (above 0.2)", measured, lambda x: x > 0.2) == (
        "x (above 0.2)",
        measured,
        holds,
    )


def test_what_was_not_measured_neither_holds_nor_fails():
    """The bound is never evaluated."""
    assert bounded("x (above 0.2)", None, lambda x: 1 / 0) == ("x (above 0.2)", None, None)
    assert Observation("x", 3.0).holds is None


def test_written():
    """One entry per seed; the text of the first."""
    seeds = [
        {"x": Observation("x of 1", 1.0, False), "y": Observation("y", {"a": 2})},
        {"x": Observation("x of 2", None), "y": Observation("y", {"a": 3})},
    ]
    assert observations.written(seeds) == {
        "x": {"text": "x of 1", "measured": [1.0, None], "holds": [False, None]},
        "y": {"text": "y", "measured": [{"a": 2}, {"a": 3}], "holds": [None, None]},
    }


def test_spread():
    assert observations.spread([2.0]) == {"mean": 2.0, "std": None}
    expected = {"mean": 3.0, "std": pytest.approx(math.sqrt(7))}
    assert observations.spread(iter([1.0, 2.0, 6.0])) == expected
    by_pair = observations.spread_by("by_pair", iter([1.0, 2.0, 6.0]))
    assert by_pair == expected | {"by_pair": [1.0, 2.0, 6.0]}


def test_summary():
    histories = [
        [{"step": 0, "seconds": 1.0, "x": 0.0}, {"step": 9, "seconds": 2.5, "x": x}] for x in (1, 4)
    ]

    def observe(history):
        return {"seen": bounded("x seen", float(history[-1]["x"]), lambda x: x > 2)}

    assert observations.summarize(histories, observe) == {
        "steps": 9,
        "seconds": [2.5, 2.5],
        "final": {"x": {"mean": 2.5, "std": pytest.approx(math.sqrt(4.5))}},
        "observations": {
            "seen": {"text": "x seen", "measured": [1.0, 4.0], "holds": [False, True]}
        },
    }
