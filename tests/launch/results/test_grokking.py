"""Observations of grokking on curves with known answers."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from infojax.training import evaluation_steps
from launch.results import grokking
from tests.launch.results.curves import N, history

STEPS = np.array(evaluation_steps(14_000, 100))
UNBOUNDED = {"mir_then", "mir_lowest"}  # observations that state no bound


def _along(*points):
    """A curve through (step, value), linear in between."""
    steps, values = zip(*points, strict=True)
    return np.interp(STEPS, steps, values)


def _curves():
    """Curves as in Song et al.: every observation holds."""
    return {
        "train/accuracy": _along((0, 0.01), (140, 1)),
        "test/accuracy": _along((0, 0.01), (6_000, 0.15), (8_000, 1)),
        "test/mir_256": _along((0, 0.47), (1_000, 0.64), (6_000, 0.6), (9_000, 0.36)),
        "test/hdr_256": _along((0, 0.8), (1_000, 0.05), (6_000, 0.06), (7_500, 0.5), (9_000, 0.12)),
        "train/loss_spike": _along((0, 1)),
    }


def _history(curves):
    return [
        {"step": int(step)} | {name: float(curve[i]) for name, curve in curves.items()}
        for i, step in enumerate(STEPS)
    ]


def _observe(**changes):
    """Observations of the paper's curves, some changed (`test_accuracy` for `test/accuracy`)."""
    curves = _curves()
    for name, change in changes.items():
        (key,) = (k for k in curves if k.replace("/", "_") == name)
        curves[key] = change(curves[key]) if callable(change) else change
    return grokking.observe(_history(curves), 256)


def _failed(observed):
    found = {name for name, observation in observed.items() if not observation.holds}
    return found - UNBOUNDED


def _open(observed):
    """Names of the observations that were not measured."""
    found = {name for name, observation in observed.items() if observation.holds is None}
    return found - UNBOUNDED


def test_all_hold():
    observed = _observe()
    assert list(observed) == [
        "train_accuracy",
        "test_accuracy",
        "mir_shelf",
        "mir_then",
        "mir_lowest",
        "mir_fall",
        "hdr_floor",
        "hdr_peak",
        "hdr_end",
        "loss_spike",
    ]
    assert _failed(observed) == set()
    measured = {name: observation.measured for name, observation in observed.items()}
    assert measured["train_accuracy"] == min(s for s in STEPS if s > 138.6)
    assert measured["test_accuracy"] == min(s for s in STEPS if s > 7_976)
    assert measured["mir_shelf"] == pytest.approx(0.64, abs=2e-3)
    assert measured["mir_fall"] == pytest.approx(0.28, abs=2e-3)
    assert measured["mir_then"] == pytest.approx(0.44, abs=0.01)
    assert measured["mir_lowest"] == min(s for s in STEPS if s >= 9_000)
    assert measured["hdr_floor"] == pytest.approx(0.05, abs=2e-3)
    assert measured["hdr_peak"] == pytest.approx(0.5, abs=0.03)
    assert measured["hdr_end"] == pytest.approx(0.12)
    assert measured["loss_spike"] == 1
    assert all("n = 256" in observed[name].text for name in observed if name[:3] in "mirhdr")


@pytest.mark.parametrize(
    ("changes", "failed", "measured"),
    [
        ({"train_accuracy": _along((0, 0), (400, 1))}, {"train_accuracy"}, 414),
        ({"train_accuracy": _along((0, 0), (100, 0.98))}, {"train_accuracy"}, None),
        ({"test_accuracy": lambda x: np.minimum(x, 0.985)}, {"test_accuracy"}, None),
        ({"test_mir_256": lambda x: x - 0.06}, {"mir_shelf"}, 0.58),
        ({"test_mir_256": _along((0, 0.7), (9_000, 0.4))}, {"mir_shelf"}, 0.7),
        ({"test_mir_256": lambda x: np.maximum(x, 0.45)}, {"mir_fall"}, 0.19),
        ({"test_mir_256": lambda x: np.maximum.accumulate(x)}, {"mir_fall"}, 0),
        ({"test_hdr_256": lambda x: np.maximum(x, 0.11)}, {"hdr_floor"}, 0.11),
        ({"test_hdr_256": lambda x: np.where(STEPS > 13_000, 0.2, x)}, {"hdr_end"}, 0.2),
        ({"train_loss_spike": np.where(STEPS > 13_950, 11.0, 1)}, {"loss_spike"}, 11),
    ],
)
def test_each_can_fail_alone(changes, failed, measured):
    observed = _observe(**changes)
    assert _failed(observed) == failed
    (name,) = failed
    assert observed[name].measured == (
        None if measured is None else pytest.approx(measured, abs=3e-3)
    )


def test_late_grokking():
    late = _along((0, 0.01), (11_500, 0.15), (13_000, 1))
    observed = _observe(test_accuracy=late)
    assert "test_accuracy" in _failed(observed)
    assert observed["test_accuracy"].measured > 12_000


def test_spikes_before_epoch_1000_do_not_count():
    spikes = np.where((STEPS > 10) & (STEPS <= 1_000), 50.0, 1)
    assert _failed(_observe(train_loss_spike=spikes)) == set()
    assert _failed(_observe(train_loss_spike=np.full(len(STEPS), 9.9))) == set()


def test_small_hdr_peak():
    """Without a rise, a fall after it does not count."""
    observed = _observe(test_hdr_256=lambda x: np.where(STEPS > 1_000, np.minimum(x, 0.25), x))
    assert _failed(observed) == {"hdr_peak", "hdr_end"}
    assert observed["hdr_peak"].measured == pytest.approx(0.25)


def test_hdr_that_rises_only_after_grokking():
    late = _along((0, 0.8), (1_000, 0.05), (9_000, 0.05), (10_000, 0.5), (11_000, 0.1))
    assert _failed(_observe(test_hdr_256=late)) == {"hdr_peak", "hdr_end"}


def test_shelf_is_found_where_mir_was_lower_at_the_start():
    """An early dip below the final value is not the fall from the shelf."""
    dip = _along((0, 0.47), (20, 0.2), (1_000, 0.64), (6_000, 0.6), (9_000, 0.36))
    observed = _observe(test_mir_256=dip)
    assert _failed(observed) == set()
    assert observed["mir_shelf"].measured == pytest.approx(0.64, abs=2e-3)
    assert observed["mir_fall"].measured == pytest.approx(0.28, abs=2e-3)


def test_never_grokked():
    """As with random labels: HDR may move, but test accuracy never climbs."""
    observed = _observe(test_accuracy=np.full(len(STEPS), 0.01))
    assert _failed(observed) == {"test_accuracy", "hdr_peak", "hdr_end"}
    assert _open(observed) == {"hdr_peak", "hdr_end"}
    assert observed["test_accuracy"].measured is None
    assert observed["hdr_peak"].measured is None
    assert observed["hdr_end"].measured == pytest.approx(0.12)


def test_dip_after_grokking_is_no_climb():
    """A slingshot at epoch 12,000 lowers test accuracy and raises HDR: not part of the climb."""
    at = np.abs(STEPS - 12_000) < 150
    observed = _observe(
        test_accuracy=lambda x: np.where(at, 0.3, x),
        test_hdr_256=lambda x: np.where(at, 0.9, np.minimum(x, 0.25)),
    )
    assert observed["hdr_peak"].measured == pytest.approx(0.25)
    assert "hdr_peak" in _failed(observed)


def test_generalised_at_once():
    """Test accuracy is high at the first record: no plateau can be measured."""
    observed = _observe(test_accuracy=np.ones(len(STEPS)))
    assert _open(observed) == {"hdr_floor", "hdr_peak", "hdr_end"}
    assert observed["hdr_floor"].measured is None
    assert observed["hdr_peak"].measured is None


def test_short_run():
    observed = grokking.observe(_history(_curves())[:5], 256)
    assert observed["loss_spike"].measured is observed["mir_then"].measured is None
    assert _open(observed) == {"hdr_peak", "hdr_end", "loss_spike"}
    assert not any(observation.holds for observation in observed.values())


def test_other_batch_size_is_not_mixed_in():
    history = [r | {"test/mir_64": 0.8, "test/hdr_64": 0.3} for r in _history(_curves())]
    small = grokking.observe(history, 64)
    assert small["mir_fall"].measured == 0
    assert small["hdr_end"].measured == 0.3
    assert grokking.observe(history, 256)["mir_fall"].measured > 0.25


def _config(**changes):
    return ConfigDict({"metric_batch_sizes": (4, N), "seed": 3, "early_epoch": 500, **changes})


def test_summary_of_several_seeds():
    """Early MIR tells when a seed generalises; one seed does not, one is half way too early."""
    ats, levels = (900, 1_300, 1_700, 2_100, 2_500, None, 400), (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
    seeds = [history(at=a, level=m) for a, m in zip(ats, levels, strict=True)]
    found = grokking.summarize(seeds, _config())
    assert found["generalised"] == [True] * 5 + [False, True]
    assert found["steps"] == 4_000 and "mir_fall" in found["observations"]
    assert len(found["transitions"]["mir_falls"]["by_seed"]) == 7
    assert found["leads"]["mir_falls"]["seeds"] == 6
    assert found["over_seeds"]["mir_falls"]["holds"] == [False]  # it falls in the other as well
    early = found["early"]
    assert (early["epoch"], early["begun"], early["censored"]) == (500, 1, 1)
    mir = early["metrics"][f"test/mir_{N}"]
    assert mir["correlation"] == pytest.approx(-1) and mir["seeds"] == 6


def test_summary_of_one_seed():
    found = grokking.summarize([history(at=1_500)], _config(early_epoch=10_000))
    assert found["generalised"] == [True]
    assert found["leads"]["mir_falls"]["half"]["ratio"]["low"] is None
    assert found["early"]["begun"] == 1 and found["early"]["censored"] == 0
    assert found["early"]["metrics"][f"test/mir_{N}"]["seeds"] == 0
    never = grokking.summarize([history()], _config())
    assert never["generalised"] == [False] and never["leads"] == {}
