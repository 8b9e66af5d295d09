"""Command line of `python -m launch`.

python -m launch --config=CONFIG[:VARIANT] [--workdir=DIR] [--config.FIELD=VALUE ...]
"""

from launch import signals

if __name__ == "__main__":
    signals.end_at_once()  # the imports below take seconds

import contextlib
import os
import sys
from pathlib import Path

import jax
from ml_collections import ConfigDict

from infojax.errors import StorageError, UserError
from infojax.training import Interrupted, processes, recorder, wandb_mirror
from launch import (
    command_line,
    compilations,
    distributed,
    experiment,
    reports,
    workdir as workdirs,
)


def main(argv: list[str]) -> int:
    """Runs the experiment that the arguments describe; returns the exit code."""
    try:
        config, workdir, project = command_line.parse(distributed.start(argv))
        module = experiment.load(config.experiment)
        compilations.keep()
        with contextlib.ExitStack() as held:
            if project is not None:
                processes.from_first(lambda: wandb_mirror.check(project))
                held.enter_context(recorder.mirrored(wandb_mirror.opener(project, workdir)))
            processes.from_first(lambda: _take(workdir, config, module, held))
            _say(f"{config.experiment} on {_devices()}: {workdir}")
            module.run(config, workdir)
            if processes.first():
                _report(workdir)
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
    _say(f"done: {workdir / 'summary.json'}, {workdir / 'figures'} and {workdir / reports.FILE}")
    return 0


def _take(
    workdir: Path, config: ConfigDict, module: experiment.Experiment, held: contextlib.ExitStack
) -> None:
    """Locks and prepares the work directory."""
    held.enter_context(workdirs.locked(workdir))
    workdirs.prepare(workdir, config, experiment.why_not_longer(module))


def _report(workdir: Path) -> None:
    """Draws the report of a finished run; a failure to draw it does not fail the run."""
    try:
        reports.draw([workdir], workdir / reports.FILE)
    except Exception as error:
        again = f"python -m launch.report {workdir}"
        _fail(f"the run is complete, but its report was not drawn ({error}); `{again}`", 0)


def _devices() -> str:
    """Describes the devices, as "8 gpu devices of 2 processes"."""
    devices, number = jax.devices(), jax.process_count()
    text = f"{len(devices)} {devices[0].platform} device{'s' * (len(devices) > 1)}"
    return text if number == 1 else f"{text} of {number} processes"


def _say(message: str) -> None:
    if processes.first():
        print(message, flush=True)


def _fail(message: str, code: int) -> int:
    print(f"{distributed.name()}: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        code = main(sys.argv)
    except BrokenPipeError:  # the reader of stdout, such as head, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        distributed.give_up(error)
        raise
    sys.exit(code)
