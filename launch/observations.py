"""What the papers observe, each as a measured number that holds or does not; spreads over seeds."""

from typing import Any

import numpy as np
from scipy import stats

from infojax import collapse

Record = dict[str, float]
Observation = dict[str, Any]


def of_grokking(history: list[Record], n: int) -> dict[str, Observation]:
    """Measures what Figure 7 shows on the records of one run.

    Args:
      history: records in order of steps.
      n: size of the test batch of MIR and HDR.

    Returns:
      For each observation its text, the measured value (None if it never came to it), and whether
      it holds.
    """
    step = np.array([r["step"] for r in history])
    column = lambda name: np.array([r[name] for r in history])  # noqa: E731
    mir, hdr, test = column(f"test/mir_{n}"), column(f"test/hdr_{n}"), column("test/accuracy")
    fitted, grokked = (
        _first(step, accuracy > 0.99) for accuracy in (column("train/accuracy"), test)
    )
    top = int(np.argmax(mir))
    shelf, lowest = float(mir[top]), float(np.min(mir[top:]))
    before = np.cumsum(test >= 0.5) == 0  # the long plateau, and the start of the climb
    hdr_floor = float(np.min(hdr[before])) if before.any() else None
    climbing = (np.cumsum(test > 0.99) == 0) & (not before.all())  # and not beyond
    if before.any():
        climbing &= step > step[before][np.argmin(hdr[before])]
    hdr_peak = float(np.max(hdr[climbing])) if climbing.any() else None
    late = step > 1_000
    spike = float(np.max(column("train/loss_spike")[late])) if late.any() else None
    return {
        "train_accuracy": _observation(
            "epoch at which training accuracy exceeds 0.99 (by 300)",
            fitted,
            fitted is not None and fitted <= 300,
        ),
        "test_accuracy": _observation(
            "epoch at which test accuracy exceeds 0.99 (before 12,000)",
            grokked,
            grokked is not None and grokked < 12_000,
        ),
        "mir_shelf": _observation(
            f"MIR (n = {n}) rises from {mir[0]:.3f} at initialisation to a shelf (0.60 or more)",
            shelf,
            shelf >= 0.6 and shelf > mir[0],
        ),
        "mir_fall": _observation(
            f"fall of MIR (n = {n}) from the shelf to its lowest value (0.2 or more)",
            shelf - lowest,
            shelf - lowest >= 0.2,
        ),
        "hdr_floor": _observation(
            f"HDR (n = {n}) at its lowest before test accuracy reaches 0.5 (below 0.1)",
            hdr_floor,
            hdr_floor is not None and hdr_floor < 0.1,
        ),
        "hdr_peak": _observation(
            f"HDR (n = {n}) at its highest after that, while test accuracy climbs (0.3 or more)",
            hdr_peak,
            hdr_peak is not None and hdr_peak >= 0.3,
        ),
        "hdr_end": _observation(
            f"HDR (n = {n}) at the end (below 0.15, after its rise)",
            float(hdr[-1]),
            float(hdr[-1]) < 0.15 and hdr_peak is not None and hdr_peak >= 0.3,
        ),
        "loss_spike": _observation(
            "largest training loss after epoch 1,000, over the smallest before it (at most 10)",
            spike,
            spike is not None and spike <= 10,
        ),
    }


def of_supervised(
    history: list[Record], split: str, n: int, num_classes: int
) -> dict[str, Observation]:
    """Measures what figures 1 and 2 show: MIR rises and HDR falls with accuracy.

    Args:
      history: records in order of steps.
      split: the split evaluated on.
      n: size of the batches of MIR and HDR.
      num_classes: number of classes C.

    Returns:
      As `of_grokking`. The rank correlations are Spearman's, over the evaluations after step 0.
    """
    trained = [record for record in history if record["step"] > 0]
    accuracy, mir, hdr = (
        np.array([record[f"{split}/{name}"] for record in trained])
        for name in ("accuracy", f"mir_{n}", f"hdr_{n}")
    )
    with_mir, with_hdr = (_rank_correlation(accuracy, x) for x in (mir, hdr))
    collapsed = float(collapse.mir_at_collapse(num_classes))
    return {
        "accuracy": _observation(f"{split} accuracy at the end", float(accuracy[-1]), True),
        "mir_rises": _observation(
            f"rank correlation of MIR (n = {n}) with {split} accuracy (positive)",
            with_mir,
            with_mir is not None and with_mir > 0,
        ),
        "hdr_falls": _observation(
            f"rank correlation of HDR (n = {n}) with {split} accuracy (negative)",
            with_hdr,
            with_hdr is not None and with_hdr < 0,
        ),
        "mir_below_collapse": _observation(
            f"MIR (n = {n}) at the end (below its value at collapse, {collapsed:.4f})",
            float(mir[-1]),
            float(mir[-1]) < collapsed,
        ),
        "hdr_above_collapse": _observation(
            f"HDR (n = {n}) at the end (above its value at collapse, 0)",
            float(hdr[-1]),
            float(hdr[-1]) > 0,
        ),
    }


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's, or None where one of them does not vary."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(stats.spearmanr(x, y).statistic)


def summarize(
    histories: list[list[Record]], observed: list[dict[str, Observation]]
) -> dict[str, Any]:
    """Returns what summary.json holds: final metrics with their spread, time, observations.

    Args:
      histories: the records of each seed.
      observed: the observations of each seed.
    """
    finals = [history[-1] for history in histories]
    names = [name for name in finals[0] if name not in ("step", "seconds")]
    return {
        "steps": finals[0]["step"],
        "seconds": [final["seconds"] for final in finals],
        "final": {name: spread([final[name] for final in finals]) for name in names},
        "observations": {
            name: {
                "text": observed[0][name]["text"],
                "measured": [seed[name]["measured"] for seed in observed],
                "holds": [seed[name]["holds"] for seed in observed],
            }
            for name in observed[0]
        },
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Mean over seeds and sample standard deviation (None for one seed)."""
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": deviation}


def _first(step: np.ndarray, condition: np.ndarray) -> int | None:
    return int(step[np.argmax(condition)]) if condition.any() else None


def _observation(text: str, measured: float | None, holds: bool) -> Observation:
    return {"text": text, "measured": measured, "holds": bool(holds)}
