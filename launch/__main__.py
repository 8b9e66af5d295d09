"""Command line of `python -m launch`.

python -m launch --config=configs/NAME.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]
"""

import contextlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from infojax.errors import StorageError, UserError
from infojax.training import Interrupted, processes
from launch import distributed, experiment, workdir as workdirs
from launch.settings import Settings, copied

_CONFIG = ("--config", "-config")
_DEFAULT_CONFIG = "configs/grokking.py"
_USAGE = (
    "python -m launch --config=configs/NAME.py[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE]"
)


def main(argv: list[str]) -> int:
    """Runs the experiment that the arguments describe; returns the exit code."""
    try:
        config, workdir = _parse(distributed.start(argv))
        module = experiment.load(config.experiment)
        _cache_compilations()
        with contextlib.ExitStack() as held:
            processes.from_first(lambda: _take(workdir, config, held))
            _say(f"{config.experiment} on {_devices()}: {workdir}")
            module.run(config, workdir)
            processes.largest(0)  # all wait until the first has written everything
    except UserError as error:
        return _fail(str(error), 2)
    except StorageError as error:
        _fail(f"{error}; the same command resumes when that is fixed", 1)
        distributed.give_up()  # the disk of this process alone may be full
        return 1
    except FloatingPointError as error:
        return _fail(str(error), 1)
    except processes.FailedInFirst:
        return 1
    except Interrupted as stop:
        if processes.first():
            _fail(f"{stop}; the same command resumes from there", 0)
        return 128 + stop.signum
    _say(f"done: {workdir / 'summary.json'} and {workdir / 'figures'}")
    return 0


def _take(workdir: Path, config: ConfigDict, held: contextlib.ExitStack) -> None:
    """Locks and prepares the work directory."""
    held.enter_context(workdirs.locked(workdir))
    workdirs.prepare(workdir, config)


def _devices() -> str:
    """Describes the devices, as "8 gpu devices of 2 processes"."""
    devices, number = jax.devices(), jax.process_count()
    text = f"{len(devices)} {devices[0].platform} device{'s' * (len(devices) > 1)}"
    return text if number == 1 else f"{text} of {number} processes"


def _parse(argv: list[str]) -> tuple[Settings, Path]:
    """Returns the config with overrides applied, and the work directory."""
    values = flags.FlagValues()
    default = _with_variant(_DEFAULT_CONFIG)
    arguments = [argv[0], *_complete(argv[1:])]
    config_flags.DEFINE_config_file(
        "config", default, "experiment", flag_values=values, sys_argv=arguments
    )
    flags.DEFINE_string("workdir", None, "where the run is kept", flag_values=values)
    flags.DEFINE_boolean("help", False, "shows this help", short_name="h", flag_values=values)
    try:
        rest = values(arguments)[1:]
        if values.help:
            print(f"{_USAGE}\nwithout arguments: {default} into runs/grokking")
            print(f"one of several processes: {distributed.USAGE}")
            sys.exit(0)
        config = copied(values.config)  # a config that failed to load raises
    except SystemExit:
        raise
    except Exception as error:  # ml_collections and config files raise many kinds
        raise UserError(f"{_reason(error)} (usage: {_USAGE})") from error
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r} (usage: {_USAGE})")
    if values.workdir == "":
        raise UserError("--workdir is empty; name a directory, or leave it out")
    return config, Path(values.workdir or Path("runs", config.experiment))


def _complete(arguments: list[str]) -> list[str]:
    """Puts --config first, as ml_collections requires, and adds the default variant if none."""
    config, others = [], []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if before in _CONFIG or argument.partition("=")[0] in _CONFIG:
            config.append(_with_variant(argument))
        else:
            others.append(argument)
    return config + others


def _with_variant(path: str) -> str:
    default = "cpu" if jax.default_backend() == "cpu" else "paper"
    return f"{path}:{default}" if path.endswith(".py") else path


def _reason(error: Exception) -> str:
    """One line of an ml_collections error, which wraps tracebacks and lists of attempts."""
    text = str(error).strip()
    if "Traceback" in text:
        return text.splitlines()[-1].partition(": ")[2]
    if isinstance(error, OSError):
        return text.splitlines()[-1].strip()
    if isinstance(error, KeyError) and error.args:  # whose text is a repr
        text = str(error.args[0])
    field = text.strip("'\"")
    if isinstance(error, AttributeError | KeyError) and field.isidentifier():
        text = f"the config has no field {field!r}"
    return " ".join(text.split())


def _cache_compilations() -> None:
    """Keeps compiled programs between runs, unless the user configured or disabled the cache."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        jax.config.update("jax_compilation_cache_dir", str(root / "infojax" / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def _say(message: str) -> None:
    if processes.first():
        print(message, flush=True)


def _fail(message: str, code: int) -> int:
    print(f"{distributed.name()}: {message}", file=sys.stderr)
    return code


def _exit_on_signals() -> None:
    """Ends the process at once on SIGINT and SIGTERM; during training, `fit` saves first.

    An exception would be swallowed if raised in a callback of jax's garbage collection.
    """

    def end(signum: int, _: FrameType | None) -> None:
        name = signal.Signals(signum).name
        line = f"launch: stopped by {name}; the same command resumes from the last checkpoint\n"
        os.write(sys.stderr.fileno(), line.encode())
        os._exit(128 + signum)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


if __name__ == "__main__":
    _exit_on_signals()
    try:
        code = main(sys.argv)
    except Exception:
        distributed.give_up()
        raise
    sys.exit(code)
