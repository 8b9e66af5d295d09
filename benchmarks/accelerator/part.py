"""Runs one part in a process of its own, which may crash or be killed without harm to the others.

python -m benchmarks.accelerator.part NAME ...; the command starts it.
"""

import argparse
import math
import os
import sys
from pathlib import Path
from typing import NoReturn

from benchmarks.accelerator import machine, results
from benchmarks.accelerator.context import Clock, Context, Stopped, stop_on_sigterm
from benchmarks.accelerator.parts import PARTS, measure

REFUSED = 2  # exit code of a command that cannot be carried out as given


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        refuse(f"{message}; --help lists the options")


def refuse(message: str) -> NoReturn:
    """Ends the process: the user is to change something first."""
    print(message, file=sys.stderr, flush=True)
    sys.exit(REFUSED)


def _minutes(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError
    return value


_minutes.__name__ = "number of minutes"  # in argparse's message


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that the command hands on to its parts."""
    parser.add_argument("--minutes", type=_minutes, default=9.0, help="time that may be taken")
    parser.add_argument("--out", type=Path, default=Path("runs/accelerator"), help="results")
    parser.add_argument("--parts", type=Path, default=Path("runs/parts"), help="the data's parts")
    parser.add_argument("--recipe", choices=("large", "paper"), default="large", help=_RECIPES)
    parser.add_argument("--small", action="store_true", help="small sizes; always on a CPU")
    parser.add_argument("--commit", default="", help="of a tree without git")


_RECIPES = "batches of 512, 197 epochs, the rate scaled; or of 64, 2^20 steps"


def main() -> None:
    """Measures what is missing of one part."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PARTS)
    add_options(parser)
    options = parser.parse_args()
    stop_on_sigterm()
    # Several frameworks and processes share the device's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cache = str((options.out / "compiled").absolute())
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
    clock = Clock(60 * options.minutes)
    import jax

    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and not options.small and machine.card():
        refuse(f"jax does not see the card ({machine.card()}): install jax[cuda13], or use --small")
    about = {
        "device": machine.device(),
        "small": options.small or on_cpu,
        "commit": options.commit,
    }
    check(results.read(options.out), about, options.out)
    context = Context(options.out, about["small"], clock, options.parts, options.recipe)
    try:
        measure(options.name, context, about)
    except Stopped:
        sys.exit("stopped")


def check(records: list[results.Record], about: results.Record, out: Path) -> None:
    """Ends the process if records are of other sizes or of another device."""
    for record in records:
        if record.get("small", about["small"]) != about["small"]:
            sizes = "small" if record["small"] else "full"
            refuse(f"{out} holds results of {sizes} sizes; use another --out")
        if record.get("device", about["device"]) != about["device"]:
            refuse(f"{out} holds results of {record['device']}; use another --out")


if __name__ == "__main__":
    main()
