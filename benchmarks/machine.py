"""Processor, versions and settings behind the numbers."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.worker import DROPPED

_PACKAGES = (
    "infojax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpy",
    "scipy",
    "torch",
    "vendi-score",
    "representation-itl",
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "XLA_FLAGS")


def describe() -> dict[str, Any]:
    """Returns processor, cores, memory, versions, and variables that set threads."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": platform.platform(),
        "load_before": [round(x, 2) for x in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": {
            "every library's default": "one thread per core",
            **{name: os.environ[name] for name in _THREADS if name in os.environ},
        },
        "variables_removed": [name for name in DROPPED if name in os.environ],
    }


def headline(machine: dict[str, Any]) -> str:
    """Returns the opening lines of the report."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["packages"].items() if v)
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"Python {machine['python']}, {versions}.",
        "Each contender has its own process; they run one at a time, in turn. Times are medians.",
    ]
    if machine["variables_removed"]:
        names = " and ".join(machine["variables_removed"])
        lines.append(f"{names} (set here) slow NumPy: removed for all contenders.")
    busy = machine["load_before"][0]
    if busy > 0.5:
        lines.append(f"The machine was not idle (load {busy}): the numbers are rough.")
    return "\n".join(lines)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
