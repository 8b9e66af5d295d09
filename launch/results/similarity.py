"""Does matrix entropy measure similarity and clustering, and what do entropies alone tell?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from launch.results import comparisons
from launch.results.observations import Observation, written
from launch.runs import History

# Pairs of measures over training, and the sign of their rank correlation if entropy says how
# unlike samples are.
_PAIRS = (
    ("within_class_entropy", "cosine_within", -1),
    ("within_class_entropy", "nc1", 1),
    ("within_class_entropy", "silhouette", -1),
    ("within_class_entropy", "nmi", -1),
    ("within_class_entropy", "accuracy", -1),
    ("class_mean_entropy", "cosine_between", -1),
    ("class_mean_entropy", "silhouette", 1),
    ("class_mean_entropy", "accuracy", 1),
    ("entropy_features", "cosine_between", -1),
    ("entropy_features", "accuracy", 1),
)
_ROUNDING = 1e-6  # of errors and bounds
_FEW = 5  # evaluations, below which a rank correlation says nothing
_INTERVAL = ("mean", "low", "high")
_WORDS = {
    "within_class_entropy": "entropy within classes",
    "class_mean_entropy": "entropy of the class means",
    "entropy_features": "entropy of all features",
    "entropy_head": "entropy of the head rows",
    "cosine_within": "mean cosine within classes",
    "cosine_between": "mean cosine between classes",
    "nc1": "NC1",
    "nmi": "NMI of k-means with the labels",
    "silhouette": "silhouette",
    "accuracy": "accuracy",
}


def summarize(histories: Sequence[History], split: str, n: int) -> dict[str, Any]:
    """Returns what the records of several seeds say.

    Args:
      histories: the records of each seed.
      split: the evaluated split.
      n: size of the batches of MIR and HDR.

    Returns:
      `observations`; `prediction`, the mean absolute error of the accuracy by measure and seed.
    """
    curves = [_curves(history, split, 0) for history in histories]
    found = {f"{x}_{y}": _correlated(curves, x, y, sign) for x, y, sign in _PAIRS}
    predicted = _predictions(curves, n)
    found |= _compared(predicted, n)
    found |= _bounds([_curves(history, split, -1) for history in histories])
    return {
        "observations": written([found]),
        "prediction": {name: list(errors) for name, errors in predicted.items()},
    }


def _curves(history: History, split: str, after: int) -> dict[str, np.ndarray]:
    """The measures of the split by name, over the evaluations after a step."""
    trained = [record for record in history if record["step"] > after]
    prefix = f"{split}/"
    names = [name for name in trained[0] if name.startswith(prefix)]
    return {n.removeprefix(prefix): np.array([r[n] for r in trained]) for n in names}


def _correlated(curves: list[dict[str, np.ndarray]], x: str, y: str, sign: int) -> Observation:
    """The rank correlation over the evaluations of a seed: mean over seeds, and its interval."""
    values = [comparisons.rank_correlation(c[x], c[y])["correlation"] for c in curves]
    text = f"rank correlation over training of {_WORDS[x]} and {_WORDS[y]}"
    text += f" ({'positive' if sign > 0 else 'negative'})"
    few = len(curves[0][x]) < _FEW
    known = [] if few else [value for value in values if value is not None]
    if not known:
        return Observation(text, None)
    found = comparisons.difference(known, np.zeros(len(known)))
    clear = comparisons.is_clear(found)
    interval = {name: found[name] and float(np.clip(found[name], -1, 1)) for name in _INTERVAL}
    return Observation(text, interval, bool(np.sign(found["mean"]) == sign) if clear else None)


def _predictions(curves: list[dict[str, np.ndarray]], n: int) -> dict[str, np.ndarray]:
    """Mean absolute errors [seeds] of the accuracy of a seed, predicted from a measure.

    The prediction is the monotone function that fits the other seeds best: no measure gains from
    the shape of its relation to accuracy. `constant` is the mean accuracy of the others.
    """
    if len(curves) < 2:
        return {}
    names = ("entropy_features", "entropy_head", f"mir_{n}", f"hdr_{n}")
    errors = {name: [_error(curves, i, name) for i in range(len(curves))] for name in names}
    constant = [_error(curves, i, None) for i in range(len(curves))]
    return {name: np.array(x) for name, x in errors.items()} | {"constant": np.array(constant)}


def _error(curves: list[dict[str, np.ndarray]], left_out: int, name: str | None) -> float:
    others = [curve for i, curve in enumerate(curves) if i != left_out]
    accuracy = np.concatenate([curve["accuracy"] for curve in others])
    own = curves[left_out]
    if name is None:
        return float(np.mean(np.abs(own["accuracy"] - np.mean(accuracy))))
    measure = np.concatenate([curve[name] for curve in others])
    rises = (comparisons.rank_correlation(measure, accuracy)["correlation"] or 0.0) >= 0
    fit = IsotonicRegression(increasing=rises, out_of_bounds="clip").fit(measure, accuracy)
    return float(np.mean(np.abs(fit.predict(own[name]) - own["accuracy"])))


def _compared(predicted: dict[str, np.ndarray], n: int) -> dict[str, Observation]:
    """Are the errors of MIR and HDR smaller than those of either entropy alone?"""
    if not predicted:
        return {}
    found = {}
    for measure in (f"mir_{n}", f"hdr_{n}"):
        for alone in ("entropy_features", "entropy_head"):
            name = f"{measure.partition('_')[0].upper()} (n = {n})"
            difference = comparisons.difference(predicted[measure], predicted[alone])
            clear = comparisons.is_clear(difference)
            found[f"{measure}_against_{alone}"] = Observation(
                f"accuracy of a left-out seed's evaluations, predicted from {name}: mean absolute "
                f"error minus that from {_WORDS[alone]} (negative)",
                {name: difference[name] for name in _INTERVAL},
                difference["verdict"] == "lower" if clear else None,
            )
    return found


def _bounds(curves: list[dict[str, np.ndarray]]) -> dict[str, Observation]:
    """How tight the rank bound of theorem 4.6 is, in both directions."""
    found = {}
    for side, target in (("head", "features"), ("features", "head")):
        for kind, bound in (("rank", "ranks"), ("effective", "effective ranks, no longer a bound")):
            slack = [c[f"error_from_{side}"] - c[f"{kind}_bound_from_{side}"] for c in curves]
            least = float(min(x.min() for x in slack))
            measured = {"smallest": least, "at_the_end": float(np.mean([x[-1] for x in slack]))}
            found[f"{kind}_bound_from_{side}"] = Observation(
                f"error of predicting targets of the {target} from the {side}, minus the bound of "
                f"{bound}: smallest over training and seeds, mean at the end (not below 0)",
                measured,
                least >= -_ROUNDING,
            )
    return found
