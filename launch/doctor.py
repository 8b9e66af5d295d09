"""Shows what a run depends on: versions, devices, data sets, caches, and the eigensolver's speed.

python -m launch.doctor
"""

import argparse
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import infojax
from infojax.data import available, cache
from launch import compilations, listing, workdir

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
_DEVELOPMENT = ("test", "bench")  # extras that running experiments does not need
_REPEATS = 3
_EIGENVALUES = 1024
_SAMPLES, _FEATURES, _CLASSES = 4096, 128, 10


def main(argv: list[str] | None = None) -> int:
    """Prints one screen; returns the exit code."""
    argparse.ArgumentParser(prog="python -m launch.doctor", description=__doc__).parse_args(argv)
    compilations.keep()
    for title, lines in (
        ("versions", versions),
        ("devices", devices),
        ("extras", extras),
        ("data", data),
        ("caches", caches),
        ("speed", speed),
    ):
        for i, line in enumerate(lines()):
            print(f"{title if i == 0 else '':9} {line}", flush=True)
    return 0


def versions() -> list[str]:
    """Python, packages, and the commit of a clone."""
    commit = workdir.git_commit()
    clone = f" (commit {commit[:12]}{'-dirty' * commit.endswith('-dirty')})" if commit else ""
    return [
        f"infojax {infojax.__version__}{clone}, Python {platform.python_version()}",
        ", ".join(f"{name} {workdir.version(name) or 'MISSING'}" for name in _PACKAGES),
    ]


def devices() -> list[str]:
    """What jax runs on, and the machine."""
    found = jax.devices()
    kinds = sorted({device.device_kind for device in found})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [
        f"{len(found)} {found[0].platform} ({', '.join(kinds)}); the variant "
        f"{'cpu' if jax.default_backend() == 'cpu' else 'paper'} is the default",
        f"{os.cpu_count()} cores, {_size(memory)} memory, {_size(_free('.'))} free here on disk",
    ]


def extras() -> list[str]:
    """Which optional dependencies are installed."""
    try:
        required = metadata.requires("infojax") or []
    except metadata.PackageNotFoundError:
        return ["unknown: infojax is not installed; pip install -e '.[experiments]' in the clone"]
    missing: dict[str, list[str]] = {}
    for text in required:
        extra = re.search(r"extra == ['\"]([\w-]+)", text)
        if extra and extra[1] not in _DEVELOPMENT:
            name = re.split(r"[^\w.-]", text, maxsplit=1)[0]
            missing.setdefault(extra[1], []).extend([name] * (workdir.version(name) is None))
    tensorflow = workdir.version("tensorflow")
    states = [f"{extra}: {_state(names)}" for extra, names in missing.items()]
    return [
        "; ".join(states),
        f"tensorflow {tensorflow or 'not installed'} (only to prepare data sets of TFDS)",
    ]


def _state(missing: list[str]) -> str:
    return f"MISSING {', '.join(missing)}" if missing else "installed"


def data() -> list[str]:
    """The data sets of TFDS that are prepared, and what the configs need but is not found."""
    places = {"default": Path.home() / "tensorflow_datasets"}
    if "TFDS_DATA_DIR" in os.environ:
        places = {"TFDS_DATA_DIR": available.tfds_directory()} | places
    lines = []
    for name, place in places.items():
        found = available.prepared(place)
        lines.append(f"{', '.join(found) or 'no data set of TFDS'} in {place} ({name})")
    if missing := listing.missing():
        lines.append(f"not found: {', '.join(missing)}; see python -m launch --list")
    return lines


def caches() -> list[str]:
    """Where decoded images and compiled programs are kept, and how large they are."""
    images = cache.contents()
    programs = compilations.directory()
    lines = [f"images: {_total(images)} in {cache.directory()} (python -m launch.cache --clear)"]
    if programs is None:
        return [*lines, "compiled programs: disabled by JAX_COMPILATION_CACHE_DIR"]
    files = [path for path in programs.rglob("*") if path.is_file()]
    return [*lines, f"compiled programs: {_total(files)} in {programs}"]


def speed() -> list[str]:
    """Measured times of the eigensolver and of MIR and HDR, in float32."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((_EIGENVALUES, _EIGENVALUES)), jnp.float32)
    z = jnp.asarray(rng.standard_normal((_SAMPLES, _FEATURES)), jnp.float32)
    w = jnp.asarray(rng.standard_normal((_CLASSES, _FEATURES)), jnp.float32)
    y = jnp.arange(_SAMPLES) % _CLASSES
    eigenvalues = jax.jit(lambda x: jnp.linalg.eigvalsh(x @ x.T))
    return [
        f"eigenvalues of a {_EIGENVALUES} x {_EIGENVALUES} matrix: {_time(eigenvalues, x)}",
        f"MIR and HDR of {_SAMPLES} samples, {_FEATURES} features, {_CLASSES} classes: "
        f"{_time(jax.jit(infojax.sample_interplay), z, y, w)}",
    ]


def _time(function: Callable[..., Any], *arguments: jax.Array) -> str:
    """The shortest of several times, after compilation."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return f"{min(times) * 1e3:.3g} ms"


def _free(place: str) -> int:
    return shutil.disk_usage(place).free


def _total(files: list[Path]) -> str:
    return f"{len(files)} files, {_size(sum(path.stat().st_size for path in files))}"


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main())
