"""The cache of compiled programs, which runs share."""

import os
from pathlib import Path

import jax


def directory() -> Path | None:
    """Returns where compiled programs are cached; None if the user disabled the cache."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        own = os.environ["JAX_COMPILATION_CACHE_DIR"]
        return Path(own) if own else None
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "infojax" / "xla"


def keep() -> None:
    """Keeps compiled programs between runs, unless the user configured or disabled the cache."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", str(directory()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
