"""The page of claims, from what runs wrote: `python docs/claims.py [RUN ...]`.

Reads summary.json, config.json and environment.json of each run into claims.json beside this file,
where a run replaces an earlier one of the same name; then writes claims.md. Without runs, it writes
the page again from claims.json.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXTRACT, PAGE = HERE / "claims.json", HERE / "claims.md"
SECTIONS = ("observations", "over_seeds")  # of summary.json
INTRODUCTION = """# Claims

What the papers report, held against what runs of this repository measured. The page is written by
`python docs/claims.py RUN ...` from the `summary.json` of finished runs; [Results](results.md)
discusses them. Several seeds: mean (smallest to largest), and in how many of them the statement
holds. A dash stands where a statement has no bound.
"""


def extract(run):
    """What the page tells of a run; its text, measured and holds are as in summary.json."""
    summary, config, starts = (
        json.loads((run / f"{name}.json").read_text())
        for name in ("summary", "config", "environment")
    )
    observed = {}
    for section in SECTIONS:
        observed |= summary.get(section, {})
    return {
        "experiment": config["experiment"],
        "seeds": config.get("num_seeds", 1),
        "commit": (starts[-1]["git_commit"] or "unknown")[:7],
        "observations": observed,
    }


def number(value):
    """A number with four digits; an integer as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def measured(values):
    """One entry per seed, or one for a study: a number, a dict, or None."""
    found = [value for value in values if value is not None]
    if not found:
        return "not measured"
    if len(found) == 1 or not all(isinstance(value, int | float) for value in found):
        return "; ".join(
            ", ".join(f"{name}: {number(x)}" for name, x in value.items())
            if isinstance(value, dict)
            else number(value)
            for value in found
        )
    return f"{number(sum(found) / len(found))} ({number(min(found))} to {number(max(found))})"


def holds(values):
    """`yes`, `no`, or in how many seeds."""
    judged = [value for value in values if value is not None]
    if not judged:
        return "–"
    if len(judged) == 1:
        return "yes" if judged[0] else "no"
    return f"{sum(judged)} of {len(judged)}"


def table(name, run):
    """The section of a run."""
    seeds = f"{run['seeds']} seeds" if run["seeds"] > 1 else "one seed"
    lines = [f"## {name}", "", f"Experiment `{run['experiment']}`, {seeds}, commit {run['commit']}"]
    lines += ["", "| statement | measured | holds |", "| --- | --- | --- |"]
    for each in run["observations"].values():
        text = each["text"].replace("|", r"\|")
        lines.append(f"| {text} | {measured(each['measured'])} | {holds(each['holds'])} |")
    return "\n".join(lines)


def page(runs):
    """The text of claims.md."""
    return (
        "\n\n".join([INTRODUCTION.strip(), *(table(*run) for run in sorted(runs.items()))]) + "\n"
    )


def main(directories):
    """Adds runs to the extract and writes the page."""
    runs = json.loads(EXTRACT.read_text()) if EXTRACT.exists() else {}
    for directory in directories:
        if not (directory / "summary.json").exists():
            sys.exit(f"claims: {directory} is not a finished run: it has no summary.json")
        runs[directory.resolve().name] = extract(directory)
    EXTRACT.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(runs))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
