"""Grids compared with their first point, and the table."""

import pytest

from launch.results import sweep
from launch.results.sweep import Point


def _points(*values):
    return [
        Point({"x": i}, {s: {"m": v, "seconds": 1.0} for s, v in enumerate(row)})
        for i, row in enumerate(values)
    ]


def test_differences_are_paired_by_seed():
    """Seeds differ far more than points do: only a paired comparison shows it."""
    summary = sweep.summarize(_points([1, 5, 9], [1.1, 5.1, 9.1], [1.3, 4.8, 9.0]), ["m"])
    first, second, third = (point["metrics"]["m"] for point in summary["points"])
    assert first["difference"] is None
    assert first["std"] == pytest.approx(4) and first["by_seed"] == [1, 5, 9]
    assert second["difference"]["low"] > 0.0999 and second["difference"]["high"] < 0.1001
    assert third["difference"]["low"] < 0 < third["difference"]["high"]
    assert summary["observations"]["m"]["holds"] == [None]
    assert summary["observations"]["m"]["measured"] == [
        {"differ": 1, "of": 2, "largest_difference": pytest.approx(0.1)}
    ]
    assert summary["seconds"] == 9 and summary["seeds"] == [0, 1, 2]


def test_a_single_point_has_nothing_to_differ_from():
    observed = sweep.summarize(_points([1, 5]), ["m"])["observations"]["m"]
    assert observed["measured"] == [{"differ": 0, "of": 0, "largest_difference": None}]


def test_table():
    lines = sweep.markdown(sweep.summarize(_points([1, 3], [2.5, 3.5]), ["m"])).splitlines()
    assert lines[0] == "| x | m | difference |"
    assert lines[2] == "| 0 | 2.0000 ± 1.4142 |  |"
    assert lines[3].startswith("| 1 | 3.0000 ± 0.7071 | +1.0000 [-5.3531, +7.3531] |")
    one = sweep.markdown(sweep.summarize(_points([1], [2]), ["m"]))
    assert "| 1 | 2.0000 | +1.0000 |" in one
