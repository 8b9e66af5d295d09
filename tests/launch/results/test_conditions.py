"""Conditions with known answers: who generalises, what moves, and ratios of onsets."""

import pytest

from launch.results import conditions
from launch.results.ensembles import condition
from launch.runs import Run
from tests.launch.results.curves import N, history


def _run(name, *histories):
    return Run(
        name, None, {"metric_batch_sizes": [4, N], "seed": 3, "early_epoch": 500}, list(histories)
    )


PLAIN = _run("decay=1,task=a+b", *(history(at=at) for at in (800, 1_500, 2_400)))
SLOW = _run("decay=1,task=a*b", *(history(at=at) for at in (1_200, 2_100, 2_900)))
NEVER = _run("decay=0,task=a+b", *(history(mir=None, hdr=None) for _ in range(3)))


def _compared(*runs):
    summary, table = conditions.compare(list(runs))
    return summary["comparison"], table


def test_both_statements_hold():
    found, _ = _compared(PLAIN, SLOW, NEVER)
    for name in ("mir_falls", "hdr_returns", "class_mir_falls", "class_hdr_returns"):
        observed = found["observations"][name]
        assert observed["holds"] == [True]
        (measured,) = observed["measured"]
        assert (measured["generalised"]["hits"], measured["generalised"]["of"]) == (6, 6)
        assert (measured["others"]["hits"], measured["others"]["of"]) == (0, 3)
    assert f"n = {N}" in found["observations"]["mir_falls"]["text"]
    assert "class level" in found["observations"]["class_mir_falls"]["text"]


@pytest.mark.parametrize(
    ("runs", "holds"),
    [
        ((PLAIN, NEVER), True),
        ((PLAIN,), None),  # no seed that does not generalise
        ((NEVER,), None),
        ((PLAIN, _run("decay=0,task=a+b", history())), False),  # MIR falls in one that does not
        ((_run("decay=1,task=a+b", history(at=900, mir=None)), NEVER), False),
        ((_run("decay=1,task=a+b", history(at=900, mir=None)),), False),
        ((_run("decay=0,task=a+b", history()),), False),
    ],
)
def test_when_the_fall_of_mir_tells_who_generalises(runs, holds):
    assert _compared(*runs)[0]["observations"]["mir_falls"]["holds"] == [holds]


@pytest.mark.parametrize(("mir", "holds"), [(0.8, True), (1.0, None), (1.2, False)])
def test_who_comes_first(mir, holds):
    led = _run("a", *(history(at=at, mir=mir) for at in (800, 1_500, 2_400)))
    found, _ = _compared(led)
    assert found["observations"]["mir_falls_first"]["holds"] == [holds]
    assert found["observations"]["hdr_rises_first"]["holds"] == [None]
    assert found["leads"]["mir_falls"]["half"]["ratio"]["mean"] == pytest.approx(mir, abs=0.03)


def test_seeds_that_generalise_while_fitting_tell_no_lead():
    """What fitting does to MIR, and what generalising does, cannot be told apart."""
    histories = [history(at=at, mir=0.8) for at in (800, 1_500, 2_400)]
    for record in histories[0]:
        record["train/accuracy"] = float(record["step"] > 1_000)
    found, _ = _compared(_run("a", *histories))
    assert found["leads"]["mir_falls"]["seeds"] == 2
    (measured,) = found["observations"]["mir_falls_first"]["measured"]
    assert measured["seeds"] == 2 and measured["mean"] == pytest.approx(0.8, abs=0.03)


def test_a_seed_without_an_onset_has_no_ratio():
    """It exceeds 0.99 now and then, but its accuracy does not rise for good."""
    restless = history(at=800)
    for i, record in enumerate(restless):
        record["test/accuracy"] = (1.0, 0.1, 0.3)[i % 3]
    unclear = condition("b", 0, [restless, history(at=900)], N)
    assert unclear.generalised == [True, True] and unclear.onset(0) is None
    pairs = conditions.paired(unclear, condition("a", 0, [history(at=800)] * 2, N))
    assert pairs["seeds"] == [1]


def test_what_is_written_of_each_seed():
    found, _ = _compared(PLAIN, NEVER)
    assert found["early"]["epoch"] == 500 and found["early"]["begun"] == 0
    plain, never = (c["by_seed"]["mir_falls"]["by_seed"] for c in found["conditions"].values())
    assert [t["half"] for t in plain] == pytest.approx([800, 1_500, 2_400], rel=0.03)
    assert never == [None] * 3


def test_ratios_are_paired():
    """A delay by half is clear, though seeds differ by a factor of three."""
    found, table = _compared(PLAIN, SLOW)
    pairs = found["conditions"][SLOW.name]["onset_ratio"]
    assert pairs["seeds"] == [3, 4, 5] and pairs["bounds"] == ["", "", ""]
    assert pairs["ratio"]["mean"] == pytest.approx(1.36, abs=0.04)
    assert pairs["ratio"]["low"] > 1.02
    assert found["conditions"][PLAIN.name]["onset_ratio"] is None
    lines = table.splitlines()
    assert lines[2].startswith("| reference | 3 of 3 | 8")
    assert lines[3].startswith("| task: a*b | 3 of 3 | 1,2")
    assert "3 of 3 / -" in lines[3]


def test_seeds_that_do_not_generalise_are_bounds():
    """With their last epoch; pairs of two such seeds say nothing."""
    reference = condition("a", 0, [history(at=800), history(at=1_500), history()], N)
    other = condition("b", 0, [history(at=1_000), history(last=3_000), history()], N)
    pairs = conditions.paired(other, reference)
    assert pairs["seeds"] == [0, 1] and pairs["bounds"] == ["", "above"]
    assert pairs["ratios"][1] == pytest.approx(3_000 / 1_500, rel=0.03)
    back = conditions.paired(reference, other)
    assert back["bounds"] == ["", "below"]
    assert back["ratios"] == pytest.approx([1 / r for r in pairs["ratios"]])
    assert pairs["ratio"]["mean"] > 1 and pairs["ratio"]["low"] is None  # no interval of a bound
    neither = conditions.paired(condition("c", 2, [history()], N), reference)
    assert neither == {"seeds": [], "ratios": [], "bounds": [], "ratio": None}


def test_table_marks_bounds():
    _, table = _compared(PLAIN, NEVER, _run("decay=2,task=a+b", history(at=900)))
    _, _, first, never, third, *rest = table.splitlines()
    assert "|  | 3 of 3 / - |" in first
    assert never.startswith("| decay = 0 | 0 of 3 |  | ≥ 2.") and "- / 0 of 3" in never
    assert third.startswith("| decay = 2 | 1 of 1 | 9") and "≥" not in third
    assert "lower" not in "".join(rest) and "≥" in "".join(rest)


def test_stopped_early():
    """A seed of fewer records is a seed of the condition as any other."""
    run = _run("a", history(at=800, last=2_000), history(at=1_500))
    found, _ = _compared(run)
    assert found["conditions"]["a"]["generalised"] == [True, True]
    assert found["leads"]["mir_falls"]["seeds"] == 2
