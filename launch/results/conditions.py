"""Grokking under several conditions on the same seeds: which generalise, when, and what moves."""

from collections.abc import Mapping, Sequence
from typing import Any

from launch import labels
from launch.results import comparisons, early, transitions
from launch.results.ensembles import Condition, leads_of, read
from launch.results.observations import Observation, written
from launch.results.transitions import ACCURACY
from launch.runs import Run


def names(found: Sequence[Condition]) -> list[str]:
    """Names conditions by the fields in which they differ from the first, one per line.

    >>> empty = [[], [], [], []]
    >>> names([Condition(name, *empty) for name in ("a=1,loss=margin", "a=1,loss=ordinary")])
    ['reference', 'loss: ordinary']
    """
    fields = [c.name.split(",") for c in found]
    if any(len(own) == 1 for own in fields):
        return [labels.setting(c.name) for c in found]
    changed = [[labels.setting(x) for x in own if x not in fields[0]] for own in fields]
    return ["\n".join(lines) or "reference" for lines in changed]


def compare(points: Sequence[Run]) -> tuple[dict[str, Any], str]:
    """Compares conditions, the reference first.

    Returns:
      What summary.json holds beside the table of the grid, and the comparison as Markdown. The
      former has, as `comparison`: `conditions`, for each its seeds, which of them generalised,
      their onsets and transitions (`by_seed`), how many make each transition, and the paired
      `onset_ratio`; of the first condition the `leads` over test accuracy and what values tell
      `early`; and `observations` over all seeds.
    """
    found = [read(point) for point in points]
    n = max(points[0].config["metric_batch_sizes"])
    conditions = {
        c.name: {"label": label.replace("\n", ", ")} | _described(c, found[0], n)
        for c, label in zip(found, names(found), strict=True)
    }
    leads = leads_of(found[0])
    summary = {
        "conditions": conditions,
        "leads": leads,
        "early": early.tells(found[0], n, points[0].config["early_epoch"]),
        "observations": written([answers(found, leads, n)]),
    }
    return {"comparison": summary}, markdown(summary)


def _described(condition: Condition, reference: Condition, n: int) -> dict[str, Any]:
    """The numbers of one condition."""
    return {
        "seeds": condition.seeds,
        "generalised": condition.generalised,
        "onset": condition.onsets(),
        "by_seed": transitions.written(condition.found, transitions.measures(n)),
        "transitions": {
            name: {
                label: comparisons.share(*_counted([condition], name, among))
                for label, among in (("generalised", True), ("others", False))
            }
            for name in condition.found[0]
            if name != ACCURACY
        },
        "onset_ratio": None if condition is reference else paired(condition, reference),
    }


def paired(condition: Condition, reference: Condition) -> dict[str, Any]:
    """Compares the onset with the reference's, seed by seed, as a ratio of epochs.

    A seed that does not generalise enters with its last epoch: a lower bound on its onset. A pair
    in which neither does says nothing, and is left out, as is one without an onset.

    Returns:
      `seeds` and `ratios` of the pairs; `bounds`, for each "" or the direction in which the true
      ratio lies, "above" or "below"; and `ratio` with its 95 % interval, None without pairs. With
      bounds among the ratios the mean is a bound as well, and has no interval.
    """
    pairs = []
    for i, seed in enumerate(condition.seeds):
        if seed not in reference.seeds:
            continue
        j = reference.seeds.index(seed)
        own, other = condition.generalised[i], reference.generalised[j]
        bound = "" if own and other else "below" if own else "above"
        at, since = condition.onset(i), reference.onset(j)
        if (own or other) and at is not None and since is not None:
            pairs.append((seed, at, since, bound))
    ratio = comparisons.ratio([p[1] for p in pairs], [p[2] for p in pairs]) if pairs else None
    if ratio and any(bound for *_, bound in pairs):
        ratio |= {"low": None, "high": None, "verdict": "no difference"}
    return {
        "seeds": [seed for seed, *_ in pairs],
        "ratios": [own / other for _, own, other, _ in pairs],
        "bounds": [bound for *_, bound in pairs],
        "ratio": ratio,
    }


def answers(found: Sequence[Condition], leads: Mapping[str, Any], n: int) -> dict[str, Observation]:
    """Whether MIR falls and HDR rises and falls where a seed generalises, and only there.

    Args:
      found: all conditions.
      leads: of the seeds that generalise in the first.
      n: size of the test batch of MIR and HDR.
    """
    observed = {}
    for prefix, level in (("", f"n = {n}"), ("class_", "class level")):
        for name, text in (
            ("mir_falls", f"MIR ({level}) falls"),
            ("hdr_returns", f"HDR ({level}) rises and falls"),
        ):
            inside, outside = (_counted(found, prefix + name, among) for among in (True, False))
            known = inside[1] > 0 and outside[1] > 0
            refuted = inside[0] < inside[1] or outside[0] > 0
            observed[prefix + name] = Observation(
                f"{text} in every seed that generalises, and in none that does not",
                {
                    "generalised": comparisons.share(*inside),
                    "others": comparisons.share(*outside),
                },
                False if refuted else True if known else None,
            )
        for name, text in (("mir_falls", "MIR"), ("hdr_rises", "HDR")):
            lead = leads[prefix + name] if leads else None
            observed[f"{prefix}{name}_first"] = _first(text, level, lead)
    return observed


def _first(text: str, level: str, lead: Mapping[str, Any] | None) -> Observation:
    """Whether a transition is half way before test accuracy is."""
    ratio = lead["half"]["ratio"] if lead and lead["half"] else None
    clear = ratio is not None and comparisons.is_clear(ratio)
    return Observation(
        f"{text} ({level}) is half way before test accuracy is: ratio of epochs below 1, where "
        "the 95 % interval excludes 1 (seeds of the first condition that make this transition and "
        "generalise after fitting)",
        ratio | {"seeds": lead["seeds"]} if lead and ratio else None,
        ratio["mean"] < 1 if ratio is not None and clear else None,
    )


def _counted(found: Sequence[Condition], name: str, generalised: bool) -> tuple[int, int]:
    """How many seeds make a transition, of those that generalise, or of the others."""
    those = [
        seed[name]
        for c in found
        for seed, yes in zip(c.found, c.generalised, strict=True)
        if yes == generalised and name in seed
    ]
    return sum(t is not None for t in those), len(those)


_COLUMNS = ("mir_falls", "hdr_returns", "class_mir_falls", "class_hdr_returns")


def markdown(summary: Mapping[str, Any]) -> str:
    """The conditions as a table: which seeds generalise and when, and which transitions occur."""
    columns = ("MIR falls", "HDR rises, falls", "class MIR falls", "class HDR rises, falls")
    header = ["condition", "generalise", "onset (epoch)", "onset / first condition", *columns]
    lines = [f"| {' | '.join(header)} |", "|" + " --- |" * len(header)]
    for found in summary["conditions"].values():
        cells = [
            found["label"],
            f"{sum(found['generalised'])} of {len(found['seeds'])}",
            _range(found),
        ]
        cells += [_ratio(found["onset_ratio"]), *(_seen(found, column) for column in _COLUMNS)]
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        "Onset: test accuracy is half way, range over the seeds that generalise. Ratio: geometric "
        "mean over paired seeds [95 % interval]; a seed that does not generalise enters with its "
        "last epoch, and ≥ or ≤ marks the bound, which has no interval. Transitions: seeds that "
        "make them, of those that generalise / of the others."
    )
    return "\n".join(lines) + f"\n\n{note}\n"


def _range(found: Mapping[str, Any]) -> str:
    onsets = zip(found["onset"], found["generalised"], strict=True)
    epochs = [at for at, yes in onsets if yes and at is not None]
    return f"{min(epochs):,.0f} to {max(epochs):,.0f}" if epochs else ""


def _ratio(found: Mapping[str, Any] | None) -> str:
    if not found or not found["ratio"]:
        return ""
    bounds = set(found["bounds"]) - {""}
    mark = {frozenset(): "", frozenset({"above"}): "≥ ", frozenset({"below"}): "≤ "}
    ratio = found["ratio"]
    interval = "" if ratio["low"] is None else f" [{ratio['low']:.2f}, {ratio['high']:.2f}]"
    return f"{mark.get(frozenset(bounds), '≈ ')}{ratio['mean']:.2f}{interval}"


def _seen(found: Mapping[str, Any], name: str) -> str:
    own = found["transitions"][name]
    return " / ".join(
        f"{s['hits']} of {s['of']}" if s["of"] else "-" for s in (own["generalised"], own["others"])
    )
