"""`python -m benchmarks [--only SECTION] [--quick] [--out DIR]`.

Prints tables and writes `benchmarks.json`, `tables.md` and figures into DIR. Run it on an idle
machine: everything takes about three quarters of an hour on two cores, `--quick` two minutes.
"""

import argparse
import json
from pathlib import Path

from benchmarks import augmentation, grokking, images, machine, metrics, plots, population

_SECTIONS = {
    "metrics": metrics,
    "population": population,
    "grokking": grokking,
    "augmentation": augmentation,
    "images": images,
}


def main() -> None:
    """Measures what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=_SECTIONS, help="measure one section")
    parser.add_argument("--quick", action="store_true", help="small sizes, about two minutes")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks"), help="directory")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    found = {"machine": machine.describe(), "quick": options.quick}
    text = machine.headline(found["machine"])
    print(text + "\n", flush=True)
    for name in [options.only] if options.only else _SECTIONS:
        records, tables = _SECTIONS[name].run(options.quick)
        found[name] = records
        text += f"\n\n{tables}"
        (options.out / "benchmarks.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "tables.md").write_text(text)
    for path in plots.draw(found, options.out):
        print(path)


if __name__ == "__main__":
    main()
