"""Command line of `python -m launch`.

python -m launch --config=configs/NAME.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]
"""

import importlib
import os
import sys
from pathlib import Path

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from infojax.errors import UserError
from infojax.interrupts import Interrupted
from launch import workdir as workdirs

_DEFAULT_CONFIG = "configs/grokking.py"
_USAGE = (
    "python -m launch --config=configs/NAME.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE]"
)


def main(argv: list[str]) -> int:
    """Runs the experiment that the arguments describe; returns the exit code."""
    try:
        config, workdir = _parse(argv)
        _cache_compilations()
        workdirs.prepare(workdir, config)
        experiment = importlib.import_module(f"launch.{config.experiment}")
        experiment.run(config, workdir)
    except UserError as error:
        return _fail(str(error), 2)
    except FloatingPointError as error:
        return _fail(str(error), 1)
    except Interrupted as stop:
        return _fail(f"{stop}; the same command goes on from there", 128 + stop.signum)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on from the last checkpoint", 130)
    print(f"done: {workdir / 'summary.json'} and {workdir / 'figures'}")
    return 0


def _parse(argv: list[str]) -> tuple[ConfigDict, Path]:
    values = flags.FlagValues()
    default = _with_variant(_DEFAULT_CONFIG)
    config_flags.DEFINE_config_file("config", default, "experiment", flag_values=values)
    flags.DEFINE_string("workdir", None, "where the run is kept", flag_values=values)
    flags.DEFINE_boolean("help", False, "shows this help", short_name="h", flag_values=values)
    try:
        rest = values([argv[0], *map(_complete, argv[1:])])[1:]
        if values.help:
            print(f"{_USAGE}\nwithout arguments: {default} into runs/grokking")
            sys.exit(0)
        config = values.config
    except SystemExit:
        raise
    except Exception as error:  # ml_collections and config files raise many kinds
        first = " ".join(str(error).split())
        raise UserError(f"{first} (usage: {_USAGE})") from error
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r} (usage: {_USAGE})")
    return config, Path(values.workdir or f"runs/{config.experiment}")


def _complete(argument: str) -> str:
    """Adds the default variant to a --config that names none."""
    name, _, path = argument.partition("=")
    if name in ("--config", "-config") and path.endswith(".py"):
        return f"{name}={_with_variant(path)}"
    return argument


def _with_variant(path: str) -> str:
    return f"{path}:{'cpu' if jax.default_backend() == 'cpu' else 'paper'}"


def _cache_compilations() -> None:
    """Keeps compiled programs between runs, unless the user has said where or that not."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(root / "infojax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _fail(message: str, code: int) -> int:
    print(f"launch: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
