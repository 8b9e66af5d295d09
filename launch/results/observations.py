"""Observations: what a paper reports, compared with what a run measured; spreads over seeds."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from launch.runs import History

Spread = dict[str, Any]


class Observation(NamedTuple):
    """One statement about a run.

    Attributes:
      text: what is measured, and its bound.
      measured: a number, or several by name; None if it was not measured.
      holds: whether the statement holds; None if it was not measured or states no bound.
    """

    text: str
    measured: Any
    holds: bool | None = None


Observations = dict[str, Observation]


def bounded(text: str, measured: float | None, holds: Callable[[float], bool]) -> Observation:
    """Returns the observation of a number that is checked against a bound, if it was measured."""
    return Observation(text, measured, None if measured is None else bool(holds(measured)))


def written(observed: Sequence[Observations]) -> dict[str, Any]:
    """Returns observations as every summary.json holds them.

    Args:
      observed: the observations of each seed, or a list of one for a study as a whole.

    Returns:
      By name: `text`, and the lists `measured` and `holds` with one entry per element of observed.
    """
    return {
        name: {
            "text": first.text,
            "measured": [each[name].measured for each in observed],
            "holds": [each[name].holds for each in observed],
        }
        for name, first in observed[0].items()
    }


def summarize(
    histories: Sequence[History], observe: Callable[[History], Observations]
) -> dict[str, Any]:
    """Returns the content of summary.json for a run of several seeds.

    Args:
      histories: the records of each seed.
      observe: maps the records of a seed to its observations.

    Returns:
      `steps`, `seconds` by seed, the spread of every metric of the last records as `final`, and
      `observations`.
    """
    return finals(histories) | {
        "observations": written([observe(history) for history in histories])
    }


def finals(histories: Sequence[History]) -> dict[str, Any]:
    """Returns `steps`, `seconds` by seed, and the spread of the last records as `final`.

    Seeds that stopped early count with their last records; `steps` is the most of any.
    """
    last = [history[-1] for history in histories]
    names = [name for name in last[0] if name not in ("step", "seconds")]
    return {
        "steps": max(record["step"] for record in last),
        "seconds": [record["seconds"] for record in last],
        "final": {name: spread(record[name] for record in last) for name in names},
    }


def spread(values: Iterable[float]) -> Spread:
    """Mean over seeds and sample standard deviation (None for one seed)."""
    x = list(values)
    deviation = float(np.std(x, ddof=1)) if len(x) > 1 else None
    return {"mean": float(np.mean(x)), "std": deviation}


def spread_by(name: str, values: Iterable[float]) -> Spread:
    """`spread`, with the values themselves under a name such as `by_seed`."""
    x = [float(value) for value in values]
    return spread(x) | {name: x}
