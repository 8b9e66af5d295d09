"""The page of claims, from what runs wrote: `python docs/claims.py [RUN ...]`.

Reads summary.json, config.json and environment.json of each run into claims.json beside this file,
where a run replaces an earlier one of the same name; then writes claims.md from claims.toml and
claims.json. Without runs, it writes the page again.
"""

import json
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
CLAIMS, EXTRACT, PAGE = (HERE / f"claims.{end}" for end in ("toml", "json", "md"))
sys.path[:0] = [str(HERE.parent)]

from launch import runs  # noqa: E402  (launch is not installed)

INTRODUCTION = """# Claims

What the papers claim, held against what runs of this repository measured. [A] is Song et al. 2024,
[arXiv:2406.03999](https://arxiv.org/abs/2406.03999); [B] is
[arXiv:2409.16767](https://arxiv.org/abs/2409.16767). The page is written by
`python docs/claims.py RUN ...` from finished runs; by hand are the claims alone (`claims.toml`).
[Results](results.md) discusses them. Several seeds: mean (smallest to largest), and in how many of
them the statement holds. A dash stands where a statement has no bound.
"""


def extract(run):
    """What the page tells of a run; its text, measured and holds are as in summary.json."""
    summary, starts = (
        json.loads((run / f"{name}.json").read_text()) for name in ("summary", "environment")
    )
    config = runs.read_config(run)
    observed = {}
    for section in (summary, summary.get("comparison") or {}):
        for name in ("observations", "over_seeds"):
            observed |= section.get(name, {})
    return {
        "experiment": config["experiment"],
        "scale": scale(config),
        "seeds": config.get("num_seeds", 1),
        "commits": commits([start["git_commit"] for start in starts]),
        "observations": observed,
    }


def commits(hashes):
    """The commits of the first and the last start of a run; + where files had changed."""
    short = [h[:7] + "+" * h.endswith("-dirty") if h else "unknown" for h in hashes]
    return short[0] if short[0] == short[-1] else f"{short[0]} to {short[-1]}"


def scale(config):
    """The size of a run in a few words."""
    points = f", {len(config['points'])} points" if "points" in config else ""
    steps = f", {config['num_steps']:,} " if "num_steps" in config else ""
    match config:
        case {"modulus": modulus}:
            varies = "operation" in config.get("fields", ())
            operation = "several operations" if varies else config["operation"]
            return f"{operation} mod {modulus}{steps}epochs{points}"
        case {"dataset": dataset}:
            return f"{dataset}, {runs.model_name(config)}{steps}steps{points}"
        case {"features": features, "shots": shots}:
            return f"{len(features)} files of features, {shots[0]} to {shots[-1]} shots{steps}steps"
    return "unknown"


def number(value):
    """A number with four digits; an integer as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def inside(value):
    """A number, or several by name, in one line."""
    match value:
        case {"hits": hits, "of": of}:
            return f"{hits} of {of}"
        case {"differ": differ, "of": of, "largest_difference": largest}:
            return f"{differ} of {of}, by {number(largest)} at most"
        case {"mean": mean, "low": low, "high": high}:
            return f"{number(mean)} [{number(low)}, {number(high)}]"
        case dict():
            return ", ".join(
                f"{name.replace('_', ' ')}: "
                + (f"({inside(x)})" if isinstance(x, dict) and "hits" not in x else inside(x))
                for name, x in value.items()
            )
        case list():
            return " to ".join(number(x) for x in value)
    return number(value)


def measured(values):
    """One entry per seed, or one for a study: a number, several, or None."""
    found = [value for value in values if value is not None]
    if not found:
        return "not measured"
    if len(found) == 1 or not all(isinstance(value, int | float) for value in found):
        return "; ".join(inside(value) for value in found)
    return f"{number(sum(found) / len(found))} ({number(min(found))} to {number(max(found))})"


def holds(values):
    """`yes`, `no`, or in how many seeds."""
    judged = [value for value in values if value is not None]
    if not judged:
        return "–"
    if len(judged) == 1:
        return "yes" if judged[0] else "no"
    return f"{sum(judged)} of {len(judged)}"


def seeds(run):
    """How many seeds a run has."""
    return f"{run['seeds']} seeds" if run["seeds"] > 1 else "one seed"


def row(*cells):
    """A row of a table."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def answers(claim, extracts):
    """The rows of a claim: one for each of its observations."""
    first = claim["text"], claim["where"]
    run = extracts.get(claim["run"])
    if run is None:
        yield row(*first, "not measured", "–", f"`{claim['config']}`")
        return
    for name in claim["observations"]:
        each = run["observations"].get(name)
        found = each and f"{each['text']}: {measured(each['measured'])}"
        how = f"`{claim['config']}`: {run['scale']}, {seeds(run)}"
        yield row(*first, found or "not measured", holds(each["holds"]) if each else "–", how)
        first = "", ""


def table(name, run):
    """The section of a run."""
    lines = [
        f"### {name}",
        "",
        f"Experiment `{run['experiment']}`: {run['scale']}, {seeds(run)}, commit {run['commits']}",
        "",
        row("statement", "measured", "holds"),
        row(*["---"] * 3),
    ]
    lines += [
        row(each["text"], measured(each["measured"]), holds(each["holds"]))
        for each in run["observations"].values()
    ]
    return "\n".join(lines)


def page(claims, extracts):
    """The text of claims.md."""
    lines = [
        "## Claims of the papers",
        "",
        "`python -m launch --config=CONFIG` with the config of the last column runs it again.",
        "",
        row("claim", "where", "measured", "holds", "config"),
        row(*["---"] * 5),
        *(line for claim in claims for line in answers(claim, extracts)),
    ]
    tables = [table(*run) for run in sorted(extracts.items())]
    parts = [INTRODUCTION.strip(), "\n".join(lines), "## Runs", *tables]
    return "\n\n".join(parts) + "\n"


def read():
    """The claims, and the extracts of runs by name."""
    extracts = json.loads(EXTRACT.read_text()) if EXTRACT.exists() else {}
    return tomllib.loads(CLAIMS.read_text())["claim"], extracts


def main(directories):
    """Adds runs to the extract and writes the page."""
    claims, extracts = read()
    for directory in directories:
        if not (directory / "summary.json").exists():
            sys.exit(f"claims: {directory} is not a finished run: it has no summary.json")
        extracts[directory.absolute().name] = extract(directory)
    EXTRACT.write_text(json.dumps(extracts, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(claims, extracts))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
