"""Faults that a run's process installs in itself before it runs, and damage to files."""

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

from infojax.training import checkpoint, loop, storage
from launch import ledger, reports

Fault = Callable[[], Any]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def _before(owner: Any, name: str, act: Callable[..., Any] = lambda *_: _die()) -> Callable:
    """A fault: before the k-th call of a function, something happens."""

    def install(k: int) -> None:
        function, calls = getattr(owner, name), iter(range(1, 1_000_000))

        def called(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == k:
                act(*args)
            return function(*args, **kwargs)

        setattr(owner, name, called)

    return install


def _compiling(k: int) -> None:
    """Kills while the k-th program is compiled."""
    counted = iter(range(1, 1_000_000))

    def seen(event: str, *_: Any, **__: Any) -> None:
        if event.endswith("jaxpr_to_mlir_module_duration") and next(counted) == k:
            _die()

    jax.monitoring.register_event_duration_secs_listener(seen)


def _half_a_line(path: Path, content: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.write('{"step": 5, "sec')
    _die()


def _half_a_file(path: Path, *_: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(b"\x89PNG half")
    _die()


def _half_a_json(name: str) -> Callable[..., None]:
    def act(path: Path, _: Any) -> None:
        if path.name == name:
            path.with_suffix(".partial").write_text('{"half": ')
            _die()

    def install(k: int) -> None:
        function = storage.write_json

        def called(path: Path, content: Any) -> None:
            act(path, content)
            function(path, content)

        storage.write_json = called

    return install


def _soon(*_: Any) -> None:
    """Kills some milliseconds later, while the caller saves."""
    threading.Timer(0.004 + os.getpid() % 17 * 0.001, _die).start()


# Moments at which a process can be killed; each is given a number of occurrences.
MOMENTS: dict[str, Callable[[int], Any]] = {
    "while compiling": _compiling,
    "after a step": _before(loop.Log, "check_finite"),
    "after an evaluation": _before(loop.Log, "record"),
    "within a record": _before(storage, "append_line", _half_a_line),
    "between record and checkpoint": _before(loop.Log, "save"),
    "within a checkpoint": _before(checkpoint.Checkpoints, "save", _soon),
    "between checkpoint and sums": _half_a_json("sums.json"),
    "before a point": _before(ledger.Ledger, "append"),
    "within a figure": _before(Figure, "savefig", lambda _, path, *__: _half_a_file(path)),
    "within the summary": _half_a_json("summary.json"),
    "before the report": _before(reports, "draw"),
}


def signalled(signum: int, k: int) -> None:
    """Sends the process a signal after its k-th step."""
    _before(loop.Log, "check_finite", lambda *_: os.kill(os.getpid(), signum))(k)


def slow(seconds: float) -> None:
    """Makes every record take a while, so that another process meets this one."""
    _before(loop.Log, "record", lambda *_: time.sleep(seconds))(2)


def jumping_clock() -> None:
    """Makes the clock of the day jump back and forth by hours."""
    true, jumps = time.time, iter(range(1_000_000))
    time.time = lambda: true() + 7_200 * (-1) ** next(jumps)


def small_files(size: int) -> None:
    """Makes writes beyond a size fail, as with a quota."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "truncated": truncated,
    "flipped": flipped,
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
}


@contextlib.contextmanager
def disk(directory: Path, size: str) -> Iterator[bool]:
    """Context with a small disk mounted at a directory; whether it could be mounted."""
    directory.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(directory)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(directory)], check=True)


def remount(directory: Path, options: str) -> None:
    """Changes a disk that `disk` mounted: `ro`, or its size."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(directory)], check=True)
