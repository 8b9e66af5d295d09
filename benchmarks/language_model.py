"""Interplay of 100,000 features with a language model's head: d = 768, C = 50,257.

python -m benchmarks.language_model uniform|zipf
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import child
from infojax import population

_N, _D, _C = 100_000, 768, 50_257


def main() -> None:
    """Prints the time with compilation, the process's peak of memory, and the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", choices=("uniform", "zipf"), help="distribution of the labels")
    rng = np.random.default_rng(0)
    w = rng.normal(size=(_C, _D)).astype(np.float32)
    share = 1 / np.arange(1, _C + 1) if parser.parse_args().labels == "zipf" else np.ones(_C)
    y = rng.choice(_C, _N, p=share / share.sum()).astype(np.int32)
    z = (w[y] + rng.normal(size=(_N, _D))).astype(np.float32)
    start = time.perf_counter()
    arguments = jnp.asarray(z), jnp.asarray(y), jnp.asarray(w)
    found = jax.block_until_ready(population.interplay_of_features(*arguments, rtol=1e-2))
    print(f"{time.perf_counter() - start:.0f} s, {child.peak_memory() / 2**30:.2f} GiB\n{found}")


if __name__ == "__main__":
    main()
