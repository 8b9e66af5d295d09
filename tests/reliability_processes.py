"""Runs of several real processes: the same numbers as one, resumed by others, killed in part.

python -m tests.reliability_processes [--config=NAME]

Of every experiment's smoke variant, or of one, at a hundredth of its learning rates: at 0.1, a
network multiplies rounding by a hundred in four steps. Gradients are compared all the same, as
momenta. Losses in training agree to 1e-5, and so do parameters and momenta, measures to 1e-3; of
several networks, the median of each array and measure, since rounding switches a ReLU here and
there. Every process is a `python -m launch` of its own, on the CPU, joined by flags. The exit code
is 1 if a run was lost. Minutes per experiment.
"""

import argparse
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from infojax.training import checkpoint
from launch import distributed, ledger
from tests import reliability, reliability_runs as runs

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-5  # of parameters and losses, relative to an array's largest number, or absolute
RECORDED = 1e-3  # of what is measured: quotients of small numbers lose digits
ENDING = 30  # seconds in which the others must end when one is killed


class Layout(NamedTuple):
    """Processes of a run, and devices of each."""

    processes: int
    devices: int

    def __str__(self) -> str:
        several = "es" * (self.processes > 1)
        return f"{self.processes} process{several} of {self.devices}"


class Group:
    """A command line in several processes at once."""

    def __init__(self, arguments: list[str], layout: Layout) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
        self.started = []
        variables = {"JAX_NUM_CPU_DEVICES": str(layout.devices), "OPENBLAS_NUM_THREADS": "1"}
        for index in range(layout.processes):
            place = [f"--coordinator=127.0.0.1:{port}", f"--process_id={index}"]
            joined = [f"--num_processes={layout.processes}", *place] if layout.processes > 1 else []
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "launch", *arguments, *joined],
                cwd=ROOT,
                env=os.environ | variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            self.started.append(process)

    def wait_for_work(self, workdir: Path) -> None:
        """Until a checkpoint after the first or a point is whole, or a process has ended."""
        end = time.monotonic() + runs.TIMEOUT
        while all(process.poll() is None for process in self.started) and time.monotonic() < end:
            whole = ("checkpoints/[1-9]*/sums.json", ledger.FILE)
            if any(path for pattern in whole for path in workdir.rglob(pattern)):
                return
            time.sleep(0.01)

    def ended(self) -> list[runs.Outcome]:
        """How the processes ended."""
        found, start = [], time.monotonic()
        for process in self.started:
            try:
                err = process.communicate(timeout=runs.TIMEOUT)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                err = process.communicate()[1] + "it did not end"
            lines = [line for line in err.splitlines() if line.startswith(("launch", "Traceback"))]
            found.append(runs.Outcome(process.returncode, lines, time.monotonic() - start, out=err))
        return found


def trials(config: str, directory: Path) -> Iterator[tuple[str, str]]:
    """Names and verdicts of the trials of a config.

    Two and four processes end in the numbers of one with as many devices. If one is killed, the
    others end. One process and four, with eight devices, resume what two began and end likewise.
    """
    for processes in (2, 4):
        alone = _whole(config, directory / f"alone-{processes}", Layout(1, processes))
        together = _whole(config, directory / f"together-{processes}", Layout(processes, 1))
        yield f"{processes} processes", _compared(alone, together)
    for processes, killed in ((2, 1), (4, 0)):
        workdir = directory / f"killed-{processes}"
        verdict = _killed(config, workdir, Layout(processes, 1), killed)
        yield f"process {killed} of {processes} killed", verdict
    for layout in (Layout(1, 8), Layout(4, 2)):
        place = directory / f"resumed-{layout.processes}"
        shutil.copytree(directory / "killed-2", place)
        resumed = _whole(config, place, layout)
        yield f"resumed by {layout} devices", _compared(directory / "alone-2", resumed)


def _arguments(config: str, workdir: Path) -> list[str]:
    measured = []
    if config == reliability.DEPENDENCE:
        run = workdir.parent / "measured"
        measured = [f"--config.run={run}"]
        if not run.exists():
            _whole(reliability.TRAINED, run, Layout(1, 1))
    return [f"--config={config}", f"--workdir={workdir}", *measured, *_slower(config)]


def _slower(config: str) -> list[str]:
    """Flags for a hundredth of a config's learning rates."""
    name, variant = config.split(":")
    fields = importlib.import_module(f"configs.{name}").get_config(variant)
    rates = {k: x for k, x in fields.items() if k.endswith("learning_rate")}
    return [f"--config.{field}={rate / 100}" for field, rate in rates.items()]


def _whole(config: str, workdir: Path, layout: Layout) -> Path | str:
    """The directory of a run that ended; or what was said."""
    outcomes = Group(_arguments(config, workdir), layout).ended()
    bad = [outcome for outcome in outcomes if outcome.code]
    return f"lost: {bad[0].code} {bad[0].out[-400:]}" if bad else workdir


def _killed(config: str, workdir: Path, layout: Layout, killed: int) -> str:
    group = Group(_arguments(config, workdir), layout)
    group.wait_for_work(workdir)
    group.started[killed].send_signal(signal.SIGKILL)
    outcomes = group.ended()
    others = [outcome for index, outcome in enumerate(outcomes) if index != killed]
    if outcomes[killed].code != -signal.SIGKILL or not any(each.code for each in others):
        return "not reached"
    slowest = max(outcome.seconds for outcome in others)
    said = [f": {distributed.LINE}\n" in x.out and x.out.count("\n") < 4 for x in others]
    fine = all(said) and all(outcome.code != 0 for outcome in others)
    if fine and slowest < ENDING:
        return f"survived: the others end within {slowest:.1f} s"
    return f"lost: {[(x.code, x.out[-300:]) for x in others]} in {slowest:.1f} s"


def _compared(one: Path | str, other: Path | str) -> str:
    for each in (one, other):
        if isinstance(each, str):
            return each
    first, second = _numbers(one), _numbers(other)
    if not first or first.keys() != second.keys():
        return f"lost: {sorted(first.keys() ^ second.keys())[:5]} are in one of the runs"
    differences: dict[str, list[float]] = {}
    for key in first:
        name = _without_run(key)
        differences.setdefault(name, []).append(_difference(first[key], second[key]))
    medians = {name: float(np.median(found)) for name, found in differences.items()}
    trained = (max(x) for name, x in differences.items() if name in ("train/loss", "test/loss"))
    losses = max(trained, default=0.0)
    arrays, measures = (
        max(((x, k) for k, x in medians.items() if k.startswith("/") == kind), default=(0.0, ""))
        for kind in (True, False)
    )
    good = losses <= TOLERANCE and arrays[0] <= TOLERANCE and measures[0] <= RECORDED
    kind = "survived" if good else "lost"
    return (
        f"{kind}: largest differences {losses:.1e} of losses, {arrays[0]:.1e} of arrays "
        f"({arrays[1]}), {measures[0]:.1e} of measures ({measures[1]})"
    )


def _without_run(key: str) -> str:
    """The name of an array, which begins with /, or of a measure, in any run and at any step."""
    file, _, name = key.partition(" ")
    if file.endswith("checkpoints"):
        return name
    return name.partition("/" if file.endswith("points.jsonl") else " ")[2]


def _numbers(workdir: Path | str) -> dict[str, Any]:
    """Records and states of a run, by name."""
    found: dict[str, Any] = {}
    for path in sorted(Path(workdir).rglob("*")):
        name = str(path.relative_to(workdir))
        if path.name == "points.jsonl":
            for i, line in enumerate(path.read_text().splitlines()):
                found |= {f"{name} {i}{k}": x for k, x in _leaves(json.loads(line))}
        elif path.name == "metrics.jsonl":
            for record in map(json.loads, path.read_text().splitlines()):
                for key in record.keys() - {"seconds"}:
                    found[f"{name} {record['step']} {key}"] = record[key]
        elif path.name == "checkpoints":
            found |= {f"{name} {k}": x for k, x in _leaves(checkpoint.load(path)[1])}
    return found


def _leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, each in tree.items():
            yield from _leaves(each, f"{name}/{key}")
    elif "seconds" not in name and np.asarray(tree).dtype.kind == "f":
        yield name, tree


def _difference(one: Any, other: Any) -> float:
    """The largest difference, relative to the largest number; of single numbers, at least to 1."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    if one.shape != other.shape:
        return np.inf
    smallest = 1.0 if one.ndim == 0 else np.finfo(np.float32).tiny
    scale = max(np.max(np.abs(one), initial=0.0), smallest)
    found = float(np.max(np.abs(one - other), initial=0.0) / scale)
    return np.inf if np.isnan(found) else found


def main(argv: list[str] | None = None) -> int:
    """Makes the trials; returns 1 if a run was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", help="as grokking:smoke; without it, all")
    options = parser.parse_args(argv)
    os.chdir(ROOT)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    counts = Counter({"survived": 0, "lost": 0, "not reached": 0})
    for config in [options.config] if options.config else reliability.smoke_variants():
        with tempfile.TemporaryDirectory(prefix="infojax-processes-") as directory:
            for name, verdict in trials(config, Path(directory)):
                counts[verdict.partition(":")[0]] += 1
                print(f"{config}, {name}: {verdict}", flush=True)
    tried = counts["survived"] + counts["lost"]
    print(f"tried {tried}, " + ", ".join(f"{name} {n}" for name, n in counts.items()))
    return bool(counts["lost"])


if __name__ == "__main__":
    sys.exit(main())
