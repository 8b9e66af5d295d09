"""Several processes of one run, configured by flags or by the cluster."""

import contextlib
import importlib.util
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import jax
from absl import flags

from infojax.errors import UserError
from launch import last_words

USAGE = "[--coordinator=HOST:PORT --num_processes=N --process_id=K]"
_LEAVING_SECONDS = 30  # how long a process waits for the others when it ends
_SILENT_SECONDS = 20  # after which a process that does not answer counts as lost
LINE = (
    "another process of this run has ended or cannot be reached; the same commands resume the run"
)
# Parts of the messages of jax's collectives and coordination service when a process is gone.
_LOST = ("Connection reset", "Connection closed", "coordination service", "heartbeat")


def start(argv: list[str]) -> list[str]:
    """Starts jax.distributed if this is one of several processes.

    `--num_processes` decides; without it, SLURM or Open MPI must have started several processes,
    or the machine must be a TPU, where jax asks the machine. jax gets from the cluster what the
    flags leave open.

    Args:
      argv: command line.

    Returns:
      The command line without these flags.

    Raises:
      UserError: the flags are invalid, or the processes cannot find each other.
    """
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0", flag_values=values)
    flags.DEFINE_integer("num_processes", None, "of the run", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("process_id", None, "from 0", lower_bound=0, flag_values=values)
    try:
        rest = values(argv, known_only=True)
    except flags.Error as error:
        raise UserError(f"{error} (usage: {USAGE})") from error
    explicit = (values.coordinator, values.num_processes, values.process_id)
    several = any(x is not None for x in explicit) or _announced(os.environ)
    if several and values.num_processes != 1:
        _initialize(*explicit)
    if jax.distributed.is_initialized():
        last_words.follow(f"{name()}: {LINE}")
    return rest


def _announced(environment: os._Environ[str] | dict[str, str]) -> bool:
    """Whether a cluster that jax detects has started several processes, or may have."""
    sizes = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")
    return any(int(environment.get(name, 1)) > 1 for name in sizes) or _on_tpu()


def _on_tpu() -> bool:
    chips = [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def _initialize(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    jax.config.update("jax_enable_preemption_service", False)  # it takes SIGTERM from `fit`
    try:
        with _default_signals():
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                shutdown_timeout_seconds=_LEAVING_SECONDS,
                heartbeat_timeout_seconds=_SILENT_SECONDS,
            )
    except (ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the processes of this run cannot be joined ({reason}); pass {USAGE}, or "
            "--num_processes=1 to run this process alone"
        ) from error


@contextlib.contextmanager
def _default_signals() -> Iterator[None]:
    """Lets signals end the process while it waits for the others outside Python."""
    signums = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(signum, signal.SIG_DFL) for signum in signums]
    try:
        yield
    finally:
        for signum, handler in zip(signums, previous, strict=True):
            signal.signal(signum, handler)


def name() -> str:
    """Returns `launch`, with the process number unless it is the first."""
    index = jax.process_index() if jax.distributed.is_initialized() else 0
    return f"launch[{index}]" if index else "launch"


def give_up(unreported: Exception | None = None) -> None:
    """After an error in one of several processes, ends it at once.

    An orderly exit would wait for the other processes, which wait for this one.

    Args:
      unreported: an error that was not reported yet. The loss of another process is one line,
        other errors are reported with their traceback.
    """
    if not jax.distributed.is_initialized():
        return
    if unreported is not None and any(part in str(unreported) for part in _LOST):
        last_words.say(f"{name()}: {LINE}")
    elif unreported is not None:
        traceback.print_exception(unreported)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
