"""What the machine has: packages, commit and command without jax; the device with it."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"  # of the data's parts
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "torch", "matplotlib")
_NEEDED = ("jax", "flax", "optax", "orbax", "numpy", "scipy", "PIL", "sklearn", "tqdm")
_WELCOME = {"torch": "comparisons with PyTorch", "matplotlib": "figures"}


def describe_call(commit: str) -> dict[str, Any]:
    """Returns command, commit and versions; imports none of the packages.

    Args:
      commit: of a tree without git; "" if git tells.
    """
    return {
        "command": "python -m benchmarks.accelerator " + " ".join(sys.argv[1:]),
        "commit": commit or _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "card": _card(),
    }


def missing() -> tuple[list[str], list[str]]:
    """Returns modules without which nothing runs, and what is left out without others."""
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    lost = [
        f"{name} ({loss})"
        for name, loss in _WELCOME.items()
        if importlib.util.find_spec(name) is None
    ]
    return absent, lost


def missing_data(parts: Path, store: Path) -> list[str]:
    """Returns the names of the data's parts that are neither in `parts` nor decoded in `store`."""
    found = [place / MANIFEST for place in (parts, store) if (place / MANIFEST).exists()]
    if not found:
        return [f"all of it: no {MANIFEST} in {parts}"]
    names = json.loads(found[0].read_text())["parts"]
    return [n for n in names if not (parts / n).exists() and not (store / f"{n}.npz").exists()]


def device() -> str:
    """Names the device that jax uses."""
    import jax

    first = jax.devices()[0]
    return f"{len(jax.devices())} x {first.device_kind} ({jax.default_backend()})"


def _card() -> str:
    """Name, driver and memory of the cards, from nvidia-smi if there is one."""
    query = "--query-gpu=name,driver_version,memory.total"
    return _said(["nvidia-smi", query, "--format=csv,noheader"])


def _commit() -> str:
    head = _said(["git", "rev-parse", "--short", "HEAD"])
    changed = _said(["git", "status", "--porcelain", "--untracked-files=no"])
    return f"{head} with changes" if head and changed else head or "unknown"


def _said(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
