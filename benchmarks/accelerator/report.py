"""The results as a page: `report.md`, one table a part, of what was measured and nothing else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.accelerator import results
from benchmarks.accelerator.parts import PARTS

FILE = "report.md"
_HIDDEN = {"part", "name", "status", "device", "small", "commit", "took", "run"}
_WIDEST = 10  # columns of a table


def write(out: Path) -> str:
    """Writes and returns the page."""
    sections = [_heading(out)]
    for name, part in PARTS.items():
        found = results.measured(out, name)
        if found:
            sections.append(f"## {part.title}\n\n{_tables(found.values())}")
    text = "\n".join(sections)
    (out / FILE).write_text(text)
    return text


def wrong_results(out: Path) -> list[str]:
    """Returns the names of the measurements whose latest values are not what they must be."""
    found = [r for part in PARTS for r in results.measured(out, part).values()]
    return [r["name"] for r in found if not r.get("holds", True)]


def _heading(out: Path) -> str:
    records = results.read(out)
    calls = [r[results.CALL] for r in records if results.CALL in r]
    devices = dict.fromkeys(r["device"] for r in records if "device" in r)
    lines = [f"Measured on {'; '.join(devices) or 'no device'}.", ""]
    commits = dict.fromkeys(r["commit"] for r in records if r.get("commit"))
    if len(commits) > 1:
        lines += [f"**Measured at several commits: {', '.join(commits)}.**", ""]
    wrong = wrong_results(out)
    if wrong:
        lines += [f"**Does not hold: {'; '.join(wrong)}.**", ""]
    if any(r.get("small") for r in records):
        lines += ["**Small sizes: these numbers show that everything runs, not how fast.**", ""]
    for call in calls:
        versions = ", ".join(f"{k} {v}" for k, v in call["packages"].items() if v)
        card = f"{call['card']}; " if call["card"] else ""
        lines.append(
            f"- `{call['command']}` at commit {call['commit']}: {card}Python {call['python']}, "
            f"{versions}."
        )
    return "\n".join(lines) + "\n"


def _tables(records: Iterable[results.Record]) -> str:
    """Records with the same fields share a table."""
    records = list(records)
    groups: dict[tuple[str, ...], list[results.Record]] = {}
    failed = []
    for record in records:
        if record["status"] == results.FAILED:
            failed.append(f"- {record['name']} failed: {record['error']}")
            continue
        shown = {k: v for k, v in record.items() if k not in _HIDDEN and _plain(v)}
        groups.setdefault(tuple(shown)[:_WIDEST], []).append(record)
    text = [_table(fields, group) for fields, group in groups.items()]
    text += [_kernels(record) for record in records if "kernels" in record]
    return "\n".join(text + ["\n".join(failed) + "\n"] * bool(failed))


def _kernels(record: results.Record) -> str:
    """The most expensive operations of a profile."""
    steps, busy = record["steps"], record["busy_seconds"]
    rows = [
        [f"`{name[:60]}`", tables.seconds(seconds / steps), f"{seconds / busy:.1%}", str(count)]
        for name, seconds, count in record["kernels"]
    ]
    return tables.markdown(["operation", "time of a step", "share", "calls"], rows)


def _table(fields: tuple[str, ...], records: list[results.Record]) -> str:
    rows = []
    for record in records:
        mark = "" if record["status"] == results.OK else f" ({record['status']})"
        rows.append([record["name"] + mark, *(_cell(field, record[field]) for field in fields)])
    return tables.markdown(["", *(field.replace("_", " ") for field in fields)], rows)


def _plain(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _cell(field: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return tables.seconds(value) if "seconds" in field else f"{value:.5g}"
