"""Prompt learning: λ chosen on validation images, and CMA compared with cross-entropy alone."""

from collections.abc import Sequence
from typing import Any

from launch.results import comparisons
from launch.results.observations import finals, spread
from launch.runs import History


def summarize(
    histories: Sequence[History], weights: Sequence[str], zero_shot: dict[str, float]
) -> dict[str, Any]:
    """Returns the content of summary.json.

    Args:
      histories: the records of each seed.
      weights: λ of each context as in the names of metrics; the first is cross-entropy alone.
      zero_shot: accuracies of the zero-shot prompt.
    """
    ce, *names = weights
    last = [history[-1] for history in histories]
    chosen = [
        max(names, key=lambda n: (r[f"validation/accuracy_{n}"], -r[f"validation/loss_{n}"]))
        for r in last
    ]
    accuracy = {
        "ce": [r[f"test/accuracy_{ce}"] for r in last],
        "ce_cma": [r[f"test/accuracy_{n}"] for r, n in zip(last, chosen, strict=True)],
    }
    return finals(histories) | {
        "zero_shot": zero_shot,
        "alignment_weight": [float(name) for name in chosen],
        "test_accuracy": {method: spread(values) for method, values in accuracy.items()},
        "differences": {"ce_cma - ce": comparisons.difference(accuracy["ce_cma"], accuracy["ce"])},
        "observations": {},
    }
