"""What Figures 1 and 2 of Song et al. 2024 show: MIR rises and HDR falls with accuracy."""

import numpy as np

from infojax import collapse
from launch.results import comparisons
from launch.results.observations import Observation, Observations, bounded
from launch.runs import History


def observe(history: History, split: str, n: int, num_classes: int) -> Observations:
    """Measures what figures 1 and 2 show on the records of one seed.

    Args:
      history: records in order of steps.
      split: the split evaluated on.
      n: size of the batches of MIR and HDR.
      num_classes: number of classes C.

    Returns:
      Observations; rank correlations are Spearman's, over the evaluations after step 0.
    """
    trained = [record for record in history if record["step"] > 0]
    accuracy, mir, hdr = (
        np.array([record[f"{split}/{name}"] for record in trained])
        for name in ("accuracy", f"mir_{n}", f"hdr_{n}")
    )
    collapsed = float(collapse.mir_at_collapse(num_classes))
    return {
        "accuracy": Observation(f"{split} accuracy at the end", float(accuracy[-1])),
        "mir_rises": bounded(
            f"rank correlation of MIR (n = {n}) with {split} accuracy (positive)",
            _rank_correlation(accuracy, mir),
            lambda r: r > 0,
        ),
        "hdr_falls": bounded(
            f"rank correlation of HDR (n = {n}) with {split} accuracy (negative)",
            _rank_correlation(accuracy, hdr),
            lambda r: r < 0,
        ),
        "mir_below_collapse": bounded(
            f"MIR (n = {n}) at the end (below its value at collapse, {collapsed:.4f})",
            float(mir[-1]),
            lambda x: x < collapsed,
        ),
        "hdr_above_collapse": bounded(
            f"HDR (n = {n}) at the end (above its value at collapse, 0)",
            float(hdr[-1]),
            lambda x: x > 0,
        ),
    }


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's, or None where one of them does not vary."""
    found: float | None = comparisons.rank_correlation(x, y)["correlation"]
    return None if len(x) < 3 else found
