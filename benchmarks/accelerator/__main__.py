"""`python -m benchmarks.accelerator [--minutes=9] [--out=DIR]`: checks, measures, trains.

Six parts in their order of worth, each in its own process and with its own share of the time; every
result is written when it is made, and the same command goes on where it was. docs/accelerator.md.
"""

import argparse
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks.accelerator import archive, machine, report, results
from benchmarks.accelerator.context import Clock, Stopped, stop_on_sigterm
from benchmarks.accelerator.part import REFUSED, Parser, add_options, refuse
from benchmarks.accelerator.parts import PARTS, goal

_LONGER = 60.0  # seconds that a part may take longer where the whole has them left
_GRACE = 10.0  # seconds to save and end, after a signal
_RESERVE = 15.0  # seconds kept for figures and the archive
_LEAST = 10.0  # seconds in which a part can do something


def main() -> None:
    """Runs the parts that are not complete, then writes the report and draws the figures."""
    parser = Parser(prog="python -m benchmarks.accelerator", description=__doc__)
    add_options(parser)
    parser.add_argument("--only", choices=PARTS, help="run one part, with all of the time")
    parser.add_argument("--archive", type=Path, help="write results and states there, in volumes")
    parser.add_argument("--resume_from", type=Path, help="volumes of an earlier call, elsewhere")
    options = parser.parse_args()
    clock = Clock(60 * options.minutes - _RESERVE)
    _begin(options)
    call = machine.describe_call(options.commit)
    results.append(options.out, {results.CALL: call})
    print(f"{call['card'] or 'no card'}; commit {call['commit']}", flush=True)
    stop_on_sigterm()
    try:
        for name in [options.only] if options.only else PARTS:
            _run(name, options, call["commit"], clock)
            _save(options)
    except (Stopped, KeyboardInterrupt):
        print("stopped; the same command goes on", flush=True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _finish(options)
    if report.wrong_results(options.out):
        sys.exit(1)


def _begin(options: argparse.Namespace) -> None:
    """Checks what is there, and unpacks what an earlier call left elsewhere."""
    absent, lost = machine.missing()
    if absent:
        refuse(f"cannot run without {', '.join(absent)}: install them")
    if options.out.exists() and not options.out.is_dir():
        refuse(f"{options.out} is not a directory; use another --out")
    for loss in lost:
        print(f"not installed, left out: {loss}")
    if options.resume_from and any("part" in record for record in results.read(options.out)):
        print(f"{options.out} holds results; {options.resume_from} is not unpacked over them")
    elif options.resume_from:
        try:
            archive.restore(options.resume_from, options.out)
        except archive.DamagedError as error:
            refuse(str(error))
    lacking = machine.missing_data(options.parts, options.out / "data")
    if lacking:
        print(f"data missing, training at the papers' scale waits for it: {', '.join(lacking)}")


def _run(name: str, options: argparse.Namespace, commit: str, clock: Clock) -> None:
    """Runs a part within its share of the time."""
    if results.complete(options.out, goal(name, options.recipe)):
        print(f"{name}: complete")
        return
    seconds = clock.left() * _share(name, options)
    if seconds < _LEAST:
        print(f"{name}: no time left; run the same command again")
        return
    command = [sys.executable, "-m", "benchmarks.accelerator.part", name]
    command += [f"--minutes={seconds / 60}", f"--out={options.out}", f"--parts={options.parts}"]
    command += [f"--recipe={options.recipe}", f"--commit={commit}", *["--small"] * options.small]
    print(f"{name}: {PARTS[name].title}, at most {seconds:.0f} s", flush=True)
    code = _ended(subprocess.Popen(command), min(seconds + _LONGER, clock.left() + _GRACE))
    if code == REFUSED:
        sys.exit(REFUSED)  # it has said why, and so would the others
    if code:
        print(f"{name}: ended with exit code {code}", flush=True)


def _share(name: str, options: argparse.Namespace) -> float:
    """The share of the time left that a part may take, among those that are still to run."""
    later = [options.only] if options.only else list(PARTS)[list(PARTS).index(name) :]
    open_ = [
        part for part in later if not results.complete(options.out, goal(part, options.recipe))
    ]
    waits = machine.missing_data(options.parts, options.out / "data") and not options.small
    weights = {part: PARTS[part].share for part in open_}
    if waits and name != "training":
        weights.pop("training", None)  # it only says what is missing
    return weights[name] / sum(weights.values())


def _ended(child: subprocess.Popen, seconds: float) -> int:
    """The exit code of a process, which is asked to end after some seconds, then killed."""
    try:
        for patience, stop in ((seconds, child.terminate), (_GRACE, child.kill)):
            try:
                return child.wait(patience)
            except subprocess.TimeoutExpired:
                print(f"stopped after {patience:.0f} s", flush=True)
                stop()
        return child.wait()
    except (Stopped, KeyboardInterrupt):
        child.terminate()
        try:
            child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            child.kill()
        raise


def _save(options: argparse.Namespace) -> list[Path]:
    """Writes what a later kill of this process must not take along."""
    try:
        report.write(options.out)
    finally:
        files = archive.write(options.out, options.archive) if options.archive else []
    return files


def _finish(options: argparse.Namespace) -> None:
    files = _save(options)
    print("", (options.out / report.FILE).read_text(), *files, sep="\n", flush=True)
    if importlib.util.find_spec("matplotlib"):
        from benchmarks.accelerator import figures

        for path in figures.draw(options.out):
            print(path)


if __name__ == "__main__":
    main()
