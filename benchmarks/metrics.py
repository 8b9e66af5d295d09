"""MIR and HDR at the sample level: infojax against other packages' eigenvalues of n×n matrices."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.contenders import CONTENDERS, FLOOR
from benchmarks.race import Outcome, race
from benchmarks.reference import LARGEST

_LIMIT = 60.0  # seconds per run
_DENSE = 5_000  # size beyond which infojax.population estimates
_TITLE = {False: "MIR and HDR", True: "MIR and HDR with their gradient by features and head"}


@dataclass(frozen=True)
class Case:
    """One problem size.

    Attributes:
      n: number of samples.
      d: number of features.
      classes: number of classes C.
      gradient: whether the gradient is computed too.
    """

    n: int
    d: int
    classes: int
    gradient: bool

    def dense_size(self, contender: str) -> int:
        """Rows of the largest matrix whose eigenvalues the contender computes, 1 if small."""
        if contender == "infojax.population":
            return 1
        small = contender in ("infojax", "reference", FLOOR)
        return min(self.n, self.d * min(self.classes, self.d)) if small else self.n


@dataclass
class Row:
    """One contender at one case."""

    contender: str
    case: Case
    outcome: Outcome = field(default_factory=lambda: Outcome("not run"))

    def record(self) -> dict[str, Any]:
        """The row as one flat JSON object."""
        return {"contender": self.contender, **vars(self.case), **self.outcome.record()}


def groups(quick: bool) -> list[tuple[list[Case], list[str]]]:
    """Groups of cases of ascending n, with their contenders.

    The n×n contenders compute eigenvalues of three n×n matrices whatever d and C, so beyond
    d = 128, C = 10 two of them suffice. The last group is a language model.
    """
    sizes = [64, 256, 1024] if quick else [64, 256, 1024, 4096, 16_384, 65_536]
    few = ["infojax", "infojax.population", FLOOR, "jax n×n", "torch n×n"]
    shapes = [(128, 10, list(CONTENDERS))]
    if not quick:
        shapes += [(128, 100, few), (512, 10, few), (512, 100, few)]
    found = [
        ([Case(n, d, c, gradient) for n in sizes], names)
        for d, c, names in shapes
        for gradient in (False, True)
    ]
    language_model = [Case(4096, 768, 50_257, gradient=False)]
    return found if quick else [*found, (language_model, ["infojax", *few[2:]])]


def run(quick: bool) -> tuple[list[dict[str, Any]], str]:
    """Measures all groups, printing each one's tables; returns records and tables."""
    records, text = [], ""
    with tempfile.TemporaryDirectory() as folder:
        for group, names in groups(quick):
            rows: dict[str, list[Row]] = {name: [] for name in names}
            for case in group:
                last = {name: past[-1:] for name, past in rows.items()}
                for row in _run_case(case, last, Path(folder)):
                    rows[row.contender].append(row)
            new = [row.record() for past in rows.values() for row in past]
            tables_of_group = render(new)
            print(tables_of_group, flush=True)
            records += new
            text += tables_of_group + "\n"
    return records, text


def render(records: list[dict[str, Any]]) -> str:
    """Tables of one group: times with ratios to infojax, memory, errors, missing contenders."""
    first = records[0]
    title = f"{_TITLE[first['gradient']]}; d = {first['d']}, C = {first['classes']:,}, float32"
    sizes = sorted({record["n"] for record in records})
    at = {(record["contender"], record["n"]): record for record in records}
    everyone = dict.fromkeys(record["contender"] for record in records)
    reasons = {name: {at[name, n]["status"] for n in sizes} for name in everyone}
    names = [name for name in everyone if "ok" in reasons[name]]

    def grid(heading, cell):
        header = [heading, *(f"n = {n:,}" for n in sizes)]
        rows = [[name, *(cell(at[name, n], at["infojax", n]) for n in sizes)] for name in names]
        return tables.markdown(header, [row for row in rows if set(row[1:]) != {""}])

    blocks = [grid("time (ratio to infojax)", _time_cell), grid("peak memory", _memory_cell)]
    blocks += [
        grid(f"relative error of {what}", lambda record, _, what=what: _error_cell(record, what))
        for what in (["gradient"] if first["gradient"] else ["mir", "hdr"])
    ]
    absent = [f"{x}: {'; '.join(sorted(reasons[x]))}.\n" for x in everyone if x not in names]
    return f"## {title}\n\n" + "\n".join(blocks + absent)


def _run_case(case: Case, past: dict[str, list[Row]], folder: Path) -> list[Row]:
    rows = {name: Row(name, case) for name in past}
    for name, row in rows.items():
        reason = _give_up(case, name, past[name])
        if reason:
            row.outcome = Outcome(reason)
    arguments = {**vars(case), "reference_file": _reference_file(case, folder)}
    entrants = {
        name: {"name": name, **arguments}
        for name, row in rows.items()
        if row.outcome.status == "not run"
    }
    for name, outcome in race("benchmarks.contenders:build", entrants, _LIMIT).items():
        rows[name].outcome = outcome
    return list(rows.values())


def _reference_file(case: Case, folder: Path) -> str | None:
    """Computes the float64 reference once, in its own process; None where it is too large."""
    if case.dense_size("reference") > LARGEST:
        return None
    file = folder / f"{case.n}-{case.d}-{case.classes}.npz"
    if not file.exists():
        shape = {"n": case.n, "d": case.d, "classes": case.classes}
        arguments = {**shape, "reference_file": str(file)}
        race("benchmarks.contenders:build_reference", {"reference": arguments}, 600.0)
    return str(file) if file.exists() else None


def _give_up(case: Case, name: str, past: list[Row]) -> str | None:
    """Why not to run a contender, judged by the matrix sizes and by the last smaller case."""
    if name == "infojax.population" and case.dense_size("infojax") <= _DENSE:
        return "as infojax"
    if not past or past[-1].outcome.status in ("ok", "as infojax"):
        expected = _expected_seconds(case, past[-1]) if past else 0.0
        return f"too slow: about {expected:.0f} s" if expected > 1.5 * _LIMIT else None
    status = past[-1].outcome.status
    return "too slow" if status.startswith("too slow") else status


def _expected_seconds(case: Case, last: Row) -> float:
    if last.outcome.status != "ok":
        return 0.0
    growth = case.dense_size(last.contender) / last.case.dense_size(last.contender)
    return last.outcome.seconds * growth**3


def _time_cell(record: dict[str, Any], infojax: dict[str, Any]) -> str:
    if record["status"] != "ok":
        return record["status"]
    ratio = ""
    if record is not infojax and infojax["status"] == "ok":
        ratio = f" ({record['seconds'] / infojax['seconds']:.3g}×)"
    return tables.seconds(record["seconds"]) + ratio


def _memory_cell(record: dict[str, Any], _: dict[str, Any]) -> str:
    return f"{record['memory_mib']:.0f} MiB" if "memory_mib" in record else ""


def _error_cell(record: dict[str, Any], what: str) -> str:
    if f"error_{what}" in record:
        return f"{record[f'error_{what}']:.0e}"
    return f"±{record['standard_error']:.0e} stated" if "standard_error" in record else ""
