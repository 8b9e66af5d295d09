"""Part 1: what of a run is bitwise equal: repeated in one process, and in two processes."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator.context import Context, Measurement

_LIMIT = 150.0  # seconds of a process
_FLAGS = {
    "default flags": "",
    "deterministic operations": "--xla_gpu_deterministic_ops=true",
}


def measurements(context: Context) -> Iterator[Measurement]:
    """Runs of a training loop under each set of flags."""
    for name, flags in _FLAGS.items():
        if flags and context.small:
            continue  # other backends do not know them
        run = functools.partial(_compare, flags, context)
        yield Measurement(f"determinism, {name}", run, 30.0)


def _compare(flags: str, context: Context) -> dict[str, Any]:
    """Trains twice in each of two processes, which run at the same time; small, in one."""
    environment = os.environ | {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)  # each process chooses its algorithms
    command = [sys.executable, "-m", "benchmarks.accelerator.repeat"]
    command += ["--small"] * context.small
    children = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(1 if context.small else 2)
    ]
    try:
        said = [child.communicate(timeout=_LIMIT)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    codes = [child.wait() for child in children]
    if any(codes):
        raise RuntimeError(f"the processes ended with exit codes {codes}; see what they printed")
    found = [json.loads(text.splitlines()[-1]) for text in said]
    first, last = found[0], found[-1]
    return {
        "flags": flags,
        "processes": len(found),
        "equal_in_each": all(own["hashes"][0] == own["hashes"][1] for own in found),
        "equal_in_all": all(own["hashes"] == first["hashes"] for own in found),
        "steps": first["steps"],
        "loss": first["loss"],
        "difference_of_losses": abs(first["loss"] - last["loss"]),
        "compile_seconds": first["compile_seconds"],
    }
