"""Puts faults into runs, starts the same command again, and counts what is lost.

python -m tests.reliability [--quick] [--config=NAME] [--only=WORD ...]

Kills at events of every experiment's smoke variant, signals, full and read-only disks, odd paths,
damaged files, two starts at once. A run survives a fault if it ends equal to an uninterrupted one,
bit for bit but for times, or stops in one line that says why; otherwise it is lost, and the exit
code is 1. Some minutes per experiment: `--config` makes the trials of one, `--only` those whose
names hold one of the words, `--quick` a few on grokking.

Changed digits in metrics.jsonl are not found: they are valid numbers.
"""

import argparse
import functools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from launch import config_files
from tests import reliability_faults as faults, reliability_runs as runs

ROOT = Path(__file__).parents[1]
GROKKING, GRID = "grokking:smoke", "label_smoothing:smoke"
DEPENDENCE, TRAINED = "dependence:smoke", "cifar10:smoke"  # the former measures a run of the latter
GRACE = 30  # seconds a cluster leaves between SIGTERM and SIGKILL


class Trial(NamedTuple):
    """A fault in a run.

    Attributes:
      name: of the fault.
      config: that runs.
      fault: installed in the first process; None if the files alone are damaged.
      before: prepares the work directory.
      after: mends it.
      below: where the work directory lies in that of the trial.
      killed: whether the fault must end the process; if not, the moment was not reached.
    """

    name: str
    config: str
    fault: Callable[[], Any] | None = None
    before: Callable[[Path], Any] = lambda _: None
    after: Callable[[Path], Any] = lambda _: None
    below: str = "run"
    killed: bool = False


class Bench:
    """Where trials are made: a directory, and what uninterrupted runs end in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.expected = functools.cache(self._expected)
        self.counts = {"survived": 0, "lost": 0, "not reached": 0}

    def _expected(self, config: str) -> dict[str, Any]:
        workdir = self.reference(config)
        outcome = runs.run(self.arguments(config, workdir))
        assert outcome.code == 0, (config, outcome)
        return runs.results(workdir)

    def arguments(self, config: str, workdir: Path) -> list[str]:
        """The command line of a config, with the run it measures if it measures one."""
        measured = []
        if config == DEPENDENCE:
            self.expected(TRAINED)
            measured = [f"--config.run={self.reference(TRAINED)}"]
        return [f"--config={config}", f"--workdir={workdir}", *measured]

    def reference(self, config: str) -> Path:
        """The directory of the uninterrupted run of a config."""
        return self.directory / "references" / config.replace(":", "-")

    def attempt(self, trial: Trial) -> None:
        """Makes a trial, and says and counts how it went."""
        place = self.directory / "trial"
        place.mkdir()
        try:
            verdict = self._verdict(trial, place / trial.below)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        kind = verdict.partition(":")[0]
        self.counts[kind] += 1
        print(f"{trial.config}, {trial.name}: {verdict}", flush=True)

    def _verdict(self, trial: Trial, workdir: Path) -> str:
        expected = self.expected(trial.config)
        trial.before(workdir)
        first = runs.run(self.arguments(trial.config, workdir), trial.fault)
        if trial.killed and first.code == 0:
            return "not reached"
        if first.code > 0 and not runs.is_one_line(first):
            return f"lost: {first}"
        if first.code == 128 + signal.SIGTERM and first.seconds > GRACE + 60:
            return f"lost: it took {first.seconds:.0f} s"
        trial.after(workdir)
        second = runs.run(self.arguments(trial.config, workdir))
        if second.code == 0:
            same = runs.results(workdir) == expected
            return f"survived: after exit code {first.code}, equal" if same else "lost: not equal"
        stopped = runs.is_one_line(second) and first.code >= 0 and not trial.killed
        said = second.lines[-1] if second.lines else "nothing"
        return f"survived: it stops, {said}" if stopped else f"lost: {second}"


def smoke_variants() -> list[str]:
    """The smoke variants of all configs whose data this machine holds."""
    found = []
    for name in config_files.names():
        for variant in config_files.describe(config_files.find(name)).variants:
            if variant == "smoke" or variant == "smoke-grid":
                found.append(f"{name}:{variant}")
    return found


def kills(configs: list[str], occurrences: tuple[int, ...]) -> Iterator[Trial]:
    """Kills at events of training, saving and drawing."""
    for config in configs:
        for moment, install in faults.MOMENTS.items():
            for k in occurrences:
                at = functools.partial(install, k)
                yield Trial(f"killed {moment} {k}", config, at, killed=True)


def signals(config: str) -> Iterator[Trial]:
    """Ctrl-C, and what a cluster sends, within training."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        for k in (1, 4):
            at = functools.partial(faults.signalled, signum, k)
            yield Trial(f"{signum.name} after step {k}", config, at, killed=True)


def damaged(bench: Bench, config: str, in_checkpoints: bool) -> Iterator[Trial]:
    """Every file of a run that was killed on the way, damaged in several ways."""
    bench.expected(config)
    base = bench.directory / "references" / f"killed-{config.replace(':', '-')}"
    at = functools.partial(faults.MOMENTS["between record and checkpoint"], 3)  # two are saved
    runs.run(bench.arguments(config, base), at)
    files = sorted(p.relative_to(base) for p in base.rglob("*") if p.is_file())
    for path in files:
        if path.name.startswith("events.") or ("checkpoints" in path.parts and not in_checkpoints):
            continue
        for damage, act in faults.DAMAGE.items():

            def before(workdir: Path, path: Path = path, act: Callable = act) -> None:
                shutil.copytree(base, workdir)
                act(workdir / path)

            yield Trial(f"{path} {damage}", config, before=before)


def places(config: str) -> Iterator[Trial]:
    """Work directories with odd names and content, and a clock that jumps."""
    for below in ("with spaces/and  two", "Ünïcödé-日本/☃", "%s{}'\"$HOME;&"):
        yield Trial(f"directory {below!r}", config, below=below)
    yield Trial("jumping clock", config, faults.jumping_clock)

    def linked(workdir: Path) -> None:
        (workdir.parent / "elsewhere").mkdir()
        workdir.symlink_to("elsewhere")

    yield Trial("symbolic link", config, before=linked)
    yield Trial(
        "dangling link", config, before=lambda w: w.symlink_to("nowhere"), after=Path.unlink
    )
    for name in ("figures", "checkpoints", "summary.json", "metrics.jsonl", ".lock", "config.json"):
        for kind in ("file", "directory"):

            def before(workdir: Path, name: str = name, kind: str = kind) -> None:
                workdir.mkdir()
                make = (workdir / name).mkdir if kind == "directory" else (workdir / name).touch
                make()

            def after(workdir: Path, name: str = name, kind: str = kind) -> None:
                path = workdir / name
                if path.is_dir() and not any(path.iterdir()):
                    path.rmdir()
                elif path.is_file() and not path.stat().st_size:
                    path.unlink()

            yield Trial(f"{name} is a {kind}", config, before=before, after=after)


def full(config: str) -> Iterator[Trial]:
    """Disks without space, and files that may not grow."""
    for size in (100, 3_000, 30_000, 300_000):
        yield Trial(f"files of at most {size} bytes", config, lambda n=size: faults.small_files(n))


def on_small_disks(bench: Bench, config: str) -> None:
    """Full and read-only disks, where they can be mounted."""
    place = bench.directory / "disk"
    change = functools.partial(faults.remount, place)
    for size in ("40k", "200k", "1m", "256m"):
        with faults.disk(place, size) as mounted:
            if mounted and size == "256m":
                before, after = lambda _: change("ro"), lambda _: change("rw")
                trial = Trial("read-only disk", config, None, before, after, "../disk/run")
                bench.attempt(trial)
            elif mounted:
                after = lambda _: change("size=256m")  # noqa: E731
                bench.attempt(Trial(f"{size} of disk", config, after=after, below="../disk/run"))
        place.rmdir()


def two_starts(bench: Bench, config: str) -> None:
    """A second start while the first one trains is refused, and spoils nothing."""
    workdir = bench.directory / "both"
    expected = bench.expected(config)
    first = runs.Process(bench.arguments(config, workdir), functools.partial(faults.slow, 20.0))
    while not list(workdir.rglob("metrics.jsonl")):
        pass
    second, ended = runs.run(bench.arguments(config, workdir)), first.wait()
    fine = second.code == 2 and runs.is_one_line(second) and "is in use by" in second.lines[0]
    fine = fine and ended.code == 0 and runs.results(workdir) == expected
    bench.counts["survived" if fine else "lost"] += 1
    print(f"{config}, two starts: {'survived' if fine else f'lost: {second} {ended}'}", flush=True)
    shutil.rmtree(workdir, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    """Makes the trials; returns 1 if a run was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few trials on grokking")
    parser.add_argument("--config", help="whose runs to try, as grokking:smoke; without it, all")
    parser.add_argument("--only", nargs="*", default=[""], help="words in the names of trials")
    options = parser.parse_args(argv)
    os.chdir(ROOT)
    runs.warm_up()
    with tempfile.TemporaryDirectory(prefix="infojax-reliability-") as directory:
        cache = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", f"{directory}/cache")
        jax.config.update("jax_compilation_cache_dir", cache)  # jax has read its environment
        bench = Bench(Path(directory))
        chosen = lambda name: any(word in name for word in options.only)  # noqa: E731
        for trial in trials(bench, options.quick, options.config):
            if chosen(trial.name):
                bench.attempt(trial)
        if not options.quick and options.config in (GROKKING, None):
            if chosen("two starts"):
                two_starts(bench, GROKKING)
            if chosen("disks"):
                on_small_disks(bench, GROKKING)
    tried = bench.counts["survived"] + bench.counts["lost"]
    print(f"tried {tried}, " + ", ".join(f"{name} {n}" for name, n in bench.counts.items()))
    return bool(bench.counts["lost"])


def trials(bench: Bench, quick: bool, config: str | None) -> Iterator[Trial]:
    """The trials, those of --quick alone, of one config, or all."""
    if quick:
        some = ("between record and checkpoint", "between checkpoint and sums", "within a figure")
        for trial in kills([GROKKING], (2,)):
            if any(moment in trial.name for moment in some):
                yield trial
        return
    chosen = [config] if config else smoke_variants()
    yield from kills(chosen, (1, 3))
    for each in chosen:
        if each in (GROKKING, GRID):
            yield from signals(each)
        yield from damaged(bench, each, in_checkpoints=each in (GROKKING, GRID))
    if config in (GROKKING, None):
        yield from places(GROKKING)
        yield from full(GROKKING)


if __name__ == "__main__":
    sys.exit(main())
