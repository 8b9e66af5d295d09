"""Runs in processes of their own, forked from one that has imported everything, and their results.

The parent never starts a backend of jax: a fork of one that has would hang.
"""

import hashlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from infojax.training import checkpoint
from launch import __main__ as launcher, config_files, signals

TIMEOUT = 600  # seconds


class Outcome(NamedTuple):
    """How a process ended.

    Attributes:
      code: its exit code; negative: the signal that killed it.
      lines: of stderr.
      seconds: it took.
      out: what it printed.
    """

    code: int
    lines: list[str]
    seconds: float
    out: str


class Process:
    """A command line in a child process."""

    def __init__(self, arguments: list[str], fault: Callable[[], Any] | None = None) -> None:
        self._files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 - closed in wait
        self._started = time.monotonic()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(arguments, fault)

    def _run(self, arguments: list[str], fault: Callable[[], Any] | None) -> None:
        """In the child."""
        for number, file in enumerate(self._files, 1):
            os.dup2(file.fileno(), number)
        signal.alarm(TIMEOUT)
        signals.end_at_once()
        code = 1
        try:
            if fault is not None:
                fault()
            code = launcher.main(["launch", *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    def wait(self) -> Outcome:
        """Waits until the process ends."""
        _, status = os.waitpid(self.pid, 0)
        seconds, texts = time.monotonic() - self._started, []
        for file in self._files:
            file.seek(0)
            texts.append(file.read())
            file.close()
        out, err = texts
        return Outcome(os.waitstatus_to_exitcode(status), err.splitlines(), seconds, out)


def warm_up() -> None:
    """Imports what the runs need, for all of them."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for path in (config_files.DIRECTORY.parent / "launch" / "experiments").glob("[a-z]*.py"):
        importlib.import_module(f"launch.experiments.{path.stem}")


def run(arguments: list[str], fault: Callable[[], Any] | None = None) -> Outcome:
    """Runs a command line, with a fault that its process installs."""
    return Process(arguments, fault).wait()


def is_one_line(outcome: Outcome) -> bool:
    """Whether a process that failed says why in one line, without a traceback."""
    own = [line for line in outcome.lines if line.startswith("launch: ")]
    traced = any("Traceback" in line for line in outcome.lines)
    return outcome.code != 0 and len(own) == 1 and not traced and len(outcome.lines) < 5


def results(workdir: Path) -> dict[str, Any]:
    """What a finished run holds but for times: records, points, summary, states, figures."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "results.json")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                file.write_text(json.dumps(_results(workdir)))
                code = 0
            finally:
                os._exit(code)
        os.waitpid(pid, 0)
        found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found


def _results(workdir: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(workdir.rglob("*")):
        name = str(path.relative_to(workdir))
        if path.name in ("metrics.jsonl", "points.jsonl"):
            found[name] = [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name == "summary.json":
            found[name] = _timeless(json.loads(path.read_text()))
        elif path.name == "checkpoints":
            step, arrays = checkpoint.load(path)
            found[name] = [step, _digest(arrays)]
        elif path.suffix == ".png":
            found[name] = path.stat().st_size > 1_000
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if "seconds" not in k}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _digest(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(k): _digest(v) for k, v in tree.items()}
    if tree is None or isinstance(tree, str | int | float):
        return tree
    return [str(tree.dtype), list(tree.shape), hashlib.sha256(tree.tobytes()).hexdigest()]
