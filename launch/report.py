"""Writes the report of a run, or of several side by side: one page, to be opened in a browser.

python -m launch.report RUN [RUN ...] [--out=report.html]
"""

import argparse
import sys
from pathlib import Path

from infojax.errors import StorageError, UserError
from launch import reports


def main(argv: list[str] | None = None) -> int:
    """Writes RUN/report.html, or for several runs --out; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m launch.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="directory of a run")
    parser.add_argument("--out", type=Path, help="RUN/report.html for one run, else report.html")
    arguments = parser.parse_args(argv)
    first, *others = arguments.runs
    path = arguments.out or (Path(reports.FILE) if others else first / reports.FILE)
    try:
        reports.draw(arguments.runs, path)
    except (UserError, StorageError, OSError) as error:
        print(f"launch.report: {error}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
