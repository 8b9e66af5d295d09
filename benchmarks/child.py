"""A contender in a process of its own, seen from the child: sets up, runs when told, reports."""

import contextlib
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.worker import UnsupportedError

_MEMORY_SHARE = 0.9  # of the machine's memory that a contender may allocate
_MIB = 2**20


def serve(target: str, arguments: dict[str, Any]) -> None:
    """Sets the task up, then answers the parent until its end of file."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print does not disturb the protocol
    send = lambda answer: channel.write(json.dumps(answer) + "\n")  # noqa: E731
    _limit_memory()
    try:
        module, function = target.split(":")
        task = getattr(importlib.import_module(module), function)(**arguments)
        send({})
        before, result = _forget_peak(), None
        for line in sys.stdin:
            message = json.loads(line)
            if "repeats" in message:
                seconds, result = _time(task.run, message["repeats"])
                send({"seconds": seconds})
            else:
                memory = (_peak() - before) / _MIB
                send({**task.report(result), "memory_mib": memory})
    except UnsupportedError as error:
        send({"failure": str(error)})
    except Exception as error:  # one line to the parent, whatever it is
        text = " ".join(str(error).split())
        send({"failure": f"fails: {type(error).__name__}: {text[:120]}"})


def _time(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    result = None
    start = time.perf_counter()
    for _ in range(repeats):
        result = run()
    return (time.perf_counter() - start) / repeats, result


def _limit_memory() -> None:
    """Lets an allocation beyond the machine fail here instead of waking the OOM killer."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_DATA, (int(_MEMORY_SHARE * total),) * 2)


def _forget_peak() -> int:
    """Resets the peak of resident memory where Linux allows it; returns the present one, bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Peak resident memory in bytes.

    From /proc where it exists: `getrusage` also counts what the parent held before exec.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
