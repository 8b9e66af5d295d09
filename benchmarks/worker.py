"""Parent side of a contender's process: times it on request, kills it if too slow.

Parent and child (`benchmarks.child`) exchange JSON lines over the child's standard input and
output. Separate processes isolate thread pools, allocators and crashes.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

# Settings for old BLAS builds that slow current ones; removed for every contender.
DROPPED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


class Task(NamedTuple):
    """The work of a child: `run()` is timed, `report(result)` is sent to the parent."""

    run: Callable[[], Any]
    report: Callable[[Any], dict[str, Any]] = lambda result: {}


class UnsupportedError(Exception):
    """The contender does not support this problem or is not installed."""


class WorkerError(Exception):
    """The child failed, died or took too long."""


class Worker:
    """A child process with one task.

    Args:
      target: `module:function` that returns the task.
      arguments: the function's keyword arguments.
      timeout: seconds allowed for set-up.

    Raises:
      WorkerError: set-up failed.
    """

    def __init__(self, target: str, arguments: dict[str, Any], timeout: float):
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", target, json.dumps(arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment(),
        )
        self._receive(timeout)

    def time(self, repeats: int, timeout: float) -> float:
        """Runs the task and returns the mean seconds of a run."""
        return self._ask({"repeats": repeats}, timeout)["seconds"]

    def report(self, timeout: float) -> dict[str, Any]:
        """Returns the task's report on its last result, with `memory_mib`."""
        return self._ask({"report": True}, timeout)

    def close(self) -> None:
        """Ends the child."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, message: dict[str, Any], timeout: float) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # reported below as end of file
        return self._receive(timeout)

    def _receive(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            self.close()
            raise WorkerError(f"too slow: more than {timeout:.0f} s")
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(self._last_words())
        answer = json.loads(line)
        if "failure" in answer:
            self.close()
            raise WorkerError(answer["failure"])
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        text = next((line.strip() for line in reversed(lines) if line.strip()), "")
        self.close()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"fails: {how} {text[:80]}".strip()


def environment() -> dict[str, str]:
    """Environment of the children: the parent's without `DROPPED`, on the CPU."""
    kept = {name: value for name, value in os.environ.items() if name not in DROPPED}
    return {"JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore", **kept}
