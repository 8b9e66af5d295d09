"""Does matrix entropy measure similarity and clustering, and what do entropies alone tell?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.isotonic import IsotonicRegression

from launch.results import comparisons
from launch.results.observations import Observation, written
from launch.runs import History, Run, evaluated_split, model_name

Curves = dict[str, np.ndarray]  # measures by name, over evaluations

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
    predicted = _predictions([[curve] for curve in curves], n) if len(curves) > 1 else {}
    found |= _compared(predicted, n, "seed")
    found |= _bounds([_curves(history, split, -1) for history in histories])
    return {
        "observations": written([found]),
        "prediction": {name: list(errors) for name, errors in predicted.items()},
    }


def compare(points: Sequence[Run]) -> tuple[dict[str, Any], str]:
    """Do MIR and HDR predict the accuracy of a left-out network better than entropies do?

    Args:
      points: runs that differ in their network.

    Returns:
      What summary.json holds beside the table: `comparison` with `networks`, `prediction`, the
      mean absolute error of the accuracy by measure and left-out network, and `observations`; and
      the errors as Markdown. Nothing if the points measure different splits or batch sizes.
      Intervals take the errors as independent, though networks share those they are predicted from.
    """
    if len({read_settings(point) for point in points}) > 1:  # of other splits or batch sizes
        return {}, ""
    split, n = read_settings(points[0])
    kinds = [[_curves(history, split, 0) for history in point.histories] for point in points]
    predicted = _predictions(kinds, n) if len(kinds) > 1 else {}
    found = {
        "networks": names(points),
        "prediction": {name: list(errors) for name, errors in predicted.items()},
        "observations": written([_compared(predicted, n, "network")]),
    }
    return {"comparison": found}, _markdown(found)


def names(points: Sequence[Run]) -> list[str]:
    """The networks of points; where two have the same, what the points vary."""
    models = [model_name(point.config) for point in points]
    return models if len(set(models)) == len(models) else [p.name for p in points]


def read_settings(run: Run) -> tuple[str, int]:
    """The evaluated split, and the size of the batches of MIR and HDR."""
    return evaluated_split(run.config), run.config["metric_batch_sizes"][0]


def _markdown(found: Mapping[str, Any]) -> str:
    """The errors of predicting the accuracy of each network from the others."""
    if not found["prediction"]:
        return ""
    rows = ["## Accuracy of a left-out network, mean absolute error", ""]
    rows += [f"| {' | '.join(['predicted from', *found['networks']])} |"]
    rows += ["|---|" + "---:|" * len(found["networks"])]
    for name, errors in found["prediction"].items():
        rows.append(f"| {_worded(name)} | {' | '.join(f'{x:.3f}' for x in errors)} |")
    return "\n".join(rows) + "\n"


def _curves(history: History, split: str, after: int) -> Curves:
    """The measures of the split by name, over the evaluations after a step."""
    trained = [record for record in history if record["step"] > after]
    prefix = f"{split}/"
    names = [name for name in trained[0] if name.startswith(prefix)]
    return {n.removeprefix(prefix): np.array([r[n] for r in trained]) for n in names}


def _correlated(curves: list[Curves], x: str, y: str, sign: int) -> Observation:
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


def _predictions(groups: list[list[Curves]], n: int) -> dict[str, np.ndarray]:
    """Mean absolute errors [groups] of the accuracy of a group's seeds, predicted from a measure.

    The prediction is the monotone function that fits the other groups best: no measure gains from
    the shape of its relation to accuracy. `constant` is the mean accuracy of the others.
    """
    names = ("entropy_features", "entropy_head", f"mir_{n}", f"hdr_{n}")
    found: dict[str, np.ndarray] = {}
    for label, name in (*zip(names, names, strict=True), ("constant", None)):
        errors = []
        for i, group in enumerate(groups):
            others = [curves for j, other in enumerate(groups) if j != i for curves in other]
            errors.append(np.mean([_error(others, own, name) for own in group]))
        found[label] = np.array(errors)
    return found


def _error(others: list[Curves], own: Curves, name: str | None) -> float:
    accuracy = np.concatenate([curves["accuracy"] for curves in others])
    if name is None:
        return float(np.mean(np.abs(own["accuracy"] - np.mean(accuracy))))
    measure = np.concatenate([curves[name] for curves in others])
    rises = (comparisons.rank_correlation(measure, accuracy)["correlation"] or 0.0) >= 0
    fit = IsotonicRegression(increasing=rises, out_of_bounds="clip").fit(measure, accuracy)
    return float(np.mean(np.abs(fit.predict(own[name]) - own["accuracy"])))


def _compared(predicted: dict[str, np.ndarray], n: int, group: str) -> dict[str, Observation]:
    """Are the errors of MIR and HDR smaller than those of either entropy alone?"""
    if not predicted:
        return {}
    found = {}
    for measure in (f"mir_{n}", f"hdr_{n}"):
        for alone in ("entropy_features", "entropy_head"):
            difference = comparisons.difference(predicted[measure], predicted[alone])
            clear = comparisons.is_clear(difference)
            found[f"{measure}_against_{alone}"] = Observation(
                f"accuracy of a left-out {group}'s evaluations, predicted from {_worded(measure)}: "
                f"mean absolute error minus that from {_WORDS[alone]} (negative)",
                {name: difference[name] for name in _INTERVAL},
                difference["verdict"] == "lower" if clear else None,
            )
    return found


def _worded(name: str) -> str:
    """A measure in words: `mir_64` is MIR (n = 64)."""
    measure, _, n = name.partition("_")
    known = _WORDS | {"constant": "their mean accuracy"}
    return known.get(name) or f"{measure.upper()} (n = {n})"


def _bounds(curves: list[Curves]) -> dict[str, Observation]:
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
