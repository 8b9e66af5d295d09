"""`python -m benchmarks.accelerator [--minutes=9] [--out=DIR]`: checks, measures, trains.

Six parts in their order of worth, each in its own process and with its own share of the time; every
result is written when it is made, and the same command goes on where it was. docs/accelerator.md.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.accelerator import archive, machine, report, results
from benchmarks.accelerator.context import Clock
from benchmarks.accelerator.part import add_options
from benchmarks.accelerator.parts import PARTS, goal

_LONGER = 60.0  # seconds that a part may take longer where the whole has them left
_GRACE = 10.0  # seconds to save and end, after a signal
_RESERVE = 10.0  # seconds kept for figures and the archive
_LEAST = 10.0  # seconds in which a part can do something


def main() -> None:
    """Runs the parts that are not complete, then writes the report and draws the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accelerator", description=__doc__)
    add_options(parser)
    parser.add_argument("--only", choices=PARTS, help="run one part, with all of the time")
    parser.add_argument("--archive", type=Path, help="write results and states there, in volumes")
    parser.add_argument("--resume_from", type=Path, help="volumes of an earlier call, elsewhere")
    options = parser.parse_args()
    clock = Clock(60 * options.minutes - _RESERVE)
    absent, lost = machine.missing()
    if absent:
        sys.exit(f"cannot run without {', '.join(absent)}: install them")
    for loss in lost:
        print(f"not installed, left out: {loss}")
    restored = options.resume_from and not (options.out / results.FILE).exists()
    if restored and not archive.restore(options.resume_from, options.out):
        sys.exit(f"there are no volumes in {options.resume_from}")
    lacking = machine.missing_data(options.parts, options.out / "data")
    if lacking:
        print(f"data missing, training at the papers' scale waits for it: {', '.join(lacking)}")
    call = machine.describe_call(options.commit)
    results.append(options.out, {results.CALL: call})
    print(f"{call['card'] or 'no card'}; commit {call['commit']}", flush=True)
    for name in [options.only] if options.only else PARTS:
        _run(name, options, call["commit"], clock)
        report.write(options.out)
    _finish(options)


def _run(name: str, options: argparse.Namespace, commit: str, clock: Clock) -> None:
    """Runs a part within its share of the time."""
    if results.complete(options.out, goal(name, options.recipe)):
        print(f"{name}: complete")
        return
    share = 1.0 if options.only else PARTS[name].share
    seconds = min(60 * options.minutes * share, clock.left())
    if seconds < _LEAST:
        print(f"{name}: no time left; run the same command again")
        return
    command = [sys.executable, "-m", "benchmarks.accelerator.part", name]
    command += [f"--minutes={seconds / 60}", f"--out={options.out}", f"--parts={options.parts}"]
    command += [f"--recipe={options.recipe}", f"--commit={commit}", *["--small"] * options.small]
    print(f"{name}: {PARTS[name].title}, at most {seconds:.0f} s", flush=True)
    code = _ended(subprocess.Popen(command), min(seconds + _LONGER, clock.left() + _GRACE))
    if code:
        print(f"{name}: ended with exit code {code}", flush=True)


def _ended(child: subprocess.Popen, seconds: float) -> int:
    """The exit code of a process, which is asked to end after some seconds, then killed."""
    for patience, stop in ((seconds, child.terminate), (_GRACE, child.kill)):
        try:
            return child.wait(patience)
        except subprocess.TimeoutExpired:
            print(f"stopped after {patience:.0f} s", flush=True)
            stop()
    return child.wait()


def _finish(options: argparse.Namespace) -> None:
    print(f"\n{report.write(options.out)}")
    if "matplotlib" not in " ".join(machine.missing()[1]):
        from benchmarks.accelerator import figures

        for path in figures.draw(options.out):
            print(path)
    if options.archive:
        for volume in archive.write(options.out, options.archive):
            print(volume)


if __name__ == "__main__":
    main()
