"""Transitions of seeds with known epochs, and leads over them."""

import pytest

from launch.results import transitions
from launch.results.transitions import ACCURACY
from tests.launch.results.curves import N, history

WANTED = transitions.measures(N)


def _found(**changes):
    return transitions.of_seed(history(**changes), WANTED)


def test_transitions_of_a_seed():
    found = _found(at=1_500, mir=0.8, hdr=1.2)
    assert found[ACCURACY].half == pytest.approx(1_500, abs=30)
    assert found["mir_falls"].half == pytest.approx(1_200, abs=30)
    assert found["hdr_rises"].half == pytest.approx(1_800, abs=60)
    assert found["hdr_returns"].half == pytest.approx(2_160, abs=60)
    assert found["class_mir_falls"] == found["mir_falls"]
    assert found["weights_fall"] is None  # by less than a quarter
    assert "gini_embedding_rises" not in found  # is not recorded


def test_fitting_is_no_transition():
    """HDR falls from 0.9 within 50 epochs, before the training examples are fitted."""
    found = _found(at=1_500, hdr=1.0)
    assert found["hdr_rises"].before == pytest.approx(0.1, abs=0.01)
    flat = history(at=1_500, hdr=None, mir=None)
    for record in flat:
        record[f"test/mir_{N}"] = 0.9 if record["step"] < 80 else 0.5
    assert transitions.of_seed(flat, WANTED)["mir_falls"] is None


def test_without_transitions():
    found = _found(at=None, mir=None, hdr=None)
    assert set(found.values()) == {None}
    assert not transitions.generalised(history(at=None))
    assert transitions.generalised(history(at=1_500))
    assert transitions.memorised(history()) == pytest.approx(100, abs=5)


def test_generalised_at_once():
    """Test accuracy that has risen before the training examples are fitted."""
    records = history(at=1_500)
    for record in records:
        record["test/accuracy"] = min(record["step"] / 50, 1.0)
    found = transitions.of_seed(records, WANTED)[ACCURACY]
    assert found.half == pytest.approx(25, abs=3)


def test_records_of_an_older_version():
    """What only later records hold has no transition, and does not end the summary."""
    records = history(at=1_500)
    del records[0]["weights/squared_norm"]
    assert "weights_fall" not in transitions.of_seed(records, WANTED)


def test_logarithms():
    """A fall of a loss counts in factors; levels are those of the loss itself."""
    records = history(at=1_500)
    for record in records:
        record["test/loss"] = 4.0 if record["step"] < 2_000 else 0.004
    found = transitions.of_seed(records, WANTED)["test_loss_falls"]
    assert (found.before, found.after) == pytest.approx((4.0, 0.004))
    assert found.half == pytest.approx(2_000, abs=50)


def test_leads():
    """Paired by seed: a lead of a tenth is clear, though seeds differ by a factor of three."""
    found = [_found(at=at, mir=0.9, hdr=1.0) for at in (800, 1_500, 2_400)]
    leads = transitions.leads(found)
    assert ACCURACY not in leads
    half = leads["mir_falls"]["half"]
    assert leads["mir_falls"]["seeds"] == 3
    assert half["ratio"]["mean"] == pytest.approx(0.9, abs=0.02)
    assert half["ratio"]["high"] < 1 and half["ratio"]["verdict"] == "lower"
    assert half["difference"]["mean"] == pytest.approx(-0.1 * (800 + 1_500 + 2_400) / 3, rel=0.2)
    assert leads["hdr_rises"]["half"]["ratio"]["verdict"] == "no difference"


def test_seeds_without_a_transition_are_not_paired():
    found = [_found(at=at, mir=mir) for at, mir in ((800, 0.9), (1_500, None), (2_400, 0.9))]
    leads = transitions.leads(found)
    assert leads["mir_falls"]["seeds"] == 2 and leads["hdr_rises"]["seeds"] == 3
    none = transitions.leads([_found(at=1_500, mir=None)])
    assert none["mir_falls"] == {"seeds": 0, "start": None, "half": None}


def test_written():
    found = [_found(at=800), _found(at=1_500, mir=None)]
    text = transitions.written(found, WANTED)["mir_falls"]
    assert text["text"] == "MIR (n = 16) falls"
    first, second = text["by_seed"]
    assert second is None and first["low"] <= first["half"] <= first["high"]
