"""The transitions of a grokking run: which measures make one, when, and which comes first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from launch.results import comparisons, onsets
from launch.results.onsets import Transition
from launch.runs import History

GENERALISED = 0.99  # test accuracy above which a seed has generalised
ACCURACY = "test_accuracy_rises"


class Measure(NamedTuple):
    """A transition to look for.

    Attributes:
      text: what it is.
      metric: its name in the records.
      kind: "rise" or "fall"; for a curve that rises and falls again, "return" is that fall, and
        "leave" that rise, or the largest if none is followed by a fall.
      least: size from which it counts.
      log: whether the logarithm of the metric is used; `least` is then a factor.
    """

    text: str
    metric: str
    kind: str
    least: float
    log: bool = False


_BESIDE = {
    "effective_rank_falls": Measure(
        "effective rank of test features falls", "test/effective_rank", "fall", 1.25, True
    ),
    "nc1_rises": Measure("NC1 of test features rises", "test/nc1", "rise", 2.0, True),
    "test_loss_falls": Measure("test loss falls", "test/loss", "fall", 2.0, True),
    "weights_fall": Measure(
        "sum of squared weights falls", "weights/squared_norm", "fall", 1.25, True
    ),
    "gini_embedding_rises": Measure(
        "Gini (embedding) rises", "fourier/gini_embedding", "rise", 0.05
    ),
    "gini_logit_map_rises": Measure(
        "Gini (neurons to logits) rises", "fourier/gini_logit_map", "rise", 0.05
    ),
    "restricted_loss_falls": Measure(
        "restricted loss falls", "test/restricted_loss", "fall", 2.0, True
    ),
    "excluded_loss_rises": Measure(
        "excluded loss (training) rises", "train/excluded_loss", "rise", 2.0, True
    ),
}


def measures(n: int) -> dict[str, Measure]:
    """Returns the transitions by name, MIR and HDR at the sample level of a test batch of n."""
    levels = (("", f"n = {n}", f"_{n}"), ("class_", "class level", ""))
    found = {ACCURACY: Measure("test accuracy rises", "test/accuracy", "rise", 0.5)}
    for prefix, level, suffix in levels:
        mir, hdr = f"test/{prefix}mir{suffix}", f"test/{prefix}hdr{suffix}"
        returns = f"HDR ({level}) falls after its rise"
        found |= {
            f"{prefix}mir_falls": Measure(f"MIR ({level}) falls", mir, "fall", 0.05),
            f"{prefix}hdr_rises": Measure(f"HDR ({level}) rises", hdr, "leave", 0.05),
            f"{prefix}hdr_returns": Measure(returns, hdr, "return", 0.05),
        }
    corrected = f"test/corrected_mir_{n}"
    for kind in ("rise", "fall"):
        text = f"corrected MIR (n = {n}) {kind}s"
        found[f"corrected_mir_{kind}s"] = Measure(text, corrected, kind, 0.05)
    return found | _BESIDE


def memorised(history: History) -> int:
    """The first epoch with a training accuracy above 0.99; 0 if there is none."""
    return next((int(r["step"]) for r in history if r["train/accuracy"] > 0.99), 0)


def generalised(history: History) -> bool:
    """Whether test accuracy exceeded 0.99 at an evaluation."""
    return any(record["test/accuracy"] > GENERALISED for record in history)


def of_seed(history: History, wanted: Mapping[str, Measure]) -> dict[str, Transition | None]:
    """Returns the transitions of one seed.

    The search starts at the epoch at which the training examples are fitted: what fitting does to
    the measures is not part of generalising. If test accuracy has risen by then, all records are
    searched for its rise. A measure that some records lack, as in older versions, has none.
    """
    begin = memorised(history)
    fitted = [record for record in history if record["step"] >= begin]
    found = {
        name: transition(fitted, measure)
        for name, measure in wanted.items()
        if all(measure.metric in record for record in history)
    }
    return found | {ACCURACY: found[ACCURACY] or transition(history, wanted[ACCURACY])}


def transition(history: History, measure: Measure) -> Transition | None:
    """Returns the transition of a measure on some records."""
    steps = np.array([record["step"] for record in history])
    values = np.array([record[measure.metric] for record in history], float)
    least = measure.least
    if measure.log:
        tiny = np.finfo(np.float32).tiny
        values, least = np.log(np.maximum(values, tiny)), float(np.log(measure.least))
    found: Transition | None
    match measure.kind:
        case "rise":
            found = onsets.rise(steps, values, least)
        case "fall":
            found = onsets.fall(steps, values, least)
        case "leave":
            peak = onsets.peak(steps, values, least)
            found = peak.rise if peak else onsets.rise(steps, values, least)
        case _:
            peak = onsets.peak(steps, values, least)
            found = peak.fall if peak else None
    if found is None or not measure.log:
        return found
    return found._replace(before=float(np.exp(found.before)), after=float(np.exp(found.after)))


Found = Sequence[Mapping[str, Transition | None]]  # of every seed, by name


def written(found: Found, wanted: Mapping[str, Measure]) -> dict[str, Any]:
    """Returns transitions as summary.json holds them: by name, `text` and one entry per seed."""
    return {
        name: {
            "text": wanted[name].text,
            "by_seed": [t and t._asdict() for t in (seed[name] for seed in found)],
        }
        for name in found[0]
    }


def leads(found: Found) -> dict[str, Any]:
    """Compares the epoch of each transition with that of test accuracy, over seeds.

    Returns:
      By name, the number of `seeds` that make both transitions and, of `start` and `half`, the
      paired `difference` in epochs (negative: before test accuracy) and `ratio` of epochs.
    """
    return {name: _lead(found, name) for name in found[0] if name != ACCURACY}


def _lead(found: Found, name: str) -> dict[str, Any]:
    pairs = [(s[name], s[ACCURACY]) for s in found]
    both = [(m, a) for m, a in pairs if m is not None and a is not None]
    return {
        "seeds": len(both),
        "start": _compared([(m.start, a.start) for m, a in both]),
        "half": _compared([(m.half, a.half) for m, a in both]),
    }


def _compared(epochs: list[tuple[float, float]]) -> dict[str, Any] | None:
    if not epochs:
        return None
    own, accuracy = np.transpose(epochs)
    return {
        "difference": comparisons.difference(own, accuracy),
        "ratio": comparisons.ratio(own, accuracy),
    }
