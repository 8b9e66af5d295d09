"""Trains twice from the same state and prints hashes of the results; for `determinism`."""

import argparse
import hashlib
import json
from typing import Any

import jax
import numpy as np

from benchmarks.accelerator import network, recipes
from benchmarks.accelerator.timing import timed
from infojax import training

_STEPS = 20


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a small network, two steps")
    small = parser.parse_args().small
    steps = 2 if small else _STEPS
    settings = recipes.SMALL if small else recipes.STEP._replace(depth=16)
    data = network.random_images(settings.batch_size, 8 if small else 32)
    program = network.build(settings, data)
    source = network.make_source(data, 0)
    start = lambda: training.replicate(network.init_state(program, data, 0))  # noqa: E731
    lowered = network.make_advance(program, steps, 1).lower(start(), source)
    seconds, advance = timed(lowered.compile)
    states = [training.single(advance(start(), source)[0]) for _ in range(2)]
    found = {
        "hashes": [_hash(state.params) for state in states],
        "steps": steps,
        "loss": float(states[0].loss),
        "compile_seconds": seconds,
    }
    print(json.dumps(found))


def _hash(tree: Any) -> str:
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
