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
        "card": card(),
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
    manifest = manifest_of(parts, store)
    if manifest is None:
        return [f"all of it: no intact {MANIFEST} in {parts}"]
    return [
        name
        for name, about in manifest["parts"].items()
        if not (parts / name).exists() and not decoded(store, name, about).exists()
    ]


def manifest_of(*places: Path) -> dict[str, Any] | None:
    """Returns the manifest of the first directory that has an intact one."""
    for place in places:
        try:
            found: dict[str, Any] = json.loads((place / MANIFEST).read_text())
            {about["sha256"] for about in found["parts"].values()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        return found
    return None


def decoded(store: Path, name: str, about: dict[str, Any]) -> Path:
    """Returns where a part is kept decoded; one that was packed again has another place."""
    return store / f"{name}.{about['sha256'][:12]}.npz"


def device() -> str:
    """Names the device that jax uses."""
    import jax

    first = jax.devices()[0]
    return f"{len(jax.devices())} x {first.device_kind} ({jax.default_backend()})"


def card() -> str:
    """Names the cards, with driver and memory, if nvidia-smi is there; "" otherwise."""
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
