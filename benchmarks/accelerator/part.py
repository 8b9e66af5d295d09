"""Runs one part in a process of its own, which may crash or be killed without harm to the others.

python -m benchmarks.accelerator.part NAME ...; the command starts it.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.accelerator import results
from benchmarks.accelerator.context import Clock, Context
from benchmarks.accelerator.parts import PARTS, measure


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that the command hands on to its parts."""
    parser.add_argument("--minutes", type=float, default=9.0, help="time that may be taken")
    parser.add_argument("--out", type=Path, default=Path("runs/accelerator"), help="results")
    parser.add_argument("--parts", type=Path, default=Path("runs/parts"), help="the data's parts")
    parser.add_argument("--recipe", choices=("large", "paper"), default="large", help=_RECIPES)
    parser.add_argument("--small", action="store_true", help="small sizes; always on a CPU")
    parser.add_argument("--commit", default="", help="of a tree without git")


_RECIPES = "batches of 512, 200 epochs, the rate scaled; or of 64, 2^20 steps"


def main() -> None:
    """Measures what is missing of one part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PARTS)
    add_options(parser)
    options = parser.parse_args()
    # Several frameworks and processes share the device's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    cache = str((options.out / "compiled").absolute())
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", cache)
    clock = Clock(60 * options.minutes)
    import jax

    from benchmarks.accelerator import machine

    small = options.small or jax.default_backend() == "cpu"
    if any(record.get("small", small) != small for record in results.read(options.out)):
        sizes = "full" if small else "small"
        sys.exit(f"{options.out} holds results of {sizes} sizes; use another --out")
    context = Context(options.out, small, clock, options.parts, options.recipe)
    about = {"device": machine.device(), "small": small, "commit": options.commit}
    measure(options.name, context, about)


if __name__ == "__main__":
    main()
