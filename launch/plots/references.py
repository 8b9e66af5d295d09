"""Values that curves are compared with."""

import math

from infojax import collapse
from launch.labels import label
from launch.runs import Run, num_classes

_OF_QUANTITY = {
    "MIR": "mir",
    "MIR, class level": "mir",
    "HDR": "hdr",
    "HDR, class level": "hdr",
    "matrix entropy": "entropy",
}


def at_collapse(runs: list[Run]) -> dict[str, float | None]:
    """Returns `mir`, `hdr` and `entropy` at neural collapse with balanced classes.

    They are None where the runs have no common number of classes, or 2: MIR is undefined there.
    """
    c = num_classes(runs)
    return dict.fromkeys(("mir", "hdr", "entropy")) if c is None else of_classes(c)


def of_classes(c: int) -> dict[str, float | None]:
    """`at_collapse` for a number of classes."""
    if c < 3:
        return dict.fromkeys(("mir", "hdr", "entropy"))
    return {"mir": collapse.mir_at_collapse(c), "hdr": 0.0, "entropy": math.log(c - 1)}


def of_metric(metric: str, collapsed: dict[str, float | None]) -> float | None:
    """Returns a metric's value at neural collapse, one of `collapsed`; None if it has none."""
    quantity = label(metric).quantity
    return collapsed[_OF_QUANTITY[quantity]] if quantity in _OF_QUANTITY else None
