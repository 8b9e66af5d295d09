"""Whether early values predict when a network will generalise."""

from typing import Any

from launch.results import comparisons
from launch.results.ensembles import Condition
from launch.runs import History, Record

_METRICS = "test/class_mir", "test/class_hdr", "test/accuracy", "weights/squared_norm"


def tells(found: Condition, n: int, epoch: int) -> dict[str, Any]:
    """Whether values at an early epoch predict when a seed will generalise.

    Seeds that do not generalise enter with their last epoch, a lower bound; `censored` counts
    them. Seeds that are half way by the early epoch are left out, and `begun` counts them. So are
    those that generalise without an onset.

    Returns:
      `epoch`, `begun`, `censored`, and `metrics`: by name, Spearman's correlation of the last
      value up to the epoch with the onset (`Condition.onset`).
    """
    onsets = {i: at for i, at in enumerate(found.onsets()) if at is not None}
    waiting = [i for i, onset in onsets.items() if onset > epoch]
    names = [f"test/mir_{n}", f"test/hdr_{n}", *_METRICS]
    values = {name: [_until(found.histories[i], epoch)[name] for i in waiting] for name in names}
    return {
        "epoch": epoch,
        "begun": len(onsets) - len(waiting),
        "censored": sum(not found.generalised[i] for i in waiting),
        "metrics": {
            name: comparisons.rank_correlation(x, [onsets[i] for i in waiting])
            for name, x in values.items()
        },
    }


def _until(history: History, epoch: int) -> Record:
    """The last record up to an epoch."""
    return [record for record in history if record["step"] <= epoch][-1]
