"""Child side of a contender's process: sets up, runs on request, reports."""

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

_MEMORY_SHARE = 0.9  # of the machine's memory: a contender's limit
_MIB = 2**20


def serve(target: str, arguments: dict[str, Any]) -> None:
    """Sets up the task, then answers the parent's requests until end of file."""
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps what libraries print out of the protocol
    send = lambda answer: channel.write(json.dumps(answer) + "\n")  # noqa: E731
    _limit_memory()
    try:
        module, function = target.split(":")
        task = getattr(importlib.import_module(module), function)(**arguments)
        send({})
        before, result = _forgetpeak_memory(), None
        for line in sys.stdin:
            message = json.loads(line)
            if "repeats" in message:
                seconds, result = _time(task.run, message["repeats"])
                send({"seconds": seconds})
            else:
                memory = (peak_memory() - before) / _MIB
                send({**task.report(result), "memory_mib": memory})
    except UnsupportedError as error:
        send({"failure": str(error)})
    except Exception as error:  # the parent gets any failure as one line
        text = " ".join(str(error).split())
        send({"failure": f"fails: {type(error).__name__}: {text[:120]}"})


def _time(run: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    result = None
    start = time.perf_counter()
    for _ in range(repeats):
        result = run()
    return (time.perf_counter() - start) / repeats, result


def _limit_memory() -> None:
    """Makes an oversized allocation fail here instead of waking the OOM killer."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_DATA, (int(_MEMORY_SHARE * total),) * 2)


def _forgetpeak_memory() -> int:
    """Resets peak resident memory where Linux allows it; returns the peak in bytes."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def peak_memory() -> int:
    """Peak resident memory in bytes.

    From /proc where it exists: `getrusage` also counts the parent's memory before exec.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    serve(sys.argv[1], json.loads(sys.argv[2]))
