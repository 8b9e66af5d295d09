"""Draws the figures of a run again, or of several runs on the same axes.

python -m launch.figures RUN [RUN ...] [--out=DIR]
"""

import argparse
import sys
from pathlib import Path

from infojax.errors import UserError
from launch import experiment, plots, runs


def main(argv: list[str] | None = None) -> int:
    """Draws into RUN/figures, or for several runs into --out; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m launch.figures", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--out", type=Path, help="RUN/figures for one run, else figures")
    arguments = parser.parse_args(argv)
    first, *others = arguments.runs
    default = Path("figures") if others else first / "figures"
    try:
        figures = experiment.load(runs.read_config(first)["experiment"]).figures
        for path in plots.draw(figures, arguments.runs, arguments.out or default):
            print(path)
    except (UserError, OSError) as error:
        print(f"launch.figures: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
