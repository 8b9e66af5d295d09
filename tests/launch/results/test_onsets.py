"""Onsets of synthetic curves with known onset: noise, spikes, unequal spacing, no transition."""

import numpy as np
import pytest

from infojax.training import evaluation_steps
from launch.results import onsets

UNEQUAL = np.array(evaluation_steps(10_000, 100))
EQUAL = np.arange(0, 10_001, 40)
HALF = 3_000.0


def _sigmoid(steps, half=HALF, width=0.05):
    """Half of the way at `half`, a tenth of it at half * exp(-width log 9)."""
    return (1 + np.tanh(np.log(np.maximum(steps, 1e-6) / half) / width / 2)) / 2


@pytest.mark.parametrize("steps", [UNEQUAL, EQUAL], ids=["unequal", "equal"])
@pytest.mark.parametrize("width", [0.01, 0.05, 0.15])
def test_epochs_of_a_smooth_curve(steps, width):
    """Half and a tenth of the way, at most one distance of records off."""
    found = onsets.rise(steps, 0.2 + 0.6 * _sigmoid(steps, width=width), 0.1)
    assert found.half == pytest.approx(HALF, abs=100)
    assert found.start == pytest.approx(HALF * np.exp(-width * np.log(9)), abs=100)
    assert found.low <= HALF <= found.high and found.high - found.low <= 300
    assert (found.before, found.after) == pytest.approx((0.2, 0.8), abs=0.005)
    assert found.start < found.half < found.end <= 10_001


def test_a_fall_is_the_rise_of_the_negative():
    values = 0.9 - 0.5 * _sigmoid(UNEQUAL)
    down, up = onsets.fall(UNEQUAL, values, 0.1), onsets.rise(UNEQUAL, -values, 0.1)
    assert (down.before, down.after) == pytest.approx((0.9, 0.4), abs=1e-6)
    assert down[:5] == up[:5]
    assert onsets.rise(UNEQUAL, values, 0.1) is None
    assert onsets.fall(UNEQUAL, values, 0.51) is None


@pytest.mark.parametrize(("noise", "off"), [(0.01, 0.02), (0.05, 0.04), (0.1, 0.08)])
def test_noise(noise, off):
    """The error of the onset is a few per cent, and its interval holds the true one."""
    rng = np.random.default_rng(0)
    found = [
        onsets.rise(UNEQUAL, _sigmoid(UNEQUAL) + noise * rng.normal(size=len(UNEQUAL)), 0.5)
        for _ in range(100)
    ]
    errors = np.array([np.log(f.half / HALF) for f in found])
    assert abs(np.mean(errors)) < off / 4 and np.quantile(np.abs(errors), 0.95) < off
    assert np.mean([f.low <= HALF <= f.high for f in found]) >= 0.95


def test_spikes_leave_no_trace():
    """Spikes of two records, as slingshots make them, before and after the transition."""
    clean, spiked = _sigmoid(UNEQUAL), _sigmoid(UNEQUAL)
    for at in (20, 50, 60, 110, 130):
        assert not 2_000 < UNEQUAL[at] < 4_000
        spiked[at : at + 2] = 1 - np.round(clean[at])
    found, expected = (onsets.rise(UNEQUAL, y, 0.5) for y in (spiked, clean))
    assert found.half == pytest.approx(expected.half, rel=0.02)
    flat = np.where((np.arange(len(UNEQUAL)) % 20) < 2, 1.0, 0.0)
    assert onsets.rise(UNEQUAL, flat, 0.05) is None


def test_no_transition_in_noise():
    """Without a least size, fewer than one in a hundred curves of noise alone has a transition."""
    rng = np.random.default_rng(1)
    found = [onsets.rise(UNEQUAL, rng.normal(size=len(UNEQUAL)), 0.0) for _ in range(1_000)]
    assert sum(f is not None for f in found) < 10


def test_what_lies_outside_does_not_matter():
    """HDR: a fall from the start, a rise at the transition, a fall after it."""
    hdr = np.interp(UNEQUAL, (0, 500, 2_900, 3_100, 4_000), (0.9, 0.05, 0.05, 0.35, 0.02))
    peak = onsets.peak(UNEQUAL, hdr, 0.1)
    assert peak.rise.half == pytest.approx(3_000, abs=60)
    assert peak.rise.end == pytest.approx(3_100, abs=110)
    assert peak.fall.half == pytest.approx(3_550, abs=110)
    assert (peak.rise.before, peak.rise.after) == pytest.approx((0.05, 0.3), abs=0.03)


def test_a_rise_that_stays_is_no_peak():
    """The fall must be half as large as the rise."""
    stays = np.interp(UNEQUAL, (2_900, 3_100, 5_000, 9_000), (0.0, 0.5, 0.5, 0.3))
    assert onsets.rise(UNEQUAL, stays, 0.1) is not None
    assert onsets.peak(UNEQUAL, stays, 0.1) is None
    returns = np.interp(UNEQUAL, (2_900, 3_100, 5_000, 9_000), (0.0, 0.5, 0.5, 0.2))
    assert onsets.peak(UNEQUAL, returns, 0.1).fall.half == pytest.approx(7_000, rel=0.02)


def test_a_peak_stays_however_the_curve_goes_on():
    """A later and larger rise without a fall does not hide it; with one, it takes its place."""
    places = (900, 1_000, 2_000, 2_200, 4_000, 4_500, 6_000, 7_000)
    heights = (0.05, 0.30, 0.30, 0.05, 0.05, 0.60, 0.60, 0.05)
    hdr = np.interp(UNEQUAL, places, heights)
    found = [onsets.peak(UNEQUAL[:end], hdr[:end], 0.1) for end in _until(3_000, 5_500, 10_000)]
    assert found[0] == found[1]
    assert found[0].rise.half == pytest.approx(950, abs=30)
    assert found[2].rise.half == pytest.approx(4_250, abs=60)
    assert found[2].fall.half == pytest.approx(6_500, rel=0.02)


def _until(*epochs):
    return [int(np.searchsorted(UNEQUAL, epoch)) for epoch in epochs]


@pytest.mark.parametrize("values", [np.zeros(len(UNEQUAL)), np.full(len(UNEQUAL), 0.99)])
def test_constant(values):
    assert onsets.rise(UNEQUAL, values, 0.0) is None
    assert onsets.peak(UNEQUAL, values, 0.0) is None


def test_few_records():
    assert onsets.rise([0, 1, 2, 3, 4], [0, 0, 0, 1, 1], 0.1) is None
    found = onsets.rise(range(12), [0] * 7 + [1] * 5, 0.1)
    assert 6 < found.half < 7 and (found.before, found.after) == (0, 1)


def test_steps_of_a_jump():
    """From one record to the next: the interval is the distance of the two."""
    found = onsets.rise(UNEQUAL, np.where(HALF < UNEQUAL, 1.0, 0.0), 0.5)
    below, above = UNEQUAL[UNEQUAL <= HALF][-1], UNEQUAL[UNEQUAL > HALF][0]
    assert found.low == pytest.approx(below) and found.high == pytest.approx(above)
    assert below < found.start < found.half < above
