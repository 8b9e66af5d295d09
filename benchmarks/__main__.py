"""`python -m benchmarks [--only SECTION] [--quick] [--out DIR]`.

Prints tables and writes `benchmarks.json`, `tables.md` and figures into DIR; `--only` keeps the
other sections found there. Run it on an idle machine: on two cores all sections take 25 minutes,
with `--quick` two.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks import (
    augmentation,
    eigenproblems,
    grokking,
    images,
    machine,
    metrics,
    plots,
    population,
)

_SECTIONS = {
    "metrics": metrics,
    "population": population,
    "grokking": grokking,
    "augmentation": augmentation,
    "images": images,
    "eigenproblems": eigenproblems,
}


def main() -> None:
    """Runs the requested sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=_SECTIONS, help="measure one section")
    parser.add_argument("--quick", action="store_true", help="small sizes, about two minutes")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="where to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    file = options.out / "benchmarks.json"
    found: dict[str, Any] = {}
    if options.only and file.exists():
        found = json.loads(file.read_text())
    described = machine.describe()
    print(machine.headline(described) + "\n", flush=True)
    for name in [options.only] if options.only else _SECTIONS:
        records, tables = _SECTIONS[name].run(options.quick)
        found[name] = {
            "machine": described,
            "quick": options.quick,
            "records": records,
            "tables": tables,
        }
        file.write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "tables.md").write_text(_report(found))
    for path in plots.draw({name: found[name]["records"] for name in found}, options.out):
        print(path)


def _report(found: dict[str, Any]) -> str:
    """All tables, each section headed by its machine."""
    sections = [found[name] for name in _SECTIONS if name in found]
    return "\n\n".join(f"{machine.headline(s['machine'])}\n\n{s['tables']}" for s in sections)


if __name__ == "__main__":
    main()
