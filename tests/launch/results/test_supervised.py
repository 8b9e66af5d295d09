"""Observations of supervised and semi-supervised runs on records with known answers."""

import pytest

from launch.results import semisupervised, supervised


def _history(accuracy, mir, hdr, **last):
    rows = enumerate(zip(accuracy, mir, hdr, strict=True))
    history = [
        {"step": i, "test/accuracy": a, "test/mir_64": m, "test/hdr_64": h} for i, (a, m, h) in rows
    ]
    history[-1] |= last
    return history


def test_observations():
    """Step 0 does not count; correlations are rank correlations."""
    history = _history([0.1, 0.2, 0.5, 0.6], [0.9, 0.3, 0.4, 0.55], [0.0, 0.5, 0.2, 0.1])
    found = supervised.observe(history, "test", 64, 10)
    assert found["accuracy"][1:] == (0.6, None)
    assert found["mir_rises"].measured == pytest.approx(1) and found["mir_rises"].holds
    assert found["hdr_falls"].measured == pytest.approx(-1) and found["hdr_falls"].holds
    assert found["mir_below_collapse"].holds and "0.9524" in found["mir_below_collapse"].text
    falling = _history([0.1, 0.2, 0.5, 0.6], [0, 0.9, 0.4, 0.97], [0.1, 0.1, 0.3, 0.0])
    found = supervised.observe(falling, "test", 64, 10)
    assert found["mir_rises"].measured == pytest.approx(0.5)
    for name in ("mir_below_collapse", "hdr_above_collapse"):
        assert found[name].holds is False
    flat = supervised.observe(_history([0, 1, 1], [0, 1, 1], [0, 1, 1]), "test", 64, 10)
    assert flat["mir_rises"][1:] == (None, None)


@pytest.mark.parametrize(
    ("passed", "right", "holds"), [(0.25, 0.75, True), (0.25, 0.6, False), (0.0, 0.0, None)]
)
def test_pseudo_labels(passed, right, holds):
    """Where none pass, there is no share of right ones."""
    last = {"test/best_accuracy": 0.7, "batch/mask_rate": passed}
    last["batch/pseudo_label_accuracy"] = right
    history = _history([0.1, 0.7, 0.6], [0.2, 0.3, 0.4], [0.3, 0.2, 0.1], **last)
    config = {"validation_fraction": 0.0, "metric_batch_sizes": (64, 32), "method": "freematch"}
    found = semisupervised.observe(history, config, 10)
    assert found["best_accuracy"][1:] == (0.7, None)
    assert found["pseudo_labels"][1:] == (right if passed else None, holds)
    assert found.keys() > supervised.observe(history, "test", 64, 10).keys()
    plain = semisupervised.observe(history, config | {"method": "supervised"}, 10)
    assert found.keys() - plain.keys() == {"pseudo_labels"}
