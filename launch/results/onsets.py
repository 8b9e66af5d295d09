"""The epoch at which a recorded measure makes its transition, and how well that is known.

Nothing is assumed about the shape of a curve. A transition is the largest run-up of the running
median: from a low to the highest value after it, whatever happens before and after. A peak is the
largest run-up that is followed by a fall of at least half its size. It counts if it
exceeds a least size, which the caller states in units of the measure, and `_NOISES` standard
deviations of the noise from record to record. Between its ends an isotonic (monotone
least-squares) fit gives the epochs at which a tenth and half of the way is made, interpolated on
the logarithm of the epoch.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

_MEDIAN_OF = 5  # records of the running median: spikes of two records leave no trace
_NOISES = 5.0  # least size of a transition, in standard deviations of one record
_START = 0.1  # part of the way at which a transition has begun
_MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation


class Transition(NamedTuple):
    """A rise or fall of a measure; all times are epochs.

    Attributes:
      start: a tenth of the way is made.
      half: half of the way is made.
      low: start of the interval around `half` that the noise and the spacing of records leave.
      high: its end.
      end: the end of the way.
      before: value where it begins.
      after: value where it ends.
    """

    start: float
    half: float
    low: float
    high: float
    end: float
    before: float
    after: float


class Peak(NamedTuple):
    """A rise, and the fall after it by at least half as much."""

    rise: Transition
    fall: Transition


def rise(steps: ArrayLike, values: ArrayLike, least: float) -> Transition | None:
    """Returns the largest rise of a curve.

    Args:
      steps: epochs [t], increasing, not necessarily evenly spaced.
      values: of the measure [t].
      least: size from which a rise counts.

    Returns:
      The rise; None if there is none of that size above the noise.
    """
    epochs, smooth, sigma = _smoothed(steps, values)
    run_up = _run_up(smooth)
    if not len(run_up) or not _counts(run_up.max(), least, sigma):
        return None
    return _rise_to(int(np.argmax(run_up)), epochs, smooth, sigma)


def fall(steps: ArrayLike, values: ArrayLike, least: float) -> Transition | None:
    """Returns the largest fall of a curve: see `rise`."""
    found = rise(steps, -np.asarray(values, float), least)
    return found and _mirrored(found)


def peak(steps: ArrayLike, values: ArrayLike, least: float) -> Peak | None:
    """Returns the largest rise that is followed by a fall of at least half its size.

    A curve keeps its peak however it continues: a later rise takes its place only if it is larger
    and is followed by such a fall too.

    Args:
      steps: epochs [t], as of `rise`.
      values: of the measure [t].
      least: size from which the rise counts; the fall counts from half of it.
    """
    epochs, smooth, sigma = _smoothed(steps, values)
    run_up, run_down = _run_up(smooth), _run_up(smooth[::-1])[::-1]
    tops = [
        i
        for i, (up, down) in enumerate(zip(run_up, run_down, strict=True))
        if _counts(up, least, sigma) and _counts(down, max(least, up) / 2, sigma)
    ]
    if not tops:
        return None
    top = max(tops, key=lambda i: run_up[i])
    bottom = top + int(np.argmin(smooth[top:]))
    down = _measured(epochs[top : bottom + 1], -smooth[top : bottom + 1], sigma)
    return Peak(_rise_to(top, epochs, smooth, sigma), _mirrored(down))


def _smoothed(steps: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray, float]:
    """Epochs and running median [t] after epoch 0, and the noise; empty if records are too few."""
    keep = np.asarray(steps) > 0  # epoch 0 has no logarithm
    epochs, y = np.asarray(steps, float)[keep], np.asarray(values, float)[keep]
    if len(y) < _MEDIAN_OF:
        return epochs[:0], y[:0], 0.0
    return epochs, _running_median(y), _noise(y)


def _run_up(smooth: np.ndarray) -> np.ndarray:
    """How far each value is above the lowest one before it."""
    return smooth - np.minimum.accumulate(smooth)


def _counts(size: float, least: float, sigma: float) -> bool:
    return size >= max(least, _NOISES * sigma) and size > 0


def _rise_to(top: int, epochs: np.ndarray, smooth: np.ndarray, sigma: float) -> Transition:
    """The rise from the lowest value before a record to that record."""
    begin = int(np.argmin(smooth[: top + 1]))
    return _measured(epochs[begin : top + 1], smooth[begin : top + 1], sigma)


def _mirrored(found: Transition) -> Transition:
    return found._replace(before=-found.before, after=-found.after)


def _measured(epochs: np.ndarray, smooth: np.ndarray, sigma: float) -> Transition:
    """The epochs of a rise from the first to the last of these records."""
    x = np.log(epochs)
    fit = optimize.isotonic_regression(smooth).x
    before, after = float(fit[0]), float(fit[-1])

    def crossing(level: float) -> tuple[float, int]:
        """Where the fit reaches a level, and the index of the first point not below it."""
        i = int(np.searchsorted(fit, level))
        if i == 0 or i == len(fit):
            return float(x[min(i, len(x) - 1)]), min(i, len(x) - 1)
        return _between(x, fit, i, level), i

    middle = (before + after) / 2
    half, at = crossing(middle)
    low, high = (crossing(middle + sign * 2 * sigma)[1] for sign in (-1, 1))
    begun = before + _START * (after - before)
    below = np.flatnonzero(smooth[:at] < begun)  # noise alone may have passed it long before
    start = _between(x, smooth, int(below[-1]) + 1, begun) if len(below) else float(x[0])
    interval = float(epochs[max(low - 1, 0)]), float(epochs[high])
    return Transition(
        start=math.exp(min(start, half)),
        half=float(np.clip(math.exp(half), *interval)),  # the logarithm rounds
        low=interval[0],
        high=interval[1],
        end=float(epochs[-1]),
        before=before,
        after=after,
    )


def _between(x: np.ndarray, y: np.ndarray, i: int, level: float) -> float:
    """Where y reaches a level between points i - 1 and i."""
    return float(x[i - 1] + (level - y[i - 1]) / (y[i] - y[i - 1]) * (x[i] - x[i - 1]))


def _running_median(y: np.ndarray) -> np.ndarray:
    """The median of each value and its neighbours; at the ends, of fewer."""
    reach = _MEDIAN_OF // 2
    padded = np.pad(y, reach, constant_values=np.nan)
    return np.asarray(
        np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, _MEDIAN_OF), axis=1)
    )


def _noise(y: np.ndarray) -> float:
    """Standard deviation of the noise, from second differences: a trend hardly affects them."""
    return _MAD * float(np.median(np.abs(np.diff(y, 2)))) / math.sqrt(6)
